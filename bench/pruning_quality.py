"""What pruning keeps: by the triplet chi², and by the chi² of quadruplets besides, which needs no beam line.

    python bench/pruning_quality.py [--events 3] [--module-map FILE] [--out bench/results/pruning_quality.json]

Edges, efficiencies for pT > 1 GeV of prompt and of displaced particles (production radius above 1 mm), and the ceiling
of track finding with perfect scores, with the shipped map or another; in bins of pT, eta and production radius without
pruning and for two pairs of cuts. The cut on quadruplets was chosen on the tuning events, from edges and displaced
efficiency; event 21000 had no part in it. Needs the extra [acts].
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from module_map_quality import (
    BINS,
    DISPLACED,
    EVENT_21000,
    HELD_OUT,
    PIONS,
    REALISTIC,
    TUNING,
    bin_edges,
    describe,
    judge_edges,
    simulate,
)

import rheinfall as rf
from rheinfall.tracking.bundle import MODULE_MAP, SHIPPED
from rheinfall.training import trackml

TUNING = {**TUNING, "pions, 20 % from decays": {"seed": 4003, **PIONS, "displaced_fraction": 0.2}}
HELD_OUT = {**HELD_OUT, "realistic": {"seed": 9005, **REALISTIC}}
CUTS: tuple[tuple[float | None, float | None], ...] = (
    (None, None),
    *((chi2, None) for chi2 in (25.0, 50.0, 100.0, 200.0)),
    *((25.0, quadruplet) for quadruplet in (6.0, 9.0, 12.0, 16.0)),
)


CHOSEN = (25.0, 12.0)
BINNED = ((None, None), (25.0, None), CHOSEN)
RADIUS_BINS = [0.0, 1.0, 10.0, 30.0, 60.0, 100.0, 150.0, 250.0, 400.0, 1100.0]


def name_of(chi2: float | None, quadruplet: float | None) -> str:
    """What a pair of cuts is called in the results."""
    return "all edges" if chi2 is None else f"chi2 < {chi2:g}" + (f" or {quadruplet:g}" if quadruplet else "")


def judge(events: list[rf.Event], module_map: rf.ModuleMap) -> dict[str, Any]:
    """Sums over events for each of the cuts."""
    judged: dict[str, list[dict[str, Any]]] = {name_of(*cuts): [] for cuts in CUTS}
    for event in events:
        graph = rf.build_graph(event.hits, module_map, trackml.TRIPLET_MODEL)
        for chi2, quadruplet in CUTS:
            pruned = graph if chi2 is None else graph.prune(chi2, quadruplet)
            judged[name_of(chi2, quadruplet)].append(judge_graph(pruned, event))
    binned = [name_of(*cuts) for cuts in BINNED]
    return {name: {**sum_up(rows), **(bins(rows) if name in binned else {})} for name, rows in judged.items()}


def judge_graph(graph: rf.Graph, event: rf.Event) -> dict[str, Any]:
    """Edges, and the tracks that perfect scores would give."""
    scores = rf.metrics.perfect_scores(graph, event.truth)
    tracks = rf.build_tracks(graph, scores, method="components", score_cut=0.5)
    return {
        **judge_edges(graph, event),
        "matches": rf.metrics.match_edges(graph, event.truth, primary_only=False),
        "tracks": rf.metrics.match_tracks(tracks, event.truth, hits=event.hits, primary_only=False),
    }


def sum_up(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means of sizes, ratios of sums."""
    efficiency = {kind: ratio([row["counts"][kind] for row in rows]) for kind in ("prompt", "displaced")}
    return {
        "edges": {"mean": float(np.mean([r["edges"] for r in rows])), "max": max(r["edges"] for r in rows)},
        "purity": round(float(np.mean([r["purity"] for r in rows])), 4),
        "efficiency": efficiency,
        "ceiling": {
            kind: ratio([count_tracks(row["tracks"], kind == "displaced") for row in rows]) for kind in efficiency
        },
    }


def count_tracks(tracks: rf.metrics.TrackMatches, displaced: bool) -> list[int]:
    """Found and all of the selected particles of one kind."""
    selected = tracks.selected & ((tracks.particles.radius > DISPLACED) == displaced)
    return [int((selected & tracks.reconstructed).sum()), int(selected.sum())]


def ratio(counts: list[list[int]]) -> dict[str, Any]:
    """The efficiency of several events together, and the worst."""
    passed, total = (sum(column) for column in zip(*counts, strict=True))
    worst = round(min(p / n for p, n in counts), 5) if total else None
    return {"value": round(passed / total, 5) if total else None, "worst": worst, "passed": passed, "total": total}


def bins(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Efficiency of edges and ceiling in bins of pT [GeV], eta and production radius [mm]."""
    edges = {v: np.asarray(at) for v, at in {**BINS, "radius": RADIUS_BINS}.items()}
    kinds = {"efficiency": [row["matches"] for row in rows], "ceiling": [row["tracks"] for row in rows]}
    return {f"{name} in bins": {v: bin_edges(kind, v, edges[v]) for v in edges} for name, kind in kinds.items()}


def main() -> None:
    """Judge all kinds of events."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"))
    parser.add_argument("--events", type=int, default=3, help="held-out events of each kind")
    parser.add_argument("--module-map", type=Path, default=SHIPPED / "trackml" / MODULE_MAP)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "pruning_quality.json")
    args = parser.parse_args()
    rf.set_num_threads(1)
    module_map = rf.ModuleMap.load(args.module_map)
    digest = hashlib.sha256(args.module_map.read_bytes()).hexdigest()
    report: dict[str, Any] = {"build": rf.build_info(), "map": {"sha256": digest, **describe(module_map)}}
    report |= {"tuning": {}, "held out": {}}
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
        values = [row[what][k]["value"] for what in ("efficiency", "ceiling") for k in ("prompt", "displaced")]
        print(f"{kind:28} {name:18} {row['edges']['mean']:9.0f}", *values, flush=True)


if __name__ == "__main__":
    main()
