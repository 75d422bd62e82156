"""Pruning and edge features of a real and of a simulated event with the shipped map: every version, with spread.

cmake --preset release -DRHEINFALL_BENCH=ON && cmake --build --preset release --target edge_features_event
python bench/edge_features.py [--chi2-max 25] [--repetitions 31] [--out FILE]

The simulated event has 10,000 pions; it needs the extra [acts] and is left out, saying so, without it.
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
from rheinfall.tracking.hit_order import canonical_hit_order
from rheinfall.training import trackml

ROOT = Path(__file__).parents[1]
PROGRAM = ROOT / "build" / "release" / "bench" / "edge_features_event"
MODULE_MAP = Path(rf.__file__).parent / "bundles" / "trackml" / "module_map.rfmap"
PIONS = {"seed": 9001, "n_particles": 10_000, "pt_range": (0.5, 20.0), "eta_max": 3.0, "field": "constant"}


def main() -> int:
    """Measure, print, write."""
    args = _arguments()
    report: dict[str, Any] = {"chi2_max": args.chi2_max, "repetitions": args.repetitions}
    for name, hits in _events(args.shared):
        report[name] = _measure(args, hits) if hits is not None else "left out: needs pyacts"
    out = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "environment": describe_environment(), **report}
    args.out.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))
    return 0


def _events(shared: Path) -> list[tuple[str, rf.Hits | None]]:
    real = rf.io.read_event(shared / "data" / "trackml" / "event21000" / "event000021000")
    detectors = shared / "data" / "trackml" / "detectors.csv.gz"
    try:
        pions = next(rf.simulation.fatras(1, detectors=detectors, **PIONS)).hits
    except ImportError:
        pions = None
    return [("event 21000", real.hits), ("10,000 pions", pions)]


def _measure(args: argparse.Namespace, hits: rf.Hits) -> Any:
    """The program's report on the hits in the canonical order, in which a track finder has them."""
    hits = hits.take(canonical_hit_order(hits))
    with tempfile.TemporaryDirectory() as folder:
        event, resolution = Path(folder) / "hits.bin", Path(folder) / "resolution.bin"
        with event.open("wb") as file:
            for column in (np.array([len(hits)], np.uint64), hits.module_id, hits.x, hits.y, hits.z):
                file.write(np.ascontiguousarray(column).tobytes())
        trackml.TRIPLET_MODEL.table().tofile(resolution)
        command = [args.program, event, MODULE_MAP, resolution, args.chi2_max, args.repetitions]
        run = subprocess.run([*args.prefix, *map(str, command)], check=True, capture_output=True, text=True)
    return json.loads(run.stdout)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    shared = Path(os.environ.get("RHEINFALL_SHARED", ROOT.parent / "shared"))
    parser.add_argument("--shared", type=Path, default=shared)
    parser.add_argument("--chi2-max", type=float, default=25.0)
    parser.add_argument("--repetitions", type=int, default=31)
    parser.add_argument("--program", type=Path, default=PROGRAM)
    parser.add_argument("--prefix", nargs="*", default=[], help="a command that runs the program")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "edge_features.json")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
