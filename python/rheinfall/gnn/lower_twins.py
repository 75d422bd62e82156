"""Undirected graphs: networks that write each edge twice, the second time from its target to its source.

Whatever has a row for each edge and direction is a pair of values of the edges that are given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rheinfall.gnn.lower_activations import scaled
from rheinfall.gnn.lower_blocks import as_block, made
from rheinfall.gnn.lower_shapes import SHAPE_OPERATORS, Context
from rheinfall.gnn.lower_values import (
    EDGES,
    TWICE,
    Block,
    Condition,
    Dim,
    Ends,
    Fill,
    LoweringError,
    Rows,
    Shape,
    as_ints,
    reduced_axes,
    shape_of,
)

Apply = Callable[[str, list[Any], dict[str, Any], int], list[Any]]
_END = 2**31 - 1  # slices up to here, or further, go to the last row


@dataclass(frozen=True)
class Twin:
    """A tensor of twice as many rows as there are edges: those of the first half and those of the second."""

    first: Any
    second: Any

    def __repr__(self) -> str:
        return f"values of shape {self.shape}"

    @property
    def shape(self) -> Shape:
        """The tensor's shape in the file."""
        return tuple(TWICE if d == EDGES else d for d in shape_of(self.first))


def twin_of(op: str, x: list[Any], attributes: dict[str, Any]) -> Twin | None:
    """What a Concat of two tensors of edges, one below the other, makes; None for all else."""
    if op != "Concat" or len(x) != 2 or not all(isinstance(t, (Rows, Block, Ends, Fill)) for t in x):
        return None
    shapes = [shape_of(t) for t in x]
    axis = attributes["axis"] % len(shapes[0])
    alike = shapes[0] == shapes[1] and shapes[0][axis] == EDGES
    return Twin(*x) if alike and isinstance(x[0], Ends) == isinstance(x[1], Ends) else None


def on_twins(c: Context, apply: Apply, op: str, x: list[Any], attributes: dict[str, Any], n: int) -> list[Any]:
    """An operator of which an operand is a twin: on either half, but for what mixes rows of both.

    Args:
        c: of the lowering.
        apply: the operator on tensors that are no twins.
        op, x, attributes, n: as operators have them.
    """
    if op in ("Shape", "Size", "Identity"):
        return SHAPE_OPERATORS[op](c, x, attributes, n)
    if op in ("Slice", "Split") and isinstance(x[0], Twin):
        halves = _halves(x, attributes, n) if op == "Slice" else _split(x, attributes, n)
        if halves is not None:
            return halves
    if op == "Reshape" and isinstance(x[0], Twin) and (stacked := _stacked(c, x)) is not None:
        return apply(op, [stacked, x[1], *x[2:]], attributes, n)
    if op.startswith("Reduce") and _over_rows(x, attributes):
        return _summed(c, apply, op, x, attributes, n)
    if op == "BatchNormalization" and (attributes.get("training_mode", 0) or n > 1 or not isinstance(x[3], np.ndarray)):
        raise LoweringError("a norm by the event's own mean and variance, of edges in both directions")
    if op == "Concat" and shape_of(x[0])[attributes["axis"] % len(shape_of(x[0]))] == TWICE:
        raise LoweringError("writes edges more than twice")
    results = zip(*(apply(op, [_half(t, k) for t in x], attributes, n) for k in (0, 1)), strict=True)
    if op.startswith("Scatter"):
        return [_joined(c, x[0], str(attributes.get("reduction", "none")), *pair) for pair in results]
    return [_paired(*pair) for pair in results]


def _paired(first: Any, second: Any) -> Any:
    """Both halves, or what is no matter of edges and the same for both."""
    if isinstance(first, (Rows, Block, Ends, Fill, Condition)) and EDGES in shape_of(first):
        return Twin(first, second)
    same = np.array_equal(first, second) if isinstance(first, np.ndarray) else first == second
    if not same:
        raise LoweringError(f"mixes edges of both directions: {first!r}")
    return first


