"""Write a trained interaction network as ONNX, node by node.

The graph is built by hand rather than traced: it stays small enough to read, keeps the split matrices, and its sums
are ScatterElements with reduction="add" whatever version of torch or its exporter is at hand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rheinfall._extras import require
from rheinfall._files import replacing
from rheinfall.training.features import FeatureScaling
from rheinfall.training.network import count_blocks

OPSET = 16


class _Builder:
    """Collects nodes and constants; each method returns the name of its result."""

    def __init__(self, weights: dict[str, Any]) -> None:
        self.onnx = require("onnx", "train")
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = dict(weights)

    def op(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        output = name or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: Any) -> str:
        self.constants[name] = np.asarray(value)
        return name

    def linear(self, x: str, name: str, part: str = "x") -> str:
        return self.op("Gemm", x, f"{name}.{part}", f"{name}.bias")

    def two_layers(self, x: str, name: str) -> str:
        return self.linear(self.op("Relu", self.linear(x, f"{name}.0")), f"{name}.1")

    def scaled(self, x: str, scaling: FeatureScaling) -> str:
        centred = self.op("Sub", x, self.constant(f"{x}.centre", scaling.centre))
        factored = self.op("Mul", centred, self.constant(f"{x}.factor", scaling.factor))
        low = self.constant(f"{x}.low", np.float32(-scaling.clip))
        high = self.constant(f"{x}.high", np.float32(scaling.clip))
        return self.op("Clip", factored, low, high)

    def sum_rows(self, rows: str, column: str, like: str) -> str:
        """Sum `rows` into zeros shaped as `like`, at the nodes in `column`."""
        index = self.op("Expand", column, self.op("Shape", rows))
        zeros = self.op("ConstantOfShape", self.op("Shape", like))
        return self.op("ScatterElements", zeros, index, rows, axis=0, reduction="add")


def build_onnx(
    weights: dict[str, Any], iterations: int, nodes: FeatureScaling, edges: FeatureScaling, metadata: dict[str, str]
) -> Any:
    """The `onnx.ModelProto` of a network.

    Inputs `node_features` float32 (n, features), `edge_index` int64 (2, n_edges), `edge_features` float32 (n_edges,
    features); output `edge_logits` float32 (n_edges,).

    Args:
        weights: NumPy arrays by the names of `network.make_parameters`.
        iterations: message-passing steps.
        nodes, edges: scaling of the inputs.
        metadata: stored in the file.
    """
    b = _Builder(weights)
    axis = b.constant("axis_1", np.array([1], np.int64))
    source = b.op("Gather", "edge_index", b.constant("row_0", np.int64(0)), name="source", axis=0)
    target = b.op("Gather", "edge_index", b.constant("row_1", np.int64(1)), name="target", axis=0)
    source_column, target_column = b.op("Unsqueeze", source, axis), b.op("Unsqueeze", target, axis)
    h = b.two_layers(b.scaled("node_features", nodes), "node_encoder")
    e = b.two_layers(b.scaled("edge_features", edges), "edge_encoder")
    n_blocks = count_blocks(weights)
    for step in range(iterations):
        i = step % n_blocks
        at_source = b.op("Gather", b.op("MatMul", h, f"edge.{i}.0.source"), source, axis=0)
        at_target = b.op("Gather", b.op("MatMul", h, f"edge.{i}.0.target"), target, axis=0)
        z = b.op("Add", b.op("Add", at_source, at_target), b.linear(e, f"edge.{i}.0", "edge"))
        e = b.op("Add", e, b.linear(b.op("Relu", z), f"edge.{i}.1"))
        if step + 1 == iterations:
            break
        message = b.op("Mul", e, b.op("Sigmoid", b.linear(e, f"gate.{i}")))
        incoming = b.op("MatMul", b.sum_rows(message, target_column, h), f"node.{i}.0.incoming")
        outgoing = b.op("MatMul", b.sum_rows(message, source_column, h), f"node.{i}.0.outgoing")
        z = b.op("Add", b.op("Add", b.linear(h, f"node.{i}.0", "node"), incoming), outgoing)
        h = b.op("Add", h, b.linear(b.op("Relu", z), f"node.{i}.1"))
    b.op("Squeeze", b.two_layers(e, "decoder"), axis, name="edge_logits")
    return _to_model(b, len(nodes.centre), len(edges.centre), metadata)


def save_onnx(model: Any, path: str | Path) -> None:
    """Check and write a model; the file appears whole or not at all."""
    require("onnx.checker", "train").check_model(model, full_check=True)
    with replacing(path) as partial:
        partial.write_bytes(model.SerializeToString())


def _to_model(b: _Builder, n_node_features: int, n_edge_features: int, metadata: dict[str, str]) -> Any:
    helper, types = b.onnx.helper, b.onnx.TensorProto
    graph = helper.make_graph(
        b.nodes,
        "interaction_network",
        [
            helper.make_tensor_value_info("node_features", types.FLOAT, ["n_nodes", n_node_features]),
            helper.make_tensor_value_info("edge_index", types.INT64, [2, "n_edges"]),
            helper.make_tensor_value_info("edge_features", types.FLOAT, ["n_edges", n_edge_features]),
        ],
        [helper.make_tensor_value_info("edge_logits", types.FLOAT, ["n_edges"])],
        [b.onnx.numpy_helper.from_array(value, name) for name, value in b.constants.items()],
    )
    model = helper.make_model(
        graph, producer_name="rheinfall", opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8
    )
    helper.set_model_props(model, metadata)
    return model
