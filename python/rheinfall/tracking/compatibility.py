"""Track building as other codes do it, to check that their tracks are ours: for checks, not for speed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rheinfall.event import Float32, Int64
from rheinfall.tracking.arguments import (
    MAX_HITS,
    require_choice,
    require_edge_index,
    require_integer,
    require_no_logits,
    require_number,
    require_scores,
)
from rheinfall.tracking.track_building import build_tracks
from rheinfall.tracking.tracks import Tracks

CODES = ("acorn", "graph_segment", "acts")
"""Codes that `build_tracks_like` follows."""

Children = list[list[tuple[int, float]]]
Follow = Callable[[int], list[int]]


def build_tracks_like(
    code: str,
    edge_index: Int64,
    scores: Float32,
    n_nodes: int,
    *,
    score_cut: float | None = None,
    walk_min: float | None = None,
    walk_add: float | None = None,
    min_length: int | None = None,
) -> Tracks:
    """Tracks by the rules of another code, where they differ from those of `build_tracks`.

    * `"acorn"`: GNN4ITk's Python "cc_and_walk" (cut 0.01, min 0.1, add 0.6). A walk of two hits retires both; walks
      shorter than `min_length` (3) are dropped afterwards, components of one or two hits in any case. Hits are visited
      by generations of the graph, in each in the order in which they were reached. Of several longest walks it takes
      the one over the *worst* allowed neighbours. Equal scores hang on the order of a Python set there; here the larger
      index goes first.
    * `"graph_segment"`: the C++ core of graph_segment (cut 0.01, min 0.1, add 0.6). It makes no track of fewer than 3
      hits (`min_length` 3 or more). Components with at most two edges at each hit are tracks as they stand, whichever
      way the edges lead. The best neighbour is chosen among all hits, and a walk ends where it is taken; if any
      neighbour is above `walk_add`, all such are followed. Hits are visited in the reverse order in which a depth-first
      search leaves them; of several longest walks the first by the order of the edges.
    * `"acts"`: the components of ACTS' BoostTrackBuilding (cut 0.5): every component is a candidate, single hits too
      (`min_length` 1).

    All compare scores strictly (`>`); older versions of graph_segment kept edges *at* the cut (`>=`): give them
    `np.nextafter(cut, -1)`.

    Args:
        code: one of the above.
        edge_index: int64 (2, n_edges), outward; its order matters where it says so above.
        scores: float32 (n_edges,) in [0, 1]. As in `build_tracks`, edges with NaN or infinite scores are not used.
        n_nodes: number of hits.
        score_cut, walk_min, walk_add, min_length: None for the code's own.

    Returns:
        The tracks in the order in which that code finds them, hits from inside to outside along the walk. The status is
        that of `build_tracks`: "not_finite" where a score is, "empty" without hits or edges.

    Raises:
        TypeError, ValueError: an unknown code, wrong arguments, or a graph with a cycle.
    """
    require_choice("code", code, CODES)
    edges = require_edge_index(edge_index)
    require_scores(scores, edges.shape[1])
    require_no_logits(scores)
    n_nodes = require_integer("n_nodes", n_nodes, 0, MAX_HITS)
    cut = _threshold("score_cut", score_cut, 0.5 if code == "acts" else 0.01)
    limits = _threshold("walk_min", walk_min, 0.1), _threshold("walk_add", walk_add, 0.6)
    least = 1 if code == "acts" else 3
    if min_length is not None:
        # graph_segment never makes shorter ones, so that a smaller number would promise what there is not.
        least = require_integer(f"min_length of {code}", min_length, 3 if code == "graph_segment" else 1)
    if code == "acts":
        return build_tracks(edges, scores, "components", score_cut=cut, n_nodes=n_nodes, min_length=least)
    builder = _acorn if code == "acorn" else _graph_segment
    found = builder(_children(edges, scores, n_nodes, cut), *limits)
    status = "empty" if n_nodes == 0 or scores.size == 0 else "ok"
    if not np.isfinite(scores).all():
        status = "not_finite"
    return _as_tracks([track for track in found if len(track) >= least], n_nodes, status)


def _threshold(name: str, value: float | None, default: float) -> float:
    number = require_number(name, default if value is None else value)
    if np.isnan(number):
        raise ValueError(f"{name}: expected a number, got NaN")
    return float(np.float32(number))


def _children(edges: Int64, scores: Float32, n_nodes: int, cut: float) -> Children:
    if edges.size and (edges.min() < 0 or edges.max() >= n_nodes):
        raise ValueError(f"edge_index: expected indices from 0 to {n_nodes - 1}, got {edges.min()} to {edges.max()}")
    children: Children = [[] for _ in range(n_nodes)]
    for source, target, score in zip(*edges.tolist(), scores.tolist(), strict=True):
        if cut < score < np.inf:
            children[source].append((target, score))
    return children


def _acorn(children: Children, walk_min: float, walk_add: float) -> list[list[int]]:
    parents = _count_parents(children)
    simple = [g for g in _components(children) if all(len(children[v]) <= 1 and parents[v] <= 1 for v in g)]
    used: set[int] = set().union(*simple)  # pairs and single hits are no tracks, and take no part in walks
    order = _generations(children)

    def follow(v: int) -> list[int]:
        free = sorted(((score, c) for c, score in children[v] if c not in used), reverse=True)
        if not free or free[0][0] <= walk_min:
            return []
        return [c for i, (score, c) in enumerate(free) if i == 0 or score > walk_add]

    place = {v: i for i, v in enumerate(order)}
    tracks = [sorted(chain, key=place.__getitem__) for chain in simple if len(chain) >= 3]
    for v in order:
        if v in used:
            continue
        track = _longest(v, follow, last=True)
        used.update(track)
        tracks.append(track)
    return tracks


def _graph_segment(children: Children, walk_min: float, walk_add: float) -> list[list[int]]:
    parents = _count_parents(children)
    chains = [
        group
        for group in _components(children)
        if len(group) >= 3 and all(len(children[v]) + parents[v] <= 2 for v in group)
    ]
    used: set[int] = set().union(*chains)
    _generations(children)  # refuses cycles

    def follow(v: int) -> list[int]:
        good = [(c, score) for c, score in children[v] if score > walk_min and c != v]
        if not good:
            return []
        sure = [c for c, score in good if score > walk_add]
        return [c for c in sure or [max(good, key=lambda pair: pair[1])[0]] if c not in used]

    tracks = list(chains)
    for v in _reverse_postorder(children):
        if v in used:
            continue
        track = _longest(v, follow, last=False)
        used.add(v)
        if len(track) >= 3:
            used.update(track)
            tracks.append(track)
    return tracks


def _count_parents(children: Children) -> list[int]:
    parents = [0] * len(children)
    for row in children:
        for c, _ in row:
            parents[c] += 1
    return parents


def _components(children: Children) -> list[list[int]]:
    both: list[list[int]] = [[c for c, _ in row] for row in children]
    for v, row in enumerate(children):
        for c, _ in row:
            both[c].append(v)
    seen, groups = [False] * len(children), []
    for start in range(len(children)):
        if seen[start]:
            continue
        group, todo = [], [start]
        seen[start] = True
        while todo:
            v = todo.pop()
            group.append(v)
            for c in both[v]:
                if not seen[c]:
                    seen[c] = True
                    todo.append(c)
        groups.append(sorted(group))
    return groups


def _generations(children: Children) -> list[int]:
    """Topological order by generations, each in the order in which its hits lose their last parent."""
    left = _count_parents(children)
    order: list[int] = []
    ready = [v for v, n in enumerate(left) if n == 0]
    while ready:
        order += ready
        following = []
        for v in ready:
            for c, _ in children[v]:
                left[c] -= 1
                if left[c] == 0:
                    following.append(c)
        ready = following
    if len(order) < len(children):
        cyclic = [v for v, n in enumerate(left) if n > 0]
        raise ValueError(f"edge_index: expected a graph without cycles; on or behind one are {cyclic[:10]}")
    return order


def _reverse_postorder(children: Children) -> list[int]:
    seen, order = [False] * len(children), []
    for start in range(len(children)):
        if seen[start]:
            continue
        seen[start] = True
        stack = [(start, iter([c for c, _ in children[start]]))]
        while stack:
            v, rest = stack[-1]
            for c in rest:
                if not seen[c]:
                    seen[c] = True
                    stack.append((c, iter([d for d, _ in children[c]])))
                    break
            else:
                order.append(v)
                stack.pop()
    return order[::-1]


def _longest(start: int, follow: Follow, *, last: bool) -> list[int]:
    """The longest walk from `start`; of several the last, or the first, in the order of `follow`."""
    length: dict[int, int] = {}
    step: dict[int, int] = {}
    stack = [(start, follow(start))]
    while stack:
        v, options = stack[-1]
        open_one = next((c for c in options if c not in length), None)
        if open_one is not None:
            stack.append((open_one, follow(open_one)))
            continue
        length[v] = 1
        for c in options:
            if 1 + length[c] > length[v] or (last and 1 + length[c] == length[v]):
                length[v], step[v] = 1 + length[c], c
        stack.pop()
    walk = [start]
    while walk[-1] in step:
        walk.append(step[walk[-1]])
    return walk


def _as_tracks(found: list[list[int]], n_nodes: int, status: str) -> Tracks:
    offsets = np.cumsum([0, *map(len, found)]).astype(np.int64)
    hits = np.array([v for track in found for v in track], np.int64)
    labels = np.full(n_nodes, -1, np.int64)
    labels[hits] = np.repeat(np.arange(len(found)), np.diff(offsets))
    return Tracks(offsets, hits, labels, status)
