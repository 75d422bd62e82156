"""Track building of a real and of a large graph by every method, beside scipy, networkx and numba, interleaved.

cmake --preset release && cmake --build --preset release --target track_building_event
python bench/track_building.py [--shared ../shared] [--rounds 5] [--out FILE]          times, as JSON and as a table
python bench/track_building.py --worst [--plot FILE] [--out FILE]                      the worst shapes to 10^7 edges

Times are CPU ms of one event, medians. The program's include the ordering of each track's hits; the peers' deliver
labels only, and numba's are compiled before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import peers
import track_graphs
import track_twins
from environment import describe_environment

ROOT = Path(__file__).parents[1]
PROGRAM = ROOT / "build" / "release" / "bench" / "track_building_event"
WORST_SIZES = (10_000, 100_000, 1_000_000, 10_000_000)


def run_program(path: Path, repetitions: int, threads: int, only: str | None = None) -> dict[str, Any]:
    """One JSON document of the program."""
    command = [str(PROGRAM), str(path), str(repetitions), str(threads), *([only] if only else [])]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def make_peers(graph: dict[str, Any], n: int, with_networkx: bool) -> dict[str, Callable[[], Any]]:
    """Peers by name, each checked: the same partition of the hits."""
    edges, scores = graph["edges"], graph["scores"]
    runs: dict[str, Callable[[], Any]] = {
        "scipy components": lambda: peers.components_scipy(edges, scores, n, 0.5),
        "numba components": lambda: track_twins.components(edges, scores, n, 0.5),
        "numba mutual_best": lambda: track_twins.mutual_best(edges, scores, n, 0.5, 0.75),
        "scipy mutual_best": lambda: peers.mutual_best(edges, scores, n, 0.5, 0.75),
    }
    if with_networkx:
        runs["networkx components"] = lambda: peers.components_networkx(edges, scores, n, 0.5)
    labels = {name: peers.canonical_labels(np.asarray(run())) for name, run in runs.items()}
    for name, label in labels.items():
        if not np.array_equal(label, labels["numba " + name.split()[1]]):
            raise AssertionError(f"{name}: other tracks than numba's twin")
    return runs


def time_graph(name: str, graph: dict[str, Any], rounds: int, folder: Path) -> dict[str, Any]:
    """Medians over rounds; in each round the program and every peer run."""
    path = track_graphs.write_graph(graph, folder / f"{name}.bin")
    n = graph["xyz"].shape[1]
    others = make_peers(graph, n, name == "real")
    times: dict[str, list[float]] = {}
    documents: dict[int, dict[str, Any]] = {}
    for _ in range(rounds):
        for threads in (1, 2):
            documents[threads] = run_program(path, 3, threads)
            for run, result in documents[threads].items():
                clock = "cpu_ms" if threads == 1 else "wall_ms"
                times.setdefault(f"{run}, {threads} thread{'s' * (threads > 1)} {clock}", []).append(result[clock])
        for peer, call in others.items():
            start = time.process_time()
            call()
            times.setdefault(f"{peer} (labels only)", []).append(1e3 * (time.process_time() - start))
    if any(documents[1][run]["checksum"] != documents[2][run]["checksum"] for run in documents[1]):
        raise AssertionError("threads change the tracks")
    return {
        "hits": n,
        "edges": len(graph["scores"]),
        "ms": {run: {"median": float(np.median(t)), "min": min(t), "max": max(t)} for run, t in times.items()},
        "tracks": {run: [r["tracks"], r["hits"]] for run, r in documents[1].items()},
    }


def time_worst(folder: Path) -> dict[str, Any]:
    """ms of each method by shape and size."""
    results: dict[str, Any] = {}
    for kind in track_graphs.WORST:
        for size in WORST_SIZES:
            graph = track_graphs.worst_graph(kind, size)
            path = track_graphs.write_graph(graph, folder / "worst.bin")
            for run, result in run_program(path, 0 if size >= 1_000_000 else 3, 1).items():
                row = results.setdefault(kind, {}).setdefault(run, {"edges": [], "cpu_ms": []})
                row["edges"].append(len(graph["scores"]))
                row["cpu_ms"].append(result["cpu_ms"])
            path.unlink()
    return results


def plot_worst(results: dict[str, Any], path: Path) -> None:
    """Time against edges, one panel per shape; the grey line is linear."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(results), figsize=(13, 3.6), sharey=True, constrained_layout=True)
    for axis, (kind, runs) in zip(axes, results.items(), strict=True):
        for run, row in runs.items():
            if run.endswith("by distance"):
                axis.loglog(row["edges"], row["cpu_ms"], "o-", markersize=3, label=run.split(",")[0])
        axis.loglog([1e4, 1e7], [1, 1e3], "--", color="0.7", label="linear, 100 ns an edge")
        axis.set_title(kind)
        axis.set_xlabel("edges")
    axes[0].set_ylabel("CPU ms, one thread")
    axes[-1].legend(fontsize="x-small")
    figure.savefig(path, dpi=100)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worst", action="store_true")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    document: dict[str, Any] = {"environment": describe_environment()}
    with tempfile.TemporaryDirectory() as folder:
        if args.worst:
            document["worst"] = time_worst(Path(folder))
        else:
            graphs = {"real": track_graphs.real_graph(args.shared), "large": track_graphs.large_graph()}
            document["graphs"] = {n: time_graph(n, g, args.rounds, Path(folder)) for n, g in graphs.items()}
    for name, result in document.get("graphs", {}).items():
        print(f"\n{name}: {result['hits']} hits, {result['edges']} edges\n")
        print("\n".join(f"| {run} | {t['median']:.2f} |" for run, t in result["ms"].items()))
    for kind, runs in document.get("worst", {}).items():
        print(f"\n{kind}")
        print("\n".join(f"| {run} | {' | '.join(f'{t:.2f}' for t in row['cpu_ms'])} |" for run, row in runs.items()))
    if args.plot and args.worst:
        plot_worst(document["worst"], args.plot)
    if args.out:
        args.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
