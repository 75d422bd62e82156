"""Inputs of the programs that time tracking on a GPU without Python: FOLDER/BUNDLE-NAME.hits.gz and NAME.graph.gz.

python bench/gpu_inputs.py FOLDER

Simulated events of about 120,000 and 300,000 hits for the demo bundle's map, and a large scored graph; where ../shared
or RHEINFALL_SHARED has it, TrackML event 21000 for the trackml bundle's map, with scores drawn (real.graph) and with
those of the bundle (network.graph). Graphs: track_graphs.py; networks (NAME.rfgnn.gz): gpu_gnn_inputs.py.
"""

from __future__ import annotations

import gzip
import os
import shutil
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import gpu_gnn_inputs
import track_graphs

import rheinfall as rf

PILE_UP = {"120k": 250, "300k": 625}
SEED = 3


def main() -> int:
    """Write all of them."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, pile_up in PILE_UP.items():
        _write(folder, "demo", name, next(iter(rf.simulation.simulate(1, pile_up=pile_up, seed=SEED))).hits)
    track_graphs.write_graph(track_graphs.large_graph(), folder / "large.graph")
    shared = Path(os.environ.get("RHEINFALL_SHARED", Path(__file__).parents[2] / "shared"))
    real = shared / "data" / "trackml" / "event21000" / "event000021000"
    try:
        _write(folder, "trackml", "event21000", rf.io.read_event(real).hits)
        track_graphs.write_graph(track_graphs.real_graph(shared), folder / "real.graph")
        _write_network_graph(rf.io.read_event(real).hits, folder / "network.graph")
    except FileNotFoundError as error:
        print(f"TrackML event 21000: skipped, {error}")
    gpu_gnn_inputs.write_networks(folder, shared)
    for path in sorted(p for kind in ("hits", "graph", "rfgnn") for p in folder.glob(f"*.{kind}")):
        with path.open("rb") as plain, gzip.open(f"{path}.gz", "wb", compresslevel=6) as packed:
            shutil.copyfileobj(plain, packed)
        path.unlink()
    return 0


def _write(folder: Path, bundle: str, name: str, hits: rf.Hits) -> None:
    columns = (np.array([len(hits)], np.uint64), hits.module_id, hits.x, hits.y, hits.z)
    (folder / f"{bundle}-{name}.hits").write_bytes(b"".join(np.ascontiguousarray(c).tobytes() for c in columns))
    print(f"{bundle}-{name}: {len(hits)} hits")


def _write_network_graph(hits: rf.Hits, path: Path) -> None:
    scored = rf.TrackFinder.load("trackml").score_edges(hits)
    hits = hits.take(scored.order)
    xyz = np.stack([hits.x, hits.y, hits.z])
    graph = {"edges": scored.graph.edge_index, "scores": scored.scores, "xyz": xyz, "module_id": hits.module_id}
    track_graphs.write_graph(graph, path)


if __name__ == "__main__":
    sys.exit(main())
