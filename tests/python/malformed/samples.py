"""Small valid models of each format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from .sample import Sample

FILES = Path(__file__).parent / "files"


def own_json() -> Sample:
    """The project's own format, with one of most operations."""
    ones = [1, -2, 3, 0, 5, -6, 7, 1, 2, -3, 1, 4]
    layers = [
        {"name": "scaled", "op": "shift", "inputs": ["x"], "result": "ap_fixed<12,6>", "shift": [1]},
        {"name": "image", "op": "reshape", "inputs": ["scaled"], "result": "ap_fixed<12,6>", "shape": [4, 4, 1]},
        {"name": "conv", "op": "conv2d", "inputs": ["image"], "result": "ap_fixed<16,8>", "accum": "ap_fixed<20,10>",
         "weight": {"type": "ap_int<4>", "shape": [2, 2, 1, 3], "data": ones}, "strides": [2, 2],
         "bias": {"type": "ap_fixed<6,2>", "shape": [3], "data": [1, -2, 3]}, "padding": [0, 0, 0, 0]},
        {"name": "act", "op": "relu", "inputs": ["conv"], "result": "ap_ufixed<8,4,RND_CONV,SAT>"},
        {"name": "flat", "op": "reshape", "inputs": ["act"], "result": "ap_ufixed<8,4>", "shape": [12]},
        {"name": "fc", "op": "dense", "inputs": ["flat"], "result": "ap_fixed<16,8>", "accum": "ap_fixed<24,12>",
         "weight": {"type": "ap_fixed<6,1>", "shape": [12, 4], "data": ones * 4},
         "bias": {"type": "ap_fixed<6,1>", "shape": [4], "data": [1, 0, 2, -1]}, "order": list(range(12))},
        {"name": "table", "op": "table", "inputs": ["fc"], "result": "ap_fixed<8,2>",
         "index": {"multiply": 1, "shift": 6, "offset": 4},
         "table": {"type": "ap_fixed<8,2>", "shape": [8], "data": [0, 1, 2, 4, 8, 16, 32, 63]}},
        {"name": "sum", "op": "add", "inputs": ["table", "fc"], "result": "ap_fixed<18,9,RND,SAT>"},
        {"name": "score", "op": "sum_of_squares", "inputs": ["sum"], "result": "ap_ufixed<18,14>",
         "accum": "ap_ufixed<18,14>"},
    ]  # fmt: skip
    document = {
        "format": "rheinfall.quantized", "version": 1, "name": "sample", "source": "by hand",
        "inputs": [{"name": "x", "shape": [16], "type": "ap_fixed<12,6>"}],
        "layers": layers, "outputs": ["sum", "score"], "traps": ["layer 'fc': wraps"],
    }  # fmt: skip
    return Sample("own JSON", {"model.json": json.dumps(document).encode()}, "model.json")


def own_forest() -> Sample:
    """The project's own format of forests."""
    from random_forests import random_document

    document = random_document(5, n_trees=3, depth=3, n_features=4)
    return Sample("own forest JSON", {"forest.json": json.dumps(document).encode()}, "forest.json", "forest")


def qonnx() -> Sample:
    """A convolution, quantizers of all kinds, a dense layer."""
    import numpy as np

    import onnx_models

    rng = np.random.default_rng(3)
    g = onnx_models.Graph()
    x = g.quant(g.input("x", [1, 1, 4, 4]), 0.125, 8)
    kernel = g.quant(rng.integers(-7, 8, (2, 1, 2, 2)) * 0.25, 0.25, 4, narrow=1)
    y = g.node("Conv", x, kernel, kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 0, 0])
    y = g.quant(g.node("Relu", y), 0.0625, 6, signed=0)
    y = g.node("Reshape", y, g.const([1, 8], np.int64))
    weight = g.node("BipolarQuant", rng.choice([-1.0, 1.0], (8, 3)), 0.5, domain=onnx_models.QONNX_DOMAIN)
    y = g.node("Add", g.node("MatMul", y, weight), np.array([0.5, -0.25, 0.0]))
    y = g.quant(y, 0.25, 8, rounding="FLOOR")
    return Sample("QONNX", {"qonnx.onnx": g.model(y, shape=[1, 3]).SerializeToString()}, "qonnx.onnx")


