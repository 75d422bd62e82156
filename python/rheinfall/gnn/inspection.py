"""What a graph network's ONNX file holds, and the traps in it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rheinfall.gnn.fused import lower_model
from rheinfall.gnn.lost_reductions import find_lost_reductions, trap
from rheinfall.gnn.onnx_checks import GraphIndex, nodes_of
from rheinfall.gnn.onnx_file import load_model, naming_damage, opset_of
from rheinfall.gnn.onnx_graph_checks import check_weights, non_finite_weights
from rheinfall.gnn.onnx_inputs import ModelInputs, find_inputs
from rheinfall.gnn.onnx_outputs import find_logits
from rheinfall.gnn.onnx_repair import restore_sums

_INT32 = 6
_RANDOM = ("RandomUniform", "RandomUniformLike", "RandomNormal", "RandomNormalLike", "Bernoulli", "Multinomial")
_FLOATS = (1, 10, 11)


@dataclass(frozen=True)
class Inspection:
    """What was found.

    Attributes:
        facts: opset, producer, inputs, operators, and what the fused engine makes of the file.
        traps: one sentence each, with the node.
    """

    facts: dict[str, Any]
    traps: list[str]

    def __str__(self) -> str:
        lines = [f"{key}: {value}" for key, value in self.facts.items()]
        return "\n".join([*lines, f"traps: {len(self.traps) or 'none'}", *(f"- {trap}" for trap in _fold(self.traps))])


def inspect_network(path: str | Path) -> Inspection:
    """Facts and traps of an ONNX file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not a graph network; names the file.
    """
    path = Path(path)
    name = str(path)
    with naming_damage(name):
        model = load_model(path)
        inputs = find_inputs(model, name, None, None, None)
        traps = [
            *map(trap, find_lost_reductions(model.graph, inputs.edge_index)),
            *non_finite_weights(model),
            *_training(model),
            *_index_casts(model, inputs),
            *_baked_shapes(model, inputs),
            *_outputs(model, name),
        ]
        facts = {
            "file": name,
            "opset": opset_of(model),
            "producer": f"{model.producer_name} {model.producer_version}".strip(),
            "node_features": f"{inputs.node_features} ({inputs.n_node_features})",
            "edge_features": f"{inputs.edge_features} ({inputs.n_edge_features})" if inputs.edge_features else "none",
            "operators": dict(Counter(node.op_type for node in nodes_of(model.graph)).most_common()),
            "fused_engine": _fused(model, inputs, name),
        }
    return Inspection(facts, traps)


def _fold(traps: list[str]) -> list[str]:
    """Traps that differ in the node's name alone as one line with the names."""
    alike: dict[str, list[str]] = {}
    for text in traps:
        node, _, rest = text.partition(" ")
        alike.setdefault(rest, []).append(node)
    also = {rest: f"; so {len(nodes) - 1} more: {', '.join(nodes[1:])}" for rest, nodes in alike.items()}
    return [f"{nodes[0]} {rest}" + (also[rest] if len(nodes) > 1 else "") for rest, nodes in alike.items()]


def _name(node: Any) -> str:
    return str(node.name or node.output[0])


def _training(model: Any) -> list[str]:
    index = GraphIndex(model.graph)
    traps = []
    for node in nodes_of(model.graph):
        trains = any(a.name == "training_mode" and a.i for a in node.attribute)
        own = len(node.input) > 3 and index.depends_on(node.input[3], node.input[0])
        if node.op_type == "BatchNormalization" and (trains or own or len(node.output) > 1):
            traps.append(
                f"{_name(node)} (BatchNormalization) is in training mode: it uses the event's own mean and variance"
            )
        if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2] and not index.is_zero(node.input[2]):
            traps.append(f"{_name(node)} (Dropout) has an input that may switch training on: scores would be random")
        if node.op_type in _RANDOM:
            traps.append(f"{_name(node)} ({node.op_type}) draws random numbers: scores would be random")
    return traps


def _index_casts(model: Any, inputs: ModelInputs) -> list[str]:
    index = GraphIndex(model.graph)
    traps = []
    for node in model.graph.node:
        to = next((a.i for a in node.attribute if a.name == "to"), 0)
        if node.op_type != "Cast" or not index.depends_on(node.input[0], inputs.edge_index):
            continue
        before = index.producer.get(node.input[0])
        if to in _FLOATS and not index.depends_on(node.input[0], inputs.node_features):
            traps.append(f"{_name(node)} (Cast) turns indices into floats, which hold integers up to 2^24 only")
        elif to == _INT32 and (before is None or before.op_type != "Cast"):
            traps.append(f"{_name(node)} (Cast) turns int64 indices into int32")
    return traps


def _baked_shapes(model: Any, inputs: ModelInputs) -> list[str]:
    rows = {inputs.node_features: (0, "nodes"), inputs.edge_index: (1, "edges")}
    if inputs.edge_features is not None:
        rows[inputs.edge_features] = (0, "edges")
    traps = []
    for value in model.graph.input:
        axis, what = rows.get(value.name, (0, ""))
        shape = value.type.tensor_type.shape.dim
        if what and len(shape) > axis and shape[axis].dim_value > 0:
            traps.append(
                f"input {value.name!r} is fixed to {shape[axis].dim_value} {what}: export it with dynamic axes"
            )
    return traps


def _outputs(model: Any, name: str) -> list[str]:
    """What hinders to tell logits from scores."""
    copy = type(model)()
    copy.CopyFrom(model)
    try:
        find_logits(copy, name, "auto", None)
    except ValueError as error:
        return [str(error).removeprefix(f"{name}: ")]
    return []


def _fused(model: Any, inputs: ModelInputs, name: str) -> str:
    """What the fused engine says, after repair."""
    try:
        check_weights(model, name)
        n_lost = restore_sums(model, inputs.edge_index, name, True)
        output, _ = find_logits(model, name, "auto", None)
        network = lower_model(model, inputs, output, opset_of(model), name)
    except ValueError as error:
        return str(error)
    weights = sum(w.size for o in network.operations for w in o.weights.values())
    return f"runs it: {len(network.operations)} operations, {weights} weights" + (", once repaired" if n_lost else "")
