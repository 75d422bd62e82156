"""Quick benchmark: each stage beside what it replaces, in one run, interleaved, results checked before they are timed.

python bench/run.py [--event PREFIX] [--pile-up 20] [--repetitions 9] [--threads N] [--only STAGE...] [--out FILE]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from environment import copy_bandwidth, describe_environment, machine_name
from stages import STAGES, Inputs, SkippedError, Stage
from timing import interleave, summarize

import rheinfall as rf

SCHEMA = 1
SPREAD_LIMIT = 0.05


def main() -> int:
    args = _arguments()
    if args.threads is not None:
        rf.set_num_threads(args.threads)
    environment = describe_environment()
    bandwidth = copy_bandwidth()
    configuration = {
        "schema": SCHEMA,
        "event": args.event or {"pile_up": args.pile_up, "seed": args.seed},
        "repetitions": args.repetitions,
        "threads": rf.get_num_threads(),
        "stages": args.only or sorted(STAGES),
    }
    digest = hashlib.sha256(json.dumps(configuration, sort_keys=True).encode()).hexdigest()
    print(f"{environment['cpu']}, {environment['cores']} cores, rheinfall {environment['rheinfall']['version']}")
    print(f"configuration {digest[:12]}, {configuration['threads']} threads, copy {bandwidth['GB/s']:.1f} GB/s")
    inputs = Inputs.make(args.event, args.pile_up, args.seed)
    print(inputs.describe() + "\n")
    print(
        f"{'stage':16s} {'who':14s} {'median ms':>10s} {'spread':>7s} {'cpu ms':>9s} "
        f"{'ratio':>7s} {'of copy':>8s}  checked"
    )
    results, failed = [], False
    for name in configuration["stages"]:
        try:
            stage = STAGES[name](inputs)
            results.append(_time(name, stage, args.repetitions, bandwidth["GB/s"]))
        except SkippedError as reason:
            print(f"{name:16s} skipped: {reason}")
            results.append({"stage": name, "skipped": str(reason)})
        except AssertionError as error:
            failed = True
            print(f"{name:16s} WRONG RESULT, not timed: {error}")
            results.append({"stage": name, "wrong": str(error)})
    print("\nratio: median of the peer / median of ours. of copy: bytes moved at least, over the copy bandwidth.")
    print("cpu ms: median CPU time of all threads, which a busy machine disturbs least.")
    print(f"Spread is (p95 - p5) / median over {args.repetitions} repetitions; ! marks more than {SPREAD_LIMIT:.0%}.")
    report = {
        "schema": SCHEMA,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "environment": environment,
        "copy_bandwidth": bandwidth,
        "configuration": configuration,
        "configuration_sha256": digest,
        "inputs": inputs.sizes(),
        "results": results,
    }
    out = args.out or Path(__file__).parent / "results" / f"{machine_name()}-{environment['rheinfall']['version']}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"Every repetition: {out}")
    return 1 if failed else 0


def _time(name: str, stage: Stage, repetitions: int, gigabytes_per_s: float) -> dict[str, Any]:
    for contender in stage.contenders:
        contender.skipped = contender.skipped or stage.check(contender)
    running = [c for c in stage.contenders if not c.skipped]
    times = interleave([c.run for c in running], repetitions)
    summaries = {c.name: summarize(t) for c, t in zip(running, times, strict=True)}
    ours = summaries[running[0].name]["median_ms"]
    ceiling_ms = stage.n_bytes / gigabytes_per_s / 1e6
    rows = []
    for i, contender in enumerate(stage.contenders):
        label = name if i == 0 else ""
        if contender.skipped:
            print(f"{label:16s} {contender.name:14s} skipped: {contender.skipped}")
            rows.append({"name": contender.name, "skipped": contender.skipped})
            continue
        row = summaries[contender.name]
        flag = "!" if row["spread"] > SPREAD_LIMIT else " "
        ratio = "" if i == 0 else f"{row['median_ms'] / ours:.1f}x"
        fraction = f"{ceiling_ms / row['median_ms']:.1%}"
        wall, cpu = f"{row['median_ms']:10.2f} {row['spread']:6.0%}{flag}", f"{row['cpu_median_ms']:9.2f}"
        print(f"{label:16s} {contender.name:14s} {wall} {cpu} {ratio:>7s} {fraction:>8s}  {contender.checked}")
        rows.append({"name": contender.name, "checked": contender.checked, **row})
    return {"stage": name, "items": stage.items, "bytes": stage.n_bytes, "contenders": rows}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--event", help="a TrackML event instead of a simulated one")
    parser.add_argument("--pile-up", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--only", nargs="+", choices=sorted(STAGES), metavar="STAGE")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.repetitions < 9:
        parser.error("--repetitions: expected at least 9, or the spread means nothing")
    return args


if __name__ == "__main__":
    sys.exit(main())
