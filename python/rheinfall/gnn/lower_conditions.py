"""The ONNX operators that compare values, and choose between values by what they found.

The engine has no operation that chooses. A condition is kept as a value that is above zero where it holds, and a
choice is composed: relu of that value, times the largest number three times over, is 0 or infinity, and limits what is
not chosen to 0. That is exact, infinite values included; what is not a number goes through.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rheinfall.gnn.lower_activations import composed, limited, scaled
from rheinfall.gnn.lower_shapes import Context, Operator
from rheinfall.gnn.lower_values import Condition, Ends, Fill, LoweringError, Rows, Tensor, broadcast, shape_of

_LARGE = float(np.finfo(np.float32).max)
# From here on x + log(1 + exp(-x)) is x in float32: exp(-16) is an eighth of its half unit in the last place.
_SOFTPLUS_IS_X = 16.0


def _number(tensor: Any) -> float | None:
    """The one number that a tensor holds, or None."""
    if isinstance(tensor, Fill) and isinstance(tensor.value, (int, float)):
        return float(tensor.value)
    if isinstance(tensor, np.ndarray) and tensor.size == 1 and tensor.dtype != object:
        return float(tensor.ravel()[0])
    return None


def _above(c: Context, a: Any, b: Any) -> Condition:
    """a > b, of values and a number, or of two values."""
    shape = broadcast(shape_of(a), shape_of(b))
    if isinstance(a, Rows) and isinstance(b, Rows) and a.flat == b.flat:
        return Condition(c.builder.add("sub", a.position, b.position), shape)
    number = _number(b if isinstance(a, Rows) else a)
    rows = a if isinstance(a, Rows) else b
    if not isinstance(rows, Rows) or number is None or not np.isfinite(number) or len(shape) != len(rows.shape):
        raise LoweringError("a comparison of something else than values and a number")
    if rows is a:
        return Condition(scaled(c, a.position, 1.0, -number), shape, compared=(a.position, number))
    return Condition(scaled(c, b.position, -1.0, number), shape)


def _compare(swap: bool, negate: bool) -> Operator:
    def lower(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
        a, b = (x[1], x[0]) if swap else (x[0], x[1])
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            return [np.asarray(a <= b if negate else a > b, bool)]
        if isinstance(x[0], Ends) and _number(x[1]) == 0 and swap:  # Less, GreaterOrEqual
            return [Fill(negate, x[0].shape)]  # indices are checked before a network runs: none is below zero
        found = _above(c, a, b)
        return [found.opposite() if negate else found]

    return lower


def _not(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    if isinstance(x[0], Condition):
        return [x[0].opposite()]
    if isinstance(x[0], np.ndarray):
        return [np.logical_not(x[0])]
    raise LoweringError("expected a condition")


def _join(op: str) -> Operator:
    def lower(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
        a, b = x[:2]
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            return [np.logical_or(a, b) if op == "max" else np.logical_and(a, b)]
        if not isinstance(a, Condition) or not isinstance(b, Condition) or a.negated != b.negated:
            raise LoweringError("expected two conditions on values, both strict or both with equality")
        other = {"max": "min", "min": "max"}[op]  # not a or not b = not (a and b)
        joined = c.builder.add(other if a.negated else op, a.position, b.position)
        return [Condition(joined, broadcast(a.shape, b.shape), a.negated)]

    return lower


def _infinite_where(c: Context, condition: Condition) -> tuple[int, int]:
    """Infinity where the condition holds and 0 elsewhere; and the opposite."""
    value = c.builder.add("relu", condition.position)
    for _ in range(3):
        # What stands between keeps the factors from becoming one, which would be infinite.
        value = c.builder.add("abs", scaled(c, value, _LARGE))
    pair = value, c.builder.add("reciprocal", value)
    return pair[::-1] if condition.negated else pair


def indicator(c: Context, condition: Condition) -> int:
    """1 where it holds, 0 elsewhere."""
    return limited(c, _infinite_where(c, condition)[0], 0.0, 1.0)


def _choose(c: Context, condition: Condition, a: int, b: int) -> int:
    """`a` where the condition holds, `b` elsewhere."""
    add = c.builder.add
    parts = [
        add("max", add("min", value, limit), scaled(c, limit, -1.0))
        for value, limit in zip((a, b), _infinite_where(c, condition), strict=True)
    ]
    return add("add", *parts)


def _as_rows(c: Context, tensor: Any, condition: Condition) -> int:
    """Position of a branch: of values, or of constants in the condition's rows."""
    if isinstance(tensor, Rows):
        if tensor.flat != (len(condition.shape) == 1):
            raise LoweringError(f"a choice of values {tensor.shape} by a condition {condition.shape}")
        return tensor.position
    constant = np.asarray(tensor.value if isinstance(tensor, Fill) else tensor, np.float64)
    width = c.builder[condition.position].width
    if constant.size not in (1, width) or not np.all(np.isfinite(constant)) or constant.shape[:-1] not in ((), (1,)):
        raise LoweringError(f"a choice of constants of shape {constant.shape} by a condition {condition.shape}")
    zero = c.builder.add("clip", condition.position, low=0.0, high=0.0)
    return c.builder.add("affine", zero, weights={"shift": constant.ravel()})


