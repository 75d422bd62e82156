"""Lower an ONNX graph network to the intermediate form of the fused engine."""

from __future__ import annotations

from typing import Any

import numpy as np

from rheinfall._extras import require
from rheinfall.gnn.ir import Builder, Network
from rheinfall.gnn.lower_operators import OPERATORS
from rheinfall.gnn.lower_values import EDGES, Ends, LoweringError, Rows, Tensor
from rheinfall.gnn.onnx_checks import nodes_of, subgraphs
from rheinfall.gnn.onnx_inputs import ModelInputs


class Lowering:
    """Walks over the nodes of a graph; operators read and write its tensors.

    Attributes:
        builder: takes the operations.
        tensors: by name; "" is an input that is left out.
        opset: of the file.
    """

    def __init__(self, model: Any, inputs: ModelInputs, opset: int) -> None:
        numpy_helper = require("onnx.numpy_helper", "onnx")
        self.builder = Builder()
        self.opset = opset
        self.tensors: dict[str, Tensor | None] = {"": None}
        for tensor in model.graph.initializer:
            self.tensors[tensor.name] = numpy_helper.to_array(tensor)
        self.tensors[inputs.edge_index] = Ends("both", (2, EDGES))
        self.tensors[inputs.node_features] = self._input("node", inputs.n_node_features)
        if inputs.edge_features is not None:
            self.tensors[inputs.edge_features] = self._input("edge", inputs.n_edge_features)

    def _input(self, kind: str, width: int | None) -> Rows:
        if not isinstance(width, int):
            raise LoweringError(f"the file does not tell how many {kind} features there are")
        return Rows(self.builder.input(kind, width), kind, width)

    def run(self, node: Any) -> None:
        """Lower one node.

        Raises:
            LoweringError: it cannot be; names the node.
        """
        if node.op_type == "If" and node.domain in ("", "ai.onnx"):
            return self._run_branch(node)
        name = node.name or (node.output[0] if node.output else "")
        self.builder.name = str(name)
        operator = OPERATORS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if operator is None:
            raise LoweringError(f"node {name!r} ({node.op_type}): no such operator in the fused engine")
        try:
            operands = [self._tensor(i) for i in node.input]
            results = operator(self, operands, _attributes(node), len(node.output))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise LoweringError(f"node {name!r} ({node.op_type}): {error}") from error
        for output, value in zip(node.output, results, strict=False):
            self.tensors[output] = value

    def _run_branch(self, node: Any) -> None:
        """The branch of an If whose condition is known: exporters ask whether a tensor has dimensions."""
        condition = self._tensor(node.input[0])
        if not isinstance(condition, np.ndarray) or condition.size != 1:
            raise LoweringError(f"node {node.name!r} (If): a condition that hangs on the event")
        wanted = "then_branch" if bool(condition.ravel()[0]) else "else_branch"
        graph = next(a.g for a in node.attribute if a.name == wanted)
        numpy_helper = require("onnx.numpy_helper", "onnx")
        for tensor in graph.initializer:
            self.tensors[tensor.name] = numpy_helper.to_array(tensor)
        for inner in graph.node:
            self.run(inner)
        for output, value in zip(node.output, graph.output, strict=True):
            self.tensors[output] = self._tensor(value.name)

    def _tensor(self, name: str) -> Tensor | None:
        if name not in self.tensors:
            raise LoweringError(f"its input {name!r} is not known")
        return self.tensors[name]

    def rows(self, position: int, flat: bool = False) -> Rows:
        """The tensor of an operation."""
        o = self.builder[position]
        return Rows(position, o.kind, o.width, flat)


def lower(model: Any, inputs: ModelInputs, output: str, opset: int) -> Network:
    """The network that computes the tensor `output`, one value per edge, as the file has it.

    Args:
        model: an `onnx.ModelProto` of opset 11 to 21, local functions inlined, scatters repaired.
        inputs: which input is which.
        output: name of the tensor.
        opset: of the file.

    Raises:
        LoweringError: naming the node that the engine has no operation for.
    """
    lowering = Lowering(model, inputs, opset)
    needed = _ancestors(model.graph, output)
    for node in model.graph.node:
        if needed.intersection(node.output):
            lowering.run(node)
    result = lowering.tensors.get(output)
    if not isinstance(result, Rows) or result.kind != "edge" or result.width != 1:
        raise LoweringError(f"output {output!r}: expected one value per edge, got {result!r}")
    return lowering.builder.finish(result.position)


def _ancestors(graph: Any, output: str) -> set[str]:
    """Names of all tensors that `output` is made of."""
    needed = {output}
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            needed.update(i for graph in subgraphs(node) for inner in nodes_of(graph) for i in inner.input)
    return needed


def _attributes(node: Any) -> dict[str, Any]:
    onnx = require("onnx", "onnx")
    result: dict[str, Any] = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if attribute.type == onnx.AttributeProto.TENSOR:
            value = onnx.numpy_helper.to_array(value)
        elif isinstance(value, bytes):
            value = value.decode()
        elif attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
            raise LoweringError(f"node {node.name!r} ({node.op_type}): holds a subgraph")
        result[attribute.name] = value
    return result
