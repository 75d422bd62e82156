"""Every quantizer of QONNX and QDQ on all values of a small grid, and floats beside each step at the input."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("onnx")

from onnx import TensorProto

from onnx_exact import ROUND, execute_exact
from onnx_models import QONNX_DOMAIN, Graph, import_model, mismatches, run

GRID = np.arange(-128, 128, dtype=np.float32)[:, None]


def on_a_grid(unit=0.125):
    """A graph whose value x runs over -128·unit ... 127·unit."""
    g = Graph(opset=13)
    x = g.input("x", [1, 1], TensorProto.INT8)
    return g, g.node("DequantizeLinear", x, unit, g.const(0, np.int8))


@pytest.mark.parametrize("rounding", list(ROUND))
def test_quant_of_every_kind(rounding, tmp_path):
    kinds = itertools.product((1, 2, 5), (0, 1), (0, 1), (0.0, 3.0, 0.5), (0.5, 0.3))
    for bits, signed, narrow, zero, scale in kinds:
        if bits == 1 and (narrow or (signed and zero)):
            continue
        g, x = on_a_grid()
        model = g.model(g.quant(x, scale, bits, zero, signed, narrow, rounding), shape=[1, 1])
        document = import_model(model, tmp_path)
        want = execute_exact(model, GRID).astype(float)
        assert mismatches(document, GRID, want) == (0, pytest.approx(0, abs=1e-6)), (bits, signed, narrow, zero, scale)


@pytest.mark.parametrize("rounding", list(ROUND))
def test_quant_as_the_qonnx_package_has_it(rounding, tmp_path):
    int_quant = pytest.importorskip("qonnx.custom_op.general.intquant").int_quant
    for bits, signed, narrow, zero in itertools.product((1, 3, 5), (0, 1), (0, 1), (0.0, 1.0, -2.0)):
        if bits == 1 and (narrow or (signed and zero)):
            continue
        g, x = on_a_grid()
        document = import_model(g.model(g.quant(x, 0.5, bits, zero, signed, narrow, rounding), shape=[1, 1]), tmp_path)
        scalars = (np.float32(v) for v in (0.5, zero, bits))
        want = int_quant(GRID * np.float32(0.125), *scalars, signed, narrow, rounding)
        assert mismatches(document, GRID, want) == (0, 0.0), (bits, signed, narrow, zero)


@pytest.mark.parametrize("rounding", ["FLOOR", "ROUND", "CEIL", "DOWN", "HALF_UP"])
@pytest.mark.parametrize("zero", [0.0, 4.0])
@pytest.mark.parametrize("scale", [0.125, 0.5])  # on the input's grid, and coarser: rounded twice
def test_trunc_of_both_versions(rounding, zero, scale, tmp_path):
    module = pytest.importorskip("qonnx.custom_op.general.trunc")
    x = GRID * np.float32(0.125)
    g, value = on_a_grid()
    parameters = [np.float32(v) for v in (scale, zero, 8)]
    old = g.node("Trunc", value, *parameters, 4.0, domain=QONNX_DOMAIN, rounding_mode=rounding)
    want = module.trunc_v1(x, *parameters, np.float32(4), rounding)
    assert mismatches(import_model(g.model(old, shape=[1, 1]), tmp_path), GRID, want) == (0, 0.0)
    for signed, narrow, factor in itertools.product((0, 1), (0, 1), (4, 8)):
        g, value = on_a_grid()
        rest = [np.float32(scale * factor), np.float32(5)]
        attributes = {"rounding_mode": rounding, "signed": signed, "narrow": narrow}
        new = g.node("Trunc", value, *parameters, *rest, domain=QONNX_DOMAIN, **attributes)
        want = module.trunc_v2(x, parameters[0], parameters[1], parameters[2], narrow, signed, *rest, rounding)
        assert mismatches(import_model(g.model(new, shape=[1, 1]), tmp_path), GRID, want) == (0, 0.0)


def test_trunc_versions_differ(tmp_path):
    """Version 1 keeps the scale of its input, version 2 has one of its own and clips."""
    outputs = []
    for rest in ([4.0], [0.125 * 16, 4.0]):
        g, x = on_a_grid()
        y = g.node("Trunc", x, 0.125, 0.0, 8.0, *rest, domain=QONNX_DOMAIN, rounding_mode="FLOOR")
        outputs.append(run(import_model(g.model(y, shape=[1, 1]), tmp_path), GRID)[1])
    assert outputs[0].max() == 7 * 0.125
    assert outputs[1].max() == 7 * 2.0


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("layout", ["NC", "NCHW"])
def test_multi_threshold(channels, layout, tmp_path):
    rng = np.random.default_rng(3)
    shape = (3,) if layout == "NC" else (3, 4, 2)
    g = Graph()
    x = g.input("x", [1, *shape], TensorProto.INT8)
    scaled = g.node("Mul", g.node("DequantizeLinear", x, 0.125, g.const(0, np.int8)), -1.5)
    thresholds = np.sort(rng.integers(-40, 40, (channels, 7)) * 0.1875, axis=1)
    attributes = {"out_scale": 0.5, "out_bias": -2.0, "out_dtype": "INT4", "data_layout": layout}
    y = g.node("MultiThreshold", scaled, thresholds, domain=QONNX_DOMAIN, **attributes)
    model = g.model(y)
    events = rng.integers(-128, 128, (100, *shape)).astype(np.float32)
    assert mismatches(import_model(model, tmp_path), events, execute_exact(model, events).astype(float)) == (0, 0.0)


def beside(points):
    """Each float32 point with its two neighbours, as events of one number."""
    points = np.asarray(points, dtype=np.float32)
    both = [np.nextafter(points, np.float32(end)) for end in (-np.inf, np.inf)]
    return np.concatenate([points, *both])[:, None]


@pytest.mark.parametrize("rounding", ["ROUND", "FLOOR", "DOWN", "HALF_UP", "HALF_DOWN"])
def test_no_float_beside_a_step_of_the_input_is_on_the_wrong_side(rounding, tmp_path):
    """The input's fixed-point type is chosen so that float32 inputs give what exact arithmetic gives."""
    for before, scale in (((1.0, 0.0), 0.25), ((2.0, -1.0), 0.5), ((-3.0, 0.1), 0.25), ((0.3, 7.7), 1.0)):
        g = Graph()
        x = g.input("x", [1, 1])
        for op, c in zip(("Mul", "Add"), before, strict=True):
            x = x if (op, c) in (("Mul", 1.0), ("Add", 0.0)) else g.node(op, x, c)
        model = g.model(g.quant(x, scale, 4, rounding=rounding), shape=[1, 1])
        a, b = (float(np.float32(v)) for v in before)
        ties = (np.arange(-20, 21) * scale / 2 - b) / a
        x = beside(ties)
        x = x[np.abs(x) > 1e-9][:, None]  # a step at 0 that 0 does not reach: noted as a trap
        document = import_model(model, tmp_path)
        assert mismatches(document, x, execute_exact(model, x).astype(float))[0] == 0, (before, scale)


