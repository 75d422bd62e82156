"""What the package graph_segment of PyPI gives for graphs whose tracks are known: none, since it drops the scores.

pip install graph_segment networkx      (an environment of its own will do; nothing is installed here)
python bench/graph_segment_package.py [--shared ../shared] [--out FILE]

Two chains of four hits with scores of 0.9, under each name that a score might have, and the graph of event 21000 that
bench/track_building.py times. Beside it stands what `rf.build_tracks_like(..., "graph_segment")` gives, which follows
the package's core in C++ as its source has it.
"""

from __future__ import annotations

import argparse
import json
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import track_graphs
from environment import describe_environment

import rheinfall as rf

ROOT = Path(__file__).parents[1]
NAMES = ("edge_scores", "edge_score", "score", "scores", "weight", "walk")
CUTS = (0.01, 0.1, 0.6)
CHAINS = np.array([[0, 1, 2, 4, 5, 6], [1, 2, 3, 5, 6, 7]], np.int64)


def run_package(edges: Any, scores: Any, n: int) -> tuple[int, float]:
    """Number of tracks, and ms of CPU time."""
    import graph_segment
    import networkx as nx

    graph = nx.DiGraph()
    graph.add_nodes_from((v, {"hit_id": v}) for v in range(n))
    pairs = zip(*edges.tolist(), np.asarray(scores, float).tolist(), strict=True)
    graph.add_edges_from((a, b, dict.fromkeys(NAMES, score)) for a, b, score in pairs)
    start = time.process_time()
    tracks = graph_segment.get_tracks(graph, *CUTS)
    return len(tracks), 1e3 * (time.process_time() - start)


def main() -> None:
    """Run both, print a line for each graph, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    try:
        version = metadata.version("graph_segment")
    except metadata.PackageNotFoundError:
        raise SystemExit("graph_segment is not installed: pip install graph_segment networkx") from None
    real = track_graphs.real_graph(args.shared)
    graphs = {
        "two chains of four hits": (CHAINS, np.full(6, 0.9, np.float32), 8),
        "event 21000": (real["edges"], real["scores"], real["xyz"].shape[1]),
    }
    rows: dict[str, Any] = {}
    for name, (edges, scores, n) in graphs.items():
        n_tracks, ms = run_package(edges, scores, n)
        ours = len(rf.build_tracks_like("graph_segment", edges, scores, n))
        rows[name] = {"edges": len(scores), "package_tracks": n_tracks, "package_cpu_ms": ms, "rule_tracks": ours}
        print(f"{name}: the package {version} gives {n_tracks} tracks, its core's rule {ours}")
    if args.out:
        report = {"environment": describe_environment(), "graph_segment": version, "names": NAMES, "graphs": rows}
        args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
