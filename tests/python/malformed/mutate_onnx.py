"""Damage to the structure of ONNX models: the file stays a protobuf message, its meaning does not hold."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from .mutate_bytes import Mutation

PATHS = (
    "../../../../../../etc/passwd", "/etc/passwd", "/dev/zero", "..", "", "a/../../b", "weights\x01", "w" * 5000,
    "model.onnx",
)  # fmt: skip
DIMS = (-1, 0, 1, 2**16, 2**31, 2**40, 2**62, 2**63 - 1)
OPERATORS = (
    "Quant",
    "Trunc",
    "BipolarQuant",
    "MatMul",
    "Conv",
    "Reshape",
    "Loop",
    "If",
    "TreeEnsembleRegressor",
    "No",
    "",
)
NUMBERS = (0.0, -1.0, 0.5, 3.0, 1e-30, 1e38, float("nan"), float("inf"), 2.0**-40, 65.0, -0.0)


def _model(change: Callable[[random.Random, Any], None]) -> Mutation:
    def mutate(rng: random.Random, data: bytes) -> bytes:
        import onnx

        model = onnx.ModelProto.FromString(data)
        change(rng, model)
        return bytes(model.SerializeToString())

    return mutate


def _initializer(rng: random.Random, model: Any) -> Any:
    return rng.choice(model.graph.initializer) if model.graph.initializer else None


def _node(rng: random.Random, model: Any) -> Any:
    return rng.choice(model.graph.node) if model.graph.node else None


@_model
def change_shapes(rng: random.Random, model: Any) -> None:
    """Give a tensor, an input or an output other dimensions."""
    tensor = _initializer(rng, model)
    values = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    if tensor is not None and rng.random() < 0.6:
        way = rng.randrange(3)
        if way == 0 and tensor.dims:
            tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(DIMS)
        elif way == 1:
            tensor.dims.extend([rng.choice(DIMS)] * rng.choice((1, 3, 60)))
        else:
            del tensor.dims[:]
    elif values:
        dims = rng.choice(values).type.tensor_type.shape.dim
        if dims:
            dims[rng.randrange(len(dims))].dim_value = rng.choice(DIMS)


@_model
def change_data(rng: random.Random, model: Any) -> None:
    """Shorten, lengthen or drop a tensor's data, or say that it has another type."""
    tensor = _initializer(rng, model)
    if tensor is None:
        return
    way = rng.randrange(4)
    if way == 0:
        tensor.data_type = rng.choice((0, 1, 2, 3, 6, 7, 8, 10, 11, 14, 16, 17, 22, 99))
    elif way == 1:
        tensor.raw_data = tensor.raw_data[: len(tensor.raw_data) // 2] if tensor.raw_data else b"\x01" * 3
    elif way == 2:
        tensor.raw_data = bytes(tensor.raw_data) + b"\x7f" * rng.choice((1, 4, 1000))
    else:
        tensor.ClearField(
            rng.choice(("raw_data", "float_data", "int64_data", "int32_data", "data_type", "name", "dims"))
        )


@_model
def change_parameters(rng: random.Random, model: Any) -> None:
    """Put absurd values into small constants: scales, zero points, bit widths, thresholds."""
    import onnx

    small = [t for t in model.graph.initializer if not t.dims or max(t.dims) <= 64]
    if not small:
        return
    tensor = rng.choice(small)
    try:
        array = onnx.numpy_helper.to_array(tensor).copy()
    except (TypeError, ValueError):
        return
    value = rng.choice(NUMBERS)
    if array.dtype.kind != "f":
        value = rng.choice((-128, -1, 0, 1, 63, 127))
    if array.size and array.dtype.kind in "fiub" and not (array.dtype.kind == "u" and value < 0):
        array.reshape(-1)[rng.randrange(array.size)] = value
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))


@_model
def tangle_nodes(rng: random.Random, model: Any) -> None:
    """Make cycles, forward references, duplicate and missing names, shuffled nodes."""
    nodes, way = list(model.graph.node), rng.randrange(6)
    names = [name for node in nodes for name in (*node.input, *node.output)]
    if not nodes or not names:
        return
    node = rng.choice(nodes)
    if way == 0 and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice((*nodes[-1].output, *node.output, *names))
    elif way == 1 and node.output:
        node.output[rng.randrange(len(node.output))] = rng.choice((*names, "", "nobody"))
    elif way == 2:
        rng.shuffle(nodes)
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    elif way == 3:
        (node.input if rng.random() < 0.5 else node.output).append(rng.choice((*names, "", "nobody")))
    elif way == 4 and node.input:
        del node.input[rng.randrange(len(node.input)) :]
    else:
        values = rng.choice((model.graph.input, model.graph.output, model.graph.initializer))
        if values:
            rng.choice(values).name = rng.choice((*names, "", "nobody"))


