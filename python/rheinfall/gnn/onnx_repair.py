"""Restore the reductions of an ONNX graph's scatters, and add in the way that ONNX Runtime does fast and exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rheinfall._extras import require
from rheinfall.gnn.lost_reductions import LostReduction, Repair, find_lost_reductions, refusal, repairs
from rheinfall.gnn.onnx_checks import GraphIndex, nodes_of, reduction_of, subgraphs
from rheinfall.gnn.onnx_opset import raise_opset


def restore_reductions(model: Any, lost: Sequence[LostReduction], wanted: Sequence[str]) -> None:
    """Make each of these scatters of zeros an "add" or a "mean", in place; the opset is 16 or later.

    A mean is the sum divided by the number of what is added: at least 1 where PyTorch's include_self=False cleared
    the places first; one more than there are edges else, since it counts the zero that it starts from.
    """
    onnx = require("onnx", "onnx")
    index = GraphIndex(model.graph)
    behind: dict[str, list[Any]] = {}
    for scatter, how in zip(lost, wanted, strict=True):
        node = scatter.node
        kept = [a for a in node.attribute if a.name != "reduction"]
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute("reduction", "add")])
        if node.op_type == "Scatter":  # the name of ScatterElements before opset 11
            node.op_type = "ScatterElements"
        if scatter.cleared:
            node.input[0] = index.producer[node.input[0]].input[0]
        if how == "mean":
            result, node.output[0] = node.output[0], node.output[0] + "/sum"
            behind[node.output[0]] = _divided(node, result, scatter.cleared)
    nodes = [n for node in model.graph.node for n in (node, *behind.get(node.output[0] if node.output else "", ()))]
    ordered = list(nodes)
    del model.graph.node[:]
    model.graph.node.extend(ordered)


def _divided(node: Any, result: str, cleared: bool) -> list[Any]:
    """The nodes that divide the sum of a scatter by the number of its terms."""
    onnx = require("onnx", "onnx")
    number = onnx.numpy_helper.from_array
    make = onnx.helper.make_node
    shape, ones, count, one, number_of = (f"{result}/{part}" for part in ("shape", "ones", "count", "one", "number"))
    counting = make(node.op_type, [node.input[0], node.input[1], ones], [count], name=count)
    counting.attribute.extend(node.attribute)
    return [
        make("Shape", [node.input[2]], [shape], name=shape),
        make("ConstantOfShape", [shape], [ones], name=ones, value=number(np.ones(1, np.float32))),
        counting,
        make("Constant", [], [one], name=one, value=number(np.float32(1))),
        make("Max" if cleared else "Add", [count, one], [number_of], name=number_of),
        make("Div", [node.output[0], number_of], [result], name=result),
    ]


def restore_sums(model: Any, edge_index: str, name: str, repair: Repair) -> int:
    """See to it that all sums over edges are in place; how many had to be repaired.

    Raises:
        ValueError: some are not, and `repair` is False, or does not tell what they were.
    """
    lost = find_lost_reductions(model.graph, edge_index)
    if not lost:
        return 0
    if repair is False:
        raise ValueError(refusal(model, lost, name))
    wanted = repairs(lost, repair, name)
    raise_opset(model, name)
    restore_reductions(model, find_lost_reductions(model.graph, edge_index), wanted)
    return len(lost)


def sum_rows_in_double(model: Any) -> int:
    """Turn sums over rows from float32 ScatterElements into float64 ScatterND, in place; the number of nodes changed.

    ONNX Runtime adds element by element in ScatterElements, and whole rows in ScatterND; with several threads that one
    loses updates, so a session of such a model must have one thread. Summing in float64 and rounding once makes the sum
    nearly independent of the numbering of the nodes.
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
