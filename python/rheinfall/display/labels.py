"""What became of each track: the colours of the event display."""

from __future__ import annotations

from typing import Any

import numpy as np

from rheinfall.event import Event, Int64
from rheinfall.metrics import TrackMatches, match_tracks

CLASSES = ("matched", "duplicate", "unmatched", "fake", "unknown")
"""Classes of tracks: fake and duplicate as `TrackMatches` has them; of the others those matched under the rule, those
not, and those that were not judged, as too few of their hits have known truth."""

MATCHED, DUPLICATE, UNMATCHED, FAKE, UNKNOWN = range(len(CLASSES))


def match_event(event: Event, tracks: Any, min_pt: float) -> TrackMatches | None:
    """Match by `double_majority`, or None where no hit has truth.

    Without a table of particles nothing is known of their momenta and vertices: all of >= 3 hits are selected then.
    """
    truth = event.truth
    if truth is None or not truth.known.any():
        return None
    if truth.particles is None:
        return match_tracks(tracks, truth, min_pt=None, eta_max=None, primary_only=False)
    return match_tracks(tracks, truth, min_pt=min_pt)


def classify_tracks(match: TrackMatches | None, n_tracks: int) -> Int64:
    """Index into `CLASSES` of each track, int64 (n_tracks,)."""
    if match is None:
        return np.full(n_tracks, UNKNOWN, np.int64)
    conditions = [~match.judged, match.is_fake, match.is_duplicate, match.matched_particle == 0]
    return np.select(conditions, [UNKNOWN, FAKE, DUPLICATE, UNMATCHED], MATCHED).astype(np.int64)


def number_particles(event: Event, match: TrackMatches | None) -> Int64:
    """Row in `match.particles` of each hit's particle, int64 (n_hits,); -1 noise, -2 truth unknown."""
    row = np.full(len(event.hits), -2, np.int64)
    if match is None or event.truth is None:
        return row
    truth = event.truth
    row[truth.known] = -1
    real = truth.known & (truth.particle_id != 0)
    row[real] = np.searchsorted(match.particles.particle_id, truth.particle_id[real])
    return row
