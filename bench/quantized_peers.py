"""Quantized networks in Python beside what runs them today, in one run: results checked first, contenders in turns.

python bench/quantized_peers.py [--only NETWORK...] [--seconds 1] [--batches 1 10000 100000] [--quick] [--out FILE]
                                [--merge] [--emulations FOLDER] [--at-most SECONDS]

In parts, each short enough to stop other jobs for: --emulations keeps hls4ml's compiled code from part to part (a first
run with --prepare only compiles), --merge keeps the tables of the file that a part does not take again.

A block is as many calls as take 50 µs (one where a call takes longer); p50 and p99 are over blocks, per call or, for
batches, per event; spread is (p95 - p5) / p50. For comparison: `pass`, and a call of a C function without arguments.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import quantized_contenders as peers
from environment import describe_environment, machine_name
from quantized_contenders import Contender
from quantized_networks import SPECS, Spec
from timing import time_blocks

import rheinfall as rf
from rheinfall.quantized.fixed_point import parse


def ours(spec: Spec, x: Any, label: str = "rheinfall") -> list[Contender]:
    """The three ways to call a network, on real values and, as a trigger has them, on stored integers."""
    net = rf.quantized.Network(spec.document())
    contenders = []
    for kind, events in (("", x), (" int", spec.stored(x))):
        out = np.zeros((len(x), net.n_outputs), np.int32 if kind else x.dtype)
        if len(x) == 1:
            events, out = events[0], out[0]
        names = {"net": net, "x": events, "out": out, "run": net.bind(events, out)}
        for title, call in (("net(x)", "net(x)"), ("run_into", "net.run_into(x, out)"), ("bound", "run()")):
            contenders.append(Contender(f"{label}{kind} {title}", call, names, _evaluate(call, names), not kind))
    return contenders


def _evaluate(call: str, names: dict[str, Any]) -> Any:
    return lambda: eval(call, names)


def gather(
    spec: Spec, x: Any, folder: Path, emulations: Path, cache: dict[str, Any], quick: bool
) -> tuple[list[Contender], list[str]]:
    """Ours first, then the peers that are installed; and why others are not here."""
    core, skipped = spec.core(), []
    contenders = ours(core, x)
    if spec.scaled or spec.score:
        contenders += ours(spec, x, "whole")
    builders: list[Any] = [lambda: peers.onnx_runtime(core, x, folder)]
    if not quick:
        if len(x) <= 10_000:  # it runs event by event: more of them tell nothing new
            builders.append(lambda: peers.hls4ml_emulation(core, _emulation(core, emulations, cache), x))
        if len(x) == 1:
            builders.append(lambda: peers.qonnx_executor(core, x))
    for build in builders:
        try:
            contenders += build()
        except ImportError as error:
            skipped.append(f"no {error.name}")
    return contenders, skipped


def _emulation(core: Spec, folder: Path, cache: dict[str, Any]) -> Any:
    if core.name not in cache:
        import contextlib
        import io

        with contextlib.redirect_stdout(io.StringIO()):
            cache[core.name] = peers.hls4ml_graph(core, folder / core.name.replace(", ", "_").replace(" ", "_"))
    return cache[core.name]


def check(contenders: list[Contender]) -> dict[str, str]:
    """What each result has to do with ours; AssertionError where one that must be equal is not."""
    reference = np.asarray(contenders[0].result()).copy().reshape(-1)
    notes = {}
    for contender in contenders:
        if contender.name.startswith("whole"):
            notes[contender.name] = "with scaling and score"
            continue
        if " int " in contender.name and "ORT" not in contender.name:
            continue  # compared with the real values below
        result = np.asarray(contender.result()).reshape(-1)
        n_different = int(np.count_nonzero(result != reference))
        if contender.exact:
            assert n_different == 0, f"{contender.name}: {n_different} of {len(reference)} values differ"
            notes[contender.name] = "same bits"
        else:
            largest = float(np.max(np.abs(result - reference)))
            notes[contender.name] = f"{1 - n_different / len(reference):.0%} equal, off by up to {largest:.3g}"
    integers = np.asarray(contenders[3].result()).reshape(-1)
    step = 2.0 ** -parse(contenders[3].names["net"].describe()["outputs"][0]["type"]).fraction
    assert np.array_equal(integers * step, reference), "stored integers and real values differ"
    notes |= {c.name: "same bits" for c in contenders[3:6]}
    return notes


def measure(spec: Spec, batch: int, folder: Path, cache: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """One network at one batch size."""
    x = spec.draw(batch)
    contenders, skipped = gather(spec, x, folder, args.emulations or folder, cache, args.quick)
    notes = check(contenders)
    if batch == 1:
        contenders += [Contender("(pass)", "pass", {}, lambda: None, True),
                       Contender("(empty call)", "f()", {"f": gc.isenabled}, lambda: None, True)]  # fmt: skip
    rows = time_blocks([(c.statement, c.names) for c in contenders], args.seconds, args.at_most)
    print(f"\n{spec.name}, {'-'.join(map(str, spec.sizes))}, batch {batch}" + "".join(f"; {s}" for s in skipped))
    unit = 1 if batch == 1 else batch
    print(
        f"  {'':24s} {'p50 ns':>10s} {'p99 ns':>10s} {'spread':>7s} {'per s':>9s}"
        + ("" if unit == 1 else "  per event")
    )
    for contender, row in zip(contenders, rows, strict=True):
        for key in ("p50_ns", "p99_ns", "best_ns"):
            row[key] /= unit
        row |= {"name": contender.name, "statement": contender.statement, "checked": notes.get(contender.name, "")}
        rate = f"{1e3 / row['p50_ns']:.4g} M"
        columns = f"{row['p50_ns']:10.1f} {row['p99_ns']:10.1f} {row['spread']:7.0%} {rate:>9s}"
        print(f"  {contender.name:24s} {columns}  {row['checked']}", flush=True)
    return {
        "network": spec.name, "sizes": spec.sizes, "batch": batch, "time": _now(), "skipped": skipped,
        "contenders": rows,
    }  # fmt: skip


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def merge(report: dict[str, Any], older: dict[str, Any]) -> dict[str, Any]:
    """The report with those tables and loading times of an older one that it has not; each names its commit."""
    for section, keys in (("tables", ("network", "batch")), ("load", ("network",))):
        taken = {tuple(entry[key] for key in keys) for entry in report[section]}
        kept = [entry for entry in older[section] if tuple(entry[key] for key in keys) not in taken]
        order = list(SPECS)
        report[section] = sorted(
            kept + report[section], key=lambda entry: (order.index(entry["network"]), entry.get("batch", 0))
        )
    return report


def time_loading(spec: Spec, folder: Path) -> dict[str, Any]:
    """Milliseconds from a file to a network that can be called."""
    path = folder / "network.json"
    path.write_text(json.dumps(spec.document()), encoding="utf-8")
    times = []
    for _ in range(30):
        start = time.perf_counter()
        rf.quantized.load(path)
        times.append(1e3 * (time.perf_counter() - start))
    p50, p99 = (float(p) for p in np.percentile(times, [50, 99]))
    print(f"{spec.name}: loaded in {p50:.2f} ms (p99 {p99:.2f}), file to network, no compiler")
    return {"network": spec.name, "p50_ms": p50, "p99_ms": p99}


def main() -> int:
    """Measure, print, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", choices=sorted(SPECS), metavar="NETWORK")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 10_000, 100_000])
    parser.add_argument("--seconds", type=float, default=1.0, help="of the fastest contender, per table")
    parser.add_argument("--quick", action="store_true", help="without the peers that need a compiler or seconds a call")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--merge", action="store_true", help="keep what the file has of other networks and batches")
    parser.add_argument("--emulations", type=Path, help="keep hls4ml's compiled code in this folder, and use it")
    parser.add_argument("--prepare", action="store_true", help="compile into --emulations, measure nothing")
    parser.add_argument("--at-most", type=float, default=float("inf"), help="seconds that a table may be timed for")
    args = parser.parse_args()
    specs = [SPECS[name] for name in args.only or SPECS]
    if args.prepare:
        for spec in specs:
            _emulation(spec.core(), args.emulations, {})
        return 0
    rf.set_num_threads(1)
    environment = describe_environment()
    print(f"{environment['cpu']}, {environment['cores']} cores, load {environment['load_at_start']:.1f}")
    cache: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        loads = [time_loading(spec, folder) for spec in specs]
        tables = [measure(spec, batch, folder, cache, args) for spec in specs for batch in args.batches]
    of = {key: environment[key] for key in ("commit", "dirty", "load_at_start")}
    report = {
        "schema": 1,
        "time": _now(),
        "command": " ".join(["python", "bench/quantized_peers.py", *_options(sys.argv[1:])]),
        "environment": environment,
        "load": [entry | of for entry in loads],
        "tables": [entry | of for entry in tables],
    }
    version = environment["rheinfall"]["version"]
    out = args.out or Path(__file__).parent / "results" / f"quantized_peers-{machine_name()}-{version}.json"
    if args.merge and out.exists():
        report = merge(report, json.loads(out.read_text(encoding="utf-8")))
    out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"\n{out}")
    return 0


def _options(arguments: list[str]) -> list[str]:
    """The arguments, folders and files of this machine by a placeholder."""
    return [
        before.removeprefix("--").upper() if before in ("--out", "--emulations") else argument
        for before, argument in zip(["", *arguments], arguments, strict=False)
    ]


if __name__ == "__main__":
    sys.exit(main())
