"""QONNX files: against the executor of the qonnx package, and against exact arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")

import onnx

from onnx_models import QONNX_DATA, execute_qonnx, mismatches
from rheinfall.quantized import ModelError
from rheinfall.quantized.onnx_import import read_onnx

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
