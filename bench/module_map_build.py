"""Build the module map that `module_map_quality.py` judges, in parts that survive an interruption.

    python bench/module_map_build.py --detectors ../shared/data/trackml/detectors.csv.gz --work FOLDER

One process. Each part is the map of a few simulated events with its statistics, and a JSON file of the seconds that it
took; parts that are there are not made again. Needs the extra [acts].
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rheinfall as rf
from rheinfall import _core
from rheinfall.training import trackml
from rheinfall.training.trackml import Sample

EVENTS_PER_PART = trackml.EVENTS_PER_PART

# Those of the recipe of the bundle trackml.
SAMPLES = trackml.MAP_SAMPLES


def list_parts(work: Path) -> Iterator[tuple[Path, Sample, int]]:
    """File, sample and first event of each part of the map."""
    for number, sample in enumerate(SAMPLES):
        for first in range(0, sample.n_events, EVENTS_PER_PART):
            yield work / f"{number}-{first:04d}.rfmap", sample, first


def build_part(path: Path, sample: Sample, first: int, detectors: Path) -> None:
    """Simulate the events of a part and learn from them; the seconds of both go beside the map."""
    seconds = {"simulate": 0.0}
    start = time.process_time()

    def events() -> Iterator[rf.Event]:
        source = sample.events(detectors, first, min(first + EVENTS_PER_PART, sample.n_events))
        while True:
            begin = time.process_time()
            event = next(source, None)
            seconds["simulate"] += time.process_time() - begin
            if event is None:
                return
            yield event

    symmetries = trackml.detector_symmetries(detectors)
    part = rf.ModuleMap.build(events(), min_pt=sample.min_pt, symmetries=symmetries)
    seconds["total"] = time.process_time() - start
    part.save(path)
    path.with_suffix(".json").write_text(json.dumps(seconds) + "\n")


def merge_parts(work: Path) -> tuple[_core.ModuleMapBuilder, dict[str, Any]]:
    """Statistics of all parts that are there, and how many events and CPU seconds they took."""
    merged = _core.ModuleMapBuilder("angle")
    facts: dict[str, Any] = {"events": {}, "cpu_s": 0.0}
    for path, sample, first in list_parts(work):
        if not path.with_suffix(".json").exists():
            continue
        merged.merge(_core.ModuleMapBuilder.load(str(path)))
        n = min(first + EVENTS_PER_PART, sample.n_events) - first
        facts["events"][sample.name] = facts["events"].get(sample.name, 0) + n
        facts["cpu_s"] += json.loads(path.with_suffix(".json").read_text())["total"]
    n_events = sum(facts["events"].values())
    facts["cpu_s_per_100_events"] = round(100 * facts["cpu_s"] / n_events, 1) if n_events else None
    facts["samples"] = [sample.to_dict() for sample in SAMPLES]
    return merged, facts


def main() -> None:
    """Build what is missing, the samples in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detectors", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    # A map of fewer parts should hold every sample: those of all samples go forward together.
    for path, sample, first in sorted(list_parts(args.work), key=lambda part: (part[2] + 1) / part[1].n_events):
        if not path.with_suffix(".json").exists():
            build_part(path, sample, first, args.detectors)
            print(path.name, path.with_suffix(".json").read_text().strip(), flush=True)


if __name__ == "__main__":
    main()
