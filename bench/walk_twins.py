"""The walks and layer_merge in numba, as someone in a hurry would write them: labels, no order within tracks.

Each start of a walk looks anew at all that it reaches, and each path of D-WALK at all that is left of its component.
Edges must be sorted by source and target, without duplicates. Labels are a hit of each track, -1 for no track.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from track_twins import find, unite


@njit
def _rows(edges: Any, n: int) -> Any:
    """Where the edges out of each hit begin."""
    begin = np.zeros(n + 1, np.int64)
    for e in range(edges.shape[1]):
        begin[edges[0, e] + 1] += 1
    return np.cumsum(begin)


@njit
def _topological(edges: Any, begin: Any, n: int) -> Any:
    """Depth of each hit, and the hits by depth and index."""
    depth, missing = np.zeros(n, np.int64), np.zeros(n, np.int64)
    for e in range(edges.shape[1]):
        missing[edges[1, e]] += 1
    ready, size = np.empty(n, np.int64), 0
    for v in range(n):
        if missing[v] == 0:
            ready[size] = v
            size += 1
    at = 0
    while at < size:
        v = ready[at]
        at += 1
        for e in range(begin[v], begin[v + 1]):
            b = edges[1, e]
            depth[b] = max(depth[b], depth[v] + 1)
            missing[b] -= 1
            if missing[b] == 0:
                ready[size] = b
                size += 1
    return depth, np.argsort(depth * n + np.arange(n))


@njit
def _keep(edges: Any, scores: Any, cut: float) -> Any:
    kept = np.flatnonzero(scores > cut)
    return edges[:, kept], scores[kept]


@njit
def walk(edges: Any, scores: Any, n: int, cut: float, low: float, high: float, chains_first: bool) -> Any:
    """The walkthrough; with `chains_first` components that are chains are tracks as they stand."""
    edges, scores = _keep(edges, scores, cut)
    begin = _rows(edges, n)
    _, order = _topological(edges, begin, n)
    label = np.full(n, -1)
    free = np.ones(n, np.bool_)
    if chains_first:
        _take_chains(edges, begin, n, label, free)
    seen = np.full(n, -1)  # the start for which the rest is known
    hits, last, last_score = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.float32)
    following, stack = np.zeros(n, np.int64), np.empty(edges.shape[1] + n + 1, np.int64)
    for start in order:
        if not free[start]:
            continue
        stack[0], size = start, 1
        while size > 0:
            v = stack[size - 1]
            if seen[v] == start:
                size -= 1
                continue
            best = -1
            for e in range(begin[v], begin[v + 1]):
                if free[edges[1, e]] and (best < 0 or scores[e] > scores[best]):
                    best = e
            if best >= 0 and scores[best] <= low:
                best = -1
            before = size
            hits[v], last[v], last_score[v], following[v] = 1, v, 0.0, -1
            for e in range(begin[v], begin[v + 1]):
                c = edges[1, e]
                if best < 0 or not free[c] or (e != best and scores[e] <= high):
                    continue
                if seen[c] != start:
                    stack[size] = c
                    size += 1
                    continue
                end_score, end = (scores[e], c) if hits[c] == 1 else (last_score[c], last[c])
                longer = hits[c] + 1 > hits[v]
                equal = hits[c] + 1 == hits[v]
                if longer or (equal and (end_score > last_score[v] or (end_score == last_score[v] and end < last[v]))):
                    hits[v], last[v], last_score[v], following[v] = hits[c] + 1, end, end_score, c
            if size == before:
                seen[v] = start
                size -= 1
        if hits[start] < 3:
            free[start] = False
            continue
        v = start
        while v >= 0:
            label[v], free[v] = start, False
            v = following[v]
    return label


@njit
def _take_chains(edges: Any, begin: Any, n: int, label: Any, free: Any) -> None:
    parent, into = np.arange(n), np.zeros(n, np.int64)
    for e in range(edges.shape[1]):
        unite(parent, edges[0, e], edges[1, e])
        into[edges[1, e]] += 1
    size, branches = np.zeros(n, np.int64), np.zeros(n, np.bool_)
    for v in range(n):
        root = find(parent, v)
        size[root] += 1
        branches[root] |= begin[v + 1] - begin[v] > 1 or into[v] > 1
    for v in range(n):
        root = find(parent, v)
        if size[root] >= 3 and not branches[root]:
            label[v], free[v] = root, False


@njit
def _passes(ends: Any, scores: Any, n: int, low: float, high: float) -> Any:
    """Whether each edge is above `high`, or the best at its end and above `low`; ties to the first."""
    best = np.full(n, -1)
    for e in range(len(scores)):
        if best[ends[e]] < 0 or scores[e] > scores[best[ends[e]]]:
            best[ends[e]] = e
    passes = np.zeros(len(scores), np.bool_)
    for e in range(len(scores)):
        top = scores[best[ends[e]]]
        passes[e] = top > low and (scores[e] > high or best[ends[e]] == e)
    return passes


@njit
def d_walk(edges: Any, scores: Any, n: int, cut: float, low: float, high: float) -> Any:
    """The heaviest path of each component, again and again."""
    edges, scores = _keep(edges, scores, cut)
    passes = _passes(edges[0], scores, n, low, high) & _passes(edges[1], scores, n, low, high)
    kept = np.flatnonzero(passes)
    edges, scores = edges[:, kept], scores[kept]
    begin = _rows(edges, n)
    depth, _ = _topological(edges, begin, n)
    parent = np.arange(n)
    for e in range(edges.shape[1]):
        unite(parent, edges[0, e], edges[1, e])
    root = np.array([find(parent, v) for v in range(n)])
    place = np.argsort(root * n + n - 1 - depth)  # component by component, the deepest first
    label, free = np.full(n, -1), np.ones(n, np.bool_)
    heaviest, following = np.zeros(n), np.zeros(n, np.int64)
    first = 0
    while first < n:
        end = first
        while end < n and root[place[end]] == root[place[first]]:
            end += 1
        left = place[first:end]
        while len(left) > 0:
            start = -1
            for v in left:
                heaviest[v], following[v] = 0.0, -1
                for e in range(begin[v], begin[v + 1]):
                    c = edges[1, e]
                    if free[c]:
                        weight = np.float64(scores[e]) + heaviest[c]
                        if weight > heaviest[v]:
                            heaviest[v], following[v] = weight, c
                if start < 0 or heaviest[v] > heaviest[start] or (heaviest[v] == heaviest[start] and v < start):
                    start = v
            hits, v = 0, start
            while v >= 0:
                free[v] = False
                hits += 1
                v = following[v]
            v = start if hits >= 3 else -1
            while v >= 0:
                label[v] = start
                v = following[v]
            left = left[free[left]]
        first = end
    return label


@njit
def count_bits(bits: int) -> int:
    """Of a number of at least 0."""
    n = 0
    while bits:
        bits &= bits - 1
        n += 1
    return n


@njit
def layer_merge(
    edges: Any, scores: Any, n: int, layer_bits: Any, cut: float, sure: float, weak: float, shared_layers: int
) -> Any:
    """Clusters merged by falling score; `layer_bits`: int64, one bit for each hit's layer, fewer than 64."""
    edges, scores = _keep(edges, scores, cut)
    parent, layers = np.arange(n), layer_bits.copy()
    for e in np.argsort(-scores, kind="mergesort"):
        a, b = find(parent, edges[0, e]), find(parent, edges[1, e])
        if a == b:
            continue
        if scores[e] <= sure:
            if count_bits(layers[a] & layers[b]) > shared_layers:
                continue
            if scores[e] <= weak and count_bits(layers[a]) < 3 and count_bits(layers[b]) < 3:
                continue
        unite(parent, a, b)
        root = min(a, b)
        layers[root] = layers[a] | layers[b]
    for v in range(n):
        parent[v] = find(parent, v)
    return parent
