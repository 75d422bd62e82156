"""Time a forest beside conifer, xgboost, treelite and ONNX Runtime: `python bench/forest_peers.py`.

One forest of 100 trees of depth 4 on 16 features, trained by xgboost, is given to all as float32, and to
conifer and to us also as ap_fixed<18,8>. Results are compared before anything is timed: bits where they must be equal,
else the largest difference. Calls take turns, so that a noisy minute hits all alike; one thread each. `--parts cpp
--cpp bench_forest` takes that program's own figures (Google Benchmark: C++ calls, no Python). JSON: bench/results.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from environment import describe_environment, machine_name
from timing import BLOCK_S, time_blocks

import rheinfall as rf

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "python"))

import forest_models

ROOT = Path(__file__).parents[1]
N_FEATURES = 16
PARTS = ("python", "cpp")


@dataclass
class Contender:
    """`run` computes the events in float32 that `prepare` was given; `exact`: its bits must be `want`'s."""

    name: str
    prepare: Callable[[Any], Callable[[], Any]]
    want: str  # "float32" or "fixed"
    exact: bool
    largest_batch: int = 10000


def train(folder: Path) -> tuple[Any, np.ndarray]:
    """The forest, and events that it was not trained on."""
    import xgboost

    random = np.random.default_rng(0)
    x = random.normal(size=(20000, N_FEATURES)).astype(np.float32)
    y = (x[:, :6].sum(1) + x[:, 6] * x[:, 7] + random.normal(size=len(x)) > 0).astype(int)
    parameters = {"objective": "binary:logistic", "max_depth": 4, "verbosity": 0, "nthread": 1, "base_score": 0.5}
    booster = xgboost.train(parameters, xgboost.DMatrix(x, y), 100)
    booster.save_model(folder / "forest.json")
    return booster, random.normal(size=(10000, N_FEATURES)).astype(np.float32)


def conifer_json(forest: Any, folder: Path, precision: str) -> tuple[Path, Any]:
    """The same forest as conifer saves it, and conifer's compiled emulation of it."""
    document = forest.document
    trees = []
    for tree in document["trees"]:
        leaf = [left < 0 for left in tree["left"]]
        feature = [-2 if is_leaf else f for f, is_leaf in zip(tree["feature"], leaf, strict=True)]
        weight = [[int(i == f) for i in range(N_FEATURES)] for f in feature]
        trees.append([{"feature": feature, "threshold": tree["threshold"], "value": tree["value"], "weight": weight,
                       "children_left": tree["left"], "children_right": tree["right"]}])  # fmt: skip
    ensemble = {"n_classes": 2, "n_features": N_FEATURES, "n_trees": len(trees), "max_depth": 4, "norm": 1.0,
                "init_predict": document["initial"], "library": "xgboost", "trees": trees,
                "splitting_convention": document["comparison"]}  # fmt: skip
    config = {"Backend": "cpp", "Precision": precision}
    path = forest_models.save_conifer(ensemble, config, folder / f"{precision}.json")
    return path, forest_models.Emulation(folder / f"build {precision}".replace(" ", "_"), config, ensemble)


def ours(forest: Any) -> Callable[[Any], Callable[[], Any]]:
    """A call with an array."""
    return lambda x: lambda: forest(x)


def bound(forest: Any) -> Callable[[Any], Callable[[], Any]]:
    """A call with buffers held."""
    return lambda x: forest.bind(x, np.empty((len(x), 1), np.float32))


def conifer(emulation: Any) -> Callable[[Any], Callable[[], Any]]:
    """conifer's call, event by event, as its decision_function does."""
    bridge = emulation.model.bridge

    def prepare(x: Any) -> Callable[[], Any]:
        rows = x.astype(np.float64)
        return lambda: np.array([bridge.decision_function(row) for row in rows])

    return prepare


