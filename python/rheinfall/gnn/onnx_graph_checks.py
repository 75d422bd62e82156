"""What ONNX demands of the nodes of a file, checked once when it is read, so that walks over them come to an end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rheinfall._extras import require
from rheinfall.gnn.onnx_checks import nodes_of, subgraphs

_OLDEST = 11  # operators' inputs are counted from this opset on, of which the fused engine reads files
_FLOATS = (1, 10, 11, 16)  # float32, float16, float64, bfloat16


def check_graph(model: Any, name: str, opset: int) -> None:
    """Check that every tensor is written once, before nodes that read it, and that nodes have the inputs they need.

    Raises:
        ValueError: otherwise; names the file, the node and the tensor.
    """
    _check_scope(model.graph, name, opset, set())


def _check_scope(graph: Any, name: str, opset: int, outside: set[str]) -> None:
    given = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    given |= {sparse.values.name for sparse in graph.sparse_initializer}
    made = set(given)
    for node in graph.node:
        where = f"{name}: {_told(node)}"
        _check_counts(node, where, opset)
        for tensor in node.input:
            if tensor and tensor not in made and tensor not in outside:
                raise ValueError(f"{where}: its input {tensor!r} is made by no node before it, as ONNX demands")
        for subgraph in subgraphs(node):
            _check_scope(subgraph, name, opset, outside | made)
        for tensor in node.output:
            if tensor in made:
                what = "an input or initializer" if tensor in given else "the output of a node before it"
                raise ValueError(f"{where}: its output {tensor!r} is {what} too; ONNX demands one writer for each")
        made.update(tensor for tensor in node.output if tensor)
    for value in graph.output:
        if value.name not in made and value.name not in outside:
            raise ValueError(f"{name}: output {value.name!r} is made by no node")


def _check_counts(node: Any, where: str, opset: int) -> None:
    onnx = require("onnx.defs", "onnx")
    if node.domain not in ("", "ai.onnx") or opset < _OLDEST or not onnx.has(node.op_type, opset, ""):
        return
    schema = onnx.get_schema(node.op_type, opset, "")
    for what, got, least in (
        ("inputs", len(node.input), schema.min_input),
        ("outputs", len(node.output), schema.min_output),
    ):
        if got < least:
            raise ValueError(f"{where}: expected at least {least} {what}, got {got}")


def non_finite_weights(model: Any) -> Iterator[str]:
    """Each stored tensor of floats that holds NaN, or infinity among several numbers, as a sentence.

    One infinite number alone is a limit or a mask, and means what it says.
    """
    tensors = [(f"initializer {t.name!r}", t) for t in model.graph.initializer]
    for node in nodes_of(model.graph):
        if node.op_type == "Constant":
            tensors += [(_told(node), a.t) for a in node.attribute if a.HasField("t")]
    numpy_helper = require("onnx.numpy_helper", "onnx")
    for told, tensor in tensors:
        if tensor.data_type in _FLOATS:
            values = np.asarray(numpy_helper.to_array(tensor)).astype(np.float64)
            n_bad = int(np.sum(~np.isfinite(values)))
            if n_bad and (values.size > 1 or np.isnan(values).any()):
                yield f"{told} holds {n_bad} of {values.size} numbers that are not finite"


def check_weights(model: Any, name: str) -> None:
    """Raise ValueError, naming file and initializer, where a weight is not finite."""
    for sentence in non_finite_weights(model):
        raise ValueError(f"{name}: {sentence}")


def _told(node: Any) -> str:
    return f"node {node.name or (node.output[0] if node.output else '')!r} ({node.op_type})"
