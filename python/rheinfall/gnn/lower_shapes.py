"""The ONNX operators that compute no values: shapes, copies, columns side by side."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from rheinfall.gnn.ir import Builder
from rheinfall.gnn.lower_values import (
    EDGES,
    Dim,
    Ends,
    Fill,
    LoweringError,
    Rows,
    Tensor,
    as_ints,
    broadcast,
    shape_of,
    wrapped,
)

_FAR = 2**31
_MOST_CONSTANTS = 2**24  # that a small file may repeat one into


class Context(Protocol):
    """What an operator sees of the lowering."""

    builder: Builder
    opset: int

    def rows(self, position: int, flat: bool = False) -> Rows:
        """The tensor of an operation."""


Operator = Callable[[Context, list[Any], dict[str, Any], int], list[Tensor]]


def _constant(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    for name in ("value", "value_float", "value_floats", "value_int", "value_ints"):
        if name in attributes:
            return [np.asarray(attributes[name])]
    raise LoweringError("a constant that is no number")


def _identity(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    return [x[0]]


def _dropout(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    """Nothing, outside of training."""
    trains = x[2] if len(x) > 2 and x[2] is not None else np.zeros(1)
    if not isinstance(trains, np.ndarray) or trains.any():
        raise LoweringError("training_mode: scores would be random; export the network in evaluation mode")
    return [x[0]]


def _shape(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    dims = list(shape_of(x[0]))[attributes.get("start", 0) : attributes.get("end")]
    result = np.empty(len(dims), object)
    result[:] = dims
    return [result]


def _size(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    if not isinstance(x[0], np.ndarray):
        raise LoweringError("the number of elements of values")
    return [np.asarray(x[0].size)]


def _dims(tensor: Any) -> tuple[Any, ...]:
    if not isinstance(tensor, np.ndarray):
        raise LoweringError("a shape that is not known")
    return tuple(d if isinstance(d, Dim) else int(d) for d in tensor.ravel())


def _constant_of_shape(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    value = np.asarray(attributes.get("value", 0.0)).ravel()[0]
    shape = _dims(x[0])
    if all(isinstance(d, int) for d in shape):
        return [np.full(shape, value)]
    return [Fill(value.item(), shape)]


def _expand(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    shape = broadcast(shape_of(x[0]), _dims(x[1]))
    return [_reshaped(c, x[0], shape, expand=True)]


def _reshaped(c: Context, x: Any, shape: tuple[Any, ...], expand: bool = False) -> Tensor:
    """The same values in another shape; those of rows and ends may change in sizes of 1 only."""
    if isinstance(x, Ends):
        if x.both and shape != x.shape:
            raise LoweringError(f"edge_index as {shape}")
        return Ends(x.end, shape)
    if isinstance(x, Fill):
        return Fill(x.value, shape)
    if isinstance(x, np.ndarray):
        if all(isinstance(d, int) for d in shape):
            return np.broadcast_to(x, shape) if expand else x.reshape(shape)
        if x.size == 1:
            return Fill(x.ravel()[0].item(), shape)
        raise LoweringError(f"a constant of shape {x.shape} as {shape}")
    rows = x.rows
    if shape == (rows, x.width):
        return Rows(x.position, x.kind, x.width)
    if x.kind == "event" and x.width == 1 and shape == ():
        return Rows(x.position, x.kind, x.width, flat=True)  # of shape (1,), which broadcasts as () does
    if shape == ((x.width,) if x.kind == "event" else (rows,)) and (x.width == 1 or x.kind == "event"):
        return Rows(x.position, x.kind, x.width, flat=True)
    if expand and x.width == 1 and len(shape) == 2 and shape[0] == rows and isinstance(shape[1], int):
        ones = {"weight": np.ones((1, shape[1]))}
        return c.rows(c.builder.add("linear", x.position, weights=ones))
    raise LoweringError(f"values {x.shape} as {shape}")


def _reshape(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    if isinstance(x[0], np.ndarray) and x[0].dtype == object:
        return [x[0].reshape([int(d) for d in _dims(x[1])])]
    before, shape = shape_of(x[0]), list(_dims(x[1]))
    shape = [before[i] if d == 0 else d for i, d in enumerate(shape)]
    if -1 in shape:
        left = list(before)
        for d in shape:
            if d != -1 and d != 1:
                if d not in left:
                    raise LoweringError(f"{before} as {shape}")
                left.remove(d)
        left = [d for d in left if d != 1] or [1]
        if len(left) > 1:
            raise LoweringError(f"{before} as {shape}")
        shape[shape.index(-1)] = left[0]
    return [_reshaped(c, x[0], tuple(shape))]


def _axes(x: list[Any], attributes: dict[str, Any]) -> list[int] | None:
    if len(x) > 1 and x[1] is not None:
        return as_ints(x[1], "axes")
    return list(attributes["axes"]) if "axes" in attributes else None


def _unsqueeze(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    shape = list(shape_of(x[0]))
    axes = _axes(x, attributes) or []
    for axis in sorted(wrapped(a, len(shape) + len(axes), "an axis") for a in axes):
        shape.insert(axis, 1)
    return [_as_shape(c, x[0], tuple(shape))]


def _squeeze(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    shape = shape_of(x[0])
    axes = _axes(x, attributes)
    drop = {i for i, d in enumerate(shape) if d == 1}
    if axes is not None:
        drop = {wrapped(a, len(shape), "an axis") for a in axes}
    return [_as_shape(c, x[0], tuple(d for i, d in enumerate(shape) if i not in drop))]


def _as_shape(c: Context, x: Any, shape: tuple[Any, ...]) -> Tensor:
    return x.reshape(shape) if isinstance(x, np.ndarray) else _reshaped(c, x, shape)


def _concat(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    axis = attributes["axis"]
    if all(isinstance(t, np.ndarray) for t in x):
        return [np.concatenate(x, axis=axis)]
    if axis in (1, -1) and all(isinstance(t, Rows) and not t.flat for t in x):
        return [c.rows(c.builder.add("concat", *(t.position for t in x)))]
    if all(isinstance(t, Ends) and t.shape == (1, EDGES) for t in x) and axis == 0:
        for end in ("both", "reversed"):
            if Ends(end, (2, EDGES)).both == tuple(t.end for t in x):
                return [Ends(end, (2, EDGES))]
    raise LoweringError(f"concatenates {', '.join(map(repr, x))} along axis {axis}")


def _split(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    axis, data = attributes.get("axis", 0), x[0]
    sizes = attributes.get("split") if len(x) < 2 or x[1] is None else as_ints(x[1], "the sizes")
    if isinstance(data, Ends) and data.both and wrapped(axis, 2, "the axis") == data.shape.index(2) and n == 2:
        shape = (1, EDGES) if axis % 2 == 0 else (EDGES, 1)
        return [Ends(end, shape) for end in data.both]
    if isinstance(data, Rows) and axis in (1, -1) and not data.flat:
        if sizes is None:
            size = -(-data.width // n)
            sizes = [size] * (n - 1) + [data.width - size * (n - 1)]
        stops = np.cumsum(sizes)
        parts = zip(stops - np.asarray(sizes), stops, strict=True)
        return [c.rows(c.builder.add("slice", data.position, start=int(i), stop=int(j))) for i, j in parts]
    raise LoweringError(f"splits {data!r} along axis {axis}")


def _slice(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    starts = as_ints(x[1], "starts")
    if isinstance(x[2], np.ndarray) and x[2].dtype == object and not any(starts) and tuple(x[2]) == shape_of(x[0]):
        return [x[0]]  # all of it, which exporters cut out of what is scattered
    stops = as_ints(x[2], "ends")
    axes = as_ints(x[3], "axes") if len(x) > 3 and x[3] is not None else list(range(len(starts)))
    steps = as_ints(x[4], "steps") if len(x) > 4 and x[4] is not None else [1] * len(starts)
    data = x[0]
    if isinstance(data, np.ndarray):
        index = [slice(None)] * data.ndim
        for axis, i, j, step in zip(axes, starts, stops, steps, strict=True):
            index[axis] = slice(i, j, step)
        return [data[tuple(index)]]
    if isinstance(data, Fill) and set(steps) == {1}:
        return [Fill(data.value, _cut(data.shape, axes, starts, stops))]
    if isinstance(data, Rows) and axes in ([1], [-1]) and steps == [1] and not data.flat:
        start, stop, _ = slice(starts[0], stops[0]).indices(data.width)
        return [c.rows(c.builder.add("slice", data.position, start=start, stop=stop))]
    if (
        isinstance(data, Ends)
        and data.both
        and len(axes) == 1
        and wrapped(axes[0], 2, "an axis") == data.shape.index(2)
    ):
        rows = list(range(2))[_slice_of(starts[0], stops[0], steps[0])]
        if len(rows) == 1:
            return [Ends(data.both[rows[0]], (1, EDGES) if axes[0] % 2 == 0 else (EDGES, 1))]
        if rows == [1, 0]:
            return [Ends("both" if data.end == "reversed" else "reversed", data.shape)]
    raise LoweringError(f"slices {data!r} along axes {axes}")


def _slice_of(start: int, stop: int, step: int) -> slice:
    """With a stop far below zero, by which a file says: to the very first."""
    return slice(start, None if step < 0 and stop < -_FAR else stop, step)


def _cut(shape: tuple[Any, ...], axes: list[int], starts: list[int], stops: list[int]) -> tuple[Any, ...]:
    """The shape of a slice; of nodes or edges all or the first, of which an event that has edges has one."""
    result = list(shape)
    for axis, start, stop in zip(axes, starts, stops, strict=True):
        d = shape[axis]
        if isinstance(d, Dim) and (start != 0 or 1 < stop < 2**31 - 1 or stop < 1):
            raise LoweringError(f"slices {shape} from {start} to {stop}")
        result[axis] = (1 if stop == 1 else d) if isinstance(d, Dim) else len(range(d)[start:stop])
    return tuple(result)


def _transpose(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    order = list(attributes.get("perm", reversed(range(len(shape_of(x[0]))))))
    if isinstance(x[0], np.ndarray):
        return [x[0].transpose(order)]
    shape = tuple(shape_of(x[0])[i] for i in order)
    if order == list(range(len(shape_of(x[0])))):
        return [x[0]]
    if isinstance(x[0], Ends):
        return [Ends(x[0].end, shape)]
    if isinstance(x[0], Fill):
        return [Fill(x[0].value, shape)]
    raise LoweringError(f"values {shape_of(x[0])} as {shape}")


def _flatten(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    if len(shape_of(x[0])) != 2 or attributes.get("axis", 1) not in (1, -1):
        raise LoweringError(f"{shape_of(x[0])} flattened at axis {attributes.get('axis', 1)}")
    return [x[0]]


def _tile(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    if isinstance(x[0], np.ndarray) and x[0].dtype != object:
        counts = as_ints(x[1], "the repeats")
        if len(counts) != x[0].ndim or min(counts, default=1) < 0 or math.prod(counts) * x[0].size > _MOST_CONSTANTS:
            raise LoweringError(f"a constant of shape {x[0].shape} repeated {counts} times")
        return [np.tile(x[0], counts)]
    before, repeats = shape_of(x[0]), _dims(x[1])
    if len(before) != len(repeats) or any(d != 1 and r != 1 for d, r in zip(before, repeats, strict=True)):
        raise LoweringError(f"{before} repeated {repeats} times")
    return [_reshaped(c, x[0], tuple(r if d == 1 else d for d, r in zip(before, repeats, strict=True)), expand=True)]


SHAPE_OPERATORS: dict[str, Operator] = {
    "Constant": _constant,
    "Identity": _identity,
    "Dropout": _dropout,
    "CastLike": _identity,
    "Shape": _shape,
    "Size": _size,
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Reshape": _reshape,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Transpose": _transpose,
    "Flatten": _flatten,
    "Tile": _tile,
}
