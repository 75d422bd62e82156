"""Track building methods on real scores of the shipped network: efficiency beside the ceiling of perfect scores.

python bench/track_quality.py [--shared ../shared] [--out FILE]

Thresholds were chosen on the simulated events of TUNING (seeds that are shown nowhere else), those of layer merge by
track_thresholds.py; what is shown are other simulated events, three of each kind together, and event 21000. The rule
is double majority, pT > 1 GeV, tracks of at least 3 hits. Needs the extra [acts].
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from environment import describe_environment

import rheinfall as rf

ROOT = Path(__file__).parents[1]
HARD = {
    "field": "solenoid",
    "species": "mixed",
    "displaced_fraction": 0.2,
    "noise_fraction": 0.1,
    "pt_range": (0.15, 5.0),
    "n_particles": 14_000,
    "eta_max": 3.0,
}
DENSE = {"field": "constant", "pt_range": (0.3, 20.0), "n_particles": 22_000, "eta_max": 3.0}
TUNING: dict[str, dict[str, Any]] = {"low pT, tuning": {"seed": 7801, **HARD}, "dense, tuning": {"seed": 7802, **DENSE}}
PIONS = {"field": "constant", "pt_range": (0.5, 20.0), "n_particles": 10_000, "eta_max": 3.0}
HELD_OUT: dict[str, dict[str, Any]] = {
    "pions": {"seed": 7813, **PIONS},
    "low pT": {"seed": 7811, **HARD},
    "dense": {"seed": 7812, **DENSE},
}
REAL = "TrackML event 21000"
METHODS: dict[str, tuple[str, dict[str, float]]] = {
    "components > 0.3": ("components", {"score_cut": 0.3}),
    "components > 0.5": ("components", {}),
    "components > 0.7": ("components", {"score_cut": 0.7}),
    "components > 0.8": ("components", {"score_cut": 0.8}),
    "components > 0.9": ("components", {"score_cut": 0.9}),
    "mutual best 0.2, 0.995": ("mutual_best", {"score_cut": 0.2, "sure": 0.995}),
    "mutual best 0.5, 0.99": ("mutual_best", {"score_cut": 0.5, "sure": 0.99}),
    "junction removal": ("junction_removal", {}),
    "cc_and_walk": ("cc_and_walk", {}),
    "walk": ("walk", {}),
    "walk 0.4, 0.4, 0.6": ("walk", {"score_cut": 0.4, "walk_min": 0.4, "walk_add": 0.6}),
    "d_walk": ("d_walk", {}),
    "layer merge": ("layer_merge", {}),
    "layer merge, weak 0.9": ("layer_merge", {"weak": 0.9}),
    "layer merge, none weak": ("layer_merge", {"weak": 0.0}),
    "layer merge 0.3, none weak (the bundle's)": ("layer_merge", {"score_cut": 0.3, "weak": 0.0}),
}


def events(name: str, n_events: int, shared: Path) -> Iterator[rf.Event]:
    """The events of one kind."""
    if name == REAL:
        yield rf.io.read_event(shared / "data/trackml/event21000/event000021000")
    else:
        options = (TUNING | HELD_OUT)[name]
        n = 1 if name in TUNING else n_events
        yield from rf.simulation.fatras(n, detectors=shared / "data/trackml/detectors.csv.gz", **options)


def judge(tracks: rf.Tracks, event: Any, truth: Any, hits: Any) -> dict[str, Any]:
    """Rates and counts under double majority."""
    layers = {} if truth.known.all() else {"min_layers": 3}
    m = rf.metrics.match_tracks(tracks, truth, hits=hits, **layers)
    return {"tracks": len(tracks), **{name: [p, n] for name, (p, n) in m.counts.items()}}


def measure(event: Any, finder: Any) -> dict[str, Any]:
    """Every method on one event, and on its perfect scores."""
    scored = finder.score_edges(event.hits)
    graph, hits = scored.graph, event.hits.take(scored.order)
    truth = event.truth.take(scored.order)
    perfect = rf.metrics.perfect_scores(graph.edge_index, truth)
    rows: dict[str, Any] = {}
    for name, scores in (("perfect scores: components", perfect), ("perfect scores: walk", perfect)):
        tracks = rf.build_tracks(graph, scores, name.split()[-1], on_cycle="break")
        rows[name] = judge(tracks, event, truth, hits)
    for name, (method, options) in METHODS.items():
        start = time.process_time()
        tracks = rf.build_tracks(graph, scored.scores, method, on_cycle="break", **options)
        ms = 1e3 * (time.process_time() - start)
        rows[name] = {**judge(tracks, event, truth, hits), "python_cpu_ms": ms}
    return {"hits": len(hits), "edges": graph.n_edges, "methods": rows}


def add(a: Any, b: Any) -> Any:
    """Counts of two events as one."""
    if isinstance(a, dict):
        return {name: add(a[name], b[name]) for name in a}
    return [x + y for x, y in zip(a, b, strict=True)] if isinstance(a, list) else a + b


def print_table(name: str, total: dict[str, Any]) -> None:
    """Markdown."""
    print(f"\n{name}: {total['events']} events, {total['hits']} hits, {total['edges']} edges\n")
    print("| method | efficiency | unmatched | fake | duplicate |\n|---|---|---|---|---|")
    for method, row in total["methods"].items():
        rates = (row[r] for r in ("efficiency", "unmatched_rate", "fake_rate", "duplicate_rate"))
        print(f"| {method} | " + " | ".join(f"{p / n:.4f}" for p, n in rates) + " |", flush=True)


def main() -> None:
    """Measure, print Markdown, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--events", type=int, default=3, help="simulated events of each kind shown")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    finder = rf.TrackFinder.load("trackml")
    environment = describe_environment()
    kinds: dict[str, Any] = {}
    for name in (REAL, *HELD_OUT, *TUNING):
        measured = [{"events": 1, **measure(event, finder)} for event in events(name, args.events, args.shared)]
        kinds[name] = functools.reduce(add, measured)
        print_table(name, kinds[name])
    if args.out:
        report = {"environment": environment, "thresholds": finder.info["thresholds"], "kinds": kinds}
        args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
