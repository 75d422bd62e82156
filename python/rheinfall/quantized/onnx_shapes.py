"""ONNX operations that move elements, on values and on constants, and arithmetic on constants alone."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from rheinfall.quantized.onnx_values import MAX_ELEMENTS, Array, Const, RefusalError, Value

Tensor = Value | Const
Attributes = dict[str, Any]


def reshape(x: Tensor, target: list[int], allow_zero: bool, batch: int) -> Tensor:
    """Reshape; on a value, a leading `batch` (the size that the file was exported with) stands for one event."""
    old = x.shape if isinstance(x, Value) else x.real.shape
    shape = [old[i] if s == 0 and not allow_zero and i < len(old) else s for i, s in enumerate(target)]
    size = int(np.prod(old, dtype=np.int64))
    if isinstance(x, Value):
        if shape and batch > 1 and shape[0] == batch:
            shape[0] = 1
        known = int(np.prod([s for s in shape[1:] if s != -1], dtype=np.int64))
        if shape and shape[0] == -1 and known == size:
            shape[0] = 1
    if any(s < -1 for s in shape) or shape.count(-1) > 1:
        raise RefusalError(f"shape {target} is none")
    try:
        return x.moved(lambda a: a.reshape(shape))
    except ValueError:
        raise RefusalError(f"shape {target} does not hold the elements of {list(old)}") from None


def axis_of(axis: int, rank: int) -> int:
    """An axis counted from the front.

    Raises:
        RefusalError: there is no such axis.
    """
    if not -rank <= axis < rank:
        raise RefusalError(f"axis {axis} of {rank}")
    return axis % rank


def rank_of(x: Tensor) -> int:
    """Number of axes, with the batch."""
    return x.index.ndim if isinstance(x, Value) else x.real.ndim


def transpose(x: Tensor, perm: list[int] | None) -> Tensor:
    """Transpose."""
    rank = rank_of(x)
    axes = [int(p) for p in perm] if perm else list(range(rank))[::-1]
    if sorted(axes) != list(range(rank)):
        raise RefusalError(f"perm {axes} for {rank} axes")
    if isinstance(x, Value) and axes[0] != 0:
        raise RefusalError("moves the axis of the batch")
    return x.moved(lambda a: a.transpose(axes))


def flatten(x: Tensor, axis: int) -> Tensor:
    """Flatten to two axes."""
    shape = x.shape if isinstance(x, Value) else x.real.shape
    axis = axis_of(axis, len(shape)) if axis != len(shape) else axis
    if isinstance(x, Value) and axis == 0:
        raise RefusalError("joins the batch with other axes")
    rows = int(np.prod(shape[:axis], dtype=np.int64))
    return x.moved(lambda a: a.reshape(rows, -1))


def squeeze(x: Tensor, axes: list[int] | None) -> Tensor:
    """Squeeze; of a value, never the batch."""
    shape = x.shape if isinstance(x, Value) else x.real.shape
    if axes is None:
        chosen = [i for i, s in enumerate(shape) if s == 1 and not (isinstance(x, Value) and i == 0)]
    else:
        chosen = [axis_of(int(a), len(shape)) for a in axes]
    if any(shape[a] != 1 for a in chosen) or (isinstance(x, Value) and 0 in chosen):
        raise RefusalError(f"squeezes axes {chosen} of {shape}")
    kept = tuple(s for i, s in enumerate(shape) if i not in chosen)
    return x.moved(lambda a: a.reshape(kept))


def unsqueeze(x: Tensor, axes: list[int]) -> Tensor:
    """Unsqueeze."""
    rank = rank_of(x) + len(axes)
    chosen = sorted(axis_of(int(a), rank) for a in axes)
    if len(set(chosen)) != len(chosen) or rank > 16:
        raise RefusalError(f"axes {axes}")
    return x.moved(lambda a: np.expand_dims(a, tuple(chosen)))


def gather(x: Tensor, indices: Array, axis: int) -> Tensor:
    """Gather with constant indices."""
    rank = rank_of(x)
    axis = axis_of(axis, rank)
    length = (x.shape if isinstance(x, Value) else x.real.shape)[axis]
    if indices.dtype.kind not in "iu" or (indices.size and not (-length <= indices.min() and indices.max() < length)):
        raise RefusalError(f"indices outside an axis of {length}")
    if isinstance(x, Value) and axis == 0:
        raise RefusalError("gathers along the axis of the batch")
    size = int(np.prod(x.shape if isinstance(x, Value) else x.real.shape, dtype=np.int64)) // max(length, 1)
    if size * indices.size > MAX_ELEMENTS:
        raise RefusalError("its result is too large")
    return x.moved(lambda a: np.take(a, indices, axis=axis))


def slice_(x: Tensor, starts: list[int], ends: list[int], axes: list[int] | None, steps: list[int] | None) -> Tensor:
    """Slice."""
    rank = rank_of(x)
    axes = [axis_of(int(a), rank) for a in (axes if axes is not None else range(len(starts)))]
    steps = steps if steps is not None else [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise RefusalError("starts, ends, axes and steps do not fit together")
    cuts: list[Any] = [slice(None)] * rank
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        length = (x.shape if isinstance(x, Value) else x.real.shape)[axis]
        if step < 0 and end < -length:
            cuts[axis] = slice(int(start), None, int(step))
        else:
            cuts[axis] = slice(int(start), int(end), int(step))
    where = tuple(cuts)
    moved = x.moved(lambda a: a[where])
    if (moved.index.size if isinstance(moved, Value) else moved.real.size) == 0:
        raise RefusalError("nothing is left")
    return moved


def split(x: Tensor, sizes: list[int] | None, axis: int, parts: int) -> list[Tensor]:
    """Split along an axis."""
    axis = axis_of(axis, rank_of(x))
    length = (x.shape if isinstance(x, Value) else x.real.shape)[axis]
    if sizes is None:
        each = -(-length // parts)
        sizes = [min(each, length - i * each) for i in range(parts)]
    if sum(sizes) != length or len(sizes) != parts or min(sizes) < 1:
        raise RefusalError(f"splits an axis of {length} into {sizes}")
    starts = np.cumsum([0, *sizes])
    return [slice_(x, [int(a)], [int(b)], [axis], None) for a, b in pairwise(starts)]


def pad(x: Tensor, pads: list[int], axes: list[int] | None) -> Tensor:
    """Pad with zeros; a value must mean zero by the integer 0 (the caller sees to it)."""
    rank = rank_of(x)
    axes = [axis_of(int(a), rank) for a in (axes if axes is not None else range(rank))]
    if len(pads) != 2 * len(axes) or any(not 0 <= p <= 1 << 16 for p in pads):
        raise RefusalError(f"pads {pads}: expected two small numbers per axis, none negative")
    widths = [(0, 0)] * rank
    for i, axis in enumerate(axes):
        widths[axis] = (pads[i], pads[i + len(axes)])
    if isinstance(x, Value):
        if widths[0] != (0, 0):
            raise RefusalError("pads the axis of the batch")
        if np.prod([s + sum(w) for s, w in zip(x.shape, widths, strict=True)], dtype=np.float64) > MAX_ELEMENTS:
            raise RefusalError("its result is too large")
        stored = x.index
        return x.moved(lambda a: np.pad(a, widths, constant_values=-1) if a is stored else np.pad(a, widths, "edge"))
    raise RefusalError("pads a constant")


def constant_arithmetic(op: str, x: list[Array]) -> Array:
    """Arithmetic on constants, in their own types, as the standard has it."""
    if max(int(np.prod(np.broadcast_shapes(*(a.shape for a in x)), dtype=np.int64)), 0) > MAX_ELEMENTS:
        raise RefusalError("its result is too large")
    whole = all(a.dtype.kind in "iu" for a in x)
    table: dict[str, Callable[..., Any]] = {
        "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Pow": np.power, "Sqrt": np.sqrt, "Neg": np.negative,
        "Div": np.floor_divide if whole else np.divide, "Max": np.maximum, "Min": np.minimum, "Abs": np.abs,
        "Reciprocal": np.reciprocal, "Exp": np.exp, "Floor": np.floor, "Ceil": np.ceil, "Round": np.round,
        "Relu": lambda a: np.maximum(a, 0), "Sign": np.sign, "Log": np.log,
    }  # fmt: skip
    if op not in table:
        raise RefusalError("not supported on constants")
    if op == "Pow":
        x = [x[0], x[1].astype(np.float64) if x[0].dtype.kind == "f" else x[1]]
    with np.errstate(all="ignore"):
        result = np.asarray(table[op](*x))
    return result.astype(x[0].dtype) if result.dtype != x[0].dtype else result
