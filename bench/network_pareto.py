"""Time of the chain against its efficiency for several networks, trained alike on the same graphs.

    python bench/network_pareto.py train --work FOLDER --networks 8x3 16x3 16x4 8x6r
    python bench/network_pareto.py quality --work FOLDER --out bench/results/network_pareto.json
    python bench/network_pareto.py time --work FOLDER --out bench/results/network_pareto.json
    python bench/network_pareto.py plot --out bench/results/network_pareto.json --plot docs/network_pareto.png

FOLDER is that of `rheinfall reproduce trackml`: it holds graphs/ and module_map.rfmap. A network is hidden x
iterations, with an r if its iterations share their weights, and -3000 for so many steps of training in place of 1,000.
`quality` chooses thresholds as the recipe does, on its events, then judges held-out pions; `time` runs the chain on the
first of them, best on a quiet machine. Needs the extras [train] and [acts].
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from environment import describe_environment

import rheinfall as rf
from rheinfall.metrics import combine
from rheinfall.tracking.bundle import Thresholds
from rheinfall.training import trackml

HELD_OUT = trackml.Sample("pions, held out", 9001, 10, 0.0, trackml.GRAPH_SAMPLES[0].options)
TIMED_EVENTS, REPETITIONS = 3, 3
USUAL_STEPS = 1000


def parse_network(name: str) -> trackml.TrainingConfig:
    """The recipe's settings with the width, the iterations, the sharing and the steps that a name says."""
    shape, _, steps = name.partition("-")
    hidden, iterations = shape.removesuffix("r").split("x")
    return replace(
        trackml.CONFIG,
        hidden=int(hidden),
        iterations=int(iterations),
        recurrent=shape.endswith("r"),
        steps=int(steps or USUAL_STEPS),
    )


def train(args: argparse.Namespace) -> None:
    """Train the networks that are not there yet; one that was interrupted goes on."""
    for name in args.networks:
        out = args.work / "networks" / name
        if not (out / "edge_classifier.onnx").exists():
            print(name, flush=True)
            resume = (out / "checkpoint.pt").exists()
            trackml.train(args.work / "graphs", out, parse_network(name), resume=resume)


def find_networks(work: Path) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    """Name, ONNX file and report of each network that is done."""
    for folder in sorted((work / "networks").iterdir()):
        if (folder / "edge_classifier.onnx").exists():
            report = json.loads((folder / "training.json").read_text())
            yield folder.name, folder / "edge_classifier.onnx", report


def make_finder(work: Path, network: Path, thresholds: Thresholds) -> rf.TrackFinder:
    """A finder with the recipe's map and this network."""
    module_map = rf.ModuleMap.load(work / "module_map.rfmap")
    return rf.TrackFinder(module_map, rf.EdgeClassifier.load(network), thresholds, {}, "", trackml.TRIPLET_MODEL)


def quality(args: argparse.Namespace) -> None:
    """Thresholds and rates of each network; keeps the hits of the first events for `time`."""
    report = json.loads(args.out.read_text()) if args.out.exists() else {}
    networks = report.setdefault("networks", {})
    todo = [entry for entry in find_networks(args.work) if entry[0] not in networks]
    few = [list(sample.events(args.detectors)) for sample in trackml.THRESHOLD_SAMPLES] if todo else []
    finders = {}
    for name, path, training in todo:
        finder = make_finder(args.work, path, Thresholds(chi2_max=trackml.CHI2_MAX))
        finder.thresholds, chosen = trackml.choose_thresholds(finder, few)
        finders[name] = finder
        networks[name] = {
            **{key: training["config"][key] for key in ("hidden", "iterations", "recurrent", "steps")},
            "n_parameters": training["n_parameters"],
            "training_seconds": training["seconds"],
            "auc": training["figures"]["auc"],
            "thresholds": asdict(finder.thresholds),
            **chosen,
        }
        print(name, chosen, flush=True)
    matches = judge(finders, args)
    report["events"] = HELD_OUT.to_dict()
    for name, rates in matches.items():
        if name in finders:
            networks[name]["rates"] = rates
        else:
            report[name] = rates
        print(name, {key: round(r["value"], 5) for key, r in rates.items()}, flush=True)
    report["build"] = rf.build_info()
    args.out.write_text(json.dumps(report, indent=1) + "\n")


