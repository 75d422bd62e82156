#!/usr/bin/env python3
"""The networks of gpu_gnn.cpp in PyTorch on a GPU, eager and compiled, in turns with it. Needs nothing of ours.

python bench/gpu_gnn_torch.py OUT.json [--program gpu_gnn] [--seconds S] [--device cpu] [CASE PLAIN NETWORK GRAPH]...

CASE is the file that gpu_gnn wrote, PLAIN the network (NAME.plain.rfgnn) with the operations of its modules, NETWORK
and GRAPH what gpu_gnn takes. Precisions are float32, bf16 by autocast, and TF32 where compiled. With --program each
round asks it for its times in float32 and bf16 too. After half of S seconds nothing more is compiled. Logits are
compared with the CPU's in float32, in CASE. Exits with 3 where PyTorch or its CUDA is missing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

try:
    import numpy as np
except ImportError:
    print("gpu_gnn_torch: no NumPy", file=sys.stderr)
    sys.exit(3)

N_ROUNDS, N_CALLS = 5, 5
MODES = (
    ("fp32", "eager"),
    ("bf16", "eager"),
    ("fp32", "compiled"),
    ("bf16", "compiled"),
    ("tf32", "compiled"),
)


def read_case(path: Path) -> tuple[Any, Any, Any, Any]:
    """Features of nodes, features of edges, ends of edges, logits."""
    data = path.read_bytes()
    n_nodes, n_edges, n_columns, n_rows = (int(n) for n in np.frombuffer(data, np.int64, 4))
    at = 32

    def take(dtype: Any, *shape: int) -> Any:
        nonlocal at
        values = np.frombuffer(data, dtype, int(np.prod(shape)), at).reshape(shape)
        at += values.nbytes
        return values.copy()

    return (
        take(np.float32, n_nodes, n_columns),
        take(np.float32, n_edges, n_rows),
        take(np.int64, 2, n_edges),
        take(np.float32, n_edges),
    )


def read_network(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Operations, each with its weights as arrays, and the output's position (docs/gnn_format.md)."""
    data = path.read_bytes()
    if data[:8] != b"rfgnn\n\x1a\0":
        raise ValueError(f"{path}: expected a network in the format of docs/gnn_format.md")
    n_text = int(np.frombuffer(data, np.uint64, 1, 16)[0])
    document = json.loads(data[48 : 48 + n_text])
    floats = np.frombuffer(data, np.float32, -1, 48 + n_text)
    for o in document["operations"]:
        o["weights"] = {k: floats[at : at + n].copy() for k, (at, n) in o.get("weights", {}).items()}
    return document["operations"], document["output"]


def make_module(torch: Any, operations: list[dict[str, Any]], output: int, device: str) -> Any:
    """The network as a function of node features, edge features, sources and targets."""
    weights = []
    for o in operations:
        tensors = {k: torch.tensor(v, device=device) for k, v in o["weights"].items()}
        if o["op"] == "linear":
            tensors["weight"] = tensors["weight"].reshape(-1, o["width"])
        weights.append(tensors)
    last_use = {i: k for k, o in enumerate(operations) for i in o.get("inputs", ())}

    def forward(nodes: Any, edges: Any, source: Any, target: Any) -> Any:
        values: list[Any] = []
        for k, (o, w) in enumerate(zip(operations, weights, strict=True)):
            x = [values[i] for i in o.get("inputs", ())]
            values.append(apply(torch, o, w, x, nodes, edges, {"source": source, "target": target}))
            for i in o.get("inputs", ()):
                if last_use[i] == k and i != output:
                    values[i] = None
        return values[output][:, 0]

    return forward


def apply(torch: Any, o: Any, w: Any, x: Any, nodes: Any, edges: Any, ends: Any) -> Any:
    """One operation, as modules of PyTorch compute it."""
    functional, op = torch.nn.functional, o["op"]
    if op == "input":
        return nodes if o["kind"] == "node" else edges
    if op == "linear":
        rows = torch.cat(x, dim=1) if len(x) > 1 else x[0]
        return torch.addmm(w["bias"], rows, w["weight"]) if "bias" in w else rows @ w["weight"]
    if op == "layer_norm":
        return functional.layer_norm(x[0], (x[0].shape[1],), w.get("scale"), w.get("shift"), o["epsilon"])
    if op == "batch_norm":
        return functional.batch_norm(x[0], None, None, w.get("scale"), w.get("shift"), True, 0.0, o["epsilon"])
    if op == "gather":
        return x[0].index_select(0, ends[o["end"]])
    if op == "reduce" and o["how"] == "add":
        return x[0].new_zeros(len(nodes), x[0].shape[1]).index_add_(0, ends[o["end"]], x[0])
    if op == "concat":
        return torch.cat(x, dim=1)
    if op == "slice":
        return x[0][:, o["start"] : o["stop"]]
    if op == "affine":
        return x[0] * w.get("scale", 1.0) + w.get("shift", 0.0)
    if op == "clip":
        return x[0].clamp(o["low"], o["high"])
    unary = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}
    binary = {"add": torch.add, "mul": torch.mul, "sub": torch.sub}
    if op not in unary | binary:
        raise ValueError(f"operation {op}: no twin in PyTorch here")
    return (unary | binary)[op](*x)


