"""Compare imported ONNX networks with the executors of their formats: `python tools/onnx_exactness.py [CAMPAIGN...]`.

qonnx's executor runs the TFC models, a quantized mnist-conv, a network in QKeras' style and what Brevitas itself
exports; ONNX Runtime runs QDQ models of its own quantizer, with graph optimisations off and on; exact arithmetic on
Fractions (tests/python/onnx_exact.py) runs random graphs, and decides where an executor in float32 differs from us.
Counts and hashes of our integers go to bench/results/quantized_exactness.json. Takes some 10 minutes; needs qonnx,
onnxruntime, brevitas and onnxoptimizer, and the models of ../shared.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from exactness_record import ROOT, record

sys.path.insert(0, str(ROOT / "tests" / "python"))

from onnx_exact import execute_exact
from onnx_models import QONNX_DATA, execute_qonnx, import_model, run, scale_of
from onnx_networks import (
    brevitas_mlp,
    execute_onnxruntime,
    float_cnn,
    float_mlp,
    qkeras_cnn,
    quantize_by_onnxruntime,
    quantize_mnist_conv,
)
from onnx_random import RandomGraph, inputs
from rheinfall.quantized import ModelError

Outcome = dict[str, Any]
FOLDER = Path(tempfile.mkdtemp(prefix="onnx_exactness_"))


def differing(document: Any, x: Any, want: Any) -> tuple[Any, Any]:
    """Which events have an output that is not the executor's, to the nearest integer; and our integers."""
    integers, got = run(document, x)
    steps = np.abs(got - np.asarray(want, dtype=np.float64).reshape(got.shape)).reshape(-1, scale_of(document).size)
    return (steps / scale_of(document) > 0.5).reshape(got.shape).any(axis=1), integers


def against(model: Any, x: Any, want: Any) -> Outcome:
    """Events, mismatches, and in how many of these exact arithmetic gives our result: a rounding of float32."""
    document = import_model(model, FOLDER)
    wrong, integers = differing(document, x, want)
    events = np.flatnonzero(wrong)
    ours = 0
    if len(events):
        exact = execute_exact(model, x[events]).astype(float)
        ours = int((~differing(document, x[events], exact)[0]).sum())
    return {
        "events": len(x),
        "mismatches": len(events),
        "mismatches_where_exact_arithmetic_agrees_with_us": ours,
        "sha256": hashlib.sha256(np.ascontiguousarray(integers, dtype=np.int64)).hexdigest(),
        "distinct_outputs": len(np.unique(integers, axis=0)),
    }


def tfc(name: str) -> Outcome:
    """A published TFC model: grey values of 1/255, and numbers of [0, 1)."""
    rng = np.random.default_rng(20)
    x = rng.random((1000, 784)).astype(np.float32)
    x[:500] = rng.integers(0, 256, (500, 784)).astype(np.float32) / np.float32(255)
    model = onnx.load(QONNX_DATA / "TFC" / "TFC" / f"{name}.onnx")
    # The judge of mismatches knows no Shape arithmetic: it would have to be written out. There were none to judge.
    return against(model, x, execute_qonnx(model, x))


def mnist_conv() -> Outcome:
    """The float mnist-conv with power-of-two quantizers put in."""
    x = np.random.default_rng(21).uniform(-1, 4, (1000, 1, 28, 28)).astype(np.float32)
    model = quantize_mnist_conv(QONNX_DATA / "mnist-conv" / "model.onnx")
    return against(model, x, execute_qonnx(model, x))


def qkeras() -> Outcome:
    """A network in QKeras' style."""
    x = np.random.default_rng(22).normal(0, 1, (1000, 10, 10, 1)).astype(np.float32)
    return against(qkeras_cnn(), x, execute_qonnx(qkeras_cnn(), x))


def brevitas_style() -> Outcome:
    """A network in Brevitas' older style, by hand."""
    x = np.random.default_rng(23).normal(0, 1, (1000, 16)).astype(np.float32)
    return against(brevitas_mlp(), x, execute_qonnx(brevitas_mlp(), x))


