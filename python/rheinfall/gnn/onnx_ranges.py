"""Between which limits the values of an ONNX graph lie, whatever the event: interval arithmetic from node to node.

What is not known here is unlimited, as the results of matrix products and of sums are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rheinfall._extras import require

_INF = math.inf


@dataclass(frozen=True)
class Range:
    """Limits of a tensor's values, inclusive.

    Attributes:
        low, high: the limits.
        node: what limits values that would be unlimited, as text; "" where nothing does, and for constants.
    """

    low: float = -_INF
    high: float = _INF
    node: str = ""


_COPIES = (
    *("Identity", "Cast", "CastLike", "Dropout", "Squeeze", "Unsqueeze", "Reshape", "Flatten", "Transpose", "Expand"),
    *("Tile", "Gather", "GatherElements", "GatherND", "Slice", "Split", "ReduceMax", "ReduceMin", "ReduceMean"),
)
_LIMITED = {
    **dict.fromkeys(("Sigmoid", "Softmax", "HardSigmoid", "Hardmax"), (0.0, 1.0)),
    **dict.fromkeys(("Tanh", "Softsign", "Erf"), (-1.0, 1.0)),
    "LogSoftmax": (-_INF, 0.0),
}
_MONOTONE: dict[str, Callable[[float], float]] = {
    "Exp": lambda v: math.exp(v) if v < 700 else _INF,
    "Log": lambda v: math.log(v) if v > 0 else -_INF,
    "Sqrt": lambda v: math.sqrt(max(v, 0.0)),
    "Relu": lambda v: max(v, 0.0),
    "Round": lambda v: float(round(v)) if math.isfinite(v) else v,
    "Floor": lambda v: float(math.floor(v)) if math.isfinite(v) else v,
    "Ceil": lambda v: float(math.ceil(v)) if math.isfinite(v) else v,
}


def ranges_of(model: Any) -> dict[str, Range]:
    """The limits of every tensor of the main graph that a node or initializer makes; nodes must be sorted."""
    return _of_graph(model.graph, {})


def _of_graph(graph: Any, outside: dict[str, Range]) -> dict[str, Range]:
    numpy_helper = require("onnx.numpy_helper", "onnx")
    found = {**outside, **{t.name: _of_constant(numpy_helper.to_array(t)) for t in graph.initializer}}
    makers = {output: node for node in graph.node for output in node.output}
    for node in graph.node:
        results = [Range()]
        if node.domain in ("", "ai.onnx"):
            operands = [found.get(i, Range()) for i in node.input]
            results = _of_branches(node, found) if node.op_type == "If" else [_of_node(node, operands, makers)]
        for i, output in enumerate(node.output):
            result = results[i if len(results) > 1 else 0]
            found[output] = Range() if math.isnan(result.low) or math.isnan(result.high) else result
    return found


def _of_branches(node: Any, found: dict[str, Range]) -> list[Range]:
    """Either branch: exporters ask whether a tensor has an axis to squeeze."""
    results = []
    for attribute in node.attribute:
        inner = _of_graph(attribute.g, found)
        results.append([inner.get(output.name, Range()) for output in attribute.g.output])
    return [_union(list(pair)) for pair in zip(*results, strict=True)]


def _of_constant(values: Any) -> Range:
    if values.dtype.kind not in "fiub" or not values.size or np.isnan(values.astype(np.float64)).any():
        return Range()
    return Range(float(values.min()), float(values.max()))


def _of_node(node: Any, x: list[Range], makers: dict[str, Any]) -> Range:
    op, told = node.op_type, f"{node.name or node.output[0]!r} ({node.op_type})"
    attributes = {a.name: a for a in node.attribute}
    if op == "Constant" and "value" in attributes:
        return _of_constant(require("onnx.numpy_helper", "onnx").to_array(attributes["value"].t))
    if op == "Constant" and "value_float" in attributes:
        return Range(attributes["value_float"].f, attributes["value_float"].f)
    if op in _COPIES:
        return x[0]
    if op in _LIMITED:
        return Range(*_LIMITED[op], told)
    if op == "Clip":
        return _clipped(x, attributes, told)
    if op == "Max":
        return Range(max(r.low for r in x), max(r.high for r in x), _node(x))
    if op == "Min":
        low, high = min(r.low for r in x), min(r.high for r in x)
        return Range(low, high, _node(x) or (told if low >= 0 and high < _INF else ""))
    if op in _MONOTONE:
        return _monotone(op, x[0], told)
    if op in ("Concat", "Where"):
        return _union(x[1:] if op == "Where" else x)
    if op == "Neg":
        return Range(-x[0].high, -x[0].low, x[0].node)
    if op == "Reciprocal":
        return _quotient(Range(1.0, 1.0), x[0], told)
    if op == "Div" and _is_share(node, x, makers):
        return Range(0.0, 1.0, told)
    return _arithmetic(op, x, told)


def _monotone(op: str, x: Range, told: str) -> Range:
    """Logarithms below 0 are those of probabilities, which no sigmoid makes scores of."""
    low, high = sorted((_MONOTONE[op](x.low), _MONOTONE[op](x.high)))
    return Range(low, high, x.node or (told if op == "Log" and high <= 0 else ""))


def _arithmetic(op: str, x: list[Range], told: str) -> Range:
    if len(x) != 2:
        return Range()
    a, b = x
    if op == "Add":
        return _named(a.low + b.low, a.high + b.high, x)
    if op == "Sub":
        return _named(a.low - b.high, a.high - b.low, x)
    if op == "Mul":
        return _of_corners([_times(u, v) for u in (a.low, a.high) for v in (b.low, b.high)], x)
    if op == "Div":
        return _quotient(a, b, told)
    if op == "Pow" and a.low >= 0 and b.low == b.high and b.low > 0:
        return _named(_power(a.low, b.low), _power(a.high, b.low), x)
    return Range()


def _quotient(a: Range, b: Range, told: str) -> Range:
    """1 / (1 + exp(-x)), which is limited though no operand is, among all others."""
    if not (b.low > 0 or b.high < 0):
        return Range()
    inverse = (0.0 if math.isinf(b.high) else 1 / b.high), (0.0 if math.isinf(b.low) else 1 / b.low)
    result = _of_corners([_times(u, v) for u in (a.low, a.high) for v in inverse], [a, b])
    limited = math.isfinite(result.low) and math.isfinite(result.high) and not math.isfinite(b.high - b.low)
    return Range(result.low, result.high, result.node or (told if limited else ""))


def _is_share(node: Any, x: list[Range], makers: dict[str, Any]) -> bool:
    """a / (a + c), or a over its sum, for a and c of at least 0: sigmoid and softmax spelled out."""
    below = makers.get(node.input[1])
    if below is None or not x[0].low >= 0:
        return False
    if below.op_type == "ReduceSum":
        return bool(below.input[0] == node.input[0])
    return below.op_type == "Add" and node.input[0] in below.input and x[1].low >= x[0].low


def _clipped(x: list[Range], attributes: dict[str, Any], told: str) -> Range:
    low = x[1].low if len(x) > 1 else attributes["min"].f if "min" in attributes else -_INF
    high = x[2].high if len(x) > 2 else attributes["max"].f if "max" in attributes else _INF
    result = Range(min(max(x[0].low, low), high), max(min(x[0].high, high), low), x[0].node)
    # Logits are cut at both sides of zero, to keep exp finite; what is cut at zero and above is something else.
    both = result.low >= 0 and math.isfinite(result.high)
    return Range(result.low, result.high, told) if both and not result.node else result


def _of_corners(corners: list[float], x: list[Range]) -> Range:
    return _named(min(corners), max(corners), x)


def _named(low: float, high: float, x: list[Range]) -> Range:
    """Unlimited on both sides is limited by nothing."""
    return Range(low, high, _node(x) if math.isfinite(low) or math.isfinite(high) else "")


def _union(x: list[Range]) -> Range:
    return _named(min(r.low for r in x), max(r.high for r in x), x)


def _power(base: float, exponent: float) -> float:
    try:
        return float(base**exponent)
    except OverflowError:
        return _INF


def _times(u: float, v: float) -> float:
    return 0.0 if u == 0 or v == 0 else u * v


def _node(x: list[Range]) -> str:
    return next((r.node for r in x if r.node), "")
