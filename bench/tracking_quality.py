"""Edge and track efficiency of a finder on events that it never learnt from, real and simulated.

    python bench/tracking_quality.py --shared ../shared/data --events 10 --out bench/results/tracking_quality.json

    python bench/tracking_quality.py --times pions "TrackML event 21000 (pixels judged)" --hits FOLDER --out ...

The first form prints a Markdown table, writes every count as JSON and, with --plots FOLDER, the efficiency in bins of
pT and eta. The second times the chain alone: `quiet_ms` in the file. Run it twice, the second time with all other jobs
stopped: FOLDER keeps the hits of simulated events, so that nothing is simulated then.
Needs the extras [onnx] and [acts]; [plots] for the plots.
"""

from __future__ import annotations

import argparse
import json
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from environment import describe_environment

import rheinfall as rf
from rheinfall.metrics import combine

PIONS = {"n_particles": 10_000, "pt_range": (0.5, 20.0), "eta_max": 3.0, "field": "constant"}
# Seeds that no training and no choice of thresholds has used.
SIMULATED: dict[str, dict[str, Any]] = {
    "pions": {"seed": 9001, **PIONS},
    "pions, 10 % noise": {"seed": 9002, **PIONS, "noise_fraction": 0.1},
    "pions, 30 % noise": {"seed": 9005, **PIONS, "noise_fraction": 0.3},
    "20,000 pions": {"seed": 9006, **PIONS, "n_particles": 20_000},
    "pions, 20 % from decays": {"seed": 9003, **PIONS, "displaced_fraction": 0.2},
    "mixed species, solenoid": {"seed": 9004, **PIONS, "field": "solenoid", "species": "mixed"},
}
REAL = {
    "TrackML event 21000 (pixels judged)": "trackml/event21000/event000021000",
    "TrackML small": "trackml/small/event000000001",
}
BINS = {
    "pt": [1, 1.5, 2, 3, 4, 6, 8, 10, 13, 16, 20],
    "eta": list(np.linspace(-3, 3, 13)),
}


class Tally:
    """Sums over the events of one kind."""

    def __init__(self, finder: rf.TrackFinder, min_length: int) -> None:
        self.finder = finder
        self.min_length = min_length
        self.tracks: dict[str, list[Any]] = {}
        self.edges: dict[str, list[int]] = {}
        self.sizes: dict[str, list[int]] = {"hits": [], "edges": [], "pruned_edges": [], "tracks": []}
        self.timings: dict[str, list[float]] = {}

    def add(self, event: rf.Event) -> None:
        """Find the tracks of one event, and those of perfect scores, and match both."""
        if event.truth is None:
            raise ValueError(f"{event.name}: no truth")
        finder = self.finder
        tracks = finder(event.hits)
        for stage, ms in finder.timings.items():
            self.timings.setdefault(stage, []).append(ms)
        for name in self.sizes:
            self.sizes[name].append(finder.counts[name])
        layers = {"min_layers": 3} if not event.truth.known.all() else {}
        for label, selection in {"": {}, " incl. secondaries": {"primary_only": False}}.items():
            self._match(f"found{label}", tracks, event, {**layers, **selection})
            long = tracks.select(tracks.lengths >= self.min_length)
            self._match(f"found, >= {self.min_length} hits{label}", long, event, {**layers, **selection})
        graph = rf.build_graph(event.hits, finder.module_map, finder.triplet_model)
        pruned = (
            graph.prune(finder.thresholds.chi2_max, finder.thresholds.quadruplet_chi2_max)
            if finder.thresholds.chi2_max
            else graph
        )
        for name, g in {"graph": graph, "pruned": pruned}.items():
            for min_pt in (0.9, 1.0, 2.0):
                m = rf.metrics.match_edges(g.edge_index, event.truth, hits=event.hits, min_pt=min_pt)
                self._count(f"{name} pT > {min_pt:g}", m.n_found, m.n_true)
            self._count(f"{name} purity", m.n_same_particle, m.n_judged)
            perfect = rf.metrics.perfect_scores(g.edge_index, event.truth)
            ceiling = rf.build_tracks(g, perfect, method="components", score_cut=0.5)
            self._match(f"perfect scores, {name}", ceiling, event, layers)

    def _match(self, name: str, tracks: rf.Tracks, event: rf.Event, selection: dict[str, Any]) -> None:
        matches = rf.metrics.match_tracks(tracks, event.truth, hits=event.hits, **selection)
        self.tracks.setdefault(name, []).append(matches)

    def _count(self, name: str, passed: int, total: int) -> None:
        counts = self.edges.setdefault(name, [0, 0])
        counts[0] += passed
        counts[1] += total

    def summary(self) -> dict[str, Any]:
        """Every rate with its counts, sizes and median times."""
        rates = {}
        for name, matches in self.tracks.items():
            total = combine(matches)
            rates[name] = {
                rate: {"value": p / n if n else None, "passed": p, "total": n, "interval": list(total.intervals[rate])}
                for rate, (p, n) in total.counts.items()
            }
        return {
            "events": len(self.sizes["hits"]),
            "sizes": {k: float(np.mean(v)) for k, v in self.sizes.items()},
            "median_ms": {k: round(float(np.median(v)), 1) for k, v in self.timings.items()},
            "edges": {k: {"value": p / n if n else None, "passed": p, "total": n} for k, (p, n) in self.edges.items()},
            "tracks": rates,
        }