def brevitas_export(kind: str) -> Outcome:
    """What Brevitas exports, after some batches that settle its scales."""
    import brevitas
    import brevitas.nn as qnn
    import torch
    from brevitas.export import export_qonnx

    torch.manual_seed(7)
    if kind == "mlp":
        shape: tuple[int, ...] = (16,)
        net = torch.nn.Sequential(
            qnn.QuantIdentity(bit_width=8, return_quant_tensor=True),
            qnn.QuantLinear(16, 64, bias=True, weight_bit_width=4), torch.nn.BatchNorm1d(64),
            qnn.QuantReLU(bit_width=4, return_quant_tensor=True),
            qnn.QuantLinear(64, 32, bias=True, weight_bit_width=3),
            qnn.QuantReLU(bit_width=6, return_quant_tensor=True),
            qnn.QuantLinear(32, 5, bias=True, weight_bit_width=6),
        )  # fmt: skip
    else:
        shape = (2, 12, 12)
        net = torch.nn.Sequential(
            qnn.QuantIdentity(bit_width=8, return_quant_tensor=True),
            qnn.QuantConv2d(2, 6, 3, padding=1, weight_bit_width=4), torch.nn.BatchNorm2d(6),
            qnn.QuantReLU(bit_width=4, return_quant_tensor=True), torch.nn.MaxPool2d(2),
            qnn.QuantConv2d(6, 8, 3, weight_bit_width=4), qnn.QuantReLU(bit_width=4, return_quant_tensor=True),
            torch.nn.Flatten(), qnn.QuantLinear(128, 5, bias=True, weight_bit_width=4),
        )  # fmt: skip
    with torch.no_grad():
        for _ in range(30):
            net(torch.randn(64, *shape))
    net.eval()
    path = FOLDER / f"brevitas_{kind}.onnx"
    export_qonnx(net, args=torch.randn(1, *shape), export_path=str(path))
    model = onnx.load(path)
    x = np.random.default_rng(24).normal(0, 1, (1000, *shape)).astype(np.float32)
    with torch.no_grad():
        trained = net(torch.from_numpy(x))
        trained = np.asarray(getattr(trained, "value", trained))
    outcome = against(model, x, execute_qonnx(model, x))
    wrong, _ = differing(import_model(model, FOLDER), x, trained)
    return outcome | {"brevitas": brevitas.__version__, "mismatches_with_brevitas_itself": int(wrong.sum())}


def qdq(network: Callable[[], Any], shape: tuple[int, ...], **kind: Any) -> Outcome:
    """A model of ONNX Runtime's quantizer; mismatches with its graph optimisations off, and on."""
    rng = np.random.default_rng(25)
    calibration = rng.normal(0, 1, (200, *shape)).astype(np.float32)
    model = quantize_by_onnxruntime(network(), calibration, FOLDER, **kind)
    x = rng.normal(0, 1, (10_000, *shape)).astype(np.float32)
    off, on = (against(model, x, execute_onnxruntime(model, x, optimize=flag)) for flag in (False, True))
    return off | {
        "mismatches_optimized": on["mismatches"],
        "mismatches_optimized_where_exact_arithmetic_agrees_with_us": on[
            "mismatches_where_exact_arithmetic_agrees_with_us"
        ],
    }


def random_graphs(kind: str) -> Outcome:
    """Random graphs against exact arithmetic; refusals are counted."""
    events = wrong = refused = networks = 0
    digest = hashlib.sha256()
    for seed in range(1000, 2500):
        model, shape = getattr(RandomGraph(seed), kind)()
        try:
            document = import_model(model, FOLDER)
        except ModelError:
            refused += 1
            continue
        x = inputs(seed, shape, 10)
        mismatch, integers = differing(document, x, execute_exact(model, x).astype(float))
        digest.update(np.ascontiguousarray(integers, dtype=np.int64))
        networks, events, wrong = networks + 1, events + len(x), wrong + int(mismatch.sum())
    return {
        "networks": networks,
        "refused": refused,
        "events": events,
        "mismatches": wrong,
        "sha256": digest.hexdigest(),
    }


def campaigns() -> dict[str, Callable[[], Outcome]]:
    """All of them, by name."""
    table: dict[str, Callable[[], Outcome]] = {
        "onnx_random_dense": lambda: random_graphs("dense"),
        "onnx_random_convolution": lambda: random_graphs("convolution"),
        "qonnx_tfc_1w1a": lambda: tfc("TFC_1W1A"),
        "qonnx_tfc_1w2a": lambda: tfc("TFC_1W2A"),
        "qonnx_mnist_conv": mnist_conv,
        "qonnx_qkeras_style": qkeras,
        "qonnx_brevitas_style": brevitas_style,
        "qonnx_brevitas_mlp": lambda: brevitas_export("mlp"),
        "qonnx_brevitas_cnn": lambda: brevitas_export("cnn"),
    }
    for network, shape in ((float_mlp, (16,)), (float_cnn, (1, 12, 12))):
        for per_channel in (False, True):
            for activation in ("QUInt8", "QInt8"):
                name = f"qdq_{network.__name__[6:]}_{activation[1:].lower()}_{'channel' if per_channel else 'tensor'}"
                table[name] = lambda n=network, s=shape, p=per_channel, a=activation: qdq(
                    n, s, per_channel=p, activation=a, weight="QInt8"
                )
    return table


def main() -> None:
    """Run what is asked for; the exit status tells of mismatches that exact arithmetic does not explain."""
    table = campaigns()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("campaigns", nargs="*", default=list(table), help=", ".join(table))
    failed = False
    for name in parser.parse_args().campaigns:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporters and quantizers
            outcome = table[name]()
        record(name, outcome | {"command": f"python tools/onnx_exactness.py {name}"})
        explained = outcome.get("mismatches_where_exact_arithmetic_agrees_with_us", 0)
        print(name, {k: v for k, v in outcome.items() if k != "sha256"}, flush=True)
        failed |= outcome["mismatches"] != explained
    sys.exit(failed)


if __name__ == "__main__":
    main()
