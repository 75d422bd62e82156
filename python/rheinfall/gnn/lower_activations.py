"""The ONNX operators that work on each value, or on the columns of each row, alone.

Those that the fused engine has no operation for are composed of such that it has.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from rheinfall.gnn.lower_shapes import Context, Operator
from rheinfall.gnn.lower_values import Ends, Fill, LoweringError, Rows, Tensor

_Composed = Callable[[Context, int, dict[str, Any]], int]


def unary(op: str, defaults: dict[str, float] | None = None) -> Operator:
    """An operator that is one operation of the engine; its attributes have these names and defaults."""
    return composed(
        lambda c, x, attributes: c.builder.add(
            op, x, **{k: float(attributes.get(k, v)) for k, v in (defaults or {}).items()}
        )
    )


def composed(make: _Composed, by_rows: bool = False) -> Operator:
    """An operator that `make(context, position, attributes)` builds of operations; `by_rows` ones need columns."""

    def lower(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
        if not isinstance(x[0], Rows) or (by_rows and x[0].flat):
            raise LoweringError("expected values of nodes or edges" + (", with columns" if by_rows else ""))
        return [c.rows(make(c, x[0].position, attributes), x[0].flat)]

    return lower


def scaled(c: Context, x: int, scale: float, shift: float | None = None) -> int:
    """x · scale + shift, one number each."""
    weights = {"scale": np.array([scale]), "shift": None if shift is None else np.array([shift])}
    return c.builder.add("affine", x, weights=weights)


def limited(c: Context, position: int, low: float, high: float) -> int:
    """Values between two limits, of which an infinite one is none: infinity goes through, as in ONNX.

    With one limit it is the larger or the smaller of a value and of that limit, which a clip to it alone gives.
    """
    add = c.builder.add
    if not low < np.inf or not high > -np.inf:
        raise LoweringError(f"limits {low} and {high}")
    with np.errstate(over="ignore"):
        low, high = float(np.float32(low)), float(np.float32(high))
    if np.isfinite(low) and np.isfinite(high):
        return add("clip", position, low=low, high=high)
    if np.isfinite(low):
        return add("max", position, add("clip", position, low=low, high=low))
    if np.isfinite(high):
        return add("min", position, add("clip", position, low=high, high=high))
    return position


def _clip(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    limits = []
    for i, (name, otherwise) in enumerate((("min", -np.inf), ("max", np.inf)), start=1):
        value = x[i] if len(x) > i and x[i] is not None else attributes.get(name, otherwise)
        limits.append(float(np.asarray(value).reshape(())))
    if isinstance(x[0], Fill):
        return [Fill(min(max(float(x[0].value), limits[0]), limits[1]), x[0].shape)]
    if isinstance(x[0], Ends):
        return [x[0]]  # indices, which are checked before a network runs
    return [c.rows(limited(c, x[0].position, *limits), x[0].flat)]


def _log(c: Context, x: int, attributes: dict[str, Any]) -> int:
    """Exporters write log(sigmoid(x)), which loses its digits and is infinite below -88; it is -softplus(-x)."""
    inner = c.builder[x]
    if inner.op != "sigmoid":
        return c.builder.add("log", x)
    return scaled(c, c.builder.add("softplus", scaled(c, inner.inputs[0], -1.0)), -1.0)


def _gelu(c: Context, x: int, attributes: dict[str, Any]) -> int:
    add, how = c.builder.add, attributes.get("approximate", "none")
    if how == "none":
        inner = add("erf", scaled(c, x, math.sqrt(0.5)))
    elif how == "tanh":
        root = math.sqrt(2 / math.pi)
        cube = add("mul", add("square", x), x)
        inner = add("tanh", add("add", scaled(c, x, root), scaled(c, cube, 0.044715 * root)))
    else:
        raise LoweringError(f"approximate {how!r}")
    return add("mul", x, scaled(c, inner, 0.5, 0.5))


def _selu(c: Context, x: int, attributes: dict[str, Any]) -> int:
    alpha = float(attributes.get("alpha", 1.6732632423543772))
    return scaled(c, c.builder.add("elu", x, alpha=alpha), float(attributes.get("gamma", 1.0507009873554805)))


def _celu(c: Context, x: int, attributes: dict[str, Any]) -> int:
    """max(0, x) + min(0, alpha · (exp(x / alpha) - 1)) = alpha · elu(x / alpha), for positive alpha."""
    alpha = float(attributes.get("alpha", 1.0))
    if alpha == 1.0:
        return c.builder.add("elu", x, alpha=1.0)
    if alpha <= 0:
        raise LoweringError(f"alpha {alpha}")
    return scaled(c, c.builder.add("elu", scaled(c, x, 1 / alpha), alpha=1.0), alpha)


def _hard_sigmoid(c: Context, x: int, attributes: dict[str, Any]) -> int:
    line = scaled(c, x, float(attributes.get("alpha", 0.2)), float(attributes.get("beta", 0.5)))
    return limited(c, line, 0.0, 1.0)


def _hard_swish(c: Context, x: int, attributes: dict[str, Any]) -> int:
    return c.builder.add("mul", x, _hard_sigmoid(c, x, {"alpha": 1 / 6}))


def _mish(c: Context, x: int, attributes: dict[str, Any]) -> int:
    return c.builder.add("mul", x, c.builder.add("tanh", c.builder.add("softplus", x)))


def _softsign(c: Context, x: int, attributes: dict[str, Any]) -> int:
    return c.builder.add("div", x, scaled(c, c.builder.add("abs", x), 1.0, 1.0))


def _prelu(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    rows, slope = x[:2]
    if not isinstance(rows, Rows) or not isinstance(slope, np.ndarray):
        raise LoweringError("expected values of nodes or edges, and constant slopes")
    values = slope.astype(np.float64).ravel()
    if slope.ndim > len(rows.shape) or values.size not in (1, *slope.shape[-1:]):
        raise LoweringError(f"slopes of shape {slope.shape} beside values {rows.shape}")
    if np.all(values == values[:1]) and values.size in (1, rows.width):
        return [c.rows(c.builder.add("leaky_relu", rows.position, alpha=float(values[0])), rows.flat)]
    if values.size != rows.width or rows.flat:
        raise LoweringError(f"slopes of shape {slope.shape} beside values {rows.shape}")
    below = c.builder.add("affine", limited(c, rows.position, -np.inf, 0.0), weights={"scale": values})
    return [c.rows(c.builder.add("add", c.builder.add("relu", rows.position), below))]


def _softmax(log: bool) -> Operator:
    def make(c: Context, x: int, attributes: dict[str, Any]) -> int:
        # Before opset 13 the axis is the first of those that are taken together: the last one all the same.
        if attributes.get("axis", -1) not in (1, -1):
            raise LoweringError("over all nodes or edges")
        add = c.builder.add
        centred = add("sub", x, add("row_max", x))
        exponential = add("exp", centred)
        total = add("row_sum", exponential)
        return add("sub", centred, add("log", total)) if log else add("div", exponential, total)

    return composed(make, by_rows=True)


ACTIVATIONS: dict[str, Operator] = {
    **{name: unary(name.lower()) for name in ("Relu", "Sigmoid", "Tanh", "Softplus", "Exp", "Abs", "Erf")},
    "LeakyRelu": unary("leaky_relu", {"alpha": 0.01}),
    "Elu": unary("elu", {"alpha": 1.0}),
    "Reciprocal": unary("reciprocal"),
    "Sqrt": unary("sqrt"),
    "Log": composed(_log),
    "Clip": _clip,
    "Gelu": composed(_gelu),
    "Selu": composed(_selu),
    "Celu": composed(_celu),
    "HardSigmoid": composed(_hard_sigmoid),
    "HardSwish": composed(_hard_swish),
    "Mish": composed(_mish),
    "Softsign": composed(_softsign),
    "PRelu": _prelu,
    "Softmax": _softmax(log=False),
    "LogSoftmax": _softmax(log=True),
}
