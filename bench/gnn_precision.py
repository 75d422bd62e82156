"""What bf16 in a bundle's edge network loses: logits, decisions and tracks of events that nothing was tuned on.

    python bench/gnn_precision.py --events 10 --out bench/results/gnn-precision.json
    python bench/gnn_precision.py --times --events 2 --out bench/results/gnn-precision.json  # with other jobs stopped

The held-out pions of `chain_peers.py`, and event 21000, by the finder as it is shipped and with its network in bf16.
Tracks are judged by `match_tracks`: double majority, primary, pT > 1 GeV, |eta| < 3, at least 3 hits. Needs the extra
[acts]. The second form times the chain in both, in turns, on one thread: `chain_ms` in the file.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from environment import describe_environment
from tracking_quality import SIMULATED

import rheinfall as rf
from rheinfall.metrics import combine

SELECTION: dict[str, Any] = {"rule": "double_majority", "min_pt": 1.0, "eta_max": 3.0, "min_hits": 3}


def compare(finders: dict[str, rf.TrackFinder], event: rf.Event) -> tuple[dict[str, Any], dict[str, Any]]:
    """Differences of the second finder's scores to the first's, and the matches of both."""
    assert event.truth is not None
    scored = [finder.score_edges(event.hits) for finder in finders.values()]
    logits = [f.edge_classifier.logits(s.graph) for f, s in zip(finders.values(), scored, strict=True)]
    cut = next(iter(finders.values())).thresholds.score_cut or 0.5
    tracks = [f.build(s) for f, s in zip(finders.values(), scored, strict=True)]
    difference = np.abs(logits[0] - logits[1]).astype(np.float64)
    numbers = {
        "n_edges": len(difference),
        "max_difference_of_logits": float(difference.max()),
        "rms_difference_of_logits": float(np.sqrt(np.square(difference).mean())),
        "max_logit": float(np.abs(logits[0]).max()),
        "cut": cut,
        "decisions_changed_at_cut": int(((scored[0].scores >= cut) != (scored[1].scores >= cut)).sum()),
    }
    hits = [{tuple(track) for track in t} for t in tracks]
    numbers["n_tracks"] = [len(t) for t in tracks]
    numbers["n_tracks_of_equal_hits"] = len(hits[0] & hits[1])
    layers = {"min_layers": 3} if not event.truth.known.all() else {}  # of event 21000 the pixels are known
    matches = [rf.metrics.match_tracks(t, event.truth, hits=event.hits, **SELECTION, **layers) for t in tracks]
    return numbers, dict(zip(finders, matches, strict=True))


def rates(matches: list[Any]) -> dict[str, Any]:
    """Efficiency, fakes and the like of all events together."""
    total = combine(matches)
    return {
        rate: {"value": p / n if n else None, "passed": p, "total": n, "interval": list(total.intervals[rate])}
        for rate, (p, n) in total.counts.items()
    }


def time_chain(finders: dict[str, rf.TrackFinder], events: Iterable[rf.Event]) -> dict[str, dict[str, float]]:
    """Milliseconds of each stage, median over events of the best of eight runs; the finders take turns."""
    rf.set_num_threads(1)
    best: dict[str, list[dict[str, float]]] = {name: [] for name in finders}
    for event in events:
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in finders}
        for _ in range(8):
            for name, finder in finders.items():
                finder(event.hits)
                runs[name].append(finder.timings)
        for name, few in runs.items():
            best[name].append(min(few, key=lambda ms: ms["total"]))
    return {n: {k: round(float(np.median([r[k] for r in rows])), 1) for k in rows[0]} for n, rows in best.items()}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--finder", default="trackml")
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"))
    parser.add_argument("--events", type=int, default=10)
    parser.add_argument("--times", action="store_true", help="time the chain on the pions, nothing else")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    finders = {precision: rf.TrackFinder.load(arguments.finder) for precision in ("fp32", "bf16")}
    finders["bf16"].edge_classifier = finders["bf16"].edge_classifier.with_precision("bf16")
    settings = {**SIMULATED["pions"], "detectors": arguments.shared / "trackml/detectors.csv.gz"}
    if arguments.times:
        times = time_chain(finders, rf.simulation.fatras(arguments.events, **settings))
        print(times)
        if arguments.out:
            parts = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
            parts["chain_ms"] = {"environment": describe_environment(), **times}
            arguments.out.write_text(json.dumps(parts, indent=1, default=str) + "\n")
        return
    real = rf.io.read_event(arguments.shared / "trackml/event21000/event000021000")
    samples = {"pions": rf.simulation.fatras(arguments.events, **settings), "event 21000": [real]}
    result: dict[str, Any] = {"environment": describe_environment(), "selection": SELECTION}
    for name, events in samples.items():
        compared = [compare(finders, event) for event in events]
        result[name] = {
            "events": [numbers for numbers, _ in compared],
            "rates": {p: rates([matches[p] for _, matches in compared]) for p in finders},
        }
        for p, r in result[name]["rates"].items():
            print(name, p, "  ".join(f"{k} {v['value'] or 0:.5f}" for k, v in r.items()))
        for numbers in result[name]["events"]:
            print("  ", numbers)
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1, default=str) + "\n")


if __name__ == "__main__":
    main()
