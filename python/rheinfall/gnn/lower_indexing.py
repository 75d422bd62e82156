"""The ONNX operators that move values between nodes and edges."""

from __future__ import annotations

from typing import Any

import numpy as np

from rheinfall.gnn.lower_shapes import Context, Operator
from rheinfall.gnn.lower_values import EDGES, NODES, Ends, Fill, LoweringError, Rows, Tensor, Touched, as_ints, wrapped

_LOWEST = float(np.finfo(np.float32).min)


def _gather(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    axis, data, index = attributes.get("axis", 0), x[0], x[1]
    if isinstance(data, np.ndarray):
        return [np.take(data, as_ints(index, "the index"), axis=axis).reshape(_taken(data.shape, axis, index))]
    if isinstance(data, Ends) and data.both and wrapped(axis, 2, "the axis") == data.shape.index(2):
        row = [wrapped(i, 2, "a row of edge_index") for i in as_ints(index, "the row of edge_index")]
        shape = (EDGES,) if np.ndim(index) == 0 else (1, EDGES) if axis == 0 else (EDGES, 1)
        if len(row) == 1:
            return [Ends(data.both[row[0]], shape)]
        if row == [1, 0]:
            return [Ends("both" if data.end == "reversed" else "reversed", data.shape)]
    if isinstance(data, Rows) and isinstance(index, Ends) and axis == 0:
        return [_at_edges(c, data, index, (EDGES,))]
    if isinstance(data, Rows) and axis in (1, -1) and isinstance(index, np.ndarray) and not data.flat:
        columns = [wrapped(i, data.width, "a column") for i in as_ints(index, "the columns")]
        parts = [c.builder.add("slice", data.position, start=i, stop=i + 1) for i in columns]
        joined = parts[0] if len(parts) == 1 else c.builder.add("concat", *parts)
        return [c.rows(joined, flat=index.ndim == 0)]
    raise LoweringError(f"gathers {data!r} at {index!r}")


def _taken(shape: Any, axis: int, index: Any) -> Any:
    return (*shape[:axis], *np.shape(index), *shape[axis:][1:])


def _at_edges(c: Context, data: Any, index: Any, expected: Any) -> Rows:
    """Rows of nodes at one end of each edge, where the indices have this shape."""
    if not isinstance(data, Rows) or not isinstance(index, Ends):
        raise LoweringError(f"gathers {data!r} at {index!r}")
    if index.both:
        raise LoweringError("takes nodes at both ends of edges at once: write x[edge_index[0]] and x[edge_index[1]]")
    if data.kind != "node" or index.both or index.shape != expected:
        raise LoweringError(f"expected values of nodes at edges, got {data.shape} at {index.shape}")
    return c.rows(c.builder.add("gather", data.position, end=index.end), data.flat)


def _gather_nd(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    """Whole rows, where the indices are one column."""
    if attributes.get("batch_dims", 0) != 0:
        raise LoweringError(f"batch_dims {attributes['batch_dims']}")
    if isinstance(x[0], Ends) and isinstance(x[1], np.ndarray) and x[1].ndim == 2 and x[1].shape[1] == 1:
        return _gather(c, [x[0], x[1][:, 0]], {"axis": 0}, n)  # rows of edge_index
    return [_at_edges(c, x[0], x[1], (EDGES, 1))]


def _gather_elements(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
    """Whole rows, or their first columns, where one column of indices was repeated."""
    data, index = x[:2]
    if attributes.get("axis", 0) not in ((0, -1) if isinstance(data, Rows) and data.flat else (0,)):
        raise LoweringError("gathers along another axis than that of the nodes")
    if isinstance(data, Rows) and isinstance(index, Ends) and not data.flat and len(index.shape) == 2:
        width = index.shape[1]
        if isinstance(width, int) and 0 < width < data.width:
            data = c.rows(c.builder.add("slice", data.position, start=0, stop=width))
    return [_at_edges(c, data, index, (EDGES, *data.shape[1:]) if isinstance(data, Rows) else ())]


def _scatter_places(data: Any, index: Any, n_columns: tuple[Any, ...]) -> str:
    """The end of the edges whose rows are scattered, where the indices are those of whole rows."""
    if isinstance(data, np.ndarray):
        raise LoweringError(f"scatters into a constant of shape {data.shape}: the number of nodes was baked in")
    if not isinstance(data, (Fill, Touched)) or data.shape[:1] != (NODES,) or len(data.shape) > 2:
        raise LoweringError(f"expected to scatter into one number per node, got {data!r}")
    if not isinstance(index, Ends) or index.both or index.shape != (EDGES, *n_columns):
        raise LoweringError("expected indices from edge_index, those of whole rows")
    return index.end


def _scatter_constant(c: Context, data: Any, end: str, updates: Fill, how: str) -> Tensor:
    if how == "none" and isinstance(data, Fill) and data.value == updates.value:
        return data
    if how == "add" and isinstance(data, Fill) and data.value == 0:
        degree = c.builder.add("degree", end=end)
        if updates.value != 1 or data.shape[1:] not in ((), (1,)):
            row = np.full((1, *data.shape[1:]), float(updates.value)).reshape(1, -1)
            degree = c.builder.add("linear", degree, weights={"weight": row})
        return c.rows(degree, len(data.shape) == 1)
    if how in ("max", "min") and isinstance(data, Fill):
        value = (max if how == "max" else min)(float(updates.value), float(data.value))
        return Touched(end, value, float(data.value), data.shape)
    raise LoweringError("scatters a constant")


def _scatter_into_touched(c: Context, data: Touched, end: str, updates: Rows, how: str) -> int:
    """The largest or smallest of an edge's values alone, and 0 for a node without edges.

    PyTorch writes `include_self=False` as two scatters: the first puts the lowest number where there are edges. A row
    of the second is its edges' largest value times the number of edges, limited to 1.
    """
    sign = {"max": 1.0, "min": -1.0}.get(how, 0.0)
    if data.end != end or data.without != 0 or sign == 0 or not data.value * sign <= _LOWEST:
        raise LoweringError(f"reduction {how!r} into {data!r}")
    extreme = c.builder.add("reduce", updates.position, how=how, end=end, initial=sign * _LOWEST)
    some = c.builder.add("clip", c.builder.add("degree", end=end), low=0.0, high=1.0)
    return c.builder.add("mul", extreme, some)


def _scatter(by_elements: bool) -> Operator:
    def lower(c: Context, x: list[Any], attributes: dict[str, Any], n: int) -> list[Tensor]:
        data, index, updates = x[:3]
        how = str(attributes.get("reduction", "none"))
        if how not in ("add", "max", "min", "none"):
            raise LoweringError(f"reduction {how!r}")
        if attributes.get("axis", 0) != 0:
            raise LoweringError("scatters along another axis than that of the nodes")
        columns = tuple(getattr(data, "shape", ()))[1:]
        end = _scatter_places(data, index, columns if by_elements else (1,))
        if isinstance(updates, np.ndarray) and updates.size == 1:
            updates = Fill(updates.ravel()[0].item(), ())
        if isinstance(updates, Fill):
            return [_scatter_constant(c, data, end, updates, how)]
        if how == "none":
            raise LoweringError("has no reduction: the last write wins")
        if not isinstance(updates, Rows) or updates.shape != (EDGES, *columns):
            raise LoweringError(f"scatters {updates!r} into {data!r}")
        if isinstance(data, Touched):
            return [c.rows(_scatter_into_touched(c, data, end, updates, how), updates.flat)]
        return [c.rows(_scatter_rows(c, float(data.value), end, updates, how), updates.flat)]

    return lower


def _scatter_rows(c: Context, start: float, end: str, updates: Rows, how: str) -> int:
    if not np.isfinite(start):
        raise LoweringError(f"a scatter that starts from {start}")
    initial = {} if how == "add" else {"initial": start}
    position = c.builder.add("reduce", updates.position, how=how, end=end, **initial)
    if how == "add" and start != 0:
        position = c.builder.add("affine", position, weights={"shift": np.array([start])})
    return position


INDEXING: dict[str, Operator] = {
    "Gather": _gather,
    "GatherND": _gather_nd,
    "GatherElements": _gather_elements,
    "ScatterElements": _scatter(by_elements=True),
    "ScatterND": _scatter(by_elements=False),
}