def time_call(torch: Any, device: str, call: Any) -> float:
    """Median ms of some calls."""
    times = []
    for _ in range(N_CALLS if device == "cuda" else 1):
        if device == "cuda":
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            call()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end))
        else:
            start = time.perf_counter()
            call()
            times.append((time.perf_counter() - start) * 1e3)
    return float(np.median(times))


class Turns:
    """gpu_gnn, which times a call of its own whenever it is asked."""

    def __init__(self, program: str, network: str, graph: str, precision: str) -> None:
        command = [program, "--turns", network, graph, precision]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._expect("ready")

    def __call__(self) -> float:
        assert self.process.stdin is not None
        print("time", file=self.process.stdin, flush=True)
        return float(self._expect(""))

    def _expect(self, beginning: str) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line or not line.startswith(beginning):
            raise RuntimeError(f"{self.process.args}: expected {beginning or 'a time'}, got {line!r}")
        return line

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def time_case(torch: Any, args: Any, case: str, plain: str, network: str, graph: str) -> dict[str, Any]:
    """Differences and times of one case, in turns."""
    nodes, edges, ends, logits = read_case(Path(case))
    given = [torch.from_numpy(a).to(args.device) for a in (nodes, edges, ends[0], ends[1])]
    forward = make_module(torch, *read_network(Path(plain)), args.device)
    result: dict[str, Any] = {"case": Path(case).stem, "nodes": len(nodes), "edges": ends.shape[1]}
    calls: dict[str, Any] = {}
    for precision, kind in MODES:
        name = f"{kind}_{precision}"
        if kind == "compiled" and time.monotonic() > args.compile_until:
            result[f"{name}_failed"] = "not compiled: too little time left"
            continue
        try:
            call = _call(torch, forward, kind, precision, args.device, given)
            result[f"{name}_max_difference"] = float(np.abs(call().float().cpu().numpy() - logits).max())
            calls[name] = call
        except Exception as error:  # a compiler's failure must not lose the other figures
            result[f"{name}_failed"] = f"{type(error).__name__}: {error}"[:300]
    ours = {p: Turns(args.program, network, graph, p) for p in ("fp32", "bf16") if args.program}
    calls |= {f"ours_{precision}": turns for precision, turns in ours.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(N_ROUNDS if args.device == "cuda" else 1):
        for name, call in calls.items():
            times[name].append(call() if isinstance(call, Turns) else time_call(torch, args.device, call))
    for turns in ours.values():
        turns.close()
    for name, ms in times.items():
        result[f"ms_{name}"] = float(np.median(ms))
        result[f"ms_{name}_rounds"] = [round(t, 4) for t in ms]
    return result


def _call(torch: Any, forward: Any, kind: str, precision: str, device: str, given: Any) -> Any:
    """The network on what is given; in bf16 by autocast."""
    run = torch.compile(forward, fullgraph=True, dynamic=False) if kind == "compiled" else forward

    def call() -> Any:
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            return run(*given)

    return call


def main() -> int:
    """Time the cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--program")
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("cases", nargs="*")
    args = parser.parse_intermixed_args()
    args.compile_until = time.monotonic() + args.seconds / 2
    if len(args.cases) % 4:
        parser.error("expected CASE PLAIN NETWORK GRAPH, four for each case")
    try:
        import torch
    except ImportError:
        print("gpu_gnn_torch: no PyTorch", file=sys.stderr)
        return 3
    if args.device == "cuda" and not torch.cuda.is_available():
        print("gpu_gnn_torch: PyTorch sees no CUDA device", file=sys.stderr)
        return 3
    results, failed = [], False
    for i in range(0, len(args.cases), 4):
        try:
            results.append(time_case(torch, args, *args.cases[i : i + 4]))
        except Exception as error:  # the next case may do better
            failed = True
            results.append({"case": Path(args.cases[i]).stem, "failed": f"{type(error).__name__}: {error}"[:500]})
        print(json.dumps(results[-1]), flush=True)
        args.out.write_text(json.dumps({"torch": torch.__version__, "cases": results}, indent=1) + "\n")
        if args.device == "cuda":
            torch.cuda.empty_cache()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
