"""What pruning keeps: by the triplet chi², and by the chi² of quadruplets besides, which needs no beam line.

    python bench/pruning_quality.py [--events 3] [--out bench/results/pruning_quality.json]

Edges, efficiencies for pT > 1 GeV of prompt and of displaced particles (production radius above 1 mm), and the ceiling of
track finding with perfect scores, with the shipped map. The cut on quadruplets was chosen on the tuning events, from
edges and displaced efficiency; event 21000 had no part in it. Needs the extra [acts].
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from module_map_quality import EVENT_21000, HELD_OUT, PIONS, REALISTIC, TUNING, judge_edges, simulate

import rheinfall as rf
from rheinfall.training import trackml

TUNING = {**TUNING, "pions, 20 % from decays": {"seed": 4003, **PIONS, "displaced_fraction": 0.2}}
HELD_OUT = {**HELD_OUT, "realistic": {"seed": 9005, **REALISTIC}}
CUTS: tuple[tuple[float | None, float | None], ...] = (
    (None, None),
    *((chi2, None) for chi2 in (25.0, 50.0, 100.0, 200.0)),
    *((25.0, quadruplet) for quadruplet in (6.0, 9.0, 12.0, 16.0)),
)


def judge(events: list[rf.Event], module_map: rf.ModuleMap) -> dict[str, Any]:
    """Sums over events for each of the cuts."""
    judged: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        graph = rf.build_graph(event.hits, module_map, trackml.TRIPLET_MODEL)
        for chi2, quadruplet in CUTS:
            pruned = graph if chi2 is None else graph.prune(chi2, quadruplet)
            tracks = rf.build_tracks(
                pruned, rf.metrics.perfect_scores(pruned, event.truth), method="components", score_cut=0.5
            )
            ceiling = rf.metrics.match_tracks(tracks, event.truth, hits=event.hits).efficiency
            name = "all edges" if chi2 is None else f"chi2 < {chi2:g}" + (f" or {quadruplet:g}" if quadruplet else "")
            judged.setdefault(name, []).append({**judge_edges(pruned, event), "ceiling": ceiling})
    return {name: sum_up(rows) for name, rows in judged.items()}


def sum_up(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means of sizes, ratios of sums."""
    efficiency = {}
    for kind in ("prompt", "displaced"):
        passed, total = (sum(row["counts"][kind][i] for row in rows) for i in (0, 1))
        efficiency[kind] = {"value": round(passed / total, 5) if total else None, "passed": passed, "total": total}
    return {
        "edges": {"mean": float(np.mean([r["edges"] for r in rows])), "max": max(r["edges"] for r in rows)},
        "purity": round(float(np.mean([r["purity"] for r in rows])), 4),
        "efficiency": efficiency,
        "ceiling": {
            "mean": round(float(np.mean([r["ceiling"] for r in rows])), 5),
            "worst": min(r["ceiling"] for r in rows),
        },
    }


def main() -> None:
    """Judge all kinds of events."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"))
    parser.add_argument("--events", type=int, default=3, help="held-out events of each kind")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "pruning_quality.json")
    args = parser.parse_args()
    rf.set_num_threads(1)
    module_map = rf.TrackFinder.load("trackml").module_map
    report: dict[str, Any] = {"build": rf.build_info(), "tuning": {}, "held out": {}}
    for part, kinds, n in (("tuning", TUNING, 1), ("held out", HELD_OUT, args.events)):
        for kind, options in kinds.items():
            report[part][kind] = judge(list(simulate(options, n, args.shared)), module_map)
            print_table(kind, report[part][kind])
    real = rf.io.read_event(args.shared / EVENT_21000)
    report["event 21000"] = judge([real], module_map)
    print_table("event 21000", report["event 21000"])
    args.out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")


def print_table(kind: str, rows: dict[str, Any]) -> None:
    """One line for each of the cuts."""
    for name, row in rows.items():
        prompt, displaced = (row["efficiency"][k]["value"] for k in ("prompt", "displaced"))
        print(f"{kind:28} {name:18} {row['edges']['mean']:9.0f} {prompt} {displaced} {row['ceiling']}", flush=True)


if __name__ == "__main__":
    main()
