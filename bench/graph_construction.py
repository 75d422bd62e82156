"""Graph construction of a real event with the shipped map: every version, events a second.

cmake --preset release && cmake --build --preset release --target graph_event
python bench/graph_construction.py [--event PREFIX] [--repetitions 15] [--out FILE]
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

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from environment import describe_environment

import rheinfall as rf

ROOT = Path(__file__).parents[1]
PROGRAM = ROOT / "build" / "release" / "bench" / "graph_event"


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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    shared = Path(os.environ.get("RHEINFALL_SHARED", ROOT.parent / "shared"))
    parser.add_argument("--event", default=str(shared / "data" / "trackml" / "event21000" / "event000021000"))
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--program", type=Path, default=PROGRAM)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "graph_construction.json")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
