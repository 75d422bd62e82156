"""Edges and time of graph construction, pruning and features against density: 5, 10, 20, 40 thousand pions.

    python bench/graph_density.py prepare --work FOLDER          simulates; needs the extra [acts]
    python bench/graph_density.py --work FOLDER [--module-map FILE] [--repetitions 3] [--out FILE]

One thread, through Python: medians of ms that include the arrays' allocation; the fewer hits, the more repetitions.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from environment import describe_environment

import rheinfall as rf
from rheinfall.tracking.bundle import MODULE_MAP, SHIPPED
from rheinfall.tracking.hit_order import canonical_hit_order
from rheinfall.training import trackml

ROOT = Path(__file__).parents[1]
DENSITIES = (5_000, 10_000, 20_000, 40_000)
PIONS: dict[str, Any] = {"seed": 9010, "pt_range": (0.5, 20.0), "eta_max": 3.0, "field": "constant"}
CHI2_MAX, QUADRUPLET_CHI2_MAX = 25.0, 12.0


def main() -> None:
    """Simulate, or measure, print and write."""
    args = _arguments()
    if args.step == "prepare":
        args.work.mkdir(parents=True, exist_ok=True)
        for n in DENSITIES:
            options = {**PIONS, "n_particles": n, "detectors": args.shared / "data" / "trackml" / "detectors.csv.gz"}
            hits = next(rf.simulation.fatras(1, **options)).hits
            hits = hits.take(canonical_hit_order(hits))
            columns = {name: getattr(hits, name) for name in ("x", "y", "z", "module_id", "hit_id")}
            np.savez(args.work / f"{n}.npz", **columns)
        return
    rf.set_num_threads(1)
    module_map = rf.ModuleMap.load(args.module_map)
    report = {}
    for n in DENSITIES:
        with np.load(args.work / f"{n}.npz") as columns:
            repetitions = args.repetitions * DENSITIES[-1] // n
            report[str(n)] = measure(rf.Hits(**columns), module_map, repetitions)
        print(n, json.dumps(report[str(n)]), flush=True)
    document = {
        "environment": describe_environment(),
        "map_triplets": module_map.n_triplets,
        "cuts": {"chi2_max": CHI2_MAX, "quadruplet_chi2_max": QUADRUPLET_CHI2_MAX},
        "particles": report,
    }
    args.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def measure(hits: rf.Hits, module_map: rf.ModuleMap, repetitions: int) -> dict[str, Any]:
    """Sizes, and median ms of each stage."""
    times: dict[str, list[float]] = {}

    def timed(stage: str, run: Any) -> Any:
        start = time.perf_counter()
        result = run()
        times.setdefault(stage, []).append(1e3 * (time.perf_counter() - start))
        return result

    for _ in range(repetitions):
        graph = timed("graph", lambda: rf.build_graph(hits, module_map, trackml.TRIPLET_MODEL))
        pruned = timed("prune", lambda g=graph: g.prune(CHI2_MAX))
        kept = timed("prune with quadruplets", lambda g=graph: g.prune(CHI2_MAX, QUADRUPLET_CHI2_MAX))
        timed("features", lambda g=pruned: (g.node_features, g.edge_features))
    return {
        "hits": len(hits),
        "doublets": graph.n_doublets,
        "edges": graph.n_edges,
        "pruned": pruned.n_edges,
        "pruned with quadruplets": kept.n_edges,
        "ms": {stage: round(float(np.median(ms)), 2) for stage, ms in times.items()},
        "ns an edge": {stage: round(1e6 * float(np.median(ms)) / graph.n_edges, 1) for stage, ms in times.items()},
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(os.environ.get("RHEINFALL_SHARED", ROOT.parent / "shared"))
    parser.add_argument("step", nargs="?", choices=["prepare", "measure"], default="measure")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--shared", type=Path, default=shared)
    parser.add_argument("--module-map", type=Path, default=SHIPPED / "trackml" / MODULE_MAP)
    parser.add_argument("--repetitions", type=int, default=3, help="at the highest density")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "graph_density.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
