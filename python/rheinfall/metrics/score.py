"""The score of the TrackML challenge."""

from __future__ import annotations

from typing import Any

import numpy as np

from rheinfall.event import Truth
from rheinfall.metrics.binning import real_numbers
from rheinfall.metrics.particles import check_truth
from rheinfall.metrics.tracks import TrackHits, check_tracks, match_tracks


def trackml_score(tracks: TrackHits, truth: Truth, weights: Any = None) -> float:
    """Summed weight of the hits that tracks share with their particle, where both have a majority in each other.

    The challenge's score (trackml-library: score.py), divided by the summed weight of the hits of known truth: 1 in the
    challenge's full events, less in thinned ones. Hits of unknown truth are ignored.

    Args:
        tracks: each hit in at most one track.
        truth: truth of the event's hits, with weights.
        weights: (n_hits,), in place of truth.weight.

    Raises:
        TypeError: tracks without `offsets` and `hits`, no truth, or weights that are no real numbers.
        ValueError: no weights, weights that are negative, not finite or sum to nothing, or a hit in several tracks.
    """
    check_truth(truth)
    if weights is None and truth.weight is None:
        raise ValueError("weights: this event's truth has none (TrackML's column weight); give them, one per hit")
    weight = real_numbers("weights", truth.weight if weights is None else weights)
    if weight.shape != truth.particle_id.shape:
        raise ValueError(f"weights: expected one per hit, {len(truth.particle_id)} in all, got shape {weight.shape}")
    bad = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)))
    if len(bad):
        raise ValueError(f"weights: expected finite numbers of at least 0, got {weight[bad[0]]} for hit {bad[0]}")
    _, hits = check_tracks(tracks, len(truth.particle_id))
    if len(np.unique(hits)) != len(hits):
        raise ValueError("tracks: the TrackML score is defined for hits in at most one track each")
    total = float(weight[truth.known].sum())
    if not total > 0.0:
        raise ValueError(f"weights: expected a positive sum over the hits of known truth, got {total}")
    found = match_tracks(
        tracks, truth, min_pt=None, min_hits=0, eta_max=None, primary_only=False, min_judged_hits=1
    ).matched_particle
    track = np.repeat(np.arange(len(found)), np.diff(tracks.offsets))
    right = truth.known[hits] & (truth.particle_id[hits] == found[track]) & (found[track] != 0)
    return float(weight[hits[right]].sum()) / total
