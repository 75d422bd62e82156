"""Tracks against truth: which particle each track is, and the rates that follow, each under a named rule."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from rheinfall.event import Bool, Hits, Int64, Truth, UInt64
from rheinfall.metrics.binning import BinnedEfficiency, bin_efficiency, fraction, real_numbers, table
from rheinfall.metrics.intervals import ONE_SIGMA, rate_intervals
from rheinfall.metrics.particles import (
    ParticleTable,
    Selection,
    check_variable,
    judged_hits,
    summarize_particles,
)
from rheinfall.tracking.arguments import describe, require_integer

RULES = ("double_majority", "lhc", "perfect", "one_way", "two_way", "acts")
"""Names of the matching rules; see `match_tracks`."""


class TrackHits(Protocol):
    """Anything with the hits of tracks: track i has hits[offsets[i]:offsets[i + 1]], indices into the event's hits."""

    @property
    def offsets(self) -> Int64:
        """int64 (n_tracks + 1,)."""

    @property
    def hits(self) -> Int64:
        """int64 (offsets[-1],)."""


@dataclass
class TrackMatches:
    """What `match_tracks` found. Rates are NaN where nothing is there to count.

    Attributes:
        rule: name of the matching rule.
        selection: which particles the efficiency is of.
        judged: bool (n_tracks,), False for tracks with too few judged hits; these enter no rate.
        n_judged_hits: int64 (n_tracks,), the track's hits that count.
        majority_particle: uint64 (n_tracks,), the particle with most of them (ties: smaller particle_id); 0 if none.
        majority_hits: int64 (n_tracks,), how many.
        matched_particle: uint64 (n_tracks,), the majority particle where the rule holds, else 0.
        is_fake: bool (n_tracks,), judged, and no particle has > 50 % of the track's judged hits.
        is_duplicate: bool (n_tracks,), one has, and another track has more of its hits (ties: an earlier track).
        particles: all particles of the event.
        selected, reconstructed: bool (n_particles,), counted in the efficiency; found under the rule.
        min_judged_hits: as `match_tracks` was given it; None for its default.
        has_hit_mask: True if it was given a `hit_mask`.
    """

    rule: str
    selection: Selection
    judged: Bool
    n_judged_hits: Int64
    majority_particle: UInt64
    majority_hits: Int64
    matched_particle: UInt64
    is_fake: Bool
    is_duplicate: Bool
    particles: ParticleTable
    selected: Bool
    reconstructed: Bool
    min_judged_hits: int | None
    has_hit_mask: bool

    @property
    def n_tracks(self) -> int:
        """All tracks, judged or not."""
        return len(self.judged)

    @property
    def n_judged(self) -> int:
        """Tracks with enough judged hits: the denominator of fake and unmatched rate."""
        return int(np.count_nonzero(self.judged))

    @property
    def n_not_judged(self) -> int:
        """Tracks with too few hits of known truth."""
        return self.n_tracks - self.n_judged

    @property
    def n_majority(self) -> int:
        """Judged tracks in which one particle has > 50 % of the judged hits."""
        return self.n_judged - self.n_fake

    @property
    def n_selected(self) -> int:
        """Selected particles: the denominator of the efficiency."""
        return int(np.count_nonzero(self.selected))

    @property
    def n_matched(self) -> int:
        """Selected particles that were found under the rule."""
        return int(np.count_nonzero(self.selected & self.reconstructed))

    @property
    def n_fake(self) -> int:
        """Judged tracks without a majority particle."""
        return int(np.count_nonzero(self.is_fake))

    @property
    def n_duplicate(self) -> int:
        """Tracks with a majority beyond the first of each particle."""
        return int(np.count_nonzero(self.is_duplicate))

    @property
    def n_unmatched(self) -> int:
        """Judged tracks that are matched to no particle under the rule."""
        return int(np.count_nonzero(self.judged & (self.matched_particle == 0)))

    @property
    def efficiency(self) -> float:
        """Matched selected particles / selected particles."""
        return fraction(self.n_matched, self.n_selected)

    @property
    def fake_rate(self) -> float:
        """Tracks in which no particle has > 50 % of the hits / tracks."""
        return fraction(self.n_fake, self.n_judged)

    @property
    def duplicate_rate(self) -> float:
        """Extra tracks of one particle, by majority of the track alone / tracks with a majority."""
        return fraction(self.n_duplicate, self.n_majority)

    @property
    def unmatched_rate(self) -> float:
        """Tracks matched to no particle under the rule / tracks."""
        return fraction(self.n_unmatched, self.n_judged)

    @property
    def counts(self) -> dict[str, tuple[int, int]]:
        """Numerator and denominator of each rate, by its name."""
        return {
            "efficiency": (self.n_matched, self.n_selected),
            "fake_rate": (self.n_fake, self.n_judged),
            "duplicate_rate": (self.n_duplicate, self.n_majority),
            "unmatched_rate": (self.n_unmatched, self.n_judged),
        }

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Clopper-Pearson interval (68.3 %) of each rate, by its name."""
        return rate_intervals(self.counts)

    def binned(self, variable: str, edges: Any, level: float = ONE_SIGMA) -> BinnedEfficiency:
        """Efficiency in bins of a particle's pt [GeV], eta, phi [rad] or production radius [mm].

        Raises:
            ValueError: another variable, or edges that do not increase.
        """
        check_variable(variable)
        values = getattr(self.particles, variable)[self.selected]
        return bin_efficiency(variable, values, self.reconstructed[self.selected], edges, level)

    def binned_tracks(
        self, rate: str, variable: str, values: Any, edges: Any, level: float = ONE_SIGMA
    ) -> BinnedEfficiency:
        """A rate of tracks in bins of a variable of theirs, which no truth is needed for, such as the fitted pT.

        Args:
            rate: "fake_rate", "duplicate_rate" or "unmatched_rate".
            variable: its name.
            values: (n_tracks,) of it; tracks with NaN are in no bin.
            edges, level: as for `binned`.

        Raises:
            TypeError: values or edges that are no real numbers, or a variable that is no name.
            ValueError: another rate, another number of values, or edges that do not increase.
        """
        if not isinstance(variable, str):
            raise TypeError(f"variable: expected the name of what is binned, got {variable!r}")
        masks = {
            "fake_rate": (self.is_fake, self.judged),
            "duplicate_rate": (self.is_duplicate, self.judged & ~self.is_fake),
            "unmatched_rate": (self.judged & (self.matched_particle == 0), self.judged),
        }
        if rate not in masks:
            raise ValueError(f"rate: expected one of {', '.join(masks)}, got {rate!r}")
        column = real_numbers("values", values)
        if column.shape != (self.n_tracks,):
            raise ValueError(f"values: expected shape ({self.n_tracks},), one per track, got {column.shape}")
        passed, counted = masks[rate]
        return bin_efficiency(variable, column[counted], passed[counted], edges, level)

    def reselect(self, **changes: Any) -> TrackMatches:
        """The same matches with an efficiency of other particles: `min_pt`, `min_hits`, `eta_max`, `primary_only`.

        Raises:
            TypeError: another argument.
            ValueError: momenta or vertices matter now, and the event has none.
        """
        if unknown := set(changes) - {"min_pt", "min_hits", "eta_max", "primary_only"}:
            raise TypeError(f"reselect: unexpected {', '.join(sorted(unknown))}")
        selection = replace(self.selection, **changes)
        unknown_kinematics = len(self.particles) > 0 and bool(np.isnan(self.particles.pt).all())
        if selection.needs_kinematics and unknown_kinematics:
            raise ValueError("reselect: the selection needs momenta and vertices, but no particle has any")
        return replace(self, selection=selection, selected=selection.apply(self.particles))

    def __str__(self) -> str:
        intervals = self.intervals
        rows = [(name.replace("_", " "), *pair, *intervals[name]) for name, pair in self.counts.items()]
        head = f"rule {self.rule}; particles: {self.selection}; {self.n_tracks} tracks"
        if self.n_not_judged:
            head += f", {self.n_not_judged} of them not judged (too few hits of known truth)"
        return head + "\n" + table(rows)


def match_tracks(
    tracks: TrackHits,
    truth: Truth,
    rule: str = "double_majority",
    *,
    min_pt: float | None = 1.0,
    min_hits: int = 3,
    eta_max: float | None = 4.0,
    primary_only: bool = True,
    min_layers: int = 0,
    hits: Hits | None = None,
    hit_mask: Bool | None = None,
    min_judged_hits: int | None = None,
) -> TrackMatches:
    """Match tracks to particles.

    With c hits shared by track and majority particle, t hits of the track and p hits of the particle, a track is
    matched under `rule` if

    - "double_majority": c/t > 0.5 and c/p > 0.5 (TrackML; gnn_tracking: metrics/cluster_metrics.py);
    - "lhc": c/t > 0.75 (gnn_tracking);
    - "perfect": c = t = p;
    - "one_way": c/t > 0.5, while a particle counts as found if any track has > 0.5 of its hits (ACORN: one_way);
    - "two_way": c/t > 0.5 and c/p > 0.5 (ACORN: two_way);
    - "acts": c/t >= 0.5 and c/p >= 0.5 (ACTS TrackTruthMatcher with double matching).

    Matching runs against all particles; the selection applies to the efficiency alone. Noise (particle_id 0) is no
    particle, but its hits count in t. Hits of unknown truth, and those outside `hit_mask`, are ignored everywhere: in
    c, t, p, and in counting a particle's hits and layers. Tracks left with fewer than `min_judged_hits` are not judged.

    Args:
        tracks: anything with int64 `offsets` and `hits`.
        truth: truth of the event's hits.
        rule: see above.
        min_pt: particles with pT > min_pt [GeV], which asks for a momentum also at 0; None for all.
        min_hits: particles with at least so many judged hits.
        eta_max: particles with |eta| < eta_max; None for all.
        primary_only: primary particles only.
        min_layers: particles with judged hits on at least so many (volume, layer); needs `hits`.
        hits: the event's hits, for their modules.
        hit_mask: bool (n_hits,), judge on these hits only.
        min_judged_hits: judge tracks with at least so many judged hits; by default 1 where all hits are judged, else 3.

    Raises:
        TypeError: tracks without `offsets` and `hits`, or cuts that are no numbers.
        ValueError: unknown rule, indices outside the event, a track that lists a hit twice, or a selection that needs
            what is not there.
    """
    if not isinstance(rule, str) or rule not in RULES:
        raise ValueError(f"rule: expected one of {', '.join(RULES)}, got {rule!r}")
    selection = Selection(min_pt, min_hits, eta_max, primary_only, min_layers)
    if min_judged_hits is not None:
        require_integer("min_judged_hits", min_judged_hits, 1)
    judged = judged_hits(truth, hit_mask)
    offsets, track_hits = check_tracks(tracks, len(judged))
    check_no_repeats(offsets, track_hits)
    particles, row = summarize_particles(truth, judged, selection, hits)
    n_tracks = len(offsets) - 1
    track = np.repeat(np.arange(n_tracks), np.diff(offsets))
    n_judged_hits = np.bincount(track[judged[track_hits]], minlength=n_tracks)
    default = 1 if bool(judged.all()) else 3
    is_judged = n_judged_hits >= (default if min_judged_hits is None else min_judged_hits)
    pairs = _count_shared(track, row[track_hits], len(particles))
    majority, shared = _find_majority(pairs, n_tracks)

    has = majority >= 0
    owner = np.where(has, majority, 0)
    of_particle = np.where(has, particles.n_hits[owner], 0) if len(particles) else np.zeros(n_tracks, np.int64)
    matched = is_judged & has & _rule_holds(rule, shared, n_judged_hits, of_particle)
    is_majority = is_judged & (2 * shared > n_judged_hits)
    reconstructed = np.zeros(len(particles), np.bool_)
    reconstructed[majority[matched]] = True
    if rule == "one_way":
        pair_track, pair_row, count = pairs
        reconstructed[:] = False
        reconstructed[pair_row[is_judged[pair_track] & (2 * count > particles.n_hits[pair_row])]] = True

    ids = np.concatenate([particles.particle_id, np.zeros(1, np.uint64)])  # row -1 is no particle
    return TrackMatches(
        rule=rule,
        selection=selection,
        judged=is_judged,
        n_judged_hits=n_judged_hits,
        majority_particle=ids[majority],
        majority_hits=shared,
        matched_particle=ids[np.where(matched, majority, -1)],
        is_fake=is_judged & ~is_majority,
        is_duplicate=_find_duplicates(is_majority, majority, shared),
        particles=particles,
        selected=selection.apply(particles),
        reconstructed=reconstructed,
        min_judged_hits=min_judged_hits,
        has_hit_mask=hit_mask is not None,
    )


def check_tracks(tracks: TrackHits, n_hits: int) -> tuple[Int64, Int64]:
    """Offsets and hits of `tracks`; refuses other types than int64, bad offsets, and indices outside the event."""
    if not (hasattr(tracks, "offsets") and hasattr(tracks, "hits")):
        raise TypeError(f"tracks: expected an object with int64 offsets and hits, got {type(tracks).__name__}")
    offsets, hits = tracks.offsets, tracks.hits
    for name, array in (("offsets", offsets), ("hits", hits)):
        if not isinstance(array, np.ndarray) or array.dtype != np.int64 or array.ndim != 1:
            raise TypeError(f"tracks.{name}: expected a 1-D int64 NumPy array, got {describe(array)}")
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(hits) or np.any(np.diff(offsets) < 0):
        raise ValueError(f"tracks.offsets: expected to rise from 0 to len(tracks.hits) = {len(hits)}")
    if len(hits) and (hits.min() < 0 or hits.max() >= n_hits):
        raise ValueError(f"tracks.hits: expected indices from 0 to {n_hits - 1}, got {hits.min()} to {hits.max()}")
    return offsets, hits


def check_no_repeats(offsets: Int64, hits: Int64) -> None:
    """Refuse tracks in which a hit occurs twice: it would count twice."""
    track = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    n_hits = int(hits.max(initial=-1)) + 1
    key = np.sort(track * n_hits + hits)
    twice = np.flatnonzero(key[1:] == key[:-1])
    if len(twice):
        which, hit = divmod(int(key[twice[0]]), n_hits)
        raise ValueError(f"tracks.hits: expected each hit once in a track, but track {which} lists hit {hit} again")


def _count_shared(track: Int64, row: Int64, n_particles: int) -> tuple[Int64, Int64, Int64]:
    """Track, particle row and number of shared hits, for all pairs that share any, sorted by (track, row)."""
    real = row >= 0
    key, count = np.unique(track[real] * n_particles + row[real], return_counts=True)
    return key // max(n_particles, 1), key % max(n_particles, 1), count.astype(np.int64)


def _find_majority(pairs: tuple[Int64, Int64, Int64], n_tracks: int) -> tuple[Int64, Int64]:
    """Row of the particle with most hits on each track, -1 if none, and the number of those hits."""
    track, row, count = pairs
    order = np.lexsort((row, -count, track))
    first = order[np.flatnonzero(np.diff(track[order], prepend=-1))]
    majority: Int64 = np.full(n_tracks, -1, np.int64)
    shared: Int64 = np.zeros(n_tracks, np.int64)
    majority[track[first]] = row[first]
    shared[track[first]] = count[first]
    return majority, shared


def _rule_holds(rule: str, shared: Int64, of_track: Int64, of_particle: Int64) -> Bool:
    """In integers, so that a share of exactly one half is decided exactly."""
    if rule == "lhc":
        return np.asarray(4 * shared > 3 * of_track)
    if rule == "one_way":
        return np.asarray(2 * shared > of_track)
    if rule == "perfect":
        return np.asarray((shared == of_track) & (shared == of_particle))
    if rule == "acts":
        return np.asarray((2 * shared >= of_track) & (2 * shared >= of_particle))
    return np.asarray((2 * shared > of_track) & (2 * shared > of_particle))


def _find_duplicates(is_majority: Bool, majority: Int64, shared: Int64) -> Bool:
    """All tracks of a particle but the one with most of its hits, the earlier of equals."""
    tracks = np.flatnonzero(is_majority)
    order = tracks[np.lexsort((tracks, -shared[tracks], majority[tracks]))]
    duplicate = np.zeros(len(is_majority), np.bool_)
    duplicate[order[1:]] = majority[order[1:]] == majority[order[:-1]]
    return duplicate
