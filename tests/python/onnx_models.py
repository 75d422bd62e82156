"""ONNX graphs for the tests of the importers: a short way to write them, and what their executors answer."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from rheinfall.quantized.fixed_point import parse
from rheinfall.quantized.network import Network
from rheinfall.quantized.onnx_import import read_onnx
from rheinfall.reference import quantized as reference

SHARED = Path(os.environ.get("RHEINFALL_SHARED", Path(__file__).resolve().parents[3] / "shared"))
QONNX_DATA = SHARED / "data" / "qonnx"
QONNX_DOMAIN = "qonnx.custom_op.general"


class Graph:
    """An ONNX graph under construction: methods return the name of what they define."""

    def __init__(self, opset=13, domains=((QONNX_DOMAIN, 1),)):
        self.nodes, self.initializers, self.inputs, self.outputs = [], [], [], []
        self.opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, v) for d, v in domains)]

    def input(self, name, shape, kind=TensorProto.FLOAT):
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def const(self, value, dtype=np.float32):
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def node(self, op, *inputs, n_outputs=1, domain="", **attributes):
        label = f"{op}_{len(self.nodes)}"
        inputs = [x if isinstance(x, str) else self.const(x) for x in inputs]
        outputs = [f"{label}_out{i}" for i in range(n_outputs)]
        self.nodes.append(helper.make_node(op, inputs, outputs, name=label, domain=domain, **attributes))
        return outputs[0] if n_outputs == 1 else outputs

    def quant(self, x, scale, bits, zero=0.0, signed=1, narrow=0, rounding="ROUND"):
        parameters = [self.const(p) for p in (scale, zero, bits)]
        return self.node(
            "Quant", x, *parameters, domain=QONNX_DOMAIN, signed=signed, narrow=narrow, rounding_mode=rounding
        )

    def model(self, *outputs, shape=None, kind=TensorProto.FLOAT):
        infos = [helper.make_tensor_value_info(name, kind, shape) for name in outputs]
        graph = helper.make_graph(self.nodes, "test", self.inputs, infos, self.initializers)
        return helper.make_model(graph, opset_imports=self.opsets, ir_version=8)


def import_model(model, folder):
    """The document of a model, by way of a file."""
    path = Path(folder) / "model.onnx"
    onnx.save(model, path)
    return read_onnx(path)


def run(document, x):
    """Stored integers and real outputs, (n_events, n_outputs), of a document for real inputs (n_events, ...)."""
    net = Network(document)
    x = np.asarray(x).reshape(len(x), *net.input_shape)
    integers = net.run_integers(stored_integers(document, x))
    return integers.reshape(len(x), -1), net(x.astype(np.float64)).reshape(len(x), -1)


def stored_integers(document, x):
    """The stored integers of real inputs, by the definition in Python."""
    flat = np.asarray(x).reshape(len(x), -1)
    return np.array(reference.integers_of_reals(document, flat).tolist(), dtype=np.int64).reshape(x.shape)


def scale_of(document):
    """Real distance of neighbouring output integers."""
    output = document["outputs"][0]
    if isinstance(output, dict):
        return np.asarray(output["scale"], dtype=np.float64)
    types = {layer["name"]: layer["result"] for layer in document["layers"]}
    types |= {declared["name"]: declared["type"] for declared in document["inputs"]}
    return np.float64(2.0) ** -parse(types[output]).fraction


def mismatches(document, x, want):
    """Events of which an output is not what an executor's float output means, and the largest distance in steps.

    The executor's float outputs name integers: the nearest of the output's grid.
    """
    _, got = run(document, x)
    distance = np.abs(got - np.asarray(want, dtype=np.float64).reshape(got.shape))
    scale = scale_of(document)
    steps = (distance.reshape(-1, scale.size) / scale).reshape(got.shape)
    return int((steps > 0.5).any(axis=1).sum()), float(steps.max())


def execute_qonnx(model, x):
    """Outputs of the qonnx package's executor, event by event, as a model with a batch of one wants them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own: shapes of intermediates, NumPy's deprecations
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.core.onnx_exec import execute_onnx
        from qonnx.transformation.infer_shapes import InferShapes

        wrapped = ModelWrapper(model).transform(InferShapes())
        name, result = wrapped.graph.input[0].name, wrapped.graph.output[0].name
        shape = wrapped.get_tensor_shape(name)
        return np.concatenate(
            [execute_onnx(wrapped, {name: event.reshape(shape)})[result].reshape(1, -1) for event in x]
        )