@_model
def remove_parts(rng: random.Random, model: Any) -> None:
    """Remove nodes, attributes, initializers, inputs, outputs or the opset."""
    fields = [model.graph.node, model.graph.initializer, model.graph.input, model.graph.output, model.opset_import]
    fields += [node.attribute for node in model.graph.node if node.attribute] * 2
    field = rng.choice([f for f in fields if f] or [[]])
    if len(field):
        del field[rng.randrange(len(field))]


@_model
def repeat_parts(rng: random.Random, model: Any) -> None:
    """Put nodes, attributes, initializers or inputs twice."""
    fields = [model.graph.node, model.graph.initializer, model.graph.input, model.graph.output, model.opset_import]
    fields += [node.attribute for node in model.graph.node if node.attribute]
    field = rng.choice([f for f in fields if f] or [[]])
    if len(field):
        field.extend([rng.choice(field)] * rng.choice((1, 1, 50)))


@_model
def change_attributes(rng: random.Random, model: Any) -> None:
    """Put other values and types into attributes; other operators, domains and opsets."""
    nodes = [node for node in model.graph.node if node.attribute]
    way = rng.randrange(4)
    if way == 0 and model.graph.node:
        rng.choice(model.graph.node).op_type = rng.choice(OPERATORS)
    elif way == 1 and model.opset_import:
        opset = rng.choice(model.opset_import)
        opset.version = rng.choice((-1, 0, 1, 5, 99, 2**62))
        opset.domain = rng.choice((opset.domain, "nowhere", "ai.onnx.ml"))
    elif nodes:
        attribute = rng.choice(rng.choice(nodes).attribute)
        if rng.random() < 0.3:
            attribute.type = rng.randrange(15)
        elif rng.random() < 0.5 and attribute.ints:
            attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice((*DIMS, -5, 3))
        elif rng.random() < 0.5 and attribute.floats:
            attribute.floats[rng.randrange(len(attribute.floats))] = rng.choice(NUMBERS)
        else:
            attribute.i, attribute.f, attribute.s = (
                rng.choice(DIMS),
                rng.choice(NUMBERS),
                rng.choice((b"", b"ROUND", b"\xff")),
            )


@_model
def put_not_finite(rng: random.Random, model: Any) -> None:
    """Put NaN, infinities and huge numbers among the weights."""
    import numpy as np
    import onnx

    tensors = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
    if tensors:
        tensor = rng.choice(tensors)
        try:
            array = onnx.numpy_helper.to_array(tensor).copy()
        except (TypeError, ValueError):
            return
        if array.size:
            array.reshape(-1)[rng.randrange(array.size)] = rng.choice((np.nan, np.inf, -np.inf, 1e38, -1e38, 1e-45))
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))


@_model
def escape_paths(rng: random.Random, model: Any) -> None:
    """Say that a tensor's data lies in another file: outside of the folder, in a device, at absurd places."""
    import onnx

    tensor = _initializer(rng, model)
    if tensor is None:
        return
    tensor.ClearField("raw_data")
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    places = {"location": rng.choice(PATHS), "offset": str(rng.choice(DIMS)), "length": str(rng.choice(DIMS))}
    for key, value in places.items():
        if key == "location" or rng.random() < 0.5:
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value


@_model
def nest_graphs(rng: random.Random, model: Any) -> None:
    """Nest graphs in attributes, about as deep as protobuf reads, or add very many nodes."""
    if rng.random() < 0.3 and model.graph.node:
        model.graph.node.extend([model.graph.node[0]] * 20_000)
        return
    graph = model.graph
    for _ in range(rng.choice((1, 10, 40))):
        node = graph.node.add(op_type="If", name="deep", output=["deep"])
        graph = node.attribute.add(name="then_branch", type=5).g


ONNX_MUTATIONS: dict[str, Mutation] = {
    "shapes changed": change_shapes,
    "tensor data changed": change_data,
    "parameters absurd": change_parameters,
    "nodes tangled": tangle_nodes,
    "parts removed": remove_parts,
    "parts repeated": repeat_parts,
    "attributes changed": change_attributes,
    "weights not finite": put_not_finite,
    "paths out of the folder": escape_paths,
    "graphs nested": nest_graphs,
}
