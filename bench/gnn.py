"""The fused engine of graph networks beside ONNX Runtime and PyTorch: the published Exa.TrkX network on real graphs.

    python bench/gnn.py prepare --shared ../shared            # graphs, once
    python bench/gnn.py check --case event21000 --out bench/results/gnn-cpu.json
    cmake --preset release && cmake --build --preset release --target bench_fma
    python bench/gnn.py peak --out bench/results/gnn-cpu.json  # of multiply-adds, one thread
    python bench/gnn.py time --case event21000 --threads 1 --out bench/results/gnn-cpu.json
    python bench/gnn.py summary --out bench/results/gnn-cpu.json

    python bench/gnn.py check --case bundle --out bench/results/gnn-cpu.json
    python bench/gnn.py time --case 20k --engines fused,onnxruntime,torch --out bench/results/gnn-torch.json

`check` compares results, with `--case bundle` those of the shipped bundle's whole chain on event 21000. `time` runs
each engine once and then a few times more, in turns, and appends to the file: call it several times, with all other
jobs stopped. `summary` takes CPU seconds of the repeated calls on one thread, and on more the wall
seconds of those during which other processes had little CPU. ONNX Runtime runs the
repaired file as it is, with ScatterElements(add); PyTorch runs the network operation by operation.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from environment import describe_environment, machine_name

import rheinfall as rf
from rheinfall.gnn.fused import lower_model
from rheinfall.gnn.onnx_file import load_model, opset_of
from rheinfall.gnn.onnx_inputs import find_inputs

FMA = Path(__file__).parents[1] / "build" / "release" / "bench" / "bench_fma"
CACHE = Path(tempfile.gettempdir()) / "rheinfall-bench-gnn"
UNDISTURBED = 0.1  # CPU seconds of others in each second of a call that counts
CASES = {"golden": None, "event21000": 325_000, "20k": 100_000}


def wide_graph(shared: Path) -> tuple[Any, Any]:
    """Event 21000: the shipped map's edges and nearest neighbours in direction, 325,000 in all."""
    hits = rf.io.read_event(shared / "data/trackml/event21000/event000021000-hits.csv.gz").hits
    x, y, z = (np.asarray(c, np.float64) for c in (hits.x, hits.y, hits.z))
    radius = np.sqrt(x**2 + y**2 + z**2)
    points = np.stack([x / radius, y / radius, z / radius, radius / 1e5], axis=1).astype(np.float32)
    near = rf.knn_graph(points, 6)
    near = near[:, radius[near[0]] < radius[near[1]]]
    mapped = rf.build_graph(hits, rf.TrackFinder.load("trackml").module_map).edge_index
    key = lambda e: e[0] * len(x) + e[1]  # noqa: E731
    extra = np.setdiff1d(key(near), key(mapped))
    wanted = CASES["event21000"]
    assert wanted is not None
    extra = np.random.default_rng(0).choice(extra, wanted - mapped.shape[1], replace=False)
    keys = np.concatenate([key(mapped), extra])
    r = np.hypot(x, y)
    nodes = np.stack([r / 1000, np.arctan2(y, x) / np.pi, z / 1000], axis=1).astype(np.float32)
    return nodes, np.stack([keys // len(x), keys % len(x)])


def small_graph() -> tuple[Any, Any]:
    """20,000 nodes and 100,000 edges to nodes not far behind."""
    rng, n, n_edges = np.random.default_rng(1), 20_000, CASES["20k"]
    source = rng.integers(0, n - 1, n_edges)
    target = np.minimum(source + rng.geometric(1 / 500, n_edges), n - 1)
    return rng.normal(size=(n, 3)).astype(np.float32) * np.float32(0.5), np.stack([source, target])


def prepare(shared: Path) -> None:
    """Write the graphs to the cache, beside the network."""
    CACHE.mkdir(exist_ok=True)
    golden = shared / "data/exatrkx/golden"
    read = lambda name: np.loadtxt(golden / f"{name}.csv", delimiter=",")  # noqa: E731
    edges = np.ascontiguousarray(read("applyfilter_output_EDGE_LIST_AFTER_FILTER").astype(np.int64))
    np.savez(
        CACHE / "golden.npz", nodes=read("in_e").astype(np.float32), edges=edges, logits=read("gnn_output_OUTPUT__0")
    )
    for name, (nodes, edge_index) in {"event21000": wide_graph(shared), "20k": small_graph()}.items():
        np.savez(CACHE / f"{name}.npz", nodes=nodes, edges=edge_index)
    model = rf.EdgeClassifier.load(shared / "data/exatrkx/gnn.onnx", repair_scatter=True)
    model.save(CACHE / "gnn.onnx")


class Fused:
    """Our engine."""

    def __init__(self, threads: int) -> None:
        rf.set_num_threads(threads)
        self.model = rf.EdgeClassifier.load(CACHE / "gnn.onnx", engine="fused")

    def __call__(self, nodes: Any, edges: Any) -> Any:
        return self.model.logits(nodes, edges)


class FusedBf16(Fused):
    """Our engine with the edges' linear operations in bf16."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.model = self.model.with_precision("bf16")


class OnnxRuntime:
    """The repaired file in ONNX Runtime as it comes."""

    def __init__(self, threads: int) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = ort.InferenceSession(str(CACHE / "gnn.onnx"), options, providers=["CPUExecutionProvider"])

    def __call__(self, nodes: Any, edges: Any) -> Any:
        names = [i.name for i in self.session.get_inputs()]
        return self.session.run(None, dict(zip(names, (nodes, edges), strict=True)))[0].reshape(-1)


class Torch:
    """The network's operations in PyTorch, norms as F.layer_norm, sums by index_add_."""

    def __init__(self, threads: int) -> None:
        import torch

        from rheinfall.gnn.ir import rewrite
        from rheinfall.gnn.lower_onnx import lower
        from rheinfall.gnn.rewriting import name_norms, spell_norms

        torch.set_num_threads(threads)
        model = load_model(CACHE / "gnn.onnx")
        inputs = find_inputs(model, "gnn.onnx", None, None, None)
        network = lower(model, inputs, model.graph.output[0].name, opset_of(model))
        self.network = rewrite(rewrite(network, spell_norms), name_norms)
        self.torch = torch
        self.weights = [{k: torch.tensor(v) for k, v in o.weights.items()} for o in self.network.operations]

    def __call__(self, nodes: Any, edges: Any) -> Any:
        torch = self.torch
        ends = {"source": torch.from_numpy(edges[0]), "target": torch.from_numpy(edges[1])}
        values: list[Any] = []
        last_use = {i: k for k, o in enumerate(self.network.operations) for i in o.inputs}
        with torch.inference_mode():
            for k, (o, w) in enumerate(zip(self.network.operations, self.weights, strict=True)):
                x = [values[i] for i in o.inputs]
                values.append(self._apply(o, w, x, ends, torch.from_numpy(nodes)))
                for i in o.inputs:
                    if last_use[i] == k:
                        values[i] = None
        return values[self.network.output][:, 0].numpy()

    def _apply(self, o: Any, w: Any, x: Any, ends: Any, nodes: Any) -> Any:
        torch, functional = self.torch, self.torch.nn.functional
        if o.op == "input":
            return nodes
        if o.op == "linear":
            return torch.addmm(w["bias"], x[0], w["weight"])
        if o.op == "layer_norm":
            return functional.layer_norm(x[0], (o.width,), w["scale"], w["shift"], o.attributes["epsilon"])
        if o.op == "gather":
            return x[0][ends[o.attributes["end"]]]
        if o.op == "reduce":
            return torch.zeros(len(nodes), o.width).index_add_(0, ends[o.attributes["end"]], x[0])
        if o.op == "concat":
            return torch.cat(x, dim=1)
        return {"relu": torch.relu, "sigmoid": torch.sigmoid, "add": torch.add, "mul": torch.mul}[o.op](*x)


ENGINES = {"fused": Fused, "bf16": FusedBf16, "onnxruntime": OnnxRuntime, "torch": Torch}


def fma_peak() -> float:
    """GFLOP/s of multiply-adds in registers on one thread, the best instruction set's (bench_fma)."""
    command = [str(FMA), "--benchmark_repetitions=5", "--benchmark_format=json"]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    rates: dict[str, list[float]] = {}
    for result in json.loads(run.stdout)["benchmarks"]:
        if result["run_type"] == "iteration":
            rates.setdefault(result["name"], []).append(result["FLOP"])
    return max(float(np.median(r)) for r in rates.values()) / 1e9


def _timed(call: Any) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def check(case: str) -> dict[str, Any]:
    """Differences to the others, and bit identity over threads, instruction sets and order of edges."""
    data = np.load(CACHE / f"{case}.npz")
    nodes, edges = data["nodes"], data["edges"]
    fused = Fused(1)(nodes, edges)
    result: dict[str, Any] = {"n_nodes": len(nodes), "n_edges": edges.shape[1]}
    if "logits" in data:
        result["max_difference_to_golden"] = float(np.abs(fused - data["logits"]).max())
    order = np.random.default_rng(2).permutation(edges.shape[1])
    shuffled = np.ascontiguousarray(edges[:, order])
    result["bit_identical"] = {
        f"{threads} threads, shuffled": bool(np.array_equal(Fused(threads)(nodes, shuffled), fused[order]))
        for threads in (1, 2, 8)
    }
    for name in ("onnxruntime", "torch", "bf16"):
        other = ENGINES[name](1)(nodes, edges)
        result[name] = {
            "max_difference": float(np.abs(fused - other).max()),
            "decisions_changed_at_0.5": int(((fused > 0) != (other > 0)).sum()),
        }
    result["max_logit"] = float(np.abs(fused).max())
    return result


def check_bundle(shared: Path) -> dict[str, Any]:
    """The shipped bundle `trackml` on event 21000 with either engine: logits, scores and tracks."""
    hits = rf.io.read_event(shared / "data/trackml/event21000/event000021000-hits.csv.gz").hits
    path = Path(rf.__file__).parent / "bundles/trackml/edge_classifier.onnx"
    finder = rf.TrackFinder.load("trackml")
    graphs, logits, scores, tracks = [], [], [], []
    for engine in ("fused", "onnxruntime"):
        finder.edge_classifier = rf.EdgeClassifier.load(path, engine=engine)
        scored = finder.score_edges(hits)
        graphs.append(scored.graph.edge_index)
        logits.append(finder.edge_classifier.logits(scored.graph))
        scores.append(scored.scores)
        tracks.append(finder.build(scored))
    return {
        "n_nodes": len(hits),
        "n_edges": graphs[0].shape[1],
        "same_graph": bool(np.array_equal(*graphs)),
        "max_difference_of_logits": float(np.abs(logits[0] - logits[1]).max()),
        "max_logit": float(np.abs(logits[0]).max()),
        "max_difference_of_scores": float(np.abs(scores[0] - scores[1]).max()),
        "n_tracks": [len(t) for t in tracks],
        "same_tracks": all(bool(np.array_equal(*(getattr(t, k) for t in tracks))) for k in ("offsets", "hits")),
    }


def cpu_of_all() -> float:
    """Seconds of CPU that all processes of the machine have had."""
    user, nice, system, _, _, interrupts, soft = (int(x) for x in Path("/proc/stat").read_text().split()[1:8])
    return (user + nice + system + interrupts + soft) / os.sysconf("SC_CLK_TCK")


def timed(call: Any) -> dict[str, float]:
    """Wall and CPU seconds of a call, and the CPU seconds that others had meanwhile."""
    everybody, own = cpu_of_all(), time.process_time()
    wall = _timed(call)
    own = time.process_time() - own
    others = max(cpu_of_all() - everybody - own, 0.0)
    return {"wall": round(wall, 4), "cpu": round(own, 4), "others": round(others, 2)}


def measure(case: str, threads: int, engines: list[str], calls: int) -> dict[str, Any]:
    """Seconds of the first call of each engine, after a small one, and of those behind it, engines in turns.

    Memory is the growth of the peak during an engine's first call.
    """
    data, small = np.load(CACHE / f"{case}.npz"), np.load(CACHE / "golden.npz")
    result: dict[str, Any] = {"threads": threads, "first": {}, "again": {}, "peak_growth_MB": {}}
    made = {}
    for name in engines:
        made[name] = ENGINES[name](threads)
        made[name](small["nodes"], small["edges"])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        result["first"][name] = timed(lambda e=made[name]: e(data["nodes"], data["edges"]))
        result["peak_growth_MB"][name] = round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, 1)
    for _ in range(calls):
        for name in engines:
            rf.set_num_threads(threads)
            again = timed(lambda e=made[name]: e(data["nodes"], data["edges"]))
            result["again"].setdefault(name, []).append(again)
    return result


def linear_gflop(case: str) -> float:
    """Operations of the linear operations of a call, in 10^9."""
    data = np.load(CACHE / f"{case}.npz")
    model = load_model(CACHE / "gnn.onnx")
    inputs = find_inputs(model, "gnn.onnx", None, None, None)
    network = lower_model(model, inputs, model.graph.output[0].name, opset_of(model), "gnn.onnx")
    rows = {"node": len(data["nodes"]), "edge": data["edges"].shape[1], "event": 1}
    return sum(2e-9 * rows[o.kind] * o.weights["weight"].size for o in network.operations if o.op == "linear")


def summarise(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """By graph and threads: seconds of the repeated calls of each engine, and ONNX Runtime's over these.

    On one thread CPU seconds, which other jobs disturb little; on more wall seconds of the calls in which others had
    little CPU.
    """
    summary: dict[str, Any] = {}
    for case, results in runs.items():
        for threads in sorted({r["threads"] for r in results}):
            engines: dict[str, Any] = {}
            for name in ENGINES:
                calls = [c for r in results if r["threads"] == threads for c in r["again"].get(name, [])]
                quiet = [c for c in calls if threads == 1 or c["others"] <= UNDISTURBED * c["wall"]]
                seconds = [c["cpu" if threads == 1 else "wall"] for c in quiet]
                if seconds:
                    engines[name] = {
                        "median": round(float(np.median(seconds)), 4),
                        "min": min(seconds),
                        "max": max(seconds),
                        "calls": len(seconds),
                        "disturbed": len(calls) - len(seconds),
                        "GFLOP_per_s": round(linear_gflop(case) / float(np.median(seconds)), 1),
                    }
            if "onnxruntime" in engines:
                for e in engines.values():
                    e["times_onnxruntime"] = round(engines["onnxruntime"]["median"] / e["median"], 2)
            summary[f"{case}, {threads} threads"] = engines
    return summary


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["prepare", "peak", "check", "time", "summary"])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--case", choices=[*CASES, "bundle"], default="event21000")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--engines", default="fused,bf16,onnxruntime")
    parser.add_argument("--calls", type=int, default=3, help="repeated calls of each engine")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.case == "bundle" and arguments.what != "check":
        parser.error("--case bundle: there is only a check of it")
    if arguments.what == "summary" and arguments.out is None:
        parser.error("summary: expected --out, the file of the timings")
    if arguments.what == "prepare":
        return prepare(arguments.shared)
    if arguments.what == "peak":
        result: Any = {"peak_GFLOP_per_s": round(fma_peak(), 1)}
    elif arguments.what == "summary":
        result = summarise(json.loads(arguments.out.read_text())["time"])
    elif arguments.what == "check":
        result = check_bundle(arguments.shared) if arguments.case == "bundle" else check(arguments.case)
    else:
        result = measure(arguments.case, arguments.threads, arguments.engines.split(","), arguments.calls)
    json.dump(result, sys.stdout, indent=1)
    if arguments.out is not None:
        keep(arguments.out, arguments.what, arguments.case, result)


def keep(path: Path, what: str, case: str, result: Any) -> None:
    """Add a result with its commit to the file; checks are replaced, timings collected."""
    known = json.loads(path.read_text()) if path.exists() else {"machine": machine_name()}
    environment = describe_environment()
    result["commit"] = environment.pop("commit") + ("+" if environment.pop("dirty") else "")
    known["environment"] = environment
    if what in ("peak", "summary"):
        known[what] = result
    elif what == "time":
        known.setdefault("time", {}).setdefault(case, []).append(result)
    else:
        known.setdefault(what, {})[case] = result
    path.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
