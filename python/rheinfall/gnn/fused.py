"""Networks on the fused engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rheinfall import _core
from rheinfall.gnn.ir import Network
from rheinfall.gnn.ir_file import to_bytes
from rheinfall.gnn.lower_onnx import lower
from rheinfall.gnn.lower_values import LoweringError
from rheinfall.gnn.onnx_inputs import ModelInputs
from rheinfall.gnn.rewriting import optimise

OPSETS = (11, 21)
"""The oldest and newest operator set whose files are read."""


class FusedNetwork:
    """A compiled network; safe to call from several threads, pickles, survives a fork.

    Args:
        network: the bytes of a file in the format of docs/gnn_format.md.
        name: stands in error messages.
        isa: kernels: "best", "portable", "avx2", "avx512" or "avx512_bf16"; all give the same bits.
        precision: "fp32", or "bf16" for the linear operations of edges.
    """

    def __init__(self, network: bytes, name: str, isa: str = "best", precision: str = "fp32") -> None:
        self.network = network
        self.name = name
        self.precision = precision
        self._compiled = _core.EdgeClassifier.parse(network, name, isa, precision)

    @property
    def n_node_features(self) -> int:
        """Columns of the node features."""
        return self._compiled.n_node_features

    @property
    def n_edge_features(self) -> int:
        """Columns of the edge features, 0 where it has none."""
        return self._compiled.n_edge_features

    def run(self, nodes: Any, edge_index: Any, edge_features: Any, scores: bool, n_threads: int = 0) -> Any:
        """Scores or logits float32 (n_edges,), in the order of the edges, from checked arguments."""
        features = edge_features if edge_features is not None else np.empty((edge_index.shape[1], 0), np.float32)
        values, status = self._compiled.run(nodes, edge_index, np.ascontiguousarray(features), scores, n_threads)
        if status == "invalid_argument":
            raise ValueError(f"{self.name}: a feature or an edge does not fit the network")
        return values

    def explain(self, n_nodes: int, n_edges: int) -> str:
        """The plan as text: stages, what each computes, operations and bytes moved."""
        return self._compiled.explain(n_nodes, n_edges)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.network, self.name, "best", self.precision)


def lower_model(model: Any, inputs: ModelInputs, output: str, opset: int, name: str) -> Network:
    """The optimised network of an ONNX model.

    Raises:
        ValueError: it does not lower; names the file and the node.
    """
    if not OPSETS[0] <= opset <= OPSETS[1]:
        raise ValueError(f"{name}: opset {opset}: the fused engine reads {OPSETS[0]} to {OPSETS[1]}")
    try:
        return optimise(lower(model, inputs, output, opset))
    except LoweringError as error:
        raise ValueError(f"{name}: the fused engine cannot run it: {error}; use engine='onnxruntime'") from error


def compile_model(
    model: Any, inputs: ModelInputs, output: str, opset: int, name: str, precision: str = "fp32"
) -> FusedNetwork:
    """An ONNX model on the fused engine; raises as `lower_model` and `compile_network`."""
    network = lower_model(model, inputs, output, opset, name)
    return compile_network(to_bytes(network, Path(name).name), name, precision)


def compile_network(network: bytes, name: str, precision: str) -> FusedNetwork:
    """A lowered network on the fused engine.

    Raises:
        ValueError: the engine cannot run it, or not in this precision.
    """
    try:
        return FusedNetwork(network, name, precision=precision)
    except RuntimeError as error:
        raise ValueError(str(error)) from error
