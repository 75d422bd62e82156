"""The ONNX operators that the fused engine takes: arithmetic on the values of nodes and edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rheinfall.gnn.lower_activations import ACTIVATIONS, limited, unary
from rheinfall.gnn.lower_block_sums import block_operators, row_reduced
from rheinfall.gnn.lower_conditions import CONDITIONS
from rheinfall.gnn.lower_indexing import INDEXING
from rheinfall.gnn.lower_shapes import SHAPE_OPERATORS, Context, Operator
from rheinfall.gnn.lower_values import (
    NODES,
    Condition,
    Dim,
    Ends,
    Fill,
    LoweringError,
    Rows,
    Tensor,
    Touched,
    broadcast,
    reduced_axes,
    shape_of,
)

_LARGEST_POWER = 16


def _constant_side(c: Context, op: str, rows: Rows, constant: Any, rows_first: bool, shape: Any) -> Tensor:
    """Arithmetic of rows with a number, or with one number per column."""
    values = np.asarray(constant, np.float64).reshape(-1)
    if len(shape) != len(rows.shape) or (rows.flat and values.size > 1 and rows.kind != "event"):
        raise LoweringError(f"a constant of shape {np.shape(constant)} beside values {rows.shape}")
    position, add = rows.position, c.builder.add
    if op in ("min", "max"):
        if values.size != 1:
            raise LoweringError(f"{op} with one limit per column")
        limits = (values[0], np.inf) if op == "max" else (-np.inf, values[0])
        return c.rows(limited(c, position, *limits), rows.flat)
    if op == "div" and not rows_first:
        return c.rows(add("affine", add("reciprocal", position), weights={"scale": values}), rows.flat)
    if rows.width == 1 and values.size > 1:  # a column beside one number per column of the result
        position = add("linear", position, weights={"weight": np.ones((1, values.size))})
    weights: dict[str, Any]
    if op in ("add", "sub"):
        sign = 1.0 if op == "add" else -1.0
        weights = (
            {"shift": values * sign} if rows_first or op == "add" else {"shift": values, "scale": np.array([-1.0])}
        )
    else:
        weights = {"scale": values if op == "mul" else 1 / values}
    return c.rows(add("affine", position, weights=weights), rows.flat)


def _binary(op: str, fold: Callable[[Any, Any], Any]) -> Operator:
    def lower(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
        result: Tensor = x[0]
        for other in x[1:]:
            result = _pair(c, op, fold, result, other)
        return [result]

    return lower


def _pair(c: Context, op: str, fold: Callable[[Any, Any], Any], a: Any, b: Any) -> Tensor:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.asarray(fold(a, b))
    if any(isinstance(t, (Condition, Touched)) for t in (a, b)):
        raise LoweringError("arithmetic with what is no number yet")
    shape = broadcast(shape_of(a), shape_of(b))
    if isinstance(a, Ends) or isinstance(b, Ends):
        return _shifted_index(a, b, shape)
    if not isinstance(a, Rows) and not isinstance(b, Rows):
        one, two = (t.value if isinstance(t, Fill) else np.asarray(t).reshape(()) for t in (a, b))
        return Fill(fold(one, two), shape)
    if isinstance(a, Rows) and isinstance(b, Rows):
        # What the event has in (width,) stands beside rows as what it has in (1, width).
        loose = [t for t in (a, b) if not (t.flat and t.kind == "event")]
        if a.flat != b.flat and len(loose) != 1:
            raise LoweringError(f"values {a.shape} beside {b.shape}")
        if loose and any(t.flat and t.width > 1 for t in (a, b)) and any(t.flat for t in loose):
            raise LoweringError(f"values {a.shape} beside {b.shape}")
        return c.rows(c.builder.add(op, a.position, b.position), a.flat and b.flat)
    rows, other = (a, b) if isinstance(a, Rows) else (b, a)
    constant = np.float64(other.value) if isinstance(other, Fill) else other
    if isinstance(other, Fill) and _expands(rows.shape, shape):
        raise LoweringError(f"values {rows.shape} broadcast to {shape}")
    if isinstance(other, Fill) and constant == 0 and op == "add":
        return rows
    return _constant_side(c, op, rows, constant, rows is a, shape)


def _expands(shape: Any, to: Any) -> bool:
    return len(shape) != len(to) or any(s != t for s, t in zip(shape, to, strict=True))


def _shifted_index(a: Any, b: Any, shape: Any) -> Tensor:
    """The index plus the number of nodes, which exporters compute for negative indices and do not use."""
    for index, other in ((a, b), (b, a)):
        if isinstance(index, Ends) and not isinstance(other, (Ends, Rows)):
            values = other.value if isinstance(other, Fill) else np.asarray(other).ravel()[0]
            if isinstance(values, Dim) and values == NODES:
                return Fill("wrapped index", shape)
    raise LoweringError("arithmetic with edge_index")


def _pow(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    if not isinstance(x[0], Rows) or not isinstance(x[1], np.ndarray) or x[1].size != 1:
        raise LoweringError("expected values of nodes or edges to the power of one number")
    exponent = float(x[1].ravel()[0])
    if exponent == 0 or 2 * abs(exponent) not in range(1, 2 * _LARGEST_POWER + 1):
        raise LoweringError(f"to the power of {exponent:g}: half and whole numbers up to {_LARGEST_POWER} are possible")
    position = _to_the_power(c, x[0].position, abs(exponent))
    return [c.rows(c.builder.add("reciprocal", position) if exponent < 0 else position, x[0].flat)]


def _to_the_power(c: Context, x: int, exponent: float) -> int:
    """By squares and products, from the highest binary digit of the exponent on."""
    whole = int(exponent)
    root = [c.builder.add("sqrt", x)] if exponent != whole else []
    result: int | None = None
    for digit in f"{whole:b}" if whole else "":
        result = None if result is None else c.builder.add("square", result)
        if digit == "1":
            result = x if result is None else c.builder.add("mul", result, x)
    terms = ([] if result is None else [result]) + root
    return terms[0] if len(terms) == 1 else c.builder.add("mul", *terms)


def _gemm(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    rows, weight = x[0], np.asarray(x[1], np.float64)
    if not isinstance(rows, Rows) or rows.flat or attributes.get("transA", 0):
        raise LoweringError("expected rows times weights")
    weight = (weight.T if attributes.get("transB", 0) else weight) * attributes.get("alpha", 1.0)
    bias = None
    if len(x) > 2 and x[2] is not None:
        bias = np.broadcast_to(np.asarray(x[2], np.float64).reshape(-1), (weight.shape[1],))
        bias = bias * attributes.get("beta", 1.0)
    return [c.rows(c.builder.add("linear", rows.position, weights={"weight": weight, "bias": bias}))]


def _matmul(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    if not isinstance(x[1], np.ndarray) or x[1].ndim != 2:
        raise LoweringError("expected rows times a matrix of weights")
    return _gemm(c, x, {}, n)


def _layer_norm(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    if attributes.get("axis", -1) not in (-1, 1) or n > 1 or x[0].flat:
        raise LoweringError("expected a norm over columns, with one output")
    weights = {"scale": x[1], "shift": x[2] if len(x) > 2 else None}
    full = np.ones(x[0].width)
    weights = {k: full * np.ravel(v) for k, v in weights.items() if v is not None}
    epsilon = float(attributes.get("epsilon", 1e-5))
    return [c.rows(c.builder.add("layer_norm", x[0].position, weights=weights, epsilon=epsilon))]


def _batch_norm(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    epsilon = float(attributes.get("epsilon", 1e-5))
    if all(isinstance(v, Rows) and v.kind == "event" for v in x[3:5]):
        return [_norm_by_event(c, x, epsilon)]
    scale, shift, mean, variance = (np.asarray(v, np.float64) for v in x[1:5])
    if attributes.get("training_mode", 0) or (c.opset < 14 and n > 1):
        weights = {"scale": scale, "shift": shift}
        return [c.rows(c.builder.add("batch_norm", x[0].position, weights=weights, epsilon=epsilon))]
    factor = scale / np.sqrt(variance + epsilon)
    weights = {"scale": factor, "shift": shift - mean * factor}
    return [c.rows(c.builder.add("affine", x[0].position, weights=weights))]


def _norm_by_event(c: Context, x: list[Any], epsilon: float) -> Rows:
    """A batch norm whose mean and variance the file takes over the event's rows, spelled out for `rewriting`."""
    rows, scale, shift, mean, variance = x[:5]
    add = c.builder.add
    root = add("sqrt", add("affine", variance.position, weights={"shift": np.array([epsilon])}))
    norm = add("div", add("sub", rows.position, mean.position), root)
    return c.rows(add("affine", norm, weights={"scale": np.ravel(scale), "shift": np.ravel(shift)}))


