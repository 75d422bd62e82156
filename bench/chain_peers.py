"""The whole chain beside the classical one of ACTS, on the same hits, one thread, in one process.

    python bench/chain_peers.py --samples pions --events 10 --thorough-events 5 --out bench/results/chain_peers.json
    python bench/chain_peers.py --events 5 --thorough-events 2 --out bench/results/chain_peers.json
    python bench/chain_peers.py --samples pions --events 2 --thorough-events 1 --key quiet --out ...

Both chains get the very hits of each event: of the simulated kinds of `tracking_quality.py`, and of TrackML's event
21000; the combinatorial Kalman filter as measurements with variances of pitch² / 12. CPU time of this process: of the
classical chain from space points to cleaned tracks, of the finder from hits to tracks. The classical chain's time
includes its fit; `fit` is what helices of the finder's tracks take on top of its total. All are judged by
`match_tracks`: double majority, primary, pT > 1 GeV, |eta| < 3, at least 3 hits; of event 21000, whose pixel hits
alone have truth, at least 3 layers of those. The classical chain keeps tracks of at least 6 measurements and
pT > 0.4 GeV; the finder's tracks are judged under that selection too, pT by its own fit.

A kind that the file has under this key is left out, so that an interrupted run goes on. The last command is for
times: run it with all other jobs stopped, one kind at a time. Needs the extra [acts].
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from classical_chain import FAST, FINDING, THOROUGH, ClassicalChain, Settings
from classical_hits import MeasurementMaker
from environment import describe_environment
from tracking_quality import REAL, SIMULATED

import rheinfall as rf
from rheinfall.metrics import combine
from rheinfall.simulation.fatras_engine import FatrasEngine

DISPLACED, REAL_EVENT = "pions, 20 % from decays", "TrackML event 21000 (pixels judged)"
SAMPLES = (*SIMULATED, REAL_EVENT)
SELECTION: dict[str, Any] = {"rule": "double_majority", "min_pt": 1.0, "eta_max": 3.0, "min_hits": 3}
LEAST_HITS, LEAST_PT = FAST.min_measurements, 0.4  # of the classical chain's tracks
CLASSICAL: dict[str, Settings] = {"classical, fast": FAST, "classical, thorough": THOROUGH}
# A wider impact cut lets in more wrong seeds, which take the places of right ones unless more are kept.
WIDER: dict[str, Settings] = {
    "classical, fast, impact 2 mm": replace(FAST, impact_max=2.0),
    "classical, impact 10 mm, eight seeds": replace(FAST, impact_max=10.0, max_seeds_per_middle=8),
}
DISPLACED_CUTS: dict[str, Any] = {"chi2_max": 25.0, "quadruplet_chi2_max": 12.0, "min_length": 4}  # of docs/training.md


class Tally:
    """Matches and CPU ms of one contender."""

    def __init__(self) -> None:
        self.matches: dict[bool, list[Any]] = {True: [], False: []}
        self.ms: dict[str, list[float]] = {}

    def add(self, tracks: rf.Tracks, event: rf.Event, ms: dict[str, float]) -> None:
        """One event."""
        assert event.truth is not None
        selection = dict(SELECTION) if event.truth.known.all() else {**SELECTION, "min_layers": 3}
        for primary_only, matches in self.matches.items():
            match = rf.metrics.match_tracks(
                tracks, event.truth, hits=event.hits, primary_only=primary_only, **selection
            )
            matches.append(match)
        for stage, value in ms.items():
            self.ms.setdefault(stage, []).append(value)

    def summary(self) -> dict[str, Any]:
        """Rates over all events, of secondary particles the efficiency alone; medians of the times."""
        primary, every = (combine(self.matches[which]) for which in (True, False))
        rates = {
            name: {"value": p / n if n else None, "passed": p, "total": n, "interval": list(primary.intervals[name])}
            for name, (p, n) in primary.counts.items()
        }
        passed, total = np.subtract(every.counts["efficiency"], primary.counts["efficiency"]).tolist()
        rates["efficiency of secondaries"] = {"value": passed / total if total else None, "passed": passed}
        rates["efficiency of secondaries"]["total"] = total
        return {"events": len(self.matches[True]), "cpu_ms": {k: _spread(v) for k, v in self.ms.items()}, **rates}


def _spread(values: list[float]) -> dict[str, float]:
    low, median, high = np.percentile(values, [0, 50, 100])
    return {"median": round(float(median), 1), "min": round(float(low), 1), "max": round(float(high), 1)}


def find_ours(finder: rf.TrackFinder, event: rf.Event, repetitions: int) -> tuple[rf.Tracks, dict[str, float]]:
    """The finder's tracks; best CPU time of a few runs, and of the fit."""
    cpu, fit = [], []
    for _ in range(repetitions):
        start = time.process_time()
        tracks = finder(event.hits)
        found = time.process_time()
        finder.fit(event.hits, tracks)
        cpu.append(1e3 * (found - start))
        fit.append(1e3 * (time.process_time() - found))
    return tracks, {"total": min(cpu), "fit": min(fit)}


