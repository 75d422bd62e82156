"""Raise an ONNX model to the first opset whose scatters can add.

By hand rather than by onnx's own converter, which crashes on damaged files.
"""

from __future__ import annotations

from typing import Any

from rheinfall._extras import require
from rheinfall.gnn.lost_reductions import FIRST_OPSET_WITH_REDUCTION
from rheinfall.gnn.onnx_file import opset_of

_OLDEST = 11
# Opset 13 turned these attributes into inputs.
_ATTRIBUTE_TO_INPUT = {"Squeeze": "axes", "Unsqueeze": "axes", "ReduceSum": "axes", "Split": "split"}
# Their meaning changed in opset 13, or their attributes in 12, in ways that depend on ranks or on training.
_CHANGED = ("Softmax", "LogSoftmax", "Hardmax", "Dropout")


def raise_opset(model: Any, name: str) -> None:
    """Raise `model` to an opset that knows `reduction="add"`, in place; leave it alone where it is new enough.

    Raises:
        ValueError: it is older than opset 11, or holds an operator whose meaning changed on the way.
    """
    opset = opset_of(model)
    if opset >= FIRST_OPSET_WITH_REDUCTION:
        return
    where = f"{name}: its opset {opset} has no scatter that adds"
    if opset < _OLDEST:
        raise ValueError(f"{where}, and files before opset {_OLDEST} are not converted; export it with opset >= 16")
    nodes = []
    for position, node in enumerate(model.graph.node):
        if any(a.HasField("g") or len(a.graphs) for a in node.attribute) or _changed(node, opset):
            raise ValueError(f"{where}, and node {node.name!r} ({node.op_type}) is not converted; export it anew")
        attribute = _ATTRIBUTE_TO_INPUT.get(node.op_type) if opset < 13 and node.domain in ("", "ai.onnx") else None
        if attribute is not None:
            nodes.extend(_constant_input(node, attribute, f"{node.name or position}/{attribute}"))
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = FIRST_OPSET_WITH_REDUCTION
    model.ir_version = max(model.ir_version, 8)


def _changed(node: Any, opset: int) -> bool:
    """True if the node means something else in the new opset: before 14 a batch norm trains that has more outputs."""
    trains = node.op_type == "BatchNormalization" and opset < 14 and len(node.output) > 1
    return trains or (node.op_type in _CHANGED and opset < 13)


def _constant_input(node: Any, attribute: str, name: str) -> list[Any]:
    """Move an attribute of integers to the node's second input; the constant that feeds it, if there is one."""
    onnx = require("onnx", "onnx")
    values = next((list(a.ints) for a in node.attribute if a.name == attribute), None)
    if values is None:
        return []
    kept = [a for a in node.attribute if a.name != attribute]
    del node.attribute[:]
    node.attribute.extend(kept)
    node.input.append(name)
    tensor = onnx.helper.make_tensor(name, onnx.TensorProto.INT64, [len(values)], values)
    return [onnx.helper.make_node("Constant", [], [name], name=name, value=tensor)]