def _reduce(how: str) -> Operator:
    def lower(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
        if not isinstance(x[0], Rows):
            if isinstance(x[0], np.ndarray) and how == "prod":
                return [np.asarray(np.prod(x[0], dtype=object), dtype=object)]
            raise LoweringError("expected values of nodes or edges")
        keep, over = bool(attributes.get("keepdims", 1)), reduced_axes(x, attributes, len(x[0].shape))
        if how == "prod":
            raise LoweringError(f"the product of {x[0]!r}")
        rows_too = 0 in over and x[0].kind != "event"
        if rows_too and how in ("max", "min"):
            raise LoweringError(
                f"the largest or smallest over all {x[0].kind}s, of which there are sums and means only"
            )
        position = x[0].position
        if 1 in over or (0 in over and x[0].kind == "event" and x[0].flat):
            position = row_reduced(c, position, how)
        if rows_too:
            position = c.builder.add("event_" + how, position)
        return [c.rows(position, flat=not keep or x[0].flat)]

    return lower


def _reduce_of(op: str, root: bool = False) -> Operator:
    """The sum of each value's square or magnitude, or its root."""

    def lower(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
        result = _reduce("sum")(c, [*unary(op)(c, x[:1], {}, 1), *x[1:]], attributes, n)
        return unary("sqrt")(c, result, {}, 1) if root else result

    return lower


OPERATORS: dict[str, Operator] = {
    **SHAPE_OPERATORS,
    **ACTIVATIONS,
    **CONDITIONS,
    **INDEXING,
    "Neg": lambda c, x, a, n: [_pair(c, "mul", np.multiply, x[0], np.array(-1.0))],
    "Pow": _pow,
    "Add": _binary("add", np.add),
    "Sum": _binary("add", np.add),
    "Sub": _binary("sub", np.subtract),
    "Mul": _binary("mul", np.multiply),
    "Div": _binary("div", lambda a, b: a // b if np.asarray(a).dtype.kind in "iO" else a / b),
    "Max": _binary("max", np.maximum),
    "Min": _binary("min", np.minimum),
    "Gemm": _gemm,
    "MatMul": _matmul,
    "LayerNormalization": _layer_norm,
    "BatchNormalization": _batch_norm,
    "ReduceMean": _reduce("mean"),
    "ReduceSum": _reduce("sum"),
    "ReduceMax": _reduce("max"),
    "ReduceMin": _reduce("min"),
    "ReduceL1": _reduce_of("abs"),
    "ReduceL2": _reduce_of("square", root=True),
    "ReduceSumSquare": _reduce_of("square"),
    "ReduceProd": _reduce("prod"),
}

BLOCK_OPERATORS = block_operators(
    OPERATORS,
    {*ACTIVATIONS, "Neg", "Pow", "Add", "Sum", "Sub", "Mul", "Div", "Max", "Min", "Cast", "Identity", "Dropout"}
    - {"Softmax", "LogSoftmax"},
)
