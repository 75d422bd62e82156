"""What runs a quantized network today: ONNX Runtime, the C++ emulation of hls4ml, the executor of qonnx."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from quantized_networks import Spec

OPSET = 17


@dataclass
class Contender:
    """A way to run a network: `statement` is timed with `names` in scope; `result` gives what it computed."""

    name: str
    statement: str
    names: dict[str, Any]
    result: Callable[[], Any]
    exact: bool  # its bits must be ours


def onnx_float(spec: Spec) -> Any:
    """The network as a float32 ONNX model: weights as they are, no activation quantized."""
    from onnx import helper, numpy_helper

    nodes, initializers, last = [], [], "x"
    for i, (weight, bias) in enumerate(spec.real_weights()):
        initializers += [numpy_helper.from_array(weight, f"w{i}"), numpy_helper.from_array(bias, f"b{i}")]
        end = "y" if i + 1 == len(spec.layers) else f"fc{i}"
        nodes.append(helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], [end], name=f"fc{i}"))
        last = end
        if spec.layers[i].activation is not None:
            nodes.append(helper.make_node("Relu", [last], [f"relu{i}"], name=f"relu{i}"))
            last = f"relu{i}"
    return _model(nodes, initializers, spec, last)


def _model(nodes: list[Any], initializers: list[Any], spec: Spec, last: str, domains: tuple[str, ...] = ()) -> Any:
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", spec.n_in])
    y = helper.make_tensor_value_info(last, TensorProto.FLOAT, ["n", spec.layers[-1].n_out])
    graph = helper.make_graph(nodes, "network", [x], [y], initializers)
    opsets = [helper.make_opsetid("", OPSET), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def qonnx_model(spec: Spec) -> Any:
    """The network with Quant nodes, as a QKeras or Brevitas export has them."""
    from onnx import helper, numpy_helper

    domain = "qonnx.custom_op.general"
    nodes: list[Any] = []
    initializers: list[Any] = []

    def quantize(name: str, last: str, kind: str) -> str:
        width, integer = (int(part) for part in kind.split("<")[1].rstrip(">").split(",")[:2])
        values = (2.0 ** (integer - width), 0.0, float(width))
        names = [f"{name}_{part}" for part in ("scale", "zero", "bits")]
        initializers.extend(
            numpy_helper.from_array(np.array(v, np.float32), n) for v, n in zip(values, names, strict=True)
        )
        signed = int(kind.startswith("ap_fixed"))
        mode = "ROUND" if "RND_CONV" in kind else "FLOOR"
        nodes.append(
            helper.make_node("Quant", [last, *names], [f"{name}_q"], domain=domain, signed=signed, narrow=0,
                             rounding_mode=mode, name=name)
        )  # fmt: skip
        return f"{name}_q"

    last = quantize("input", "x", spec.input_type)
    for i, ((weight, bias), layer) in enumerate(zip(spec.real_weights(), spec.layers, strict=True)):
        initializers += [numpy_helper.from_array(weight, f"w{i}"), numpy_helper.from_array(bias, f"b{i}")]
        weights = quantize(f"weight{i}", f"w{i}", f"ap_fixed<{layer.weight[0]},{layer.weight[1]},RND_CONV>")
        nodes.append(helper.make_node("MatMul", [last, weights], [f"mm{i}"], name=f"mm{i}"))
        nodes.append(helper.make_node("Add", [f"mm{i}", f"b{i}"], [f"fc{i}"], name=f"fc{i}"))
        last = f"fc{i}"
        if layer.result is not None:
            last = quantize(f"result{i}", last, layer.result)
        if layer.activation is not None:
            nodes.append(helper.make_node("Relu", [last], [f"relu{i}"], name=f"relu{i}"))
            last = quantize(f"act{i}", f"relu{i}", layer.activation)
    return _model(nodes, initializers, spec, last, (domain,))


def onnx_runtime(spec: Spec, x: Any, folder: Path) -> list[Contender]:
    """ONNX Runtime on one thread: fp32 `run`, fp32 with bound buffers, int8 QDQ."""
    import onnx

    path = folder / "float.onnx"
    onnx.save(onnx_float(spec), path)
    session = _session(path)
    run, feed = session.run, {"x": x}
    contenders = [
        Contender("ORT fp32 run", "run(None, feed)", {"run": run, "feed": feed}, lambda: run(None, feed)[0], False)
    ]
    binding = session.io_binding()
    out = np.zeros((len(x), spec.layers[-1].n_out), np.float32)
    name = session.get_outputs()[0].name
    binding.bind_input("x", "cpu", 0, np.float32, x.shape, x.ctypes.data)
    binding.bind_output(name, "cpu", 0, np.float32, out.shape, out.ctypes.data)
    bound = session.run_with_iobinding

    def run_bound() -> Any:
        bound(binding)
        return out

    contenders.append(
        Contender("ORT fp32 bound", "bound(binding)", {"bound": bound, "binding": binding, "x": x}, run_bound, False)
    )
    quantized = _session(quantize_statically(spec, path, folder))
    run8 = quantized.run
    names = {"run": run8, "feed": feed}
    contenders.append(Contender("ORT int8 QDQ run", "run(None, feed)", names, lambda: run8(None, feed)[0], False))
    return contenders


def quantize_statically(spec: Spec, path: Path, folder: Path) -> Path:
    """The float model with int8 QuantizeLinear and DequantizeLinear, calibrated on events."""
    import logging

    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Events(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rows = iter(spec.draw(256, seed=3))

        def get_next(self) -> dict[str, Any] | None:
            row = next(self.rows, None)
            return None if row is None else {"x": row[None]}

    logging.getLogger().setLevel(logging.ERROR)
    out = folder / "qdq.onnx"
    quantize_static(
        path, out, Events(), quant_format=QuantFormat.QDQ, activation_type=QuantType.QInt8, weight_type=QuantType.QInt8
    )
    return out


def _session(path: Path) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def qonnx_executor(spec: Spec, x: Any) -> list[Contender]:
    """The executor of qonnx: node by node in NumPy and ONNX Runtime."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    model = qonnx_model(spec)
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = len(x)
    wrapped = ModelWrapper(model).transform(InferShapes())
    name, feed = wrapped.graph.output[0].name, {"x": x}
    names = {"execute": execute_onnx, "model": wrapped, "feed": feed}
    return [
        Contender("qonnx executor", "execute(model, feed)", names, lambda: execute_onnx(wrapped, feed)[name], False)
    ]


