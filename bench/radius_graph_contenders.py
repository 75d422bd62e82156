"""Public searches for neighbours, made to give what `radius_graph` and `knn_graph` give, and brute force to check by.

All return edge_index, int64 (2, E), sorted by (source, target), without loops; neighbours within a radius in both
directions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def _sorted_edges(rows: Any) -> Any:
    """edge_index of a scipy CSR matrix."""
    rows.sort_indices()
    sources = np.repeat(np.arange(rows.shape[0], dtype=np.int64), np.diff(rows.indptr))
    return np.stack([sources, rows.indices.astype(np.int64)])


def _rows_of(found: Any) -> Any:
    """edge_index of (n, k + 1) neighbours, each point its own first, or, among equals, at another place or nowhere."""
    n, k = found.shape[0], found.shape[1] - 1
    itself = found == np.arange(n)[:, None]
    itself[~itself.any(axis=1), -1] = True
    targets = np.sort(found[~itself].reshape(n, k).astype(np.int64), axis=1)
    return np.stack([np.repeat(np.arange(n, dtype=np.int64), k), targets.ravel()])


def scipy_radius(points: Any, r: float) -> Any:
    """cKDTree: build, all pairs, both directions, sorted by turning coordinates into rows."""
    from scipy.sparse import coo_array
    from scipy.spatial import cKDTree

    pairs = cKDTree(points.astype(np.float64)).query_pairs(r, output_type="ndarray")
    ends = (np.concatenate([pairs[:, 0], pairs[:, 1]]), np.concatenate([pairs[:, 1], pairs[:, 0]]))
    n = len(points)
    return _sorted_edges(coo_array((np.ones(len(ends[0]), np.int8), ends), shape=(n, n)).tocsr())


def scipy_knn(points: Any, k: int) -> Any:
    """cKDTree: build, query of all points on one thread."""
    from scipy.spatial import cKDTree

    places = points.astype(np.float64)
    return _rows_of(cKDTree(places).query(places, k + 1, workers=1)[1])


def _faiss_index(points: Any) -> Any:
    """IndexFlatL2: float32, |a|^2 + |b|^2 - 2ab, on one thread."""
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatL2(points.shape[1])
    index.add(points)
    return index


def faiss_radius(points: Any, r: float) -> Any:
    """IndexFlatL2.range_search, without the points themselves."""
    from scipy.sparse import csr_array

    limits, _, found = _faiss_index(points).range_search(points, r * r)
    n = len(points)
    edges = _sorted_edges(csr_array((np.ones(len(found), np.int8), found, limits.astype(np.int64)), shape=(n, n)))
    return np.ascontiguousarray(edges[:, edges[0] != edges[1]])


def faiss_knn(points: Any, k: int) -> Any:
    """IndexFlatL2.search."""
    return _rows_of(_faiss_index(points).search(points, k + 1)[1])


def scikit_radius(points: Any, r: float) -> Any:
    """NearestNeighbors with algorithm="auto", which takes a k-d tree here."""
    from sklearn.neighbors import NearestNeighbors

    return _sorted_edges(NearestNeighbors(radius=r, n_jobs=1).fit(points).radius_neighbors_graph())


def scikit_knn(points: Any, k: int) -> Any:
    """NearestNeighbors with algorithm="auto"."""
    from sklearn.neighbors import NearestNeighbors

    return _sorted_edges(NearestNeighbors(n_neighbors=k, n_jobs=1).fit(points).kneighbors_graph())


PEERS: dict[str, dict[str, Callable[[Any, Any], Any]]] = {
    "radius": {"scipy cKDTree": scipy_radius, "faiss IndexFlatL2": faiss_radius, "scikit-learn": scikit_radius},
    "nearest": {"scipy cKDTree": scipy_knn, "faiss IndexFlatL2": faiss_knn, "scikit-learn": scikit_knn},
}


def differing(a: Any, b: Any, n: int) -> int:
    """Edges that only one of the two has."""
    return len(np.setxor1d(a[0] * n + a[1], b[0] * n + b[1], assume_unique=True))


def wrong_pairs(points: Any, r: float, edges: Any) -> int:
    """Edges missing or too many by brute force in float64: squares of differences, added in the dimensions' order."""
    import numba

    @numba.njit  # type: ignore[untyped-decorator]
    def count(columns: Any, bound: float, begin: Any, targets: Any) -> int:
        dimension, n = columns.shape
        wrong = 0
        total = np.empty(n)
        for i in range(n):
            total[:] = 0.0
            for d in range(dimension):
                for j in range(i + 1, n):
                    difference = columns[d, i] - columns[d, j]
                    total[j] += difference * difference
            at = begin[i]
            for j in range(i + 1, n):
                if total[j] <= bound:
                    while at < begin[i + 1] and targets[at] < j:
                        wrong += 1
                        at += 1
                    if at < begin[i + 1] and targets[at] == j:
                        at += 1
                    else:
                        wrong += 1
            wrong += begin[i + 1] - at
        return wrong

    upper = edges[:, edges[0] < edges[1]]
    assert upper.shape[1] * 2 == edges.shape[1], "not both directions"
    begin = np.searchsorted(upper[0], np.arange(len(points) + 1))
    return int(count(np.ascontiguousarray(points.T.astype(np.float64)), r * r, begin, np.ascontiguousarray(upper[1])))


def wrong_nearest(points: Any, k: int, edges: Any, n_checked: int) -> int:
    """Edges too many by brute force in float64, of the first `n_checked` points, whose rows must have k others each."""
    columns = np.ascontiguousarray(points.T.astype(np.float64))
    targets = edges[1].reshape(len(points), k)
    wrong = 0
    for i in range(min(n_checked, len(points))):
        total = np.zeros(len(points))
        for column in columns:
            total += (column - column[i]) ** 2
        total[i] = np.inf
        farthest = np.partition(total, k - 1)[k - 1]
        near = np.flatnonzero(total < farthest)
        kept = np.union1d(near, np.flatnonzero(total == farthest)[: k - len(near)])  # ties to the smaller index
        wrong += k - len(np.intersect1d(kept, targets[i]))
    return wrong
