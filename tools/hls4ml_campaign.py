"""Compare imported hls4ml networks with hls4ml's own C++ emulation: `python tools/hls4ml_campaign.py`.

The networks of triggers by name, then random ones (layers, widths, modes, strategies, reuse factors) until enough have
been compared, 1,000 events each. One line of JSON per network goes to the checkpoint file, which a rerun continues. At
the end the counts go to bench/results/quantized_exactness.json and the hashes beside it. About ten seconds per network.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from exactness_record import ROOT, record

sys.path.insert(0, str(ROOT / "tests" / "python"))

import hls4ml_compare
import hls4ml_emulation
from hls4ml_named import NAMED
from hls4ml_networks import FIRST_SPECIAL

HASHES = ROOT / "bench" / "results" / "hls4ml_networks.json"


def read_checkpoint(path: Path) -> dict[str, dict[str, Any]]:
    """What has been compared so far, by network."""
    if not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
    return {line["network"]: line for line in lines}


def summarize(done: dict[str, dict[str, Any]], options: argparse.Namespace) -> None:
    """Write counts and hashes."""
    compared = {key: line for key, line in done.items() if line["status"] == "compared"}
    hashes = {key: compared[key]["sha256"] for key in sorted(compared)}
    HASHES.write_text(json.dumps({"events": options.events, "sha256": hashes}, indent=1) + "\n")
    layers = Counter(layer for line in compared.values() for layer in line["layers"])
    record(
        "hls4ml_emulation",
        {
            "networks": len(compared),
            "random_networks": sum(key.startswith("seed") for key in compared),
            "named_networks": sorted(key.partition(":")[2] for key in compared if key.startswith("named")),
            "events": sum(line["events"] for line in compared.values()),
            "mismatches": sum(line["mismatches"] for line in compared.values()),
            "networks_with_mismatches": sorted(key for key, line in compared.items() if line["mismatches"]),
            "reference_mismatches": sum(line["reference_mismatches"] for line in compared.values()),
            "model_objects": sum("model_object_differs" in line for line in compared.values()),
            "model_objects_that_differ": sum(line.get("model_object_differs", False) for line in compared.values()),
            "not_compared": dict(Counter(line["status"] for line in done.values() if line["status"] != "compared")),
            "backends": dict(Counter(line["backend"] for line in compared.values())),
            "io_types": dict(Counter(line["io_type"] for line in compared.values())),
            "layers": dict(sorted(layers.items())),
            "sha256": hashlib.sha256(json.dumps(hashes).encode()).hexdigest(),
            "command": f"python tools/hls4ml_campaign.py --networks {options.networks} --events {options.events}",
        },
    )


def main() -> None:
    """Run or continue the campaign; the exit status tells of mismatches."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--networks", type=int, default=150, help="random networks to compare")
    arguments.add_argument("--special", type=int, default=50, help="networks of what chance seldom brings, first")
    arguments.add_argument("--events", type=int, default=1000)
    arguments.add_argument("--nice", type=int, default=10)
    arguments.add_argument("--checkpoint", type=Path, default=ROOT / "out" / "hls4ml_campaign.jsonl")
    arguments.add_argument("--again", nargs="*", default=[], help="networks to compare once more, as seed:17")
    options = arguments.parse_args()
    reason = hls4ml_emulation.missing()
    if reason:
        sys.exit(f"nothing to compare with: {reason}")
    os.nice(options.nice)
    options.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    done = read_checkpoint(options.checkpoint)
    for key in options.again:
        done.pop(key, None)
    special = range(FIRST_SPECIAL, FIRST_SPECIAL + options.special)
    keys = [f"named:{name}" for name in NAMED] + [f"seed:{seed}" for seed in special]
    keys += [f"seed:{seed}" for seed in range(4 * options.networks)]
    common = frozenset(keys[-4 * options.networks :])
    with tempfile.TemporaryDirectory() as folder, options.checkpoint.open("a") as checkpoint:
        emulation = hls4ml_emulation.Emulation(Path(folder))
        for number, key in enumerate(keys):
            compared = sum(line["status"] == "compared" and name in common for name, line in done.items())
            if compared >= options.networks:
                break
            if key in done:
                continue
            by_model = key.startswith("named") or number % 10 == 0
            project = Path(folder) / key.replace(":", "_")
            done[key] = hls4ml_compare.compare(key, emulation, project, options.events, by_model)
            checkpoint.write(json.dumps(done[key]) + "\n")
            checkpoint.flush()
            print({name: done[key].get(name) for name in ("network", "status", "mismatches", "reason")}, flush=True)
    summarize(done, options)
    if any(line.get("mismatches") or line.get("reference_mismatches") for line in done.values()):
        sys.exit("mismatches")


if __name__ == "__main__":
    main()
