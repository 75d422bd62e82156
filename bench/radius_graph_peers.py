"""Radius and nearest-neighbour graphs beside scipy, faiss and scikit-learn: the same form of output, interleaved.

    cmake --preset release -DRHEINFALL_BENCH=ON && cmake --build --preset release --target radius_graph_versions
    python bench/radius_graph_peers.py --cases embedding-12-10 nearest-embedding-12-10
    python bench/radius_graph_peers.py --check

A case is [nearest-]DISTRIBUTION-DIMENSION-NEIGHBOURS; all its contenders take turns on one thread. A peer first runs
alone, and its edges are compared with ours; if it takes more than --at-most seconds it is not run again, and its time
is that one; if more than --stop-after it is stopped, and all that is known is that it takes longer. Ours is also run on
two threads, and by a program that runs each version (AVX-512, AVX2, portable) on one thread and on two with warm
buffers, which must give the same edges. With --check ours are compared with brute force in float64 instead, and nothing
is timed. Cases accumulate in bench/results/radius_graph-*.json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from environment import describe_environment, machine_name
from radius_graph_contenders import PEERS, differing, wrong_nearest, wrong_pairs
from radius_graph_data import POINTS, SEED, radius_of
from timing import interleave, summarize

import rheinfall as rf

ROOT = Path(__file__).parents[1]
PROGRAM = ROOT / "build" / "release" / "bench" / "radius_graph_versions"
CASES = [
    f"{search}{kind}-{dimension}-{k}"
    for search in ("", "nearest-")
    for kind in POINTS
    for dimension in (3, 8, 12)
    for k in (10, 100)
]
N_CHECKED = 2_000


class Case:
    """Points, what to search for, and our answer."""

    def __init__(self, name: str, n_points: int) -> None:
        *search, kind, dimension, neighbours = name.split("-")
        self.points = POINTS[kind](n_points, int(dimension))
        self.k = int(neighbours)
        self.radius = np.inf if search else radius_of(self.points, self.k)
        self.peers = PEERS["nearest" if search else "radius"]
        self.argument = self.k if search else self.radius
        self.edges = self.run()

    def run(self) -> Any:
        """By ours."""
        if np.isinf(self.radius):
            return rf.knn_graph(self.points, self.k)
        return rf.radius_graph(self.points, self.radius)

    def run_on(self, n_threads: int) -> Any:
        """By ours, on so many threads."""
        rf.set_num_threads(n_threads)
        edges = self.run()
        rf.set_num_threads(1)
        return edges

    def wrong_edges(self) -> tuple[str, int]:
        """What they were compared with, and how many differ."""
        if np.isinf(self.radius):
            wrong = wrong_nearest(self.points, self.k, self.edges, N_CHECKED)
            return f"brute force in float64, {N_CHECKED} points", wrong
        return "brute force in float64", wrong_pairs(self.points, self.radius, self.edges)


def first_run(case: Case, name: str, stop_after: float) -> tuple[float, float, int] | None:
    """(wall ms, CPU ms, edges that differ from ours) in a process of its own; None if it was stopped."""

    import faiss  # noqa: F401, so that no import is timed
    import scipy.sparse
    import scipy.spatial  # noqa: F401
    import sklearn.neighbors  # noqa: F401

    def run(to: Any) -> None:
        start, cpu_start = time.perf_counter(), time.process_time()
        edges = case.peers[name](case.points, case.argument)
        cpu, wall = time.process_time() - cpu_start, time.perf_counter() - start
        to.send((wall * 1e3, cpu * 1e3, differing(edges, case.edges, len(case.points))))

    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=run, args=(send,))
    process.start()
    answer = receive.recv() if receive.poll(stop_after) else None
    process.terminate()
    process.join()
    return answer


def measure_versions(case: Case, options: argparse.Namespace) -> Any:
    """What the program says of each version, and the share of a copy's rate at which it writes edges."""
    with tempfile.TemporaryDirectory() as folder:
        points, edges = Path(folder) / "points.bin", Path(folder) / "edges.bin"
        with points.open("wb") as file:
            np.array(case.points.shape, np.uint64).tofile(file)
            case.points.tofile(file)
        with edges.open("wb") as file:
            np.array([case.edges.shape[1]], np.uint64).tofile(file)
            np.ascontiguousarray(case.edges).tofile(file)
        cap = case.k if np.isinf(case.radius) else 0
        command = [options.program, points, repr(float(case.radius)), cap, options.repetitions, options.seconds, edges]
        run = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    report = json.loads(run.stdout)
    for version in report["versions"]:
        version["fraction_of_copy_rate"] = report["copy"]["median_ms"] / version["times"]["median_ms"]
    return report


