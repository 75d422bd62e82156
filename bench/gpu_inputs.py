"""Events and maps for the programs that time tracking without Python: FOLDER/BUNDLE-NAME.hits and BUNDLE.rfmap.

python bench/gpu_inputs.py FOLDER

Scored graphs for track building: FOLDER/real.graph and FOLDER/large.graph (track_graphs.py).

Simulated events of about 120,000 and 300,000 hits with the demo bundle's map, and, where ../shared or RHEINFALL_SHARED
has it, TrackML event 21000 with the trackml bundle's map.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

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
    except FileNotFoundError as error:
        print(f"TrackML event 21000: skipped, {error}")
    return 0


def _write(folder: Path, bundle: str, name: str, hits: rf.Hits) -> None:
    columns = (np.array([len(hits)], np.uint64), hits.module_id, hits.x, hits.y, hits.z)
    (folder / f"{bundle}-{name}.hits").write_bytes(b"".join(np.ascontiguousarray(c).tobytes() for c in columns))
    module_map = folder / f"{bundle}.rfmap"
    if not module_map.exists():
        shutil.copyfile(Path(rf.__file__).parent / "bundles" / bundle / "module_map.rfmap", module_map)
    print(f"{bundle}-{name}: {len(hits)} hits")


if __name__ == "__main__":
    sys.exit(main())
