"""What each operation of a graph network's intermediate form computes: slow, plain, in any precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from rheinfall.gnn.ir import BINARY, UNARY, Network, Operation
from rheinfall.reference import bf16

Array = Any

_UNARY: dict[str, Callable[..., Array]] = {
    "relu": lambda x: np.where(x < 0, 0, x),
    "leaky_relu": lambda x, alpha: np.where(x < 0, alpha * x, x),
    "elu": lambda x, alpha: np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "softplus": lambda x: np.logaddexp(x, 0),
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "square": np.square,
    "reciprocal": lambda x: 1 / x,
    "erf": np.vectorize(math.erf, otypes=[float]),
    "clip": lambda x, low, high: np.clip(x, low, high),
}
_BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "min": np.minimum,
    "max": np.maximum,
}


def evaluate(
    network: Network,
    node_features: Array,
    edge_index: Array,
    edge_features: Array = None,
    dtype: Any = np.float64,
    precision: str = "fp32",
) -> Array:
    """The value of the output, (n_edges,).

    Args:
        network: the network.
        node_features: (n_nodes, features).
        edge_index: integers (2, n_edges).
        edge_features: (n_edges, features), where the network reads them.
        dtype: of every value.
        precision: "bf16": linear operations of the edges by `rheinfall.reference.bf16`.
    """
    features = {"node": node_features, "edge": edge_features}
    values: list[Array] = []
    in_bf16 = bf16.operations_in_bf16(network) if precision == "bf16" else set()
    with np.errstate(over="ignore"):
        for k, o in enumerate(network.operations):
            if k in in_bf16:
                inputs = [values[i].astype(np.float32) for i in o.inputs]
                values.append(bf16.linear(inputs, o.weights["weight"], o.weights.get("bias")).astype(dtype))
            elif o.op == "input":
                values.append(np.asarray(features[o.kind], dtype))
            elif o.op == "degree":
                counts = np.bincount(edge_index[_row(o)], minlength=len(node_features))
                values.append(counts[:, None].astype(dtype))
            else:
                inputs = [values[i] for i in o.inputs]
                weights = {k: v.astype(dtype) for k, v in o.weights.items()}
                values.append(_apply(o, inputs, weights, edge_index, len(node_features)).astype(dtype))
    return values[network.output][:, 0]


def _apply(o: Operation, x: list[Array], w: dict[str, Array], edge_index: Array, n_nodes: int) -> Array:
    a = o.attributes
    if o.op == "linear":
        return np.concatenate(x, axis=1) @ w["weight"] + w.get("bias", 0)
    if o.op == "affine":
        return x[0] * w.get("scale", 1) + w.get("shift", 0)
    if o.op == "gather":
        return x[0][edge_index[_row(o)]]
    if o.op == "reduce":
        return reduce_edges(x[0], edge_index[_row(o)], n_nodes, a["how"], a.get("initial", 0.0))
    if o.op in UNARY:
        return _UNARY[o.op](x[0], **a)
    if o.op in BINARY:
        return _BINARY[o.op](x[0], x[1])
    if o.op == "concat":
        return np.concatenate(x, axis=1)
    if o.op == "slice":
        return x[0][:, a["start"] : a["stop"]]
    if o.op in ("layer_norm", "batch_norm"):
        axis = 1 if o.op == "layer_norm" else 0
        centred = x[0] if a.get("centred") else x[0] - x[0].mean(axis, keepdims=True)
        variance = np.square(centred).mean(axis, keepdims=True)
        return centred / np.sqrt(variance + a["epsilon"]) * w.get("scale", 1) + w.get("shift", 0)
    if o.op.startswith(("row_", "event_")):
        axis = 1 if o.op.startswith("row_") else 0
        combine: dict[str, Any] = {"mean": np.mean, "sum": np.sum, "max": np.max}
        return combine[o.op.split("_")[1]](x[0], axis=axis, keepdims=True)
    raise ValueError(f"{o.op}: no such operation")


def reduce_edges(rows: Array, node: Array, n_nodes: int, how: str, initial: float) -> Array:
    """Rows of edges combined at each one's node, (n_nodes, width); `initial` takes part in "max" and "min"."""
    out = np.full((n_nodes, rows.shape[1]), initial if how in ("max", "min") else 0, rows.dtype)
    combine: Any = {"add": np.add, "mean": np.add, "max": np.maximum, "min": np.minimum}[how]
    combine.at(out, node, rows)
    if how == "mean":
        out /= np.maximum(np.bincount(node, minlength=n_nodes), 1)[:, None]
    return out


def _row(o: Operation) -> int:
    return ("source", "target").index(o.attributes["end"])
