"""QONNX files: against the executor of the qonnx package, and against exact arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")

import onnx

from onnx_exact import execute_exact
from onnx_models import QONNX_DATA, execute_qonnx, import_model, mismatches, run, stored_integers
from onnx_networks import brevitas_mlp, qkeras_cnn, quantize_mnist_conv
from onnx_random import RandomGraph, inputs
from rheinfall.quantized import ModelError
from rheinfall.quantized.onnx_import import read_onnx
from rheinfall.reference import quantized as reference

TFC = QONNX_DATA / "TFC" / "TFC"
needs_data = pytest.mark.skipif(not TFC.is_dir(), reason=f"needs the QONNX models in {QONNX_DATA}")


@needs_data
@pytest.mark.parametrize("name", ["TFC_1W1A", "TFC_1W2A"])
def test_tfc_gives_what_the_qonnx_executor_gives(name):
    pytest.importorskip("qonnx")
    path = TFC / f"{name}.onnx"
    x = np.random.default_rng(3).random((20, 784)).astype(np.float32)
    x[0], x[1], x[2, ::2] = 0.5, 0.25, 0.75  # exactly at the input's steps
    n_wrong, distance = mismatches(read_onnx(path), x, execute_qonnx(onnx.load(path), x))
    assert n_wrong == 0
    assert distance < 1e-4  # float32 after the last integers


@needs_data
def test_float_models_are_refused_by_the_node_that_lacks_a_quantizer():
    with pytest.raises(ModelError, match=r"model\.onnx, node 'Convolution28' \(op Conv\): no quantizer before"):
        read_onnx(QONNX_DATA / "mnist-conv" / "model.onnx")
    with pytest.raises(ModelError, match=r"node 'Conv_0' \(op Conv\): no quantizer before"):
        read_onnx(QONNX_DATA / "residual_block_clean.onnx")
    with pytest.raises(ModelError, match=r"FloatQuant.*minifloat"):
        read_onnx(QONNX_DATA / "floatquant_exec" / "qonnx_act_weight_fp8.onnx")


@pytest.mark.parametrize("kind", ["dense", "convolution"])
def test_random_graphs_equal_exact_arithmetic(kind, tmp_path):
    steps, refusals = set(), []
    for seed in range(40):
        model, shape = getattr(RandomGraph(seed), kind)()
        try:
            document = import_model(model, tmp_path)
        except ModelError as error:
            refusals.append(str(error))
            continue
        x = inputs(seed, shape, 5)
        want = execute_exact(model, x)
        n_wrong, distance = mismatches(document, x, want.astype(float))
        assert n_wrong == 0, f"seed {seed}"
        assert distance < 1e-6, f"seed {seed}"
        integers, _ = run(document, x)
        defined = reference.run(document, stored_integers(document, x).reshape(len(x), -1))
        assert (integers == defined).all(), f"seed {seed}"
        steps |= {layer["op"] for layer in document["layers"]}
    assert steps >= {"rescale", "threshold", "relu"}
    assert all("no quantizer after it" in r or "within a channel" in r for r in refusals)
    assert len(refusals) < 15, refusals


def judge(model, x, folder, n_exact=4):
    """No mismatch with the qonnx executor, save where exact arithmetic sides with us."""
    document = import_model(model, folder)
    assert mismatches(document, x[:n_exact], execute_exact(model, x[:n_exact]).astype(float))[0] == 0
    pytest.importorskip("qonnx")
    return document, mismatches(document, x, execute_qonnx(model, x))


def test_a_network_as_brevitas_exports_it(tmp_path):
    x = np.random.default_rng(1).normal(0, 1, (20, 16)).astype(np.float32)
    document, (n_wrong, _) = judge(brevitas_mlp(), x, tmp_path)
    assert n_wrong == 0
    assert document["inputs"][0]["type"] == "ap_int<8,RND_CONV,SAT>"
    assert document["inputs"][0]["scale"] == np.float32(0.0234375 * 1.037)
    assert any("no powers of two" in trap for trap in document["traps"])


def test_a_network_as_qkeras_exports_it(tmp_path):
    x = np.random.default_rng(1).normal(0, 1, (10, 10, 10, 1)).astype(np.float32)
    document, (n_wrong, distance) = judge(qkeras_cnn(), x, tmp_path, 1)
    assert (n_wrong, distance) == (0, 0.0)
    assert document["inputs"] == [{"name": "x", "shape": [10, 10, 1], "type": "ap_fixed<8,2,RND_CONV,SAT>"}]
    assert {layer["op"] for layer in document["layers"]} <= {"conv2d", "relu", "reshape", "dense", "transpose"}
    assert "traps" not in document


@needs_data
def test_mnist_conv_with_quantizers(tmp_path):
    x = np.random.default_rng(2).uniform(-1, 3, (3, 1, 28, 28)).astype(np.float32)
    model = quantize_mnist_conv(QONNX_DATA / "mnist-conv" / "model.onnx")
    document = import_model(model, tmp_path)
    pytest.importorskip("qonnx")
    assert mismatches(document, x, execute_qonnx(model, x)) == (0, 0.0)
