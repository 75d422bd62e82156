"""The ONNX operators on tensors of more than two axes: heads of attention, stacked values, transposed ones.

A block is a value whose columns are numbers of several axes, the last one fastest; nothing but copies of columns is
needed beside the operations on rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rheinfall.gnn.lower_shapes import Context, Operator
from rheinfall.gnn.lower_values import (
    EDGES,
    NODES,
    Block,
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

_MOST_INPUTS = 64  # of a concatenation


def as_block(x: Any) -> Block:
    """A value of nodes or edges with its axes."""
    if isinstance(x, Block):
        return x
    if not isinstance(x, Rows) or x.kind == "event":
        raise LoweringError(f"expected values of nodes or edges, got {x!r}")
    return Block(x.position, x.kind, () if x.flat else (x.width,), 0)


def made(c: Context, position: int, dims: Sequence[int], axis: int) -> Tensor:
    """The tensor with these axes beside the one of the rows, at `axis`."""
    rows = c.rows(position)
    if rows.width != math.prod(dims):  # one column that stands for all
        position = columns(c, position, np.broadcast_to(numbering((rows.width,)), (math.prod(dims),)))
    if axis == 0 and len(dims) < 2:
        return c.rows(position, flat=not dims)
    return Block(position, rows.kind, tuple(int(d) for d in dims), axis)


def columns(c: Context, position: int, index: Any) -> int:
    """These columns of a value."""
    wanted = [int(i) for i in np.ravel(index)]
    if wanted == list(range(c.builder[position].width)):
        return position
    starts = [k for k in range(len(wanted)) if k == 0 or wanted[k] != wanted[k - 1] + 1]
    runs = zip(starts, [*starts[1:], len(wanted)], strict=True)
    return joined(c, [c.builder.add("slice", position, start=wanted[i], stop=wanted[j - 1] + 1) for i, j in runs])


def joined(c: Context, parts: list[int]) -> int:
    """Values side by side."""
    while len(parts) > 1:
        groups = [parts[i : i + _MOST_INPUTS] for i in range(0, len(parts), _MOST_INPUTS)]
        parts = [group[0] if len(group) == 1 else c.builder.add("concat", *group) for group in groups]
    return parts[0]


def numbering(dims: Sequence[int]) -> Any:
    """The column of each place of these axes."""
    return np.arange(math.prod(dims)).reshape(tuple(dims))


def _spread(c: Context, x: Any, shape: Any, axis: int) -> Any:
    """An operand of an elementwise operator as rows of all columns of the result, or of one that stands for all."""
    if isinstance(x, Fill) or (isinstance(x, np.ndarray) and x.size == 1):
        return np.asarray(x.value if isinstance(x, Fill) else x).reshape(())
    if not isinstance(x, (Rows, Block, np.ndarray)):
        raise LoweringError(f"expected values of nodes or edges, got {x!r}")
    own = [1] * (len(shape) - len(x.shape)) + list(x.shape)
    rows = own.pop(axis)
    dims = [d for k, d in enumerate(shape) if k != axis]
    if isinstance(x, np.ndarray):
        if rows != 1:
            raise LoweringError(f"a constant of shape {x.shape} beside values of shape {shape}")
        return np.broadcast_to(x.reshape(own), dims).reshape(1, -1)
    position = x.position
    if math.prod(own) != 1:
        position = columns(c, position, np.broadcast_to(numbering(own), dims))
    return c.rows(position)


def elementwise(operator: Operator) -> Operator:
    """The operator on blocks that `operator` is on rows."""

    def lower(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
        shape: Any = ()
        for operand in x:
            shape = shape if operand is None else broadcast(shape, shape_of(operand))
        axes = [k for k, d in enumerate(shape) if isinstance(d, Dim)]
        if len(axes) != 1:
            raise LoweringError(f"values of shape {shape}")
        operands = [None if operand is None else _spread(c, operand, shape, axes[0]) for operand in x]
        dims = [d for k, d in enumerate(shape) if k != axes[0]]
        results = operator(c, operands, attributes, n)
        return [made(c, r.position, dims, axes[0]) if isinstance(r, Rows) else _refuse(r) for r in results]

    return lower


def _refuse(result: Any) -> Any:
    raise LoweringError(f"of values with several axes gives {result!r}")


def reshaped(c: Context, x: Block, shape: Sequence[Any]) -> Tensor:
    """The same numbers in the same order with other axes; that of the rows stays one."""
    axes = [k for k, d in enumerate(shape) if isinstance(d, Dim)]
    if len(axes) != 1 or shape[axes[0]] != x.rows:
        raise LoweringError(f"values of shape {x.shape} as {tuple(shape)}")
    dims = [d for k, d in enumerate(shape) if k != axes[0]]
    if math.prod(dims) != math.prod(x.dims) or math.prod(dims[: axes[0]]) != math.prod(x.dims[: x.axis]):
        raise LoweringError(f"values of shape {x.shape} as {tuple(shape)}")
    return made(c, x.position, dims, axes[0])


def _reshape(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    data = as_block(x[0])
    shape = [d if isinstance(d, Dim) else int(d) for d in np.ravel(x[1])]
    shape = [data.shape[k] if d == 0 else d for k, d in enumerate(shape)]
    if -1 in shape:
        left: Any = data.rows
        known = math.prod(d for d in shape if not isinstance(d, Dim) and d != -1)
        if any(isinstance(d, Dim) for d in shape):
            left = math.prod(data.dims) // max(known, 1)
        shape[shape.index(-1)] = left
    return [reshaped(c, data, shape)]


def _axes(x: list[Any], attributes: dict[str, Any], rank: int) -> list[int] | None:
    axes = as_ints(x[1], "axes") if len(x) > 1 and x[1] is not None else attributes.get("axes")
    return None if axes is None else sorted(wrapped(a, rank, "an axis") for a in axes)


def _unsqueeze(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    data = as_block(x[0])
    shape = list(data.shape)
    n_axes = len(as_ints(x[1], "axes") if len(x) > 1 else attributes["axes"])
    for axis in _axes(x, attributes, len(shape) + n_axes) or []:
        shape.insert(axis, 1)
    return [reshaped(c, data, shape)]


def _squeeze(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    data = as_block(x[0])
    axes = _axes(x, attributes, len(data.shape))
    if axes is None:
        axes = [k for k, d in enumerate(data.shape) if d == 1]
    return [reshaped(c, data, [d for k, d in enumerate(data.shape) if k not in axes])]


def _flatten(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    data = as_block(x[0])
    axis = attributes.get("axis", 1) % len(data.shape)
    sizes: list[Any] = []
    for part in (data.shape[:axis], data.shape[axis:]):
        number = math.prod(d for d in part if not isinstance(d, Dim))
        rows = [d for d in part if isinstance(d, Dim)]
        sizes.append(rows[0] * number if rows else number)
    return [reshaped(c, data, sizes)]


def _transpose(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    data = as_block(x[0])
    order = list(attributes.get("perm", reversed(range(len(data.shape)))))
    inner = [k - (k > data.axis) for k in order if k != data.axis]
    places = numbering(data.dims).transpose(inner)
    return [made(c, columns(c, data.position, places), places.shape, order.index(data.axis))]


def _place(data: Block, axis: int) -> int:
    """The position among the axes of columns of an axis of the tensor."""
    axis %= len(data.shape)
    if axis == data.axis:
        raise LoweringError(f"takes some of the {data.kind}s' rows, of shape {data.shape}")
    return axis - (axis > data.axis)


def _taken(c: Context, data: Block, places: Any, axis: int) -> Tensor:
    return made(c, columns(c, data.position, places), places.shape, axis)


def _gather(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    data, index, axis = as_block(x[0]), x[1], attributes.get("axis", 0)
    if isinstance(index, Ends) and axis == 0 and index.shape == (EDGES,):
        return [_at_edges(c, data, index)]
    if not isinstance(index, np.ndarray):
        raise LoweringError(f"takes {index!r} out of {data!r}")
    k = _place(data, axis)
    places = numbering(data.dims).take(np.asarray(index, np.int64), axis=k)
    return [_taken(c, data, places, data.axis + (np.ndim(index) - 1 if k < data.axis else 0))]


def _at_edges(c: Context, data: Block, index: Ends) -> Tensor:
    if data.kind != "node" or data.axis != 0 or index.both:
        raise LoweringError(f"takes {index!r} out of {data!r}")
    return made(c, c.builder.add("gather", data.position, end=index.end), data.dims, 0)


def _gather_nd(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    data, index = as_block(x[0]), x[1]
    if isinstance(index, Ends) and index.shape == (EDGES, 1):
        return [_at_edges(c, data, index)]
    if not isinstance(index, np.ndarray) or index.ndim != 2 or index.shape[1] != 1 or data.axis == 0:
        raise LoweringError(f"takes {index!r} out of {data!r}")
    return _gather(c, [data, index[:, 0]], {"axis": 0}, n)


def _gather_elements(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    data, index = as_block(x[0]), x[1]
    if not isinstance(index, Ends) or attributes.get("axis", 0) != 0 or index.shape != (EDGES, *data.dims):
        raise LoweringError(f"takes {index!r} out of {data!r}")
    return [_at_edges(c, data, index)]


def _slice(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    data = as_block(x[0])
    starts, stops = as_ints(x[1], "starts"), as_ints(x[2], "ends")
    axes = as_ints(x[3], "axes") if len(x) > 3 and x[3] is not None else list(range(len(starts)))
    steps = as_ints(x[4], "steps") if len(x) > 4 and x[4] is not None else [1] * len(starts)
    cut = [slice(None)] * len(data.dims)
    for axis, start, stop, step in zip(axes, starts, stops, steps, strict=True):
        if axis % len(data.shape) == data.axis and (start, step) == (0, 1) and stop >= 2**31 - 1:
            continue
        lowest = step < 0 and stop < -data.shape[axis]  # how a file says: to the very first
        cut[_place(data, axis)] = slice(start, None if lowest else stop, step)
    return [_taken(c, data, numbering(data.dims)[tuple(cut)], data.axis)]


def _split(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    data = as_block(x[0])
    k = _place(data, attributes.get("axis", 0))
    sizes = attributes.get("split") if len(x) < 2 or x[1] is None else as_ints(x[1], "the sizes")
    size = -(-data.dims[k] // n)
    stops = np.cumsum(sizes if sizes is not None else [size] * (n - 1))
    parts = np.split(numbering(data.dims), stops[: n - 1], axis=k)
    return [_taken(c, data, places, data.axis) for places in parts]


def _concat(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    blocks = [as_block(t) for t in x]
    first = blocks[0]
    if len({(b.kind, b.axis, len(b.dims)) for b in blocks}) != 1:
        raise LoweringError(f"concatenates {', '.join(map(repr, x))}")
    k = _place(first, attributes["axis"])
    starts = np.cumsum([0, *(math.prod(b.dims) for b in blocks)])
    places = np.concatenate([numbering(b.dims) + s for b, s in zip(blocks, starts[:-1], strict=True)], axis=k)
    whole = joined(c, [b.position for b in blocks])
    return [made(c, columns(c, whole, places), places.shape, first.axis)]


def _expand(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    data = as_block(x[0])
    shape = broadcast(data.shape, tuple(d if isinstance(d, Dim) else int(d) for d in np.ravel(x[1])))
    axis = next(k for k, d in enumerate(shape) if isinstance(d, Dim))
    dims = [d for k, d in enumerate(shape) if k != axis]
    own = [1] * (len(dims) - len(data.dims)) + list(data.dims)
    if axis != data.axis + len(shape) - len(data.shape):
        raise LoweringError(f"values of shape {data.shape} as {shape}")
    return [made(c, columns(c, data.position, np.broadcast_to(numbering(own), dims)), dims, axis)]


def _scatter(operator: Operator, by_elements: bool) -> Operator:
    def lower(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
        data, index, updates = x[0], x[1], as_block(x[2])
        if not isinstance(data, Fill) or data.shape != (NODES, *updates.dims) or updates.axis != 0:
            raise LoweringError(f"adds {updates!r} to {data!r}")
        rows = c.rows(updates.position)
        if by_elements and isinstance(index, Ends) and index.shape == (EDGES, *updates.dims):
            index = Ends(index.end, (EDGES, rows.width))
        result: Any = operator(c, [Fill(data.value, (NODES, rows.width)), index, rows], attributes, n)[0]
        return [made(c, result.position, updates.dims, 0)]

    return lower


def block_shapes(operators: dict[str, Operator]) -> dict[str, Operator]:
    """What moves numbers of blocks; `operators` are those on rows."""
    return {
        "Reshape": _reshape,
        "Unsqueeze": _unsqueeze,
        "Squeeze": _squeeze,
        "Flatten": _flatten,
        "Transpose": _transpose,
        "Gather": _gather,
        "GatherND": _gather_nd,
        "GatherElements": _gather_elements,
        "Slice": _slice,
        "Split": _split,
        "Concat": _concat,
        "Expand": _expand,
        "Shape": operators["Shape"],
        "ScatterElements": _scatter(operators["ScatterElements"], by_elements=True),
        "ScatterND": _scatter(operators["ScatterND"], by_elements=False),
    }
