"""The ONNX operators that sum over, or norm, axes of columns: of blocks, and of rows where there are none on them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rheinfall.gnn.ir import sum_all
from rheinfall.gnn.lower_activations import scaled
from rheinfall.gnn.lower_blocks import as_block, block_shapes, columns, elementwise, joined, made, numbering
from rheinfall.gnn.lower_shapes import Context, Operator
from rheinfall.gnn.lower_values import Block, LoweringError, Tensor, reduced_axes


def row_reduced(c: Context, position: int, how: str) -> int:
    """The sum, mean, max or min over all columns."""
    if how == "min":  # exact: a change of sign rounds nothing
        return scaled(c, c.builder.add("row_max", scaled(c, position, -1.0)), -1.0)
    return c.builder.add("row_" + how, position)


def _folded(c: Context, position: int, dims: list[int], k: int, how: str) -> int:
    """The sum, mean, max or min over one axis of columns."""
    before, size, behind = math.prod(dims[:k]), dims[k], math.prod(dims[k + 1 :])
    places = numbering((before, size, behind))
    if behind == 1:
        return joined(c, [row_reduced(c, columns(c, position, p), how) for p in places])
    terms = [columns(c, position, places[:, j]) for j in range(size)]
    if how in ("sum", "mean"):
        total = sum_all(c.builder, terms)
        return total if how == "sum" else scaled(c, total, 1 / size)
    first, *rest = terms
    for term in rest:
        first = c.builder.add(how, first, term)
    return first


def _over(c: Context, data: Block, axes: list[int], how: str) -> tuple[int, list[int]]:
    """The value folded over these axes of columns, and the axes with 1 in place of their sizes."""
    position, dims = data.position, list(data.dims)
    for k in axes:
        position = _folded(c, position, dims, k, how)
        dims[k] = 1
    return position, dims


def _respread(c: Context, position: int, dims: list[int], to: tuple[int, ...]) -> int:
    if math.prod(dims) == 1:
        return position
    return columns(c, position, np.broadcast_to(numbering(dims), to))


def _log_sum_exp(c: Context, data: Block, axes: list[int]) -> tuple[int, list[int]]:
    add = c.builder.add
    largest, dims = _over(c, data, axes, "max")
    exponential = add("exp", add("sub", data.position, _respread(c, largest, dims, data.dims)))
    total, _ = _over(c, Block(exponential, data.kind, data.dims, data.axis), axes, "sum")
    return add("add", largest, add("log", total)), dims


def _norm(before: str, root: bool) -> Any:
    def reduced(c: Context, data: Block, axes: list[int]) -> tuple[int, list[int]]:
        inner = Block(c.builder.add(before, data.position), data.kind, data.dims, data.axis)
        position, dims = _over(c, inner, axes, "sum")
        return (c.builder.add("sqrt", position) if root else position), dims

    return reduced


def _plain(how: str) -> Any:
    return lambda c, data, axes: _over(c, data, axes, how)


def _reduce(reduced: Any) -> Operator:
    def lower(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
        data = as_block(x[0])
        axes = reduced_axes(x, attributes, len(data.shape))
        if data.axis in axes:
            raise LoweringError(f"over all {data.kind}s: there are sums and means of each column, or of all, only")
        inner = [a - (a > data.axis) for a in axes]
        position, dims = reduced(c, data, inner)
        if bool(attributes.get("keepdims", 1)):
            return [made(c, position, dims, data.axis)]
        left = [d for k, d in enumerate(dims) if k not in inner]
        return [made(c, position, left, data.axis - sum(a < data.axis for a in axes))]

    return lower


def _softmax(log: bool) -> Operator:
    def lower(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
        data, add = as_block(x[0]), c.builder.add
        axis = attributes.get("axis", -1) % len(data.shape)
        if axis == data.axis or c.opset < 13:
            raise LoweringError(f"over all {data.kind}s" if axis == data.axis else "of several axes before opset 13")
        inner = [axis - (axis > data.axis)]
        largest, dims = _over(c, data, inner, "max")
        centred = add("sub", data.position, _respread(c, largest, dims, data.dims))
        exponential = add("exp", centred)
        total, _ = _over(c, Block(exponential, data.kind, data.dims, data.axis), inner, "sum")
        total = add("log", total) if log else total
        total = _respread(c, total, dims, data.dims)
        result = add("sub", centred, total) if log else add("div", exponential, total)
        return [made(c, result, data.dims, data.axis)]

    return lower


def _matmul(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    data, weight = as_block(x[0]), x[1]
    if not isinstance(weight, np.ndarray) or weight.ndim != 2 or data.axis == len(data.dims) or not data.dims:
        raise LoweringError("expected values times a matrix of weights")
    places = numbering(data.dims).reshape(-1, data.dims[-1])
    parts = [c.builder.add("linear", columns(c, data.position, p), weights={"weight": weight}) for p in places]
    return [made(c, joined(c, parts), [*data.dims[:-1], weight.shape[1]], data.axis)]


def _normed(c: Context, data: Block, parts: int, scale: Any, shift: Any, epsilon: float) -> Tensor:
    """Norms over each of this many equal parts of the columns; scale and shift are those of all columns."""
    places = numbering((parts, math.prod(data.dims) // parts))
    norms = []
    for p in places:
        weights = {"scale": None if scale is None else scale[p], "shift": None if shift is None else shift[p]}
        norms.append(c.builder.add("layer_norm", columns(c, data.position, p), weights=weights, epsilon=epsilon))
    return made(c, joined(c, norms), data.dims, data.axis)


def _over_columns(values: Any, dims: tuple[int, ...]) -> Any:
    return None if values is None else np.broadcast_to(np.asarray(values), dims).ravel()


def _layer_norm(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    data = as_block(x[0])
    axis = attributes.get("axis", -1) % len(data.shape)
    if n > 1 or data.axis != 0 or axis == 0:
        raise LoweringError("expected a norm over columns, with one output")
    scale, shift = (_over_columns(v, data.dims) for v in (x[1], x[2] if len(x) > 2 else None))
    epsilon = float(attributes.get("epsilon", 1e-5))
    return [_normed(c, data, math.prod(data.dims[: axis - 1]), scale, shift, epsilon)]


def _instance_norm(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    data = as_block(x[0])
    if data.axis != 0 or len(data.dims) < 2:
        raise LoweringError(f"expected one axis of rows, one of channels and more, got {data!r}")
    channel = (data.dims[0], *(1 for _ in data.dims[1:]))
    scale, shift = (_over_columns(np.reshape(v, channel), data.dims) for v in x[1:3])
    return [_normed(c, data, data.dims[0], scale, shift, float(attributes.get("epsilon", 1e-5)))]


def _group_norm(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    data, groups = as_block(x[0]), int(attributes["num_groups"])
    if data.axis != 0 or not data.dims or data.dims[0] % groups:
        raise LoweringError(f"expected channels in {groups} equal groups, got {data!r}")
    channel = (data.dims[0], *(1 for _ in data.dims[1:]))
    # Before opset 21 there is one scale for each group.
    weights = [np.repeat(np.ravel(v), data.dims[0] // np.size(v)).reshape(channel) for v in x[1:3]]
    scale, shift = (_over_columns(v, data.dims) for v in weights)
    return [_normed(c, data, groups, scale, shift, float(attributes.get("epsilon", 1e-5)))]


_REDUCTIONS = {
    **{"Reduce" + how.capitalize(): _plain(how) for how in ("sum", "mean", "max", "min")},
    "ReduceL1": _norm("abs", root=False),
    "ReduceL2": _norm("square", root=True),
    "ReduceSumSquare": _norm("square", root=False),
    "ReduceLogSumExp": _log_sum_exp,
}


def block_operators(operators: dict[str, Operator], alone: set[str]) -> dict[str, Operator]:
    """The operators on blocks; `operators` are those on rows, `alone` the ones among them on each number alone."""
    return {
        **{name: elementwise(operators[name]) for name in alone},
        **block_shapes(operators),
        **{name: _reduce(reduced) for name, reduced in _REDUCTIONS.items()},
        "Softmax": _softmax(log=False),
        "LogSoftmax": _softmax(log=True),
        "MatMul": _matmul,
        "LayerNormalization": _layer_norm,
        "InstanceNormalization": _instance_norm,
        "GroupNormalization": _group_norm,
    }
