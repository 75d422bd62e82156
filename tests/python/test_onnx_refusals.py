"""What the ONNX importers refuse: by node and reason, without reading other files and without spending memory."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")

from onnx import TensorProto, helper

from onnx_models import QONNX_DOMAIN, Graph, import_model
from rheinfall.quantized import ModelError
from rheinfall.quantized.onnx_import import read_onnx


def chain(*ops, shape=(4,), opset=13, **last):
    """An input of integers, one node after the other."""
    g = Graph(opset)
    h = g.quant(g.input("x", [1, *shape]), 0.25, 8)
    for i, op in enumerate(ops):
        h = g.node(op, h, **(last if i == len(ops) - 1 else {}))
    return g.model(h)


def refused(model, folder, match):
    with pytest.raises(ModelError, match=match) as error:
        import_model(model, folder)
    assert "model.onnx, " in str(error.value)
    assert "malformed" not in str(error.value)


def test_float_functions_without_a_quantizer_after_them(tmp_path):
    refused(chain("Softmax"), tmp_path, r"node 'Softmax_1' \(op Softmax\): is a float function")
    refused(chain("Sigmoid"), tmp_path, r"output '.*': its input comes from sigmoid without a quantizer")
    refused(chain("Erf"), tmp_path, r"node 'Erf_1' \(op Erf\): operator Erf of domain 'ai.onnx' is not supported")
    refused(chain("Abs"), tmp_path, r"node 'Abs_1' \(op Abs\): is not supported on values")


def test_a_sigmoid_before_a_quantizer_is_its_thresholds(tmp_path):
    g = Graph()
    h = g.quant(g.input("x", [1, 1]), 0.25, 8)
    model = g.model(g.quant(g.node("Sigmoid", h), 1 / 16, 4, signed=0))
    document = import_model(model, tmp_path)
    thresholds = document["layers"][0]["thresholds"]["data"]
    y = (np.arange(15) + 0.5) / 16
    assert thresholds == np.ceil(np.log(y / (1 - y)) * 4).astype(int).tolist()


def test_weights_that_no_quantizer_made(tmp_path):
    g = Graph()
    h = g.quant(g.input("x", [1, 4]), 0.25, 8)
    model = g.model(g.node("MatMul", h, np.random.default_rng(0).normal(0, 1, (4, 3))))
    refused(model, tmp_path, r"node 'MatMul_1' \(op MatMul\): no quantizer before its weights")
    g = Graph()
    h = g.quant(g.input("x", [1, 4]), 0.25, 8)
    document = import_model(g.model(g.node("MatMul", h, np.arange(12).reshape(4, 3) * 0.125)), tmp_path)
    assert document["layers"][0]["weight"]["data"] == list(range(12))


def test_the_axis_of_the_batch_stays_alone(tmp_path):
    refused(chain("Transpose", perm=[1, 0]), tmp_path, "moves the axis of the batch")
    refused(chain("Flatten", axis=0), tmp_path, "joins the batch")
    g = Graph()
    h = g.quant(g.input("x", [1, 4]), 0.25, 8)
    refused(g.model(g.node("Reshape", h, g.const([2, 2], np.int64))), tmp_path, "mixes the axis of the batch")
    g = Graph()
    h = g.quant(g.input("x", [1, 4]), 0.25, 8)
    refused(g.model(g.node("Concat", h, h, axis=0)), tmp_path, "along the axis of the batch")


@pytest.mark.parametrize(
    ("scale", "bits", "attributes", "match"),
    [
        (-0.5, 8, {}, "scale: expected finite positive"),
        (np.nan, 8, {}, "scale: expected finite positive"),
        (0.5, 8.5, {}, "bit width is no single whole number"),
        (0.5, 99, {}, "bit width 99: expected 1 to 32"),
        (0.5, 8, {"rounding_mode": "SIDEWAYS"}, "rounding_mode 'SIDEWAYS': expected one of ROUND"),
    ],
)
def test_bad_quantizers(scale, bits, attributes, match, tmp_path):
    g = Graph()
    x = g.input("x", [1, 4])
    model = g.model(g.node("Quant", x, scale, 0.0, bits, domain=QONNX_DOMAIN, **attributes))
    refused(model, tmp_path, rf"node 'Quant_0' \(op Quant\): {match}")


def test_external_data_is_never_read(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(64))
    model = chain("Relu")
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    (tmp_path / "inner").mkdir()
    refused(model, tmp_path / "inner", "external data, which is never read")


def test_claims_of_size_are_refused_before_memory_is_spent(tmp_path):
    g = Graph()
    refused(g.model(g.quant(g.input("x", [1, 1 << 20, 1 << 20]), 0.5, 8)), tmp_path, "more than 16777216 elements")
    g = Graph()
    x = g.quant(g.input("x", [1, 4]), 0.5, 8)
    filled = g.node("ConstantOfShape", g.const([1 << 20, 1 << 20], np.int64))
    refused(g.model(g.node("Add", x, filled)), tmp_path, "a constant of shape")
    g = Graph()
    x = g.quant(g.input("x", [1, 4]), 0.5, 8)
    refused(g.model(g.node("Add", x, np.zeros((5000, 5000, 1)))), tmp_path, "25000000 elements|more than 16777216")
    g = Graph()
    x = g.quant(g.input("x", [1, 1, 4, 4]), 0.5, 8)
    model = g.model(g.node("Pad", x, g.const([0, 0, 1 << 15, 1 << 15, 0, 0, 0, 0], np.int64)))
    refused(model, tmp_path, "too large")


def test_graphs_that_are_none(tmp_path):
    model = chain("Relu")
    model.graph.node[-1].input[0] = "nowhere"
    refused(model, tmp_path, r"node 'Relu_1' \(op Relu\): input 'nowhere' is not defined")
    model = chain("Relu", "Relu")
    model.graph.node[-1].output[0] = model.graph.node[-2].output[0]
    refused(model, tmp_path, "is defined twice")
    model = chain("Relu")
    model.graph.output[0].name = "missing"
    refused(model, tmp_path, "output 'missing': is not defined by any node")
    model = chain("Relu")
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "n"
    refused(model, tmp_path, "input 'x' has the shape")
    model = chain("Relu")
    model.functions.append(helper.make_function("own", "F", [], [], [], [helper.make_opsetid("", 13)]))
    refused(model, tmp_path, "functions of the model's own")


def test_files_that_are_none(tmp_path):
    path = tmp_path / "model.onnx"
    for content in (b"", b"\x00" * 100, b"not a model", chain("Relu").SerializeToString()[:-40]):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"model\.onnx"):
            read_onnx(path)
    with pytest.raises(FileNotFoundError):
        read_onnx(tmp_path / "absent.onnx")
