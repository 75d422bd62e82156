"""Tell which input of an ONNX model is which."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from rheinfall._extras import require

_EDGE_NAME = re.compile(r"edge|attr|(^|_)e(_|$)|pair", re.IGNORECASE)
_NODE_NAME = re.compile(r"node|hit|point|vert|(^|_)x(_|$)", re.IGNORECASE)


@dataclass(frozen=True)
class ModelInputs:
    """Names and widths of a network's inputs.

    Attributes:
        node_features, edge_index, edge_features: the input's name; edge_features None where there is none.
        n_node_features, n_edge_features: columns the network expects, None where the file leaves it open.
    """

    node_features: str
    edge_index: str
    edge_features: str | None
    n_node_features: int | None
    n_edge_features: int | None


@dataclass(frozen=True)
class _Input:
    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None

    def __str__(self) -> str:
        shape = "any shape" if self.shape is None else "(" + ", ".join(str(d or "?") for d in self.shape) + ")"
        return f"{self.name!r} {self.dtype} {shape}"

    def is_matrix(self, dtype: str) -> bool:
        return self.dtype == dtype and (self.shape is None or len(self.shape) == 2)

    @property
    def is_pairs(self) -> bool:
        """Its shape may be (2, n): a first size that is left open beside a second one of 2 is the other way around."""
        if self.shape is None or len(self.shape) != 2:
            return self.shape is None
        first, second = self.shape
        return first == 2 or (not isinstance(first, int) and second != 2)

    @property
    def columns(self) -> int | None:
        last = None if self.shape is None else self.shape[1]
        return last if isinstance(last, int) else None


def find_inputs(
    model: Any, name: str, node_features: str | None, edge_index: str | None, edge_features: str | None
) -> ModelInputs:
    """Match the inputs of `model` to their roles, by dtype and shape first, then by name; given names win.

    Raises:
        ValueError: a role is taken by no input or by several; the message lists the inputs that were found.
    """
    inputs = _inputs_of(model)
    listing = ", ".join(str(i) for i in inputs.values()) or "none"

    def fail(reason: str) -> ValueError:
        return ValueError(
            f"{name}: {reason}; inputs found: {listing}. Expected node features float32 (n, features), edge_index "
            "int64 (2, n_edges) and optionally edge features float32 (n_edges, features); name them with the "
            "arguments node_features, edge_index, edge_features"
        )

    for role, given, dtype in (
        ("node_features", node_features, "float32"),
        ("edge_index", edge_index, "int64"),
        ("edge_features", edge_features, "float32"),
    ):
        if given is not None and (given not in inputs or not inputs[given].is_matrix(dtype)):
            raise fail(f"{role}={given!r} is not a 2-D {dtype} input")
    if edge_index is None:
        edge_index = _only_pair_input(inputs, fail)
    elif not inputs[edge_index].is_pairs:
        raise fail(f"edge_index={edge_index!r} is not of shape (2, n_edges)")
    matrices = [i for i in inputs.values() if i.is_matrix("float32")]
    if node_features is None:
        node_features = _node_input([i for i in matrices if i.name != edge_features], fail)
    rest = [i for i in matrices if i.name != node_features]
    if edge_features is None and len(rest) == 1:
        edge_features = rest[0].name
    unused = [i for i in inputs if i not in (node_features, edge_index, edge_features)]
    if unused:
        raise fail(f"no role for input {', '.join(repr(i) for i in unused)}")
    n_edge_features = None if edge_features is None else inputs[edge_features].columns
    return ModelInputs(node_features, edge_index, edge_features, inputs[node_features].columns, n_edge_features)


def _inputs_of(model: Any) -> dict[str, _Input]:
    onnx = require("onnx", "onnx")
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = {}
    for value in model.graph.input:
        if value.name in stored:
            continue
        tensor = value.type.tensor_type
        dtype = onnx.TensorProto.DataType.Name(tensor.elem_type).lower() if tensor.elem_type else "unknown"
        shape = None
        if tensor.HasField("shape"):
            shape = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in tensor.shape.dim)
        inputs[value.name] = _Input(value.name, {"float": "float32"}.get(dtype, dtype), shape)
    return inputs


def _only_pair_input(inputs: dict[str, _Input], fail: Any) -> str:
    pairs = [i.name for i in inputs.values() if i.is_matrix("int64") and i.is_pairs]
    if len(pairs) != 1:
        raise fail("no input can be edge_index" if not pairs else f"{len(pairs)} inputs can be edge_index")
    return pairs[0]


def _node_input(matrices: list[_Input], fail: Any) -> str:
    """The input with node features among one or two float matrices."""
    if len(matrices) == 1:
        return matrices[0].name
    if len(matrices) == 2:
        edge_like = [bool(_EDGE_NAME.search(i.name)) for i in matrices]
        if edge_like[0] != edge_like[1]:
            return matrices[edge_like.index(False)].name
        node_like = [bool(_NODE_NAME.search(i.name)) for i in matrices]
        if node_like[0] != node_like[1]:
            return matrices[node_like.index(True)].name
        raise fail("two inputs can be node features and their names do not tell which")
    raise fail("no input can be node features" if not matrices else f"{len(matrices)} inputs can be node features")
