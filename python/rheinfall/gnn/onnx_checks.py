"""Who makes which tensor of an ONNX graph, and what is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rheinfall._extras import require

SCATTERS = ("ScatterElements", "ScatterND", "Scatter")
# Outputs of these depend on the size of their input only, not on its values.
_SHAPE_ONLY = ("Shape", "Size")
_PASS_THROUGH = ("Expand", "Identity", "Reshape", "Cast", "Unsqueeze", "Squeeze", "Tile")


class GraphIndex:
    """Who makes which tensor in the main graph of an ONNX model."""

    def __init__(self, graph: Any) -> None:
        self.producer: dict[str, Any] = {output: node for node in graph.node for output in node.output}
        self.constants: dict[str, Any] = {tensor.name: tensor for tensor in graph.initializer}

    def depends_on(self, tensor: str, source: str) -> bool:
        """True if the values of `tensor` (not merely its shape) depend on those of `source`."""
        seen: set[str] = set()
        todo = [tensor]
        while todo:
            name = todo.pop()
            if name == source:
                return True
            node = self.producer.get(name)
            if name in seen or node is None or node.op_type in _SHAPE_ONLY:
                continue
            seen.add(name)
            todo.extend(node.input)
        return False

    def is_zero(self, tensor: str) -> bool:
        """True if `tensor` is known to hold zeros only."""
        seen: set[str] = set()
        while tensor not in seen:
            seen.add(tensor)
            if tensor in self.constants:
                return _all_zero(self.constants[tensor])
            node = self.producer.get(tensor)
            if node is None:
                return False
            value = next((a.t for a in node.attribute if a.name == "value"), None)
            if node.op_type == "ConstantOfShape":
                return value is None or _all_zero(value)
            if node.op_type == "Constant":
                return value is not None and _all_zero(value)
            clears = node.op_type in SCATTERS and reduction_of(node) == "none" and self.is_zero(node.input[2])
            if not (clears or node.op_type in _PASS_THROUGH) or not node.input:
                return False
            tensor = node.input[0]
        return False


def reduction_of(node: Any) -> str:
    """The `reduction` attribute of a scatter: "none" where it is absent."""
    return next((a.s.decode() for a in node.attribute if a.name == "reduction"), "none")


def subgraphs(node: Any) -> Iterator[Any]:
    """The graphs that `node` holds as attributes."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def nodes_of(graph: Any) -> Iterator[Any]:
    """All nodes of `graph`, those of its subgraphs included."""
    for node in graph.node:
        yield node
        for subgraph in subgraphs(node):
            yield from nodes_of(subgraph)


def _all_zero(tensor: Any) -> bool:
    values = require("onnx.numpy_helper", "onnx").to_array(tensor)
    return not np.any(values)
