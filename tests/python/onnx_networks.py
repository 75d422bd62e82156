"""Networks as exporters write them, small and seeded: Brevitas, QKeras, a quantized mnist-conv, ONNX Runtime's QDQ."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import onnx
from onnx import helper, numpy_helper

from onnx_models import QONNX_DOMAIN, Graph


def brevitas_mlp(seed=0):
    """QuantLinear and QuantReLU: float scales, narrow weights, biases and batch normalisation left in float."""
    rng, g = np.random.default_rng(seed), Graph(domains=(("onnx.brevitas", 1),))
    h = g.quant(g.input("x", [1, 16]), 0.0234375 * 1.037, 8)
    sizes = [16, 32, 24, 5]
    for layer, (k, m) in enumerate(pairwise(sizes)):
        w = rng.normal(0, 1 / np.sqrt(k), (m, k)).astype(np.float32)
        scale = np.abs(w).max(axis=1, keepdims=True) / 7 if layer % 2 else np.float32(np.abs(w).max() / 7)
        w = g.node("Transpose", g.quant(g.const(w), scale, 4, narrow=1), perm=[1, 0])
        h = g.node("Add", g.node("MatMul", h, w), rng.normal(0, 0.1, m))
        if layer == 0:
            draw = [rng.normal(1, 0.2, m), rng.normal(0, 0.2, m), rng.normal(0, 0.2, m), rng.uniform(0.2, 1, m)]
            h = g.node("BatchNormalization", h, *draw)
        if m != sizes[-1]:
            h = g.quant(g.node("Relu", h), np.float32(rng.uniform(0.05, 0.15)), 4, signed=0)
    for node in g.nodes:
        node.domain = "onnx.brevitas" if node.domain else ""
    return g.model(h, shape=[1, 5])


def qkeras_cnn(seed=0):
    """quantized_bits and quantized_relu, scales of powers of two; images channels-last, with Transpose around Conv."""
    rng, g = np.random.default_rng(seed), Graph()
    h = g.quant(g.input("x", [1, 10, 10, 1]), 2.0**-6, 8)
    c = 1
    for m in (4, 6):
        w = g.quant(g.const(rng.normal(0, 0.3, (m, c, 3, 3))), 2.0**-5, 6)
        b = g.quant(g.const(rng.normal(0, 0.1, m)), 2.0**-5, 6)
        h = g.node("Conv", g.node("Transpose", h, perm=[0, 3, 1, 2]), w, b, kernel_shape=[3, 3])
        h = g.node("Transpose", h, perm=[0, 2, 3, 1])
        h, c = g.quant(g.node("Relu", h), 2.0**-4, 6, signed=0), m
    h = g.node("Reshape", h, g.const([-1, 6 * 6 * 6], np.int64))
    w = g.quant(g.const(rng.normal(0, 0.1, (216, 5))), 2.0**-5, 6)
    b = g.quant(g.const(rng.normal(0, 0.1, 5)), 2.0**-5, 6)
    h = g.node("Add", g.node("MatMul", h, w), b)
    return g.model(g.quant(h, 2.0**-6, 16), shape=[1, 5])


def quantize_mnist_conv(path):
    """The float model `path` with Quant nodes of power-of-two scales at its input, weights, biases and activations."""
    model = onnx.load(path)
    graph = model.graph
    weights = {t.name for t in graph.initializer if numpy_helper.to_array(t).dtype == np.float32}
    renamed, nodes, constants = {}, [], []

    def quant(name, bits, scale, signed):
        parameters = []
        for i, p in enumerate((scale, 0.0, bits)):
            constants.append(numpy_helper.from_array(np.float32(p), f"{name}_p{i}"))
            parameters.append(f"{name}_p{i}")
        new = helper.make_node(
            "Quant", [name, *parameters], [f"{name}_q"], f"Quant_{name}", domain=QONNX_DOMAIN, signed=signed, narrow=0,
            rounding_mode="ROUND",
        )  # fmt: skip
        renamed[name] = f"{name}_q"
        nodes.append(new)

    quant(graph.input[0].name, 8, 2.0**-5, 1)
    for name in sorted(weights):
        quant(name, 8, 2.0**-6, 1)
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)
        nodes.append(node)
        if node.op_type == "Relu":
            quant(node.output[0], 8, 2.0**-4, 0)
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    model.opset_import.append(helper.make_opsetid(QONNX_DOMAIN, 1))
    return model


def float_mlp(seed=1):
    """Gemm and Relu, 16-64-32-32-5."""
    rng, g = np.random.default_rng(seed), Graph(domains=())
    h, sizes = g.input("x", ["n", 16]), [16, 64, 32, 32, 5]
    for k, m in pairwise(sizes):
        h = g.node("Gemm", h, rng.normal(0, 1 / np.sqrt(k), (k, m)), rng.normal(0, 0.1, m))
        h = g.node("Relu", h) if m != 5 else h
    return g.model(h, shape=["n", 5])


def float_cnn(seed=1):
    """Two Conv, a MaxPool and a Gemm on images of 1 × 12 × 12."""
    rng, g = np.random.default_rng(seed), Graph(domains=())
    h = g.input("x", ["n", 1, 12, 12])
    h = g.node("Conv", h, rng.normal(0, 0.4, (4, 1, 3, 3)), rng.normal(0, 0.1, 4), kernel_shape=[3, 3], pads=[1] * 4)
    h = g.node("MaxPool", g.node("Relu", h), kernel_shape=[2, 2], strides=[2, 2])
    h = g.node("Conv", h, rng.normal(0, 0.2, (8, 4, 3, 3)), rng.normal(0, 0.1, 8), kernel_shape=[3, 3])
    h = g.node("Flatten", g.node("Relu", h))
    h = g.node("Gemm", h, rng.normal(0, 0.1, (128, 10)), rng.normal(0, 0.1, 10))
    return g.model(h, shape=["n", 10])


def quantize_by_onnxruntime(model, x, folder, *, per_channel, activation, weight):
    """Static post-training quantization to QDQ, calibrated on x; types by name: QUInt8, QInt8."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Events(CalibrationDataReader):
        def __init__(self):
            self.events = iter([{"x": event[None]} for event in x])

        def get_next(self):
            return next(self.events, None)

    onnx.save(model, folder / "float.onnx")
    quantize_static(
        folder / "float.onnx",
        folder / "qdq.onnx",
        Events(),
        quant_format=QuantFormat.QDQ,
        per_channel=per_channel,
        activation_type=QuantType[activation],
        weight_type=QuantType[weight],
    )
    return onnx.load(folder / "qdq.onnx")


def execute_onnxruntime(model, x, *, optimize):
    """The first output of ONNX Runtime on one thread."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimize else level.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]
