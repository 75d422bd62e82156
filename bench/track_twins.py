"""The same track building in numba, as someone in a hurry would write it: labels, no tracks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit
def find(parent: Any, v: int) -> int:
    while parent[v] != v:
        parent[v] = parent[parent[v]]
        v = parent[v]
    return v


@njit
def unite(parent: Any, a: int, b: int) -> None:
    a = find(parent, a)
    b = find(parent, b)
    if a < b:
        parent[b] = a
    else:
        parent[a] = b


@njit
def components(edges: Any, scores: Any, n: int, cut: float) -> Any:
    """The smallest hit of each hit's component."""
    parent = np.arange(n)
    for e in range(len(scores)):
        if scores[e] > cut:
            unite(parent, edges[0, e], edges[1, e])
    for v in range(n):
        parent[v] = parent[parent[v]]
    return parent


@njit
def mutual_best(edges: Any, scores: Any, n: int, cut: float, sure: float) -> Any:
    """As `components`, of the edges that are the best at both ends, or sure."""
    best_out = np.full(n, -1)
    best_in = np.full(n, -1)
    for e in range(len(scores)):
        if scores[e] > cut:
            a, b = edges[0, e], edges[1, e]
            if best_out[a] < 0 or scores[e] > scores[best_out[a]]:
                best_out[a] = e
            if best_in[b] < 0 or scores[e] > scores[best_in[b]]:
                best_in[b] = e
    parent = np.arange(n)
    for e in range(len(scores)):
        if scores[e] > cut:
            a, b = edges[0, e], edges[1, e]
            if scores[e] > sure or (best_out[a] == e and best_in[b] == e):
                unite(parent, a, b)
    for v in range(n):
        parent[v] = parent[parent[v]]
    return parent
