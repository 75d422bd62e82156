"""QONNX files: against the executor of the qonnx package, and against exact arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")

import onnx

from onnx_exact import execute_exact
from onnx_models import QONNX_DATA, execute_qonnx, import_model, mismatches, run, stored_integers
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
