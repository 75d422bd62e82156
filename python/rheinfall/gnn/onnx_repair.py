"""Make the scatters of an ONNX graph add, and add in the way that ONNX Runtime does fast and exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rheinfall._extras import require
from rheinfall.gnn.onnx_checks import GraphIndex, LostSum, nodes_of, reduction_of, subgraphs


def add_reductions(lost: Sequence[LostSum], name: str) -> None:
    """Give each of these scatters `reduction="add"`, in place.

    Raises:
        ValueError: one scatters into something other than zeros, so whether it was meant to add is unknown.
    """
    onnx = require("onnx", "onnx")
    for scatter in lost:
        if not scatter.starts_at_zero:
            raise ValueError(
                f"{name}: node {scatter.node.name!r} ({scatter.node.op_type}) has no reduction and does not start from "
                "zeros, so it cannot be told whether it was meant to add: it is not repaired; export the model again"
            )
        kept = [a for a in scatter.node.attribute if a.name != "reduction"]
        del scatter.node.attribute[:]
        scatter.node.attribute.extend(kept + [onnx.helper.make_attribute("reduction", "add")])
        if scatter.node.op_type == "Scatter":  # the name of ScatterElements before opset 11
            scatter.node.op_type = "ScatterElements"


def sum_rows_in_double(model: Any) -> int:
    """Turn sums over rows from float32 ScatterElements into float64 ScatterND, in place; the number of nodes changed.

    ONNX Runtime takes some 50 ns per element for ScatterElements, and adds whole rows in ScatterND; with several
    threads that one loses updates, so a session of such a model must have one thread. Summing in float64 and rounding
    once costs little and makes the sum nearly independent of the numbering of the nodes.
    """
    onnx = require("onnx", "onnx")
    index = GraphIndex(model.graph)
    changed = 0
    new_nodes = []
    for node in model.graph.node:
        rows = _row_indices(node, index)
        if rows is None:
            new_nodes.append(node)
            continue
        out = node.output[0]
        start, updates, total = (f"{out}/{part}_float64" for part in ("start", "updates", "sum"))
        double, single = onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT
        new_nodes.extend(
            [
                onnx.helper.make_node("Cast", [node.input[0]], [start], name=f"{start}_cast", to=double),
                onnx.helper.make_node("Cast", [node.input[2]], [updates], name=f"{updates}_cast", to=double),
                onnx.helper.make_node(
                    "ScatterND", [start, rows, updates], [total], name=f"{out}/scatter", reduction="add"
                ),
                onnx.helper.make_node("Cast", [total], [out], name=f"{out}/round", to=single),
            ]
        )
        changed += 1
    del model.graph.node[:]
    model.graph.node.extend(_alive(new_nodes, {o.name for o in model.graph.output}))
    return changed


def _alive(nodes: Sequence[Any], needed: set[str]) -> list[Any]:
    """The nodes that `needed` tensors come from; ONNX Runtime would run the others too."""
    used = set(needed)
    alive = []
    for node in reversed(nodes):
        if used.isdisjoint(node.output):
            continue
        alive.append(node)
        used.update(node.input)
        for subgraph in subgraphs(node):
            for inner in nodes_of(subgraph):
                used.update(inner.input)
            used.update(o.name for o in subgraph.output)
    return alive[::-1]


def has_parallel_hazard(model: Any) -> bool:
    """True if the model holds a ScatterND with a reduction, whose updates ONNX Runtime loses with several threads."""
    return any(n.op_type == "ScatterND" and reduction_of(n) != "none" for n in nodes_of(model.graph))


def _row_indices(node: Any, index: GraphIndex) -> str | None:
    """The (n, 1) tensor of rows if `node` adds whole rows: indices expanded from one column, axis 0."""
    if node.op_type != "ScatterElements" or reduction_of(node) != "add":
        return None
    axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
    expand = index.producer.get(node.input[1])
    if axis != 0 or expand is None or expand.op_type != "Expand":
        return None
    column = index.producer.get(expand.input[0])
    if column is None or column.op_type != "Unsqueeze" or _unsqueezed_axis(column, index) not in (1, -1):
        return None
    return str(expand.input[0]) if _expands_to_updates(expand, node.input[2], index) else None


def _unsqueezed_axis(node: Any, index: GraphIndex) -> int | None:
    onnx = require("onnx", "onnx")
    for attribute in node.attribute:
        if attribute.name == "axes" and len(attribute.ints) == 1:
            return int(attribute.ints[0])
    if len(node.input) < 2:
        return None
    tensor = index.constants.get(node.input[1])
    producer = index.producer.get(node.input[1])
    if tensor is None and producer is not None and producer.op_type == "Constant":
        tensor = next((a.t for a in producer.attribute if a.name == "value"), None)
    if tensor is None:
        return None
    axes = onnx.numpy_helper.to_array(tensor).ravel()
    return int(axes[0]) if axes.size == 1 else None


def _expands_to_updates(expand: Any, updates: str, index: GraphIndex) -> bool:
    """True if the indices are expanded to the very shape of the updates, so that whole rows are written."""
    shape = index.producer.get(expand.input[1])
    return shape is not None and shape.op_type == "Shape" and shape.input[0] == updates
