"""Load 20,000 and more damaged model files: no crash, no hang, and every error names file and reason.

python tools/malformed_campaign.py [--per-class 200] [--only FORMAT...] [--out bench/results/quantized_malformed.json]

With --only, a report that is there already keeps its other formats.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "python"))

from malformed.campaign import Report, run_campaign  # noqa: E402
from malformed.samples import SAMPLES  # noqa: E402
from malformed.worker import BAD, CPU_LIMIT_S, GOOD, MEMORY_LIMIT  # noqa: E402


def main() -> int:
    """Run, print counts, write them; 1 where anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--per-class", type=int, default=200)
    parser.add_argument("--only", nargs="+", choices=sorted(SAMPLES), metavar="FORMAT")
    parser.add_argument("--first", type=int, default=0, help="number of the first damaged copy of each class")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    start, total = time.monotonic(), Report()
    print(f"{'format':22s} {'classes':>7s} {'files':>7s} {'loaded':>7s} {'refused':>8s} {'wrong':>6s}")
    for name in args.only or SAMPLES:
        try:
            sample = SAMPLES[name]()
        except ImportError as error:
            print(f"{name:22s} skipped: {error}")
            continue
        report = run_campaign([sample], args.per_class, args.first)
        counts = report.total()
        wrong = sum(counts[outcome] for outcome in BAD)
        columns = f"{len(report.counts[sample.name]):7d} {sum(counts.values()):7d} {counts['loaded']:7d}"
        print(f"{name:22s} {columns} {counts['refused']:8d} {wrong:6d}", flush=True)
        for failure in _examples(report):
            print(f"    {failure}")
        total.counts.update(report.counts)
        total.failures += report.failures
        total.slowest_s = max(total.slowest_s, report.slowest_s)
    counts = total.total()
    wrong = sum(counts[outcome] for outcome in BAD)
    print(f"{sum(counts.values())} files: " + ", ".join(f"{counts[o]} {o}" for o in (*GOOD, *BAD)))
    print(f"slowest {total.slowest_s:.2f} s of CPU time; {time.monotonic() - start:.0f} s in all")
    if args.out is not None:
        document = _document(total, args.per_class)
        if args.only and args.out.exists():
            document = _merge(json.loads(args.out.read_text(encoding="utf-8")), document)
        args.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 1 if wrong else 0


def _examples(report: Report) -> list[str]:
    """One line per kind of failure."""
    seen: dict[tuple[str, str], str] = {}
    kinds: Counter[tuple[str, str]] = Counter()
    for f in report.failures:
        kind = (f["outcome"], f["message"].split(":")[0][:60])
        kinds[kind] += 1
        seen.setdefault(kind, f"{f['outcome']}: {f['mutation']} {f['number']}: {' '.join(f['message'].split())[:200]}")
    return [f"{kinds[kind]} x {text}" for kind, text in seen.items()]


def _document(report: Report, per_class: int) -> dict[str, Any]:
    import rheinfall as rf

    return {
        "schema": 1,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": f"python tools/malformed_campaign.py --per-class {per_class} --out ...",
        "rheinfall": rf.build_info(),
        "python": platform.python_version(),
        "limits": {"cpu_s": CPU_LIMIT_S, "memory_bytes_over_baseline": MEMORY_LIMIT},
        "files": sum(report.total().values()),
        "outcomes": dict(report.total()),
        "slowest_cpu_s": round(report.slowest_s, 3),
        "by_format": {s: {m: dict(c) for m, c in classes.items()} for s, classes in report.counts.items()},
        "failures": report.failures,
    }


def _merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The new report, with the formats of the old one that it lacks."""
    formats = {**old["by_format"], **new["by_format"]}
    outcomes: Counter[str] = Counter()
    for classes in formats.values():
        for counts in classes.values():
            outcomes.update(counts)
    kept = [failure for failure in old["failures"] if failure["sample"] not in new["by_format"]]
    return {
        **new,
        "files": sum(outcomes.values()),
        "outcomes": dict(outcomes),
        "slowest_cpu_s": max(old["slowest_cpu_s"], new["slowest_cpu_s"]),
        "by_format": formats,
        "failures": kept + new["failures"],
    }


if __name__ == "__main__":
    sys.exit(main())