def _half(x: Any, k: int) -> Any:
    """An operand as one half of the rows sees it."""
    if isinstance(x, Twin):
        return (x.first, x.second)[k]
    if isinstance(x, Fill):
        return Fill(x.value, tuple(EDGES if d == TWICE else d for d in x.shape))
    if isinstance(x, np.ndarray) and x.dtype == object:
        halved = np.empty(x.shape, object)
        halved.ravel()[:] = [EDGES if d == TWICE else d for d in x.ravel()]
        return halved
    if x is not None and not isinstance(x, np.ndarray) and EDGES in shape_of(x):
        raise LoweringError(f"{x!r} beside values of shape ({TWICE}, ...)")
    return x


def _rows_axis(x: Any) -> int:
    return list(shape_of(x.first)).index(EDGES)


def _halves(x: list[Any], attributes: dict[str, Any], n: int) -> list[Any] | None:
    """The first or the second half of the rows; None where other axes are cut."""
    start, stop = np.ravel(x[1]), np.ravel(x[2])
    axes = as_ints(x[3], "axes") if len(x) > 3 and x[3] is not None else list(range(len(start)))
    steps = as_ints(x[4], "steps") if len(x) > 4 and x[4] is not None else [1] * len(axes)
    if len(axes) != 1 or axes[0] % len(x[0].shape) != _rows_axis(x[0]):
        return None
    until_last = stop[0] == TWICE or (not isinstance(stop[0], Dim) and stop[0] >= _END)
    if steps == [1]:
        if start[0] == 0 and stop[0] == EDGES:
            return [x[0].first]
        if start[0] == EDGES and until_last:
            return [x[0].second]
        if start[0] == 0 and until_last:
            return [x[0]]
    raise LoweringError(f"takes rows {start[0]} to {stop[0]} of {x[0]!r}, of which there are both halves only")


def _split(x: list[Any], attributes: dict[str, Any], n: int) -> list[Any] | None:
    if attributes.get("axis", 0) % len(x[0].shape) != _rows_axis(x[0]):
        return None
    sizes = None if len(x) < 2 or x[1] is None else list(np.ravel(x[1]))
    if n != 2 or (sizes is not None and sizes != [EDGES, EDGES]):
        raise LoweringError(f"takes other parts of {x[0]!r} than its halves")
    return [x[0].first, x[0].second]


def _stacked(c: Context, x: list[Any]) -> Block | None:
    """Both halves as an axis of their own, where the new shape begins with 2."""
    shape = np.ravel(x[1])
    if not len(shape) or isinstance(shape[0], Dim) or shape[0] != 2 or isinstance(x[0].first, Ends):
        return None
    first, second = as_block(x[0].first), as_block(x[0].second)
    if first.axis != 0:
        return None
    return Block(c.builder.add("concat", first.position, second.position), first.kind, (2, *first.dims), 1)


def _over_rows(x: list[Any], attributes: dict[str, Any]) -> bool:
    return isinstance(x[0], Twin) and _rows_axis(x[0]) in reduced_axes(x, attributes, len(x[0].shape))


def _summed(c: Context, apply: Apply, op: str, x: list[Any], attributes: dict[str, Any], n: int) -> list[Any]:
    if op not in ("ReduceSum", "ReduceMean"):
        raise LoweringError(f"over all rows of {x[0]!r}, of which there are sums and means only")
    first, second = (apply(op, [_half(t, k) for t in x], attributes, n)[0] for k in (0, 1))
    total = c.builder.add("add", first.position, second.position)
    return [c.rows(total if op == "ReduceSum" else scaled(c, total, 0.5), first.flat)]


def _joined(c: Context, start: Any, how: str, first: Any, second: Any) -> Any:
    """What nodes get from both halves."""
    if isinstance(first, Fill) and first == second:
        return first
    if not isinstance(first, (Rows, Block)) or (how == "add" and not (isinstance(start, Fill) and start.value == 0)):
        raise LoweringError(f"{how} of {first!r} and {second!r}, of edges in both directions, into {start!r}")
    position = c.builder.add(how, first.position, second.position)
    return made(c, position, first.dims, 0) if isinstance(first, Block) else replace(first, position=position)