def judge(finders: dict[str, rf.TrackFinder], args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Rates of each finder and of perfect scores on the held-out events; the latter of as long tracks."""
    found: dict[str, list[Any]] = {}
    for number, event in enumerate(HELD_OUT.events(args.detectors)) if finders else ():
        assert event.truth is not None
        if number < TIMED_EVENTS:
            h = event.hits
            np.savez(args.work / f"timed-{number}.npz", x=h.x, y=h.y, z=h.z, module_id=h.module_id, hit_id=h.hit_id)
        tracks = {name: finder(event.hits) for name, finder in finders.items()}
        first = next(iter(finders.values()))
        graph = rf.build_graph(event.hits, first.module_map, first.triplet_model).prune(trackml.CHI2_MAX)
        perfect = rf.metrics.perfect_scores(graph, event.truth)
        length = first.thresholds.min_length
        tracks["perfect scores"] = rf.build_tracks(graph, perfect, "components", score_cut=0.5, min_length=length)
        for name, t in tracks.items():
            match = rf.metrics.match_tracks(t, event.truth, hits=event.hits, eta_max=3.0)
            found.setdefault(name, []).append(match)
    return {name: _rates(matches) for name, matches in found.items()}


def _rates(matches: list[Any]) -> dict[str, Any]:
    total = combine(matches)
    return {
        rate: {"value": p / n if n else None, "passed": p, "total": n, "interval": list(total.intervals[rate])}
        for rate, (p, n) in total.counts.items()
    }


def measure(args: argparse.Namespace) -> None:
    """Milliseconds of each stage, median over events of the best of a few runs; the networks take turns."""
    report = json.loads(args.out.read_text())
    rf.set_num_threads(1)
    networks = [(n, path) for n, path, _ in find_networks(args.work) if n in report["networks"]]
    finders = {n: make_finder(args.work, p, Thresholds(**report["networks"][n]["thresholds"])) for n, p in networks}
    events = [rf.Hits(**np.load(args.work / f"timed-{number}.npz")) for number in range(TIMED_EVENTS)]
    times: dict[str, list[dict[str, float]]] = {name: [] for name in finders}
    for hits in events:
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in finders}
        for _ in range(REPETITIONS):
            for name, finder in finders.items():
                finder(hits)
                runs[name].append(finder.timings)
        for name, few in runs.items():
            times[name].append(min(few, key=lambda t: t["total"]))
    for name, rows in times.items():
        median = {stage: round(float(np.median([row[stage] for row in rows])), 1) for stage in rows[0]}
        report["networks"][name]["ms"] = median
        print(name, median)
    sizes = {key: finders[networks[0][0]].counts[key] for key in ("hits", "edges", "pruned_edges")}
    report["timing"] = {"environment": describe_environment(), "build": rf.build_info(), "last_event": sizes}
    args.out.write_text(json.dumps(report, indent=1) + "\n")


def plot(args: argparse.Namespace) -> None:
    """Efficiency against time; dashed the ceiling."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    report = json.loads(args.out.read_text())
    figure, axis = plt.subplots(figsize=(7.5, 4.6), constrained_layout=True)
    for name, n in report["networks"].items():
        rate, ms = n["rates"]["efficiency"], n["ms"]["total"]
        bars = [[rate["value"] - rate["interval"][0]], [rate["interval"][1] - rate["value"]]]
        longer = "-" in name
        color, up = ("tab:red", 1) if longer else ("tab:blue", -1)
        axis.errorbar([ms], [rate["value"]], yerr=bars, fmt="o", color=color, markersize=4)
        label = {"textcoords": "offset points", "fontsize": 8, "rotation": 40 * up, "va": "bottom" if longer else "top"}
        axis.annotate(name, (ms, rate["value"]), xytext=(3, 3 * up), **label)
    ceiling = report["perfect scores"]["efficiency"]["value"]
    axis.axhline(ceiling, color="black", linestyle="--", linewidth=0.8, label="perfect scores")
    axis.set_xlabel("hits to tracks, one core [ms]; 10,000 pions")
    axis.set_ylabel("double-majority efficiency, $p_T$ > 1 GeV")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    figure.savefig(args.plot, dpi=110)


STEPS = {"train": train, "quality": quality, "time": measure, "plot": plot}


def main() -> None:
    """Run one step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--networks", nargs="*", default=[])
    parser.add_argument("--detectors", type=Path, default=Path("../shared/data/trackml/detectors.csv.gz"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    STEPS[args.step](args)


if __name__ == "__main__":
    main()