def contenders(booster: Any, folder: Path) -> list[Contender]:
    """Whoever is installed; who is not is named."""

    forest = rf.quantized.load_forest(folder / "forest.json")
    found = [
        Contender("rheinfall float32", ours(forest), "float32", True),
        Contender("rheinfall float32, bound", bound(forest), "float32", True),
        Contender("xgboost inplace_predict", _inplace(booster), "float32", True),
        Contender("xgboost DMatrix", _matrix(booster), "float32", True),
    ]
    missing = forest_models.why_no_emulation()
    if missing is None:
        for precision, want in (("ap_fixed<18,8>", "fixed"), ("float", "float32")):
            path, emulation = conifer_json(forest, folder, precision)
            found.append(Contender(f"conifer cpp {precision}", conifer(emulation), want, True, 100))
            if want == "fixed":
                fixed = rf.quantized.load_forest(path)
                found.append(Contender("rheinfall ap_fixed<18,8>", ours(fixed), want, True))
                found.append(Contender("rheinfall ap_fixed<18,8>, bound", bound(fixed), want, True))
    else:
        print(f"without conifer: {missing}")
    for add in (_onnx_runtime, _treelite):
        try:
            found.append(add(booster, folder))
        except ImportError as error:
            print(f"without {add.__name__[1:]}: {error}")
    return found


def _inplace(booster: Any) -> Callable[[Any], Callable[[], Any]]:
    return lambda x: lambda: booster.inplace_predict(x, predict_type="margin")


def _matrix(booster: Any) -> Callable[[Any], Callable[[], Any]]:
    import xgboost

    return lambda x: lambda: booster.predict(xgboost.DMatrix(x, nthread=1), output_margin=True)


def _onnx_runtime(booster: Any, folder: Path) -> Contender:
    import onnxruntime
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    model = convert_xgboost(booster, initial_types=[("x", FloatTensorType([None, N_FEATURES]))], target_opset=15)
    for attribute in (a for node in model.graph.node for a in node.attribute if a.name == "post_transform"):
        attribute.s = b"NONE"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    outputs = [session.get_outputs()[-1].name]
    run = lambda x: lambda: session.run(outputs, {"x": x})[0]  # noqa: E731
    return Contender("ONNX Runtime", run, "float32", False)


def _treelite(booster: Any, folder: Path) -> Contender:
    import treelite

    model = treelite.frontend.load_xgboost_model(str(folder / "forest.json"))
    return Contender(
        "treelite gtil",
        lambda x: lambda: treelite.gtil.predict(model, x, nthread=1, pred_margin=True),
        "float32",
        False,
    )


def check(found: list[Contender], x: np.ndarray) -> dict[str, float]:
    """The largest difference to our walk of each; an exact one must have none."""
    differences = {}
    for want in ("float32", "fixed"):
        mine = [c for c in found if c.want == want]
        reference = np.squeeze(next(c for c in mine if c.name.startswith("rheinfall")).prepare(x)())
        for c in mine:
            got = np.asarray(c.prepare(x)())
            got = np.squeeze(got[:, -1] if got.ndim == 2 else got.reshape(len(x), -1)[:, -1])
            differences[c.name] = float(np.abs(got - reference).max())
            if c.exact and differences[c.name] != 0:
                raise SystemExit(f"{c.name}: differs by {differences[c.name]}")
    return differences