def _unscaled(c: Context, position: int) -> tuple[int, float]:
    """The value that this one is a multiple of, and the factor."""
    factor = 1.0
    while c.builder[position].op == "affine":
        o = c.builder[position]
        scale = o.weights.get("scale", np.ones(1))
        if np.any(o.weights.get("shift", 0)) or scale.size != 1:
            break
        factor *= float(scale.ravel()[0])
        position = o.inputs[0]
    return position, factor


def _is_softplus(c: Context, condition: Condition, a: int, b: int) -> bool:
    """True of x where x · beta > threshold, else softplus(x · beta) / beta, which PyTorch writes for softplus."""
    left, threshold = condition.compared
    base, factor = _unscaled(c, b)
    o = c.builder[base]
    if condition.negated or threshold < _SOFTPLUS_IS_X or o.op != "softplus" or o.inputs[0] != left:
        return False
    value, beta = _unscaled(c, left)
    plain, one = _unscaled(c, a)
    return value == plain and one == 1.0 and abs(beta * factor - 1.0) < 1e-6


def _where(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    if isinstance(x[0], Fill) and isinstance(x[0].value, bool):
        return [x[1] if x[0].value else x[2]]
    if all(isinstance(t, np.ndarray) for t in x[:3]):
        return [np.where(x[0], x[1], x[2])]
    if not isinstance(x[0], Condition):
        raise LoweringError(f"a choice by {x[0]!r}")
    condition = x[0]
    flat = len(condition.shape) == 1
    a, b = (_as_rows(c, t, condition) for t in x[1:3])
    if _is_softplus(c, condition, a, b):
        return [c.rows(b, flat)]
    return [c.rows(_choose(c, condition, a, b), flat)]


def _equal(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    if isinstance(x[0], np.ndarray) and isinstance(x[1], np.ndarray):
        pairs = np.broadcast_arrays(x[0], x[1])
        equal = [bool(a == b) for a, b in zip(pairs[0].ravel(), pairs[1].ravel(), strict=True)]
        return [np.array(equal, bool).reshape(pairs[0].shape)]
    raise LoweringError("a comparison of values for equality")


def _sign(c: Context, x: int, attributes: dict[str, Any]) -> int:
    above, below = (indicator(c, Condition(v, ())) for v in (x, scaled(c, x, -1.0)))
    return c.builder.add("sub", above, below)


def _thresholded(c: Context, x: int, attributes: dict[str, Any]) -> int:
    condition = Condition(scaled(c, x, 1.0, -float(attributes.get("alpha", 1.0))), ())
    return _choose(c, condition, x, c.builder.add("clip", x, low=0.0, high=0.0))


def _shrink(c: Context, x: int, attributes: dict[str, Any]) -> int:
    """x + bias below -lambd, x - bias above lambd, 0 between."""
    limit, bias = float(attributes.get("lambd", 0.5)), float(attributes.get("bias", 0.0))
    zero = c.builder.add("clip", x, low=0.0, high=0.0)
    above = Condition(scaled(c, x, 1.0, -limit), ())
    below = Condition(scaled(c, x, -1.0, -limit), ())
    inner = _choose(c, above, scaled(c, x, 1.0, -bias), zero)
    return _choose(c, below, scaled(c, x, 1.0, bias), inner)


def _cast(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    to = attributes["to"]
    if isinstance(x[0], Condition):
        if to == 9:
            return [x[0]]
        if to not in (1, 11):
            raise LoweringError(f"a cast of a condition to ONNX type {to}")
        return [c.rows(indicator(c, x[0]), len(x[0].shape) == 1)]
    if isinstance(x[0], np.ndarray) and x[0].dtype != object:
        kinds = {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_, 11: np.float64, 10: np.float16}
        return [x[0].astype(kinds[to])]
    if isinstance(x[0], Rows) and to not in (1, 11):
        raise LoweringError(f"a cast of values to ONNX type {to}")
    return [x[0]]


CONDITIONS: dict[str, Operator] = {
    "Greater": _compare(swap=False, negate=False),
    "Less": _compare(swap=True, negate=False),
    "LessOrEqual": _compare(swap=False, negate=True),
    "GreaterOrEqual": _compare(swap=True, negate=True),
    "Equal": _equal,
    "Not": _not,
    "Or": _join("max"),
    "And": _join("min"),
    "Where": _where,
    "Cast": _cast,
    "Sign": composed(_sign),
    "ThresholdedRelu": composed(_thresholded),
    "Shrink": composed(_shrink),
}