def hls4ml_graph(spec: Spec, folder: Path) -> Any:
    """hls4ml's model of the network, compiled: its C++ emulation, as the folder has it from an earlier call."""
    import hls4ml
    import torch

    modules: list[Any] = []
    n_in = spec.n_in
    for (weight, bias), layer in zip(spec.real_weights(), spec.layers, strict=True):
        linear = torch.nn.Linear(n_in, layer.n_out)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight.T.copy()))
            linear.bias.copy_(torch.from_numpy(bias))
        modules.append(linear)
        if layer.activation is not None:
            modules.append(torch.nn.ReLU())
        n_in = layer.n_out
    network = torch.nn.Sequential(*modules)
    network.eval()
    config = hls4ml.utils.config_from_pytorch_model(network, (spec.n_in,), granularity="name", backend="Vitis")
    linears = iter(spec.layers)
    layer = None
    for name, entry in config["LayerName"].items():
        kind = entry["Precision"]
        if "weight" in kind:
            layer = next(linears)
            accum = f"ap_fixed<{layer.accum[0]},{layer.accum[1]}>"
            weights = f"ap_fixed<{layer.weight[0]},{layer.weight[1]}>"
            kind |= {"weight": weights, "bias": weights, "accum": accum, "result": layer.result_type}
        elif layer is None:
            kind["result"] = re.sub(r"^ap_", "", spec.input_type)
        else:
            kind["result"] = re.sub(r"^ap_", "", layer.activation or "")
        del name
    model = hls4ml.converters.convert_from_pytorch_model(
        network, output_dir=str(folder), backend="Vitis", hls_config=config, io_type="io_parallel"
    )
    libraries = sorted((folder / "firmware").glob("*.so"))
    if libraries:
        model._top_function_lib = ctypes.CDLL(str(libraries[-1]))
    else:
        model.compile()
    return model


def hls4ml_emulation(spec: Spec, model: Any, x: Any) -> list[Contender]:
    """Its `predict`, and for one event the bare ctypes call."""
    contenders = [
        Contender("hls4ml predict", "predict(x)", {"predict": model.predict, "x": x}, lambda: model.predict(x), True)
    ]
    if len(x) == 1:
        # A handle of its own: predict's has argument types that take 6 µs to check.
        function = ctypes.CDLL(model._top_function_lib._name)[model._get_top_function(x)[0].__name__]
        function.restype = None
        out = np.zeros(spec.layers[-1].n_out, x.dtype)
        pointers = [ctypes.c_void_p(a.ctypes.data) for a in (x, out)]

        def call() -> Any:
            function(*pointers)
            return out

        names = {"f": function, "a": pointers[0], "b": pointers[1], "keep": (x, out)}
        contenders.append(Contender("hls4ml ctypes", "f(a, b)", names, call, True))
    return contenders
