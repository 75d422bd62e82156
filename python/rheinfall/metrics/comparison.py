"""Two finders on one event: which particles and which tracks the one has and the other lacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rheinfall.event import Bool, Int64, Truth, UInt64
from rheinfall.metrics.tracks import TrackHits, TrackMatches, check_no_repeats, check_tracks, match_tracks
from rheinfall.tracking.arguments import require_integer, require_number


@dataclass
class TrackComparison:
    """What `compare_tracks` found.

    Attributes:
        names: of the two finders.
        first, second: their matches to the particles, by one rule and one selection.
        partner_of_first: int64 (n_tracks of the first,), the track of the second that has more than half of its hits
            and of which it has more than half in turn; -1 where the second lacks it. No track is the partner of two.
        partner_of_second: int64 (n_tracks of the second,), the same the other way round.
        n_identical: tracks of the first whose partner has the very same hits.
    """

    names: tuple[str, str]
    first: TrackMatches
    second: TrackMatches
    partner_of_first: Int64
    partner_of_second: Int64
    n_identical: int

    @property
    def only_first(self) -> Int64:
        """Tracks of the first finder that the second lacks."""
        return np.flatnonzero(self.partner_of_first < 0)

    @property
    def only_second(self) -> Int64:
        """Tracks of the second finder that the first lacks."""
        return np.flatnonzero(self.partner_of_second < 0)

    @property
    def particles(self) -> dict[str, UInt64]:
        """Selected particles found by "both", by the "first" alone, by the "second" alone, by "neither"."""
        a, b, selected = self.first.reconstructed, self.second.reconstructed, self.first.selected
        masks = {"both": a & b, "first": a & ~b, "second": ~a & b, "neither": ~a & ~b}
        return {name: self.first.particles.particle_id[selected & mask] for name, mask in masks.items()}

    def __str__(self) -> str:
        one, two = self.names
        found = {name: len(ids) for name, ids in self.particles.items()}
        n_common = len(self.partner_of_first) - len(self.only_first)
        lines = [
            f"rule {self.first.rule}, particles: {self.first.selection}",
            f"particles found by both {found['both']}, by {one} alone {found['first']}, by {two} alone "
            f"{found['second']}, by neither {found['neither']}",
            f"tracks in common {n_common} ({self.n_identical} hit by hit), of {one} alone {len(self.only_first)} "
            f"({_fakes(self.first, self.only_first)} fake), of {two} alone {len(self.only_second)} "
            f"({_fakes(self.second, self.only_second)} fake)",
        ]
        return "\n".join(lines)


def _fakes(matches: TrackMatches, tracks: Int64) -> int:
    return int(np.count_nonzero(matches.is_fake[tracks]))


def compare_tracks(
    first: TrackHits,
    second: TrackHits,
    truth: Truth,
    rule: str = "double_majority",
    *,
    names: tuple[str, str] = ("first", "second"),
    **selection: Any,
) -> TrackComparison:
    """Compare the tracks of two finders on the same hits.

    Two tracks are the same one if each has more than half of the other's hits, a hit counted once per track. Where
    tracks of one finder share hits, one track may be the same as several; each is then joined to one at most, and those
    left over count as lacked by the other finder, as a further copy of a track is something that it does not have.
    Pairs are joined in this order: more shared hits, fewer hits in both tracks, smaller index in the first finder,
    smaller index in the second.

    Args:
        first, second: tracks of the same event.
        truth: truth of its hits.
        rule: matching rule of both; see `match_tracks`.
        names: of the finders, for the text.
        selection: further arguments of `match_tracks`.

    Raises:
        TypeError, ValueError: as `match_tracks`, or names that are not two texts.
    """
    if not isinstance(names, tuple | list) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"names: expected two texts, got {names!r}")
    if len(names) != 2:
        raise ValueError(f"names: expected two texts, got {len(names)}")
    a, b = (match_tracks(tracks, truth, rule, **selection) for tracks in (first, second))
    n_hits = len(truth.particle_id)
    pairs, size_a, size_b = _shared_hits(_memberships(first, n_hits), _memberships(second, n_hits))
    track_a, track_b, shared = pairs
    size_a, size_b = _padded(size_a, a.n_tracks), _padded(size_b, b.n_tracks)
    same = (2 * shared > size_a[track_a]) & (2 * shared > size_b[track_b])
    partner_a = np.full(a.n_tracks, -1, np.int64)
    partner_b = np.full(b.n_tracks, -1, np.int64)
    # Fewer hits in both at equal shared ones: the very same track goes before a longer one that contains it.
    sizes = size_a[track_a] + size_b[track_b]
    order = np.lexsort((track_b, track_a, sizes, -shared)) if len(shared) else np.empty(0, np.int64)
    for i in order[same[order]].tolist():
        if partner_a[track_a[i]] < 0 and partner_b[track_b[i]] < 0:
            partner_a[track_a[i]], partner_b[track_b[i]] = track_b[i], track_a[i]
    identical = same & (shared == size_a[track_a]) & (shared == size_b[track_b])
    identical &= partner_a[track_a] == track_b
    return TrackComparison((names[0], names[1]), a, b, partner_a, partner_b, int(np.count_nonzero(identical)))


def _padded(sizes: Int64, n: int) -> Int64:
    return np.concatenate([sizes, np.zeros(n - len(sizes), np.int64)])


def _memberships(tracks: TrackHits, n_hits: int) -> tuple[Int64, Int64]:
    """Track and hit of each membership, by hit."""
    offsets, hits = check_tracks(tracks, n_hits)
    check_no_repeats(offsets, hits)
    track = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    order = np.lexsort((track, hits))
    return track[order], hits[order]


def _shared_hits(a: tuple[Int64, Int64], b: tuple[Int64, Int64]) -> tuple[tuple[Int64, Int64, Int64], Int64, Int64]:
    """Pairs of tracks with a common hit and how many; the number of distinct hits of each track."""
    track_a, hit_a = a
    track_b, hit_b = b
    low, high = np.searchsorted(hit_b, hit_a, "left"), np.searchsorted(hit_b, hit_a, "right")
    count = high - low
    left = np.repeat(track_a, count)
    within = np.arange(len(left)) - np.repeat(np.cumsum(count) - count, count)
    right = track_b[np.repeat(low, count) + within]
    n = int(track_b.max(initial=-1)) + 1
    keys, shared = np.unique(left * max(n, 1) + right, return_counts=True)
    pairs = keys // max(n, 1), keys % max(n, 1), shared.astype(np.int64)
    return pairs, np.bincount(track_a).astype(np.int64), np.bincount(track_b).astype(np.int64)


@dataclass
class ComponentReport:
    """What a track builder made of the components of the kept edges; see `report_components`.

    Attributes:
        n_components: components of at least `min_length` hits.
        n_whole: those that are one track, all of their hits.
        n_trimmed: those with one track and hits left over.
        n_split: those with several tracks.
        n_lost: those without a track.
        n_merged: tracks with hits of several components.
        n_unused_hits: hits of these components in no track.
        component: int64 (n_hits,), the component of each hit, numbered by smallest hit; -1 in smaller ones.
        is_unused: bool (n_hits,).
    """

    n_components: int
    n_whole: int
    n_trimmed: int
    n_split: int
    n_lost: int
    n_merged: int
    n_unused_hits: int
    component: Int64
    is_unused: Bool

    def __str__(self) -> str:
        return (
            f"{self.n_components} components: {self.n_whole} kept whole, {self.n_trimmed} trimmed, "
            f"{self.n_split} split, {self.n_lost} lost; {self.n_unused_hits} hits unused, "
            f"{self.n_merged} tracks over several components"
        )


def report_components(
    tracks: TrackHits, graph_or_edge_index: Any, scores: Any, *, score_cut: float, n_nodes: int, min_length: int = 3
) -> ComponentReport:
    """Tell how a builder's tracks stand to the connected components of the edges with score > `score_cut`.

    Args:
        tracks: tracks of the graph's hits.
        graph_or_edge_index, scores: as for `build_tracks`.
        score_cut: that of the builder, strict.
        n_nodes: number of hits.
        min_length: smaller components are left out.

    Raises:
        TypeError, ValueError: as `build_tracks`, or a track that lists a hit twice.
    """
    from rheinfall.tracking.track_building import build_tracks

    require_number("score_cut", score_cut)  # None would be the builder's default
    require_integer("n_nodes", n_nodes, 0)
    edge_index = getattr(graph_or_edge_index, "edge_index", graph_or_edge_index)
    whole = build_tracks(edge_index, scores, "components", score_cut=score_cut, n_nodes=n_nodes, min_length=min_length)
    n, label = len(whole), whole.labels
    track, hit = _memberships(tracks, n_nodes)
    inside = label[hit] >= 0
    pairs = np.unique(np.stack([label[hit][inside], track[inside]]), axis=1) if inside.any() else np.empty((2, 0), int)
    n_tracks_of = np.bincount(pairs[0], minlength=n)
    is_used = np.zeros(n_nodes, np.bool_)
    is_used[hit] = True
    is_unused = (label >= 0) & ~is_used
    complete = np.bincount(label[is_unused], minlength=n) == 0
    return ComponentReport(
        n_components=n,
        n_whole=int(np.count_nonzero((n_tracks_of == 1) & complete)),
        n_trimmed=int(np.count_nonzero((n_tracks_of == 1) & ~complete)),
        n_split=int(np.count_nonzero(n_tracks_of > 1)),
        n_lost=int(np.count_nonzero(n_tracks_of == 0)),
        n_merged=int(np.count_nonzero(np.bincount(pairs[1]) > 1)),
        n_unused_hits=int(np.count_nonzero(is_unused)),
        component=label,
        is_unused=is_unused,
    )
