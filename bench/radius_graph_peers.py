"""Radius graphs beside scipy, faiss and scikit-learn: one thread, the same form of output, interleaved.

Each contender gives edge_index, int64 (2, E), both directions, sorted by (source, target). The
others' are compared with ours. A peer that takes more than --at-most seconds in its first run is not run again, and its
time is that one. With --check ours are compared with brute force in float64 over all pairs instead, and nothing is
timed. Cases accumulate in bench/results/radius_graph-*.json.

    python bench/radius_graph_peers.py --cases embedding-12-10 uniform-3-100
    python bench/radius_graph_peers.py --check
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from environment import describe_environment, machine_name
from radius_graph_data import POINTS, SEED, radius_of
from timing import interleave, summarize

import rheinfall as rf

ROOT = Path(__file__).parents[1]
CASES = [f"{kind}-{dimension}-{k}" for kind in POINTS for dimension in (3, 8, 12) for k in (10, 100)]


def sorted_edges(rows: Any) -> Any:
    """edge_index of a scipy CSR matrix."""
    rows.sort_indices()
    sources = np.repeat(np.arange(rows.shape[0], dtype=np.int64), np.diff(rows.indptr))
    return np.stack([sources, rows.indices.astype(np.int64)])


def scipy_tree(points: Any, r: float) -> Any:
    """cKDTree: build, all pairs, both directions, sorted by turning coordinates into rows."""
    from scipy.sparse import coo_array
    from scipy.spatial import cKDTree

    pairs = cKDTree(points.astype(np.float64)).query_pairs(r, output_type="ndarray")
    ends = (np.concatenate([pairs[:, 0], pairs[:, 1]]), np.concatenate([pairs[:, 1], pairs[:, 0]]))
    n = len(points)
    return sorted_edges(coo_array((np.ones(len(ends[0]), np.int8), ends), shape=(n, n)).tocsr())


def faiss_flat(points: Any, r: float) -> Any:
    """IndexFlatL2, range_search (float32, |a|^2 + |b|^2 - 2ab), without the points themselves."""
    import faiss
    from scipy.sparse import csr_array

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatL2(points.shape[1])
    index.add(points)
    limits, _, found = index.range_search(points, r * r)
    n = len(points)
    edges = sorted_edges(csr_array((np.ones(len(found), np.int8), found, limits.astype(np.int64)), shape=(n, n)))
    return np.ascontiguousarray(edges[:, edges[0] != edges[1]])


def scikit_learn(points: Any, r: float) -> Any:
    """NearestNeighbors with algorithm="auto", which takes a k-d tree here."""
    from sklearn.neighbors import NearestNeighbors

    return sorted_edges(NearestNeighbors(radius=r, n_jobs=1).fit(points).radius_neighbors_graph())


PEERS = {"scipy cKDTree": scipy_tree, "faiss IndexFlatL2": faiss_flat, "scikit-learn": scikit_learn}


def differing(a: Any, b: Any, n: int) -> int:
    """Edges that only one of the two has."""
    return len(np.setxor1d(a[0] * n + a[1], b[0] * n + b[1], assume_unique=True))


def wrong_edges(points: Any, r: float, edges: Any) -> int:
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


def copy_rate(n_bytes: int) -> float:
    """GB written per second by a copy of `n_bytes` to memory that has been touched; the median of nine."""
    source, target = np.ones(n_bytes // 8), np.ones(n_bytes // 8)
    times = []
    for _ in range(9):
        start = time.perf_counter()
        np.copyto(target, source)
        times.append(time.perf_counter() - start)
    return float(n_bytes / np.median(times) / 1e9)


def measure(case: str, options: argparse.Namespace) -> dict[str, Any]:
    """One case: check, then time."""
    kind, dimension, neighbours = case.split("-")
    points = POINTS[kind](options.points, int(dimension))
    r = radius_of(points, int(neighbours))
    ours = rf.radius_graph(points, r)
    result: dict[str, Any] = {"points": len(points), "seed": SEED, "radius": r, "edges": ours.shape[1], "differing": {}}
    runs: dict[str, Callable[[], Any]] = {"rheinfall": lambda: rf.radius_graph(points, r)}
    slow: dict[str, dict[str, Any]] = {}
    if options.check:
        return {"differing": {"brute force in float64": wrong_edges(points, r, ours)}}
    for name in options.peers:
        peer = PEERS[name]
        start, cpu_start = time.perf_counter(), time.process_time()
        edges = peer(points, r)
        cpu, wall = time.process_time() - cpu_start, time.perf_counter() - start
        result["differing"][name] = differing(edges, ours, len(points))
        del edges
        if cpu > options.at_most:
            slow[name] = summarize([(wall * 1e3, cpu * 1e3)])
        else:
            runs[name] = lambda peer=peer: peer(points, r)  # type: ignore[misc]
    times = interleave(list(runs.values()), options.repetitions)
    result["contenders"] = dict(zip(runs, map(summarize, times), strict=True)) | slow
    fastest = min((c["cpu_median_ms"] for n, c in result["contenders"].items() if n != "rheinfall"), default=None)
    cpu_ms = result["contenders"]["rheinfall"]["cpu_median_ms"]
    if fastest is not None:
        result["times_faster_than_the_fastest_peer"] = fastest / cpu_ms
    result["copy_GB_per_s"] = copy_rate(16 * ours.shape[1])
    result["fraction_of_copy_rate"] = 16e-6 * ours.shape[1] / cpu_ms / result["copy_GB_per_s"]
    return result


def main() -> None:
    """Measure cases and add them to the results."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--cases", nargs="+", default=CASES, choices=CASES, help="distribution-dimension-neighbours")
    arguments.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    arguments.add_argument("--points", type=int, default=100_000)
    arguments.add_argument("--repetitions", type=int, default=5)
    arguments.add_argument("--at-most", type=float, default=3.0, help="CPU seconds of a peer to be run again")
    arguments.add_argument("--check", action="store_true", help="with brute force, half a minute a case")
    arguments.add_argument("--note", default="", help="what else ran on the machine")
    options = arguments.parse_args()
    rf.set_num_threads(1)
    path = ROOT / "bench" / "results" / f"radius_graph-{machine_name()}-{rf.__version__}.json"
    for case in options.cases:
        result = measure(case, options)
        if not options.check:
            result |= {"environment": describe_environment(), "note": options.note}
        report = json.loads(path.read_text()) if path.exists() else {"cases": {}}
        old = report["cases"].get(case, {})
        for key in ("differing", "contenders"):  # of peers that were left out this time
            result[key] = old.get(key, {}) | result.get(key, {})
        report["cases"][case] = old | result
        path.write_text(json.dumps(report, indent=1) + "\n")
        times = ", ".join(f"{n} {c['cpu_median_ms']:.1f}" for n, c in result["contenders"].items())
        print(f"{case}: CPU ms: {times}; differing: {result['differing']}", flush=True)


if __name__ == "__main__":
    main()