def times(found: list[Contender], x: np.ndarray, batch: int, seconds: float, at_most_s: float) -> dict[str, Any]:
    """p50 and p99 over blocks of 50 µs, ns an event; single events of a block differ, and so do the blocks' first."""
    taking = [c for c in found if batch <= c.largest_batch]
    statements, events = [], []
    for c in taking:
        calls = [
            c.prepare(np.ascontiguousarray(x[i * batch : (i + 1) * batch])) for i in range(min(500, len(x) // batch))
        ]
        once = min(timeit.repeat(calls[0], number=1, repeat=5))
        n = min(max(1, round(BLOCK_S / once)), len(calls))
        blocks = itertools.cycle([calls[i : i + n] for i in range(0, len(calls) - n + 1, n)])
        statements.append(("for call in next(blocks): call()", {"blocks": blocks}))
        events.append(n * batch)
    results = {}
    for c, n, row in zip(taking, events, time_blocks(statements, seconds, at_most_s), strict=True):
        timed = {key: row[key] / n for key in ("p50_ns", "p99_ns", "best_ns")}
        results[c.name] = timed | {"spread": row["spread"], "blocks": row["blocks"], "events_per_block": n}
    return results


def cpp_figures(program: Path) -> dict[str, Any]:
    """Google Benchmark's repetitions of bench_forest: ns an event."""
    command = [str(program), "--benchmark_repetitions=9", "--benchmark_min_time=0.01", "--benchmark_format=json",
               "--benchmark_enable_random_interleaving=true"]  # fmt: skip
    report = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    found: dict[str, Any] = {}
    for b in report["benchmarks"]:
        if b["run_type"] == "iteration":
            entry = found.setdefault(b["name"], {"kernel": b["label"], "table_bytes": b["table_bytes"], "ns": []})
            entry["ns"].append(b["cpu_time"] / int(b["name"].rsplit("/", 1)[1]))
    for entry in found.values():
        ns = entry.pop("ns")
        p5, median, p95 = np.percentile(ns, [5, 50, 95])
        entry |= {"median_ns": median, "p5_ns": p5, "p95_ns": p95, "best_ns": min(ns), "spread": (p95 - p5) / median}
        # A core of this kind loads 64 bytes of tables a cycle at best; so many ns would that take.
        entry["loads_alone_at_1_per_2.6GHz_cycle_ns"] = entry["table_bytes"] / 64 / 2.6
    return found


def main() -> None:
    """Check, time, print, keep."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=0.5, help="of the fastest contender, per batch size")
    arguments.add_argument("--at-most", type=float, default=float("inf"), help="seconds that a batch size may take")
    arguments.add_argument("--emulations", type=Path, help="keep conifer's compiled code in this folder, and use it")
    arguments.add_argument("--parts", nargs="*", choices=PARTS, default=["python"], help="kept: the file's other ones")
    arguments.add_argument("--cpp", type=Path, help="the program bench_forest, for the part cpp")
    options = arguments.parse_args()
    if "cpp" in options.parts and options.cpp is None:
        arguments.error("the part cpp needs --cpp bench_forest")
    environment = describe_environment()
    path = ROOT / "bench" / "results" / f"forest-{machine_name()}-{rf.__version__}.json"
    report = json.loads(path.read_text()) if path.exists() else {}  # a part that is not taken stays
    of = {"command": f"python bench/forest_peers.py --parts {' '.join(options.parts)}", "environment": environment}
    if "python" in options.parts:
        report["python_calls"] = of | python_figures(options)
    if "cpp" in options.parts:
        report["cpp_calls"] = of | {"ns_an_event": cpp_figures(options.cpp)}
        print("\nC++ calls: ns an event")
        for who, row in report["cpp_calls"]["ns_an_event"].items():
            print(f"  {who:46s}{row['median_ns']:10.1f}{row['p5_ns']:10.1f} -{row['p95_ns']:10.1f}  {row['kernel']}")
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\n{path}")


def python_figures(options: argparse.Namespace) -> dict[str, Any]:
    """Calls from Python of all contenders, checked before."""
    with tempfile.TemporaryDirectory() as name:
        folder = options.emulations or Path(name)
        booster, x = train(folder)
        found = contenders(booster, folder)
        differences = check(found, x[:100])
        batches = {str(b): times(found, x, b, options.seconds, options.at_most) for b in (1, 100, 10000)}
    for batch, rows in batches.items():
        print(f"\nbatch {batch}: ns an event (p50, p99, spread)")
        for who, row in sorted(rows.items(), key=lambda item: item[1]["p50_ns"]):
            print(f"  {who:34s}{row['p50_ns']:12.1f}{row['p99_ns']:12.1f}{row['spread']:8.2f}")
    return {"largest_difference": differences, "batches": batches}


if __name__ == "__main__":
    main()
