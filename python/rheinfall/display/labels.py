"""What became of each track and of each particle: the colours of the event display."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rheinfall.event import Bool, Int64, Truth, UInt64

CLASSES = ("matched", "duplicate", "unmatched", "fake", "unknown")
MATCHED, DUPLICATE, UNMATCHED, FAKE, UNKNOWN = range(len(CLASSES))

RULE = "double_majority"


@dataclass
class TrackLabels:
    """Truth of each track, one row per track, and of each particle with at least one hit.

    Attributes:
        track_class: int64 (n_tracks,), index into `CLASSES`.
        majority: int64 (n_tracks,), row of the majority particle in `particle_id`, -1 where no hit has a particle.
        n_majority: int64 (n_tracks,), hits of the majority particle on the track.
        n_known: int64 (n_tracks,), hits of known truth on the track, noise included.
        particle_id: uint64 (n_particles,), ascending: the particles with a hit of known truth.
        n_hits: int64 (n_particles,), hits of each particle.
        hit_particle: int64 (n_hits,), row in `particle_id`; -1 noise, -2 truth unknown.
        found: bool (n_particles,), some track matches the particle.
        rule: name of the matching rule.
    """

    track_class: Int64
    majority: Int64
    n_majority: Int64
    n_known: Int64
    particle_id: UInt64
    n_hits: Int64
    hit_particle: Int64
    found: Bool
    rule: str = RULE


def label_tracks(tracks: Any, truth: Truth | None, n_hits: int) -> TrackLabels:
    """Judge each track by `double_majority` on the hits of known truth.

    A track is *matched* when one particle has > 50 % of its hits of known truth and it has > 50 % of that particle's
    hits; *duplicate* when an earlier match, or else a longer one, of the same particle exists; *fake* when no particle
    has > 50 % of its hits; *unmatched* when one has but the rule fails; *unknown* when no hit of it has known truth.

    Args:
        tracks: `offsets` int64 (n_tracks + 1,) and `hits` int64.
        truth: of the hits, or None.
        n_hits: number of hits of the event.
    """
    offsets, members = np.asarray(tracks.offsets, np.int64), np.asarray(tracks.hits, np.int64)
    n_tracks = len(offsets) - 1
    particle_id, hit_particle, counts = _number_particles(truth, n_hits)
    track_of_member = np.repeat(np.arange(n_tracks), np.diff(offsets))
    particle = hit_particle[members]
    n_known = np.bincount(track_of_member[particle >= -1], minlength=n_tracks).astype(np.int64)
    majority, n_majority = _find_majorities(track_of_member, particle, n_tracks, max(1, len(particle_id)))

    pure = 2 * n_majority > n_known
    full = np.zeros(n_tracks, bool)
    has = majority >= 0
    full[has] = 2 * n_majority[has] > counts[majority[has]]
    track_class = np.select([n_known == 0, ~pure, ~full], [UNKNOWN, FAKE, UNMATCHED], MATCHED).astype(np.int64)
    found = np.zeros(len(particle_id), bool)
    found[majority[track_class == MATCHED]] = True
    _mark_duplicates(track_class, majority, n_majority, pure & (n_known > 0))
    return TrackLabels(track_class, majority, n_majority, n_known, particle_id, counts, hit_particle, found)


def _number_particles(truth: Truth | None, n_hits: int) -> tuple[UInt64, Int64, Int64]:
    hit_particle = np.full(n_hits, -2, np.int64)
    if truth is None:
        return np.empty(0, np.uint64), hit_particle, np.empty(0, np.int64)
    real = truth.known & (truth.particle_id != 0)
    particle_id, row, counts = np.unique(truth.particle_id[real], return_inverse=True, return_counts=True)
    hit_particle[truth.known] = -1
    hit_particle[real] = row
    return particle_id, hit_particle, counts.astype(np.int64)


def _find_majorities(track: Int64, particle: Int64, n_tracks: int, n_particles: int) -> tuple[Int64, Int64]:
    """The particle with most hits on each track, and how many; ties go to the smaller particle_id."""
    real = particle >= 0
    pair, count = np.unique(track[real] * n_particles + particle[real], return_counts=True)
    pair_track, pair_particle = pair // n_particles, pair % n_particles
    order = np.lexsort((pair_particle, -count, pair_track))
    best_track, first = np.unique(pair_track[order], return_index=True)
    majority, n_majority = np.full(n_tracks, -1, np.int64), np.zeros(n_tracks, np.int64)
    majority[best_track] = pair_particle[order][first]
    n_majority[best_track] = count[order][first]
    return majority, n_majority


def _mark_duplicates(track_class: Int64, majority: Int64, n_majority: Int64, pure: Bool) -> None:
    """All but the best track of a particle become duplicates: matched first, then most hits, then the first."""
    rows = np.flatnonzero(pure & (majority >= 0))
    order = rows[np.lexsort((rows, -n_majority[rows], track_class[rows] != MATCHED, majority[rows]))]
    repeated = np.zeros(len(order), bool)
    repeated[1:] = majority[order][1:] == majority[order][:-1]
    track_class[order[repeated]] = DUPLICATE