def events_of(kind: str, args: argparse.Namespace) -> Iterator[rf.Event]:
    """The events of one kind."""
    if kind in REAL:
        yield rf.io.read_event(args.shared / REAL[kind])
    else:
        detectors = args.shared / "trackml" / "detectors.csv.gz"
        yield from rf.simulation.fatras(args.events, detectors=detectors, **SIMULATED[kind])


def hits_of(kind: str, args: argparse.Namespace) -> list[rf.Hits]:
    """The hits of the events of one kind, those of simulated ones from the folder --hits where it has them."""
    if kind in REAL:
        return [event.hits for event in events_of(kind, args)]
    files = [args.hits / f"{kind}-{number}.npz" for number in range(args.events)]
    if not all(file.exists() for file in files):
        args.hits.mkdir(parents=True, exist_ok=True)
        for file, event in zip(files, events_of(kind, args), strict=True):
            np.savez(file, **{name: getattr(event.hits, name) for name in ("x", "y", "z", "module_id", "hit_id")})
    return [rf.Hits(**np.load(file)) for file in files]


def time_kinds(finder: rf.TrackFinder, args: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of each stage, median over events of the best of three runs; of the whole, least and most too."""
    times: dict[str, Any] = {}
    for kind in args.times:
        best = []
        for hits in hits_of(kind, args):
            runs = []
            for _ in range(3):
                finder(hits)
                runs.append(finder.timings)
            best.append(min(runs, key=lambda run: run["total"]))
        times[kind] = {stage: round(float(np.median([t[stage] for t in best])), 1) for stage in best[0]}
        totals = [round(t["total"], 1) for t in best]
        times[kind].update(events=len(best), least_total=min(totals), most_total=max(totals))
        print(kind, times[kind])
    return times


def table_row(kind: str, r: dict[str, Any], min_length: int) -> dict[str, str]:
    """The figures of one kind of events by column."""
    size, edge = r["sizes"], {name: e["value"] or 0.0 for name, e in r["edges"].items()}

    def rate(tracks: str, name: str) -> str:
        return f"{r['tracks'][tracks][name]['value'] or 0.0:.4f}"

    def of_secondaries() -> str:
        every, primary = (r["tracks"][name]["efficiency"] for name in ("found incl. secondaries", "found"))
        total = every["total"] - primary["total"]
        return f"{(every['passed'] - primary['passed']) / total:.4f}" if total else "–"

    long = f"found, >= {min_length} hits"
    return {
        "events": f"{kind} ({r['events']})",
        "hits / edges / pruned": f"{size['hits']:.0f} / {size['edges']:.0f} / {size['pruned_edges']:.0f}",
        "edge efficiency > 1 GeV, graph / pruned": f"{edge['graph pT > 1']:.4f} / {edge['pruned pT > 1']:.4f}",
        "purity": f"{edge['graph purity']:.3f} / {edge['pruned purity']:.3f}",
        "efficiency": rate("found", "efficiency"),
        "of secondaries": of_secondaries(),
        "unmatched": rate("found", "unmatched_rate"),
        "fake": rate("found", "fake_rate"),
        "duplicate": rate("found", "duplicate_rate"),
        f">= {min_length} hits: efficiency, unmatched": f"{rate(long, 'efficiency')}, {rate(long, 'unmatched_rate')}",
        "ceiling": rate("perfect scores, graph", "efficiency") + " / " + rate("perfect scores, pruned", "efficiency"),
        "ms": f"{r['median_ms']['total']:.0f}",
    }


def print_table(results: dict[str, Any], min_length: int) -> None:
    """Markdown, one line per kind of events; the ceiling is what components of perfect scores give."""
    rows = [table_row(kind, r, min_length) for kind, r in results.items()]
    for cells in [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]:
        print("| " + " | ".join(cells) + " |")


def plot(found: dict[str, Any], folder: Path) -> None:
    """One panel per variable, one colour per kind of events."""
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    with rf.metrics.plot_style():
        axes = Figure(figsize=(13, 5.5), layout="constrained").subplots(1, len(BINS))
    for axis, (variable, edges) in zip(axes, BINS.items(), strict=True):
        rf.metrics.plot_efficiency(found, variable, edges, axes=axis)
    rf.metrics.save_plot(axes[0], folder / "tracking_efficiency.png")


def main() -> None:
    """Run the kinds asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--finder", default="trackml")
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"))
    parser.add_argument("--events", type=int, default=10, help="simulated events of each kind")
    parser.add_argument("--min-length", type=int, default=9, help="a second, stricter minimum of hits to report")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plots", type=Path)
    parser.add_argument("--times", nargs="*", choices=[*REAL, *SIMULATED], help="kinds to time, nothing else")
    parser.add_argument("--hits", type=Path, help="with --times: folder for the hits of simulated events")
    args = parser.parse_args()
    if args.times and (args.out is None or (args.hits is None and not set(args.times) <= set(REAL))):
        parser.error("--times needs --out, a file that the first form wrote, and --hits")
    rf.set_num_threads(args.threads)
    finder = rf.TrackFinder.load(args.finder)
    if args.times:
        report = json.loads(args.out.read_text())
        head = {"environment": describe_environment(), "build": rf.build_info(), "threads": args.threads}
        report["quiet_ms"] = {**head, **time_kinds(finder, args)}
        args.out.write_text(json.dumps(report, indent=1) + "\n")
        return
    results, found = {}, {}
    for kind in [*REAL, *SIMULATED]:
        tally = Tally(finder, args.min_length)
        for event in events_of(kind, args):
            tally.add(event)
        results[kind] = tally.summary()
        if kind in SIMULATED:
            found[kind] = combine(tally.tracks["found"])
    print_table(results, args.min_length)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak resident memory {peak:.0f} MB, simulation included; {args.threads} thread(s)")
    if args.out:
        info = finder.info
        info["edge_classifier"].pop("path", None)
        report = {"finder": info, "build": rf.build_info(), "threads": args.threads, "kinds": results}
        args.out.write_text(json.dumps(report, indent=1, default=str) + "\n")
    if args.plots:
        plot(found, args.plots)


if __name__ == "__main__":
    main()