def find_as_selected(finder: rf.TrackFinder, event: rf.Event) -> rf.Tracks:
    """The finder's tracks under the selection of the classical chain."""
    shorter = replace(finder.thresholds, min_length=LEAST_HITS)
    tracks = finder.build(finder.score_edges(event.hits), shorter)
    fit = finder.fit(event.hits, tracks)
    return tracks.select(fit.ok & (fit.pt > LEAST_PT))


def events_of(kind: str, args: argparse.Namespace) -> Iterator[rf.Event]:
    """The events of one kind."""
    if kind in REAL:
        yield rf.io.read_event(args.shared / REAL[kind])
    else:
        yield from rf.simulation.fatras(args.events, detectors=args.detectors, **SIMULATED[kind])


def run_sample(kind: str, finder: rf.TrackFinder, args: argparse.Namespace) -> dict[str, Any]:
    """All contenders on each event of a kind in turn; summaries by contender."""
    engine = FatrasEngine("solenoid" if kind in REAL else SIMULATED[kind]["field"])
    maker = MeasurementMaker(engine, args.detectors)
    settings = {**CLASSICAL, **(WIDER if kind == DISPLACED else {})}
    chains = {name: ClassicalChain(engine, s) for name, s in settings.items()}
    finders = {"finder": finder}
    if kind in (DISPLACED, REAL_EVENT):
        cuts = replace(finder.thresholds, **DISPLACED_CUTS)
        finders["finder, cuts for displaced tracks"] = rf.TrackFinder(
            finder.module_map, finder.edge_classifier, cuts, {}, "", finder.triplet_model, finder.fit_model
        )
    selected = f"finder, >= {LEAST_HITS} hits, pT > {LEAST_PT} GeV"
    tallies = {name: Tally() for name in (*finders, selected, *chains)}
    for number, event in enumerate(events_of(kind, args)):
        for name, each in finders.items():
            tracks, ms = find_ours(each, event, args.repetitions)
            tallies[name].add(tracks, event, ms)
        tallies[selected].add(find_as_selected(finder, event), event, {})
        for name, chain in chains.items():
            if name == "classical, fast" or number < args.thorough_events:
                tracks, ms = chain.find_in(event.hits, maker)
                ms["total"] = sum(ms[stage] for stage in FINDING)
                tallies[name].add(tracks, event, ms)
    return {name: tally.summary() for name, tally in tallies.items() if tally.matches[True]}


def main() -> None:
    """Run all contenders on each kind of events that is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--finder", default="trackml")
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"))
    parser.add_argument("--samples", nargs="*", choices=SAMPLES, default=SAMPLES)
    parser.add_argument("--events", type=int, default=5, help="of each simulated kind")
    parser.add_argument("--thorough-events", type=int, default=2, help="events of all but the fast classical settings")
    parser.add_argument("--repetitions", type=int, default=3, help="runs of the finder on each event")
    parser.add_argument("--key", default="all", help="part of the file that this run writes to")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.detectors = args.shared / "trackml" / "detectors.csv.gz"
    rf.set_num_threads(1)
    finder = rf.TrackFinder.load(args.finder)
    for kind in args.samples:
        parts = json.loads(args.out.read_text()) if args.out.exists() else {}
        if kind in parts.get(args.key, {}).get("samples", {}):
            continue
        summary = {"load_at_start": describe_environment()["load_at_start"], **run_sample(kind, finder, args)}
        part = {
            "environment": describe_environment(),
            "build": rf.build_info(),
            "selection": {**SELECTION, "primary": True},
            "classical": {name: vars(s) for name, s in {**CLASSICAL, **WIDER}.items()},
            "samples": {**parts.get(args.key, {}).get("samples", {}), kind: summary},
        }
        args.out.write_text(json.dumps({**parts, args.key: part}, indent=1, default=str) + "\n")
        print_summary(kind, summary)


def print_summary(kind: str, summary: dict[str, Any]) -> None:
    """A line for each contender."""
    for name, r in summary.items():
        if isinstance(r, dict):
            rates = "  ".join(f"{k} {r[k]['value'] or 0:.4f}" for k in r if k not in ("events", "cpu_ms"))
            ms = r["cpu_ms"].get("total", {"median": float("nan")})["median"]
            print(f"{kind}: {name:42} {r['events']:3} events  {ms:8.1f} ms  {rates}", flush=True)


if __name__ == "__main__":
    main()
