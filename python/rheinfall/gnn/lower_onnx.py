"""Lower an ONNX graph network to the intermediate form of the fused engine."""

from __future__ import annotations

from typing import Any

import numpy as np

from rheinfall._extras import require
from rheinfall.gnn.ir import Builder, Network
from rheinfall.gnn.lower_operators import BLOCK_OPERATORS, OPERATORS
from rheinfall.gnn.lower_twins import Twin, on_twins, twin_of
from rheinfall.gnn.lower_values import EDGES, Block, Ends, LoweringError, Rows, as_ints
from rheinfall.gnn.onnx_checks import nodes_of, subgraphs
from rheinfall.gnn.onnx_inputs import ModelInputs

_SEQUENCES = ("SequenceConstruct", "SequenceAt", "ConcatFromSequence", "SequenceMap")
_REFUSALS = (ValueError, KeyError, IndexError, TypeError, AttributeError)


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
        self.tensors: dict[str, Any] = {"": None}
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
        if node.domain in ("", "ai.onnx"):
            if node.op_type == "If":
                return self._run_branch(node)
            if node.op_type in _SEQUENCES:
                return self._run_sequence(node)
        name = node.name or (node.output[0] if node.output else "")
        self.builder.name = str(name)
        if node.domain not in ("", "ai.onnx") or node.op_type not in {**OPERATORS, **BLOCK_OPERATORS}:
            raise LoweringError(f"node {name!r} ({node.op_type}): no such operator in the fused engine")
        try:
            operands = [self._tensor(i) for i in node.input]
            results = self._apply(node.op_type, operands, _attributes(node), len(node.output))
        except _REFUSALS as error:
            raise LoweringError(f"node {name!r} ({node.op_type}): {error}") from error
        for output, value in zip(node.output, results, strict=False):
            self.tensors[output] = value

    def _apply(self, op: str, x: list[Any], attributes: dict[str, Any], n: int) -> list[Any]:
        """The operator on rows; where that does not take them, or has several axes of columns, the one on blocks."""
        if any(isinstance(t, Twin) for t in x):
            return on_twins(self, self._apply, op, x, attributes, n)
        if (twin := twin_of(op, x, attributes)) is not None:
            return [twin]
        refused: Exception | None = None
        if op in OPERATORS and not any(isinstance(t, Block) for t in x):
            try:
                return OPERATORS[op](self, x, attributes, n)
            except _REFUSALS as error:
                refused = error
        if op not in BLOCK_OPERATORS or not any(isinstance(t, (Rows, Block)) for t in x):
            raise refused or LoweringError(f"of {', '.join(map(repr, x))}")
        try:
            return BLOCK_OPERATORS[op](self, x, attributes, n)
        except _REFUSALS as error:
            raise refused or error from error

    def _run_sequence(self, node: Any) -> None:
        """Lists of tensors, as exporters write torch.hstack and its like."""
        try:
            result = self._sequence(node)
        except _REFUSALS as error:
            raise LoweringError(f"node {node.name or node.output[0]!r} ({node.op_type}): {error}") from error
        self.tensors[node.output[0]] = result

    def _sequence(self, node: Any) -> Any:
        attributes = {a.name: a for a in node.attribute}
        if node.op_type == "SequenceConstruct":
            return tuple(self._tensor(i) for i in node.input)
        whole: Any = self._tensor(node.input[0])
        if not isinstance(whole, tuple):
            raise LoweringError("expected a list of tensors")
        if node.op_type == "SequenceAt":
            return whole[as_ints(self._tensor(node.input[1]), "the place")[0]]
        if node.op_type == "ConcatFromSequence":
            axis = int(attributes["axis"].i)
            if "new_axis" in attributes and attributes["new_axis"].i:
                whole = tuple(self._apply("Unsqueeze", [t, np.array([axis])], {}, 1)[0] for t in whole)
            return self._apply("Concat", list(whole), {"axis": axis}, 1)[0]
        if len(node.input) > 1:
            raise LoweringError("more than one list of tensors")
        return tuple(self._mapped(attributes["body"].g, tensor) for tensor in whole)

    def _mapped(self, body: Any, tensor: Any) -> Any:
        """What a subgraph makes of one tensor of a list."""
        self.tensors[body.input[0].name] = tensor
        self._run_graph(body)
        return self._tensor(body.output[0].name)

    def _run_branch(self, node: Any) -> None:
        """The branch of an If whose condition is known: exporters ask whether a tensor has dimensions."""
        condition = self._tensor(node.input[0])
        if not isinstance(condition, np.ndarray) or condition.size != 1:
            raise LoweringError(f"node {node.name!r} (If): a condition that hangs on the event")
        wanted = "then_branch" if bool(condition.ravel()[0]) else "else_branch"
        graph = next(a.g for a in node.attribute if a.name == wanted)
        self._run_graph(graph)
        for output, value in zip(node.output, graph.output, strict=True):
            self.tensors[output] = self._tensor(value.name)

    def _run_graph(self, graph: Any) -> None:
        numpy_helper = require("onnx.numpy_helper", "onnx")
        for tensor in graph.initializer:
            self.tensors[tensor.name] = numpy_helper.to_array(tensor)
        for inner in graph.node:
            self.run(inner)

    def _tensor(self, name: str) -> Any:
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
    if isinstance(result, Twin):
        raise LoweringError(
            f"output {output!r}: has a value for each edge and direction, in two halves: give one value for each edge, "
            "the mean of both halves or the first of them"
        )
    if not isinstance(result, Rows) or result.kind != "edge" or result.width != 1:
        found = f"a constant of shape {result.shape}" if isinstance(result, np.ndarray) else repr(result)
        raise LoweringError(f"output {output!r}: expected one value per edge, got {found}")
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