def test_a_quantizer_at_the_input_is_the_input_type(tmp_path):
    g = Graph()
    model = g.model(g.quant(g.input("x", [1, 1]), 0.25, 6, narrow=1, rounding="HALF_UP"), shape=[1, 1])
    document = import_model(model, tmp_path)
    assert document["inputs"] == [{"name": "x", "shape": [1], "type": "ap_fixed<6,4,RND_INF,SAT_SYM>"}]
    assert (document["layers"], document["outputs"]) == ([], ["x"])


def test_an_annotated_input_is_its_integers(tmp_path):
    from onnx import StringStringEntryProto, TensorAnnotation

    g = Graph()
    y = g.node("MatMul", g.input("x", [1, 4]), g.quant(g.const(np.ones((4, 2))), 0.5, 3))
    model = g.model(y)
    entry = StringStringEntryProto(key="finn_datatype", value="UINT6")
    model.graph.quantization_annotation.append(TensorAnnotation(tensor_name="x", quant_parameter_tensor_names=[entry]))
    document = import_model(model, tmp_path)
    assert document["inputs"][0]["type"] == "ap_uint<6,RND_CONV,SAT>"
    _, real = run(document, np.array([[1, 2, 3, 63]], np.float32))
    assert real.tolist() == [[69.0, 69.0]]


@pytest.mark.parametrize("zero", [0, 100])
def test_integers_out_of_a_model_are_its_own(zero, tmp_path):
    """Whatever the binary point, a graph that ends in QuantizeLinear gives that operator's integers."""
    g = Graph(domains=())
    parameters = 0.25, g.const(zero, np.uint8)
    y = g.node("QuantizeLinear", g.input("x", [1, 2]), *parameters)
    y = g.node("QuantizeLinear", g.node("DequantizeLinear", y, *parameters), 0.5, g.const(zero, np.uint8))
    document = import_model(g.model(y, kind=TensorProto.UINT8), tmp_path)
    integers, real = run(document, np.array([[1.25, 7.75]], np.float32))
    assert real.tolist() == [[2 + zero, 16 + zero]]
    assert integers.tolist() == [[2 + zero, 16 + zero]]


def test_a_float_bias_after_the_last_integers_is_an_offset(tmp_path):
    g = Graph()
    h = g.quant(g.input("x", [1, 2]), 0.25, 8)
    y = g.node("Add", g.node("MatMul", h, g.quant(g.const(np.eye(2)), 1.0, 2)), [0.1, -0.3])
    model = g.model(y)
    document = import_model(model, tmp_path)
    assert document["outputs"][0]["offset"] == [float(np.float32(0.1)), float(np.float32(-0.3))]
    _, real = run(document, np.array([[1.0, -2.0]], np.float32))
    assert real.tolist() == [[1 + float(np.float32(0.1)), -2 + float(np.float32(-0.3))]]