def measure(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """Compare, then time."""
    runs: dict[str, Callable[[], Any]] = {
        "rheinfall": case.run,
        "rheinfall, two threads": lambda: case.run_on(2),
    }
    result: dict[str, Any] = {"points": len(case.points), "seed": SEED, "edges": case.edges.shape[1]}
    result |= {"radius": None if np.isinf(case.radius) else case.radius, "differing": {}, "longer_than_s": {}}
    slow: dict[str, list[tuple[float, float]]] = {}
    for name in options.peers:
        first = first_run(case, name, options.stop_after)
        if first is None:
            result["longer_than_s"][name] = options.stop_after
            continue
        wall_ms, cpu_ms, result["differing"][name] = first
        if cpu_ms > 1e3 * options.at_most:
            slow[name] = [(wall_ms, cpu_ms)]
        else:
            runs[name] = lambda peer=case.peers[name]: peer(case.points, case.argument)  # type: ignore[misc]
    times = dict(zip(runs, interleave(list(runs.values()), options.repetitions), strict=True)) | slow
    result["contenders"] = {name: summarize(t) for name, t in times.items()}
    result["times_faster"] = {name: ratio(times[name], times["rheinfall"]) for name in times if name in options.peers}
    fastest = min(result["times_faster"].values(), key=lambda r: r["median"], default=None)
    if fastest is not None:
        result["times_faster_than_the_fastest_peer"] = fastest
    return result | {"versions": measure_versions(case, options)}


def ratio(theirs: list[tuple[float, float]], ours: list[tuple[float, float]]) -> dict[str, float]:
    """Of CPU times of the same turn (of a peer that ran once: to each turn of ours); median, 5 and 95 %."""
    cpu = np.array([t[1] for t in theirs]) / np.array([t[1] for t in ours])
    return dict(zip(("p5", "median", "p95"), np.percentile(cpu, [5, 50, 95]).tolist(), strict=True))


def line(case: str, result: dict[str, Any]) -> str:
    """To print."""
    times = ", ".join(f"{n} {c['median_ms']:.1f}" for n, c in result.get("contenders", {}).items())
    versions = result.get("versions", {}).get("versions", [])
    ours = ", ".join(f"{v['name']} x {v['threads']} {v['times']['median_ms']:.1f}" for v in versions)
    stopped = result.get("longer_than_s", {})
    return f"{case}: ms: {times}; {ours}; stopped: {stopped}; differing: {result['differing']}"


def main() -> None:
    """Measure cases and add them to the results."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--cases", nargs="+", default=CASES, choices=CASES, metavar="CASE", help=", ".join(CASES))
    peers = list(PEERS["radius"])
    arguments.add_argument("--peers", nargs="*", default=peers, choices=peers)
    arguments.add_argument("--points", type=int, default=100_000)
    arguments.add_argument("--repetitions", type=int, default=5)
    arguments.add_argument("--seconds", type=float, default=8.0, help="of the program, after which it does no more")
    arguments.add_argument("--at-most", type=float, default=3.0, help="CPU seconds of a peer to be run again")
    arguments.add_argument("--stop-after", type=float, default=20.0, help="seconds of a peer's first run")
    arguments.add_argument("--check", action="store_true", help="with brute force, half a minute a case")
    arguments.add_argument("--program", type=Path, default=PROGRAM)
    arguments.add_argument("--note", default="", help="what else ran on the machine")
    arguments.add_argument("--out", type=Path, help="instead of the results of this machine")
    options = arguments.parse_args()
    rf.set_num_threads(1)
    path = options.out or ROOT / "bench" / "results" / f"radius_graph-{machine_name()}-{rf.__version__}.json"
    for name in options.cases:
        case = Case(name, options.points)
        if options.check:
            result: dict[str, Any] = {"differing": dict([case.wrong_edges()])}
        else:
            result = measure(case, options) | {"environment": describe_environment(), "note": options.note}
        report = json.loads(path.read_text()) if path.exists() else {"cases": {}}
        old = report["cases"].get(name, {})
        result["differing"] = old.get("differing", {}) | result["differing"]
        report["cases"][name] = old | result
        path.write_text(json.dumps(report, indent=1) + "\n")
        print(line(name, result), flush=True)


if __name__ == "__main__":
    main()
