"""Track building, defined in plain Python: every path is enumerated, every rule is read off its sentence.

`build_tracks` gives the tracks as lists of hits, for graphs of a few dozen hits. It shares nothing with the compiled
code but the specification.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

Edge = tuple[int, int]
Edges = dict[Edge, float]
Path = list[int]

WALKS = ("walk", "cc_and_walk", "d_walk")


class CycleError(ValueError):
    """The walks need a graph without cycles; `hits` lie on cycles."""

    def __init__(self, hits: list[int]) -> None:
        super().__init__(f"hits on cycles: {hits}")
        self.hits = hits


def build_tracks(
    edges: Sequence[Edge],
    scores: Sequence[float],
    n_nodes: int,
    method: str,
    *,
    score_cut: float,
    sure: float = 0.75,
    weak: float = -math.inf,
    walk_min: float = 0.1,
    walk_add: float = 0.6,
    min_length: int = 3,
    shared_layers: int = 1,
    distance: Sequence[float] | None = None,
    layer: Sequence[int] | None = None,
    break_cycles: bool = False,
) -> list[Path]:
    """The tracks, numbered by smallest hit.

    `distance` of each hit from the origin, or None for topological order; `layer` of each hit, for layer_merge.
    """
    cut, sure, weak, walk_min, walk_add = (float(np.float32(t)) for t in (score_cut, sure, weak, walk_min, walk_add))
    kept: Edges = {}
    for edge, score in zip(edges, scores, strict=True):
        if np.isfinite(score) and score > cut:
            kept[edge] = max(float(score), kept.get(edge, -np.inf))
    if method in WALKS:
        cyclic = hits_on_cycles(kept, n_nodes)
        if cyclic and not break_cycles:
            raise CycleError(cyclic)
        kept = drop_inward_edges(kept, n_nodes, distance)
        ordering = kept
        groups = {"walk": walk, "cc_and_walk": cc_and_walk, "d_walk": d_walk}[method](
            kept, n_nodes, walk_min, walk_add, min_length
        )
    else:
        kept = {(a, b): score for (a, b), score in kept.items() if a != b}
        if method == "mutual_best":
            kept = {e: score for e, score in kept.items() if is_mutual_best(e, kept) or score > sure}
        elif method == "junction_removal":
            kept = {e: score for e, score in kept.items() if is_mutual_best(e, kept)}
        ordering = drop_inward_edges(kept, n_nodes, None)
        if method == "layer_merge":
            if layer is None:
                raise ValueError("layer: expected one for each hit")
            groups = layer_merge(kept, n_nodes, layer, sure=sure, weak=weak, shared_layers=shared_layers)
        else:
            groups = components(kept, n_nodes)
    key = depths(ordering, n_nodes) if distance is None else distance
    tracks = [sorted(group, key=lambda hit: (key[hit], hit)) for group in groups if len(group) >= min_length]
    return sorted(tracks, key=min)


def children(edges: Edges, hit: int) -> list[int]:
    """Hits that edges lead to from `hit`."""
    return sorted(b for a, b in edges if a == hit)


def reachable(edges: Edges, hit: int) -> set[int]:
    """Hits at the end of paths of at least one edge from `hit`."""
    found: set[int] = set()
    todo = children(edges, hit)
    while todo:
        v = todo.pop()
        if v not in found:
            found.add(v)
            todo += children(edges, v)
    return found


def hits_on_cycles(edges: Edges, n_nodes: int) -> list[int]:
    """Hits that can be reached from themselves."""
    return [hit for hit in range(n_nodes) if hit in reachable(edges, hit)]


def drop_inward_edges(edges: Edges, n_nodes: int, distance: Sequence[float] | None) -> Edges:
    """Without the edges on cycles that do not lead to a larger (distance, index)."""
    reach = [reachable(edges, hit) for hit in range(n_nodes)]
    rank = [(0.0 if distance is None else distance[hit], hit) for hit in range(n_nodes)]
    return {(a, b): score for (a, b), score in edges.items() if a not in reach[b] or rank[a] < rank[b]}


def depths(edges: Edges, n_nodes: int) -> list[int]:
    """Number of edges on the longest path to each hit."""
    depth = [0] * n_nodes
    for _ in range(n_nodes):
        for a, b in edges:
            depth[b] = max(depth[b], depth[a] + 1)
    return depth


def components(edges: Edges, n_nodes: int) -> list[Path]:
    """Sets of hits that are joined by edges in either direction."""
    both = dict.fromkeys([*edges, *((b, a) for a, b in edges)], 1.0)
    left = set(range(n_nodes))
    groups = []
    while left:
        hit = min(left)
        group = {hit} | reachable(both, hit)
        left -= group
        groups.append(sorted(group))
    return groups


def layer_merge(
    edges: Edges, n_nodes: int, layer: Sequence[int], *, sure: float, weak: float, shared_layers: int
) -> list[Path]:
    """Clusters merged by falling score, along edges that are sure, or else break neither of two rules.

    The two clusters have hits on at most `shared_layers` common layers, and where the score is not above `weak`, one of
    them has hits on three layers or more.
    """
    clusters = [[hit] for hit in range(n_nodes)]
    for edge in sorted(edges, key=lambda e: (-edges[e], e)):
        a, b = (next(c for c in clusters if hit in c) for hit in edge)
        of_a, of_b = {layer[hit] for hit in a}, {layer[hit] for hit in b}
        strong = edges[edge] > weak or max(len(of_a), len(of_b)) >= 3
        if a is not b and (edges[edge] > sure or (strong and len(of_a & of_b) <= shared_layers)):
            clusters = [c for c in clusters if c is not a and c is not b] + [a + b]
    return clusters


def is_mutual_best(edge: Edge, edges: Edges) -> bool:
    """True if no edge out of its source or into its target is better; ties to the smaller index of the other end."""
    source, target = edge
    best_out = min((-score, b) for (a, b), score in edges.items() if a == source)
    best_in = min((-score, a) for (a, b), score in edges.items() if b == target)
    return best_out == (-edges[edge], target) and best_in == (-edges[edge], source)


def allowed(candidates: Mapping[int, float], walk_min: float, walk_add: float) -> list[int]:
    """The best candidate if above `walk_min`, every other one above `walk_add`."""
    if not candidates:
        return []
    best = min(candidates, key=lambda hit: (-candidates[hit], hit))
    return [hit for hit in sorted(candidates) if candidates[hit] > (walk_min if hit == best else walk_add)]


def paths_from(hit: int, follow: Callable[[int], list[int]]) -> Iterator[Path]:
    """Every path from `hit`, the one of `hit` alone included."""
    yield [hit]
    for child in follow(hit):
        for path in paths_from(child, follow):
            yield [hit, *path]


def walk(
    edges: Edges, n_nodes: int, walk_min: float, walk_add: float, min_length: int, free: set[int] | None = None
) -> list[Path]:
    """The walkthrough; `free`: the hits to use."""
    free = set(range(n_nodes)) if free is None else set(free)
    depth = depths(edges, n_nodes)

    def follow(hit: int) -> list[int]:
        return allowed({b: edges[hit, b] for b in children(edges, hit) if b in free}, walk_min, walk_add)

    def rank(path: Path) -> tuple[int, float, int, Path]:
        last_score = edges[path[-2], path[-1]] if len(path) > 1 else 0.0
        return -len(path), -last_score, path[-1], path

    tracks = []
    for start in sorted(free, key=lambda hit: (depth[hit], hit)):
        if start not in free:
            continue
        path = min(paths_from(start, follow), key=rank)
        if len(path) >= min_length:
            tracks.append(path)
            free -= set(path)
        else:
            free.remove(start)
    return tracks


def cc_and_walk(edges: Edges, n_nodes: int, walk_min: float, walk_add: float, min_length: int) -> list[Path]:
    """Chains of at least 3 hits as they stand, the walk on the rest."""
    chains = [
        group
        for group in components(edges, n_nodes)
        if len(group) >= 3
        and all(sum(a == hit for a, _ in edges) <= 1 and sum(b == hit for _, b in edges) <= 1 for hit in group)
    ]
    rest = set(range(n_nodes)) - {hit for chain in chains for hit in chain}
    return chains + walk(edges, n_nodes, walk_min, walk_add, min_length, rest)


def d_walk(edges: Edges, n_nodes: int, walk_min: float, walk_add: float, min_length: int) -> list[Path]:
    """The heaviest path of each component, again and again, after pruning at both ends."""

    def passes(a: int, b: int) -> bool:
        out = allowed({t: score for (s, t), score in edges.items() if s == a}, walk_min, walk_add)
        into = allowed({s: score for (s, t), score in edges.items() if t == b}, walk_min, walk_add)
        return b in out and a in into

    def weight(path: Path) -> float:
        # Added from the last edge inwards, as best[v] = max(w + best[child]) adds: floating-point sums depend on it.
        total = 0.0
        for edge in reversed(list(itertools.pairwise(path))):
            total = edges[edge] + total
        return total

    def heaviest_path(group: Path) -> Path:
        sources = [hit for hit in group if not any(b == hit for _, b in left)]
        paths = [path for source in sources for path in paths_from(source, lambda hit: children(left, hit))]
        return min(paths, key=lambda path: (-weight(path), path))

    left = {edge: score for edge, score in edges.items() if passes(*edge)}
    hits = set(range(n_nodes))
    tracks = []
    while hits:
        for group in components(left, n_nodes):
            if group[0] not in hits:
                continue
            best = heaviest_path(group)
            tracks.append(best)
            hits -= set(best)
            left = {(a, b): score for (a, b), score in left.items() if a not in best and b not in best}
    return tracks