def qdq() -> Sample:
    """Two dense layers between QuantizeLinear and DequantizeLinear."""
    import numpy as np

    import onnx_models

    rng = np.random.default_rng(4)
    g = onnx_models.Graph(domains=())

    def activate(value: str, scale: float, zero: int, kind: type = np.int8) -> str:
        parameters = (g.const(scale), g.const(zero, kind))
        return g.node("DequantizeLinear", g.node("QuantizeLinear", value, *parameters), *parameters)

    def weigh(n_in: int, n_out: int) -> str:
        values = g.const(rng.integers(-100, 100, (n_in, n_out)), np.int8)
        return g.node("DequantizeLinear", values, g.const(0.02), g.const(0, np.int8))

    y = activate(g.input("x", [1, 6]), 0.05, 3)
    for n_in, n_out in ((6, 4), (4, 2)):
        bias = g.node("DequantizeLinear", g.const(rng.integers(-50, 50, n_out), np.int32), g.const(0.001))
        y = activate(g.node("Relu", g.node("Gemm", y, weigh(n_in, n_out), bias)), 0.1, -128)
    return Sample("ONNX QDQ", {"qdq.onnx": g.model(y, shape=[1, 2]).SerializeToString()}, "qdq.onnx")


def _file(name: str, title: str) -> Callable[[], Sample]:
    """A forest that a tool has written."""
    return lambda: Sample(title, {name: (FILES / name).read_bytes()}, name, "forest")


def _folder(name: str, title: str) -> Callable[[], Sample]:
    """A project folder."""

    def make() -> Sample:
        root = FILES / name
        files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        return Sample(title, files, ".")

    return make


def axol1tl() -> Sample:
    """The layout of CMS's AXOL1TL: NN/, weights in one header, scales one level up, and the wrapper that names them."""
    firmware = FILES / "hls4ml_project" / "firmware"
    weights = b"".join(path.read_bytes() for path in sorted(firmware.glob("weights/*.h")))
    files = {f"NN/{name}": (firmware / name).read_bytes() for name in ("defines.h", "myproject.cpp", "parameters.h")}
    files["NN/weights.h"] = weights
    files["scales.h"] = b"""#ifndef SCALES_H
#define SCALES_H
#include "ap_fixed.h"
typedef ap_fixed<10,10> offset_t;
typedef ap_int<5> shift_t;
static const offset_t ad_offsets[4] = {1, -3, 4.5, 0};
static const shift_t ad_shift[4] = {2, 0, -1, 3};
#endif
"""
    wrapper = {
        "format": 1,
        "input": {
            "type": "ap_fixed<18,13>",
            "offset": {"file": "scales.h", "name": "ad_offsets"},
            "shift": {"file": "scales.h", "name": "ad_shift"},
        },
        "score": {"op": "sum_of_squares", "type": "ap_ufixed<18,14>"},
    }
    files["rheinfall.json"] = json.dumps(wrapper).encode()
    return Sample("AXOL1TL and wrapper", files, ".")


SAMPLES: dict[str, Callable[[], Sample]] = {
    "own JSON": own_json,
    "QONNX": qonnx,
    "ONNX QDQ": qdq,
    "hls4ml project": _folder("hls4ml_project", "hls4ml project"),
    "AXOL1TL and wrapper": axol1tl,
    "own forest JSON": own_forest,
    "conifer": _file("conifer.json", "conifer"),
    "xgboost JSON": _file("xgboost.json", "xgboost JSON"),
    "xgboost UBJ": _file("xgboost.ubj", "xgboost UBJ"),
    "LightGBM text": _file("lightgbm.txt", "LightGBM text"),
    "LightGBM dump": _file("lightgbm_dump.json", "LightGBM dump"),
    "ONNX-ML": _file("trees.onnx", "ONNX-ML"),
}


def make_samples(names: list[str] | None = None) -> list[Sample]:
    """The samples named, or all; one whose packages are missing raises ImportError."""
    return [SAMPLES[name]() for name in names or SAMPLES]
