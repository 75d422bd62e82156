"""Track building of a real and of a large graph by every method, beside scipy, networkx and numba, interleaved.

cmake --preset release && cmake --build --preset release --target track_building_event
python bench/track_building.py [--shared ../shared] [--rounds 5] [--out FILE]          times, as JSON and as a table
python bench/track_building.py --worst [--plot FILE] [--out FILE]                      the worst shapes to 10^7 edges

Times are CPU ms of one event, medians. The program's include the ordering of each track's hits; the peers' deliver
labels only, and numba's are compiled before the clock starts. Every peer must give the tracks that rheinfall gives.
networkx runs once on each graph, for as long as NETWORKX_LIMIT_S.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import peers
import track_graphs
import track_twins
import walk_twins
from environment import describe_environment

import rheinfall as rf

ROOT = Path(__file__).parents[1]
PROGRAM = ROOT / "build" / "release" / "bench" / "track_building_event"
NETWORKX_LIMIT_S = 60
WORST_SIZES = (10_000, 100_000, 1_000_000, 10_000_000)


def run_program(path: Path, repetitions: int, threads: int, only: str | None = None) -> dict[str, Any]:
    """One JSON document of the program."""
    command = [str(PROGRAM), str(path), str(repetitions), str(threads), *([only] if only else [])]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def make_peers(graph: dict[str, Any], n: int) -> dict[str, Callable[[], Any]]:
    """Peers by name; the word behind theirs is the method."""
    edges, scores = graph["edges"], graph["scores"]
    walk_cuts = [np.float32(cut) for cut in (0.01, 0.1, 0.6)]
    merge_cuts = [np.float32(cut) for cut in (0.15, 0.995, 0.5)]
    layers = np.unique(graph["module_id"] >> np.uint64(36), return_inverse=True)[1].reshape(-1)
    layer_bits = np.int64(1) << layers.astype(np.int64)
    return {
        "scipy components": lambda: peers.components_scipy(edges, scores, n, 0.5),
        "numba components": lambda: track_twins.components(edges, scores, n, 0.5),
        "numba mutual_best": lambda: track_twins.mutual_best(edges, scores, n, 0.5, 0.75),
        "scipy mutual_best": lambda: peers.mutual_best(edges, scores, n, 0.5, 0.75),
        "numba layer_merge": lambda: walk_twins.layer_merge(edges, scores, n, layer_bits, *merge_cuts, 1),
        "numba walk": lambda: walk_twins.walk(edges, scores, n, *walk_cuts, False),
        "numba cc_and_walk": lambda: walk_twins.walk(edges, scores, n, *walk_cuts, True),
        "numba d_walk": lambda: walk_twins.d_walk(edges, scores, n, *walk_cuts),
    }


def require_same_tracks(name: str, labels: Any, graph: dict[str, Any], n: int) -> None:
    """Stops if the sets of at least three hits with one label are not rheinfall's tracks."""
    event = SimpleNamespace(**dict(zip("xyz", graph["xyz"].astype(np.float32), strict=True)))
    event.module_id = graph["module_id"]
    ours = rf.build_tracks(graph["edges"], graph["scores"], name.split()[1], n_nodes=n, hits=event).labels
    found = [np.where(x < 0, -1 - np.arange(n), x) for x in (np.asarray(labels), ours)]  # each lone hit its own
    found = [peers.canonical_labels(x) for x in found]
    found = [np.where(np.bincount(x, minlength=n)[x] < 3, -1, x) for x in found]
    if not np.array_equal(*found):
        raise AssertionError(f"{name}: other tracks than rheinfall's")


def time_networkx(graph: dict[str, Any], n: int) -> float | None:
    """CPU ms of one run of networkx' components, None where it took longer than NETWORKX_LIMIT_S."""

    def stop(*_: Any) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(NETWORKX_LIMIT_S)
    try:
        start = time.process_time()
        labels = peers.components_networkx(graph["edges"], graph["scores"], n, 0.5)
        ms = 1e3 * (time.process_time() - start)
    except TimeoutError:
        return None
    finally:
        signal.alarm(0)
    require_same_tracks("networkx components", labels, graph, n)
    return ms


def time_graph(name: str, graph: dict[str, Any], rounds: int, folder: Path) -> dict[str, Any]:
    """Medians over rounds; in each round the program and every peer run."""
    path = track_graphs.write_graph(graph, folder / f"{name}.bin")
    n = graph["xyz"].shape[1]
    others = make_peers(graph, n)
    for peer, call in others.items():
        require_same_tracks(peer, call(), graph, n)
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
        "networkx components, once, ms": time_networkx(graph, n),
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
        print(f"| networkx components (once, limit {NETWORKX_LIMIT_S} s) | {result['networkx components, once, ms']} |")
    for kind, runs in document.get("worst", {}).items():
        print(f"\n{kind}")
        print("\n".join(f"| {run} | {' | '.join(f'{t:.2f}' for t in row['cpu_ms'])} |" for run, row in runs.items()))
    if args.plot and args.worst:
        plot_worst(document["worst"], args.plot)
    if args.out:
        args.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
