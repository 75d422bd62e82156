"""Fixed-radius and nearest neighbours by comparing every pair."""

from __future__ import annotations

import numpy as np

from rheinfall.event import Float32, Float64, Int64


def squared_distances(points: Float32) -> Float64:
    """float64 (n, n): differences of the float32 coordinates, squared and added in the order of the dimensions."""
    total = np.zeros((len(points), len(points)))
    for column in points.T.astype(np.float64):
        difference = column[:, None] - column[None, :]
        total = total + difference * difference
    return total


def radius_graph(
    points: Float32, r: float, max_neighbours: int | None = None, loop: bool = False, directed: bool = True
) -> tuple[Int64, Int64]:
    """(edge_index, number of neighbours per point before any cap)."""
    distance2 = squared_distances(points)
    edges = []
    counts = np.zeros(len(points), dtype=np.int64)
    for i, row in enumerate(distance2):
        near = [(d2, j) for j, d2 in enumerate(row) if d2 <= np.float64(r) ** 2 and (loop or j != i)]
        counts[i] = len(near)
        edges += [(i, j) for _, j in sorted(near)[:max_neighbours]]
    if not directed:
        edges = list({(min(edge), max(edge)) for edge in edges})
    return np.array(sorted(edges), dtype=np.int64).reshape(-1, 2).T, counts
