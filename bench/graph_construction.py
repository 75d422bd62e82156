"""Graph construction of a real event with the shipped map: every version, events a second, the slow definition.

cmake --preset release && cmake --build --preset release --target graph_event
python bench/graph_construction.py [--event PREFIX] [--repetitions 15] [--definition] [--out FILE]

--definition also evaluates the definition in NumPy on the hits of the pixels' barrel: in float32, whose edges must be
ours, in float64, and in float64 with limits that are a little wider. Some minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from environment import describe_environment

import rheinfall as rf
from rheinfall.reference import graph_construction as reference

ROOT = Path(__file__).parents[1]
PROGRAM = ROOT / "build" / "release" / "bench" / "graph_event"
WIDENING = 4e-6
"""Of the larger of a limit and its quantity's scale: what float32 may lose in a few operations."""
SCALES = np.array([1000, np.pi, 1e-2, 4] * 2 + [1, 0.1])  # mm, rad, rad/mm, 1, twice; dz/dr, rad


class Part:
    """What a module map says of some modules, with limits that hold a little more if `wider`."""

    def __init__(self, module_map: rf.ModuleMap, modules: Any, wider: bool = False) -> None:
        self.map, self.modules, self.wider = module_map, np.unique(modules), wider
        self.n_triplets, self.bend = module_map.n_triplets, module_map.bend

    def doublets(self) -> tuple[Any, Any]:
        modules, limits = self.map.doublets()
        known = np.isin(modules, self.modules).all(axis=1)
        return modules[known], _widened(limits[known], SCALES[:4]) if self.wider else limits[known]

    def triplets(self) -> tuple[Any, Any, Any]:
        modules, occurrence, limits = self.map.triplets()
        known = np.isin(modules, self.modules).all(axis=1)
        limits = _widened(limits[known], SCALES) if self.wider else limits[known]
        return modules[known], occurrence[known], limits


def _widened(limits: Any, scales: Any) -> Any:
    margin = WIDENING * np.maximum(np.abs(limits.astype(np.float64)), scales[:, None])
    return limits + margin * np.array([-1, 1])


def main() -> int:
    """Measure, print, write."""
    args = _arguments()
    event = rf.io.read_event(args.event)
    module_map_path = Path(rf.__file__).parent / "bundles" / "trackml" / "module_map.rfmap"
    with tempfile.TemporaryDirectory() as folder:
        hits = Path(folder) / "hits.bin"
        _write_hits(event.hits, hits)
        command = [str(args.program), str(hits), str(module_map_path)]
        report = json.loads(_run([*command, str(args.repetitions)]))
        report["peak_memory_MB"] = _peak_memory(command)
        for n in (1, 2):
            report[f"events_per_s_{n}_processes"] = _rate(command, n)
    if args.definition:
        report["definition"] = _definition(event.hits, rf.ModuleMap.load(module_map_path))
    out = {
        "event": Path(args.event).name,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "environment": describe_environment(),
        **report,
    }
    args.out.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))
    return 0


def _write_hits(hits: rf.Hits, path: Path) -> None:
    with path.open("wb") as file:
        for column in (np.array([len(hits)], np.uint64), hits.module_id, hits.x, hits.y, hits.z):
            file.write(np.ascontiguousarray(column).tobytes())


def _run(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _rate(command: list[str], n: int) -> float:
    """Events a second of `n` processes at once, one thread each."""
    running = [subprocess.Popen([*command, "--for", "4"], stdout=subprocess.PIPE, text=True) for _ in range(n)]
    return float(sum(float(p.communicate()[0]) for p in running))


def _peak_memory(command: list[str]) -> float:
    """Resident memory of one process at its peak, map and event included [MB]."""
    process = subprocess.Popen([*command, "--for", "0.2"], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise RuntimeError(f"{command[0]} ended with status {status}")
    return usage.ru_maxrss / 1e3


def _definition(event: rf.Hits, module_map: rf.ModuleMap) -> dict[str, Any]:
    """The definition on the hits of the pixels' barrel, volume 8; all of them did not end in 25 busy minutes."""
    hits = event.take(np.flatnonzero(event.module_id >> np.uint64(56) == 8))
    arrays = (hits.x, hits.y, hits.z, hits.module_id)
    part, wider = Part(module_map, hits.module_id), Part(module_map, hits.module_id, wider=True)
    ours = _edges(rf.build_graph(hits, module_map).edge_index)
    single = _edges(reference.build_graph(*arrays, part))
    double = _edges(reference.build_graph(*arrays, part, np.float64))
    return {
        "volume": 8,
        "hits": len(hits),
        "edges": len(ours),
        "float32_edges_that_differ_from_ours": len(ours ^ single),
        "float64_edges": len(double),
        "only_in_float32": len(ours - double),
        "only_in_float64": len(double - ours),
        f"only_in_float32_with_limits_wider_by_{WIDENING:g}": len(
            ours - _edges(reference.build_graph(*arrays, wider, np.float64))
        ),
    }


def _edges(edge_index: Any) -> set[tuple[int, int]]:
    return set(zip(*edge_index.tolist(), strict=True))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    shared = Path(os.environ.get("RHEINFALL_SHARED", ROOT.parent / "shared"))
    parser.add_argument("--event", default=str(shared / "data" / "trackml" / "event21000" / "event000021000"))
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--program", type=Path, default=PROGRAM)
    parser.add_argument("--definition", action="store_true")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "graph_construction.json")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
