"""ONNX QDQ and integer operators: against exact arithmetic and against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto

from onnx_exact import execute_exact
from onnx_models import Graph, import_model, mismatches, run
from onnx_networks import execute_onnxruntime, float_cnn, float_mlp, quantize_by_onnxruntime
from rheinfall.quantized import ModelError
from rheinfall.quantized.network import Network

SHAPES = {float_mlp: (16,), float_cnn: (1, 12, 12)}


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("activation", ["QUInt8", "QInt8"])
@pytest.mark.parametrize("network", [float_mlp, float_cnn])
@pytest.mark.filterwarnings("ignore")  # of onnxruntime.quantization
def test_onnxruntime_quantization(network, activation, per_channel, tmp_path):
    rng = np.random.default_rng(5)
    calibration = rng.normal(0, 1, (50, *SHAPES[network])).astype(np.float32)
    model = quantize_by_onnxruntime(
        network(), calibration, tmp_path, per_channel=per_channel, activation=activation, weight="QInt8"
    )
    document = import_model(model, tmp_path)
    x = rng.normal(0, 1, (500, *SHAPES[network])).astype(np.float32)
    assert mismatches(document, x[:4], execute_exact(model, x[:4]).astype(float))[0] == 0
    for optimize in (False, True):
        want = execute_onnxruntime(model, x, optimize=optimize)
        _, got = run(document, x)
        wrong = np.flatnonzero(np.abs(got - want).max(axis=1) > 1e-4)
        assert len(wrong) <= 5  # float32 beside a tie: where it differs, exact arithmetic sides with us
        if len(wrong):
            assert mismatches(document, x[wrong], execute_exact(model, x[wrong]).astype(float))[0] == 0
        assert len(np.unique(want, axis=0)) > 100


def integer_graph(op, rng):
    """A graph of an integer operator between uint8 in and integers out, and the shape of an event."""
    g = Graph(opset=13, domains=())
    u8, i8 = (lambda v: g.const(v, np.uint8)), (lambda v: g.const(v, np.int8))
    if op in ("QLinearMatMul", "MatMulInteger"):
        x, weights = g.input("x", ["n", 12], TensorProto.UINT8), i8(rng.integers(-128, 128, (12, 7)))
        shape = (12,)
    else:
        x, weights = g.input("x", ["n", 2, 6, 5], TensorProto.UINT8), i8(rng.integers(-128, 128, (3, 2, 3, 2)))
        shape = (2, 6, 5)
    if op == "MatMulInteger":
        return g.model(g.node(op, x, weights, u8(113), i8(5)), kind=TensorProto.INT32), shape
    if op == "ConvInteger":
        y = g.node(op, x, weights, u8(113), i8(0), pads=[1, 0, 1, 1])
        return g.model(y, kind=TensorProto.INT32), shape
    inputs = [x, 0.125, u8(113), weights, rng.uniform(0.01, 0.03, 3 if op == "QLinearConv" else 7)]
    inputs += [i8(np.zeros(3 if op == "QLinearConv" else 7)), 0.7, u8(100)]
    if op == "QLinearConv":
        inputs.append(g.const(rng.integers(-500, 500, 3), np.int32))
        return g.model(g.node(op, *inputs, pads=[1, 0, 1, 1]), kind=TensorProto.UINT8), shape
    return g.model(g.node(op, *inputs), kind=TensorProto.UINT8), shape


@pytest.mark.parametrize("op", ["MatMulInteger", "ConvInteger", "QLinearMatMul", "QLinearConv"])
def test_integer_operators(op, tmp_path):
    rng = np.random.default_rng(7)
    model, shape = integer_graph(op, rng)
    document = import_model(model, tmp_path)
    x = rng.integers(0, 256, (200, *shape)).astype(np.uint8)
    want = execute_onnxruntime(model, x, optimize=False)
    net = Network(document)
    # The integers in and out are those of the ONNX model, zero points in them.
    assert (net(x.astype(np.float32)).reshape(len(x), -1) == want.reshape(len(x), -1)).all()
    assert document["inputs"][0]["type"] == "ap_uint<8,RND_CONV,SAT>"
    assert len(np.unique(want)) > 50


def test_what_depends_on_the_event_or_is_float_is_refused(tmp_path):
    g = Graph(domains=())
    x = g.input("x", [1, 4])
    q = g.node("DynamicQuantizeLinear", x, n_outputs=3)
    with pytest.raises(ModelError, match=r"node 'DynamicQuantizeLinear_0' \(op .*its scale depends on the event"):
        import_model(g.model(q[0], kind=TensorProto.UINT8), tmp_path)
    g = Graph(opset=19, domains=())
    x = g.input("x", [1, 4])
    float8 = g.node("Cast", g.const([0.0]), to=TensorProto.FLOAT8E4M3FN)
    with pytest.raises(ModelError, match="casts to type 17"):
        import_model(g.model(g.node("QuantizeLinear", x, 0.5, float8)), tmp_path)
