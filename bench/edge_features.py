"""Pruning and edge features of a real and of a simulated event: every version beside numba and NumPy, with spread.

cmake --preset release -DRHEINFALL_BENCH=ON && cmake --build --preset release --target edge_features_event
python bench/edge_features.py prepare --work FOLDER [--module-map FILE]
python bench/edge_features.py --work FOLDER [--module-map FILE] [--rounds 3] [--repetitions 11] [--out FILE]

The first keeps the events. The simulated one has 10,000 pions and needs the extra [acts]. A sector of it, a 32nd of a
turn, fits the caches: its time an edge is the ceiling without memory; the other is the copy bandwidth of the same run.
The peers are of edge_feature_twins.py; they must keep the same edges.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import edge_feature_twins as twins
from environment import copy_bandwidth, describe_environment

import rheinfall as rf
from rheinfall.tracking.bundle import MODULE_MAP, SHIPPED
from rheinfall.tracking.hit_order import canonical_hit_order
from rheinfall.training import trackml

ROOT = Path(__file__).parents[1]
PROGRAM = ROOT / "build" / "release" / "bench" / "edge_features_event"
PIONS = {"seed": 9001, "n_particles": 10_000, "pt_range": (0.5, 20.0), "eta_max": 3.0, "field": "constant"}


QUADRUPLET_CHI2_MAX = 12.0
SECTOR = 2 * np.pi / 32


def main() -> int:
    """Measure, print, write."""
    args = _arguments()
    if args.step == "prepare":
        return _prepare(args.work, args.shared)
    cuts = {"chi2_max": args.chi2_max, "quadruplet_chi2_max": QUADRUPLET_CHI2_MAX}
    report: dict[str, Any] = {**cuts, "rounds": args.rounds, "repetitions": args.repetitions}
    report["copy_bandwidth"] = copy_bandwidth()
    for path in sorted(args.work.glob("*.npz")):
        report[path.stem] = _measure(args, _load(path))
    pions = report["10,000 pions"]
    pions["ceilings"] = _ceilings(pions, report["10,000 pions, a sector"], report["copy_bandwidth"]["GB/s"])
    out = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "environment": describe_environment(), **report}
    args.out.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))
    return 0


def _prepare(folder: Path, shared: Path) -> int:
    """Hits in the canonical order, in which a track finder has them."""
    folder.mkdir(parents=True, exist_ok=True)
    real = rf.io.read_event(shared / "data" / "trackml" / "event21000" / "event000021000").hits
    detectors = shared / "data" / "trackml" / "detectors.csv.gz"
    pions = next(rf.simulation.fatras(1, detectors=detectors, **PIONS)).hits
    phi = np.arctan2(pions.y, pions.x)
    sector = pions.take(np.flatnonzero((phi >= 0) & (phi < SECTOR)))
    for name, hits in (("event 21000", real), ("10,000 pions", pions), ("10,000 pions, a sector", sector)):
        hits = hits.take(canonical_hit_order(hits))
        np.savez(folder / f"{name}.npz", x=hits.x, y=hits.y, z=hits.z, module_id=hits.module_id, hit_id=hits.hit_id)
    return 0


def _load(path: Path) -> rf.Hits:
    with np.load(path) as columns:
        return rf.Hits(**columns)


def _measure(args: argparse.Namespace, hits: rf.Hits) -> Any:
    """Reports of the program and times of the peers, in turns; the program's round with the median time."""
    graph = rf.build_graph(hits, rf.ModuleMap.load(args.module_map), trackml.TRIPLET_MODEL)
    peers = _peers(graph, args.chi2_max)
    reports: list[Any] = []
    times: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(args.rounds):
        reports.append(_run(args, hits))
        for name, run in peers.items():
            start = time.perf_counter()
            run()
            times[name].append(1e3 * (time.perf_counter() - start))
    reports.sort(key=lambda r: float(r["versions"][-1]["both_ms"]["median"]))
    report = reports[len(reports) // 2]
    ours = {v["name"]: v["both_ms"]["median"] for v in report["versions"] if not v["quadruplet_chi2_max"]}
    report["peers"] = {
        name: {"median_ms": round(float(np.median(ms)), 3), "ms": [round(t, 3) for t in ms]}
        for name, ms in times.items()
    }
    for peer in report["peers"].values():
        peer["over_portable"] = round(peer["median_ms"] / ours["portable"], 2)
    return report


def _peers(graph: rf.Graph, chi2_max: float) -> dict[str, Callable[[], Any]]:
    """Peers by name, compiled and checked."""
    arguments = (*twins.prepare(graph), chi2_max)
    pruned = graph.prune(chi2_max)
    runs = {"numba": lambda: twins.run_numba(*arguments), "numpy": lambda: twins.run_numpy(*arguments)}
    for name, run in runs.items():
        edges, nodes, rows = run()
        if not np.array_equal(edges, pruned.edge_index):
            raise AssertionError(f"{name}: other edges")
        np.testing.assert_allclose(nodes, pruned.node_features, atol=1e-5)
        np.testing.assert_allclose(rows, pruned.edge_features, atol=1e-3)  # slopes divide by differences of radii
    return runs


def _ceilings(event: Any, sector: Any, copied: float) -> dict[str, Any]:
    """ns an edge of the fastest version on one thread, the sector's, and that of copying as many bytes."""
    n_hits, n, left = event["hits"], event["edges"], event["edges_left"]
    # Each array once for each pass over it; records of edges twice where pairs are compared. See docs/edge_features.md.
    n_bytes = 148 * n_hits + 180 * n + 248 * left
    fastest, in_caches = (
        next(v["both_ms"]["median"] for v in r["versions"] if v["name"] == "fastest") * 1e6 / r["edges"]
        for r in (event, sector)
    )
    copy = n_bytes / copied / n
    return {
        "ns_per_edge": round(fastest, 2),
        "in_caches_ns_per_edge": round(in_caches, 2),
        "fraction_of_it": round(in_caches / fastest, 3),
        "bytes": n_bytes,
        "copy_ns_per_edge": round(copy, 2),
        "fraction_of_copy": round(copy / fastest, 3),
    }


def _run(args: argparse.Namespace, hits: rf.Hits) -> Any:
    """The program's report."""
    with tempfile.TemporaryDirectory() as folder:
        event, resolution = Path(folder) / "hits.bin", Path(folder) / "resolution.bin"
        with event.open("wb") as file:
            for column in (np.array([len(hits)], np.uint64), hits.module_id, hits.x, hits.y, hits.z):
                file.write(np.ascontiguousarray(column).tobytes())
        trackml.TRIPLET_MODEL.table().tofile(resolution)
        cuts = [args.chi2_max, QUADRUPLET_CHI2_MAX]
        command = [args.program, event, args.module_map, resolution, *cuts, args.repetitions]
        run = subprocess.run([*args.prefix, *map(str, command)], check=True, capture_output=True, text=True)
    return json.loads(run.stdout)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(os.environ.get("RHEINFALL_SHARED", ROOT.parent / "shared"))
    parser.add_argument("step", nargs="?", choices=["prepare", "measure"], default="measure")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--shared", type=Path, default=shared)
    parser.add_argument("--module-map", type=Path, default=SHIPPED / "trackml" / MODULE_MAP)
    parser.add_argument("--chi2-max", type=float, default=25.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repetitions", type=int, default=11)
    parser.add_argument("--program", type=Path, default=PROGRAM)
    parser.add_argument("--prefix", nargs="*", default=[], help="a command that runs the program")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "edge_features.json")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
