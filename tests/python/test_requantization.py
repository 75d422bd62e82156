"""Rescale and threshold in the fused steps of a plan: the definition's integers, in one lane and in halves."""

from __future__ import annotations

import numpy as np
import pytest

from rheinfall.quantized.network import Network
from rheinfall.reference import quantized as reference

N_IN, N_OUT = 12, 20


def document(rng, layer, result, bits):
    """A dense layer with sums of some 12 + bits bits, then `layer`, then a dense layer that reads it."""
    weight = rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), (N_IN, N_OUT))
    second = rng.integers(-8, 8, (N_OUT, 3))
    tensor = {"type": f"ap_int<{bits}>", "shape": [N_IN, N_OUT], "data": weight.ravel().tolist()}
    return {
        "format": "rheinfall.quantized", "version": 1, "name": "test",
        "inputs": [{"name": "x", "shape": [N_IN], "type": "ap_int<8>"}],
        "layers": [
            {"name": "a", "op": "dense", "inputs": ["x"], "result": "ap_int<30>", "accum": "ap_int<30>",
             "weight": tensor},
            {"name": "q", "inputs": ["a"], "result": result, **layer},
            {"name": "y", "op": "dense", "inputs": ["q"], "result": "ap_int<30>", "accum": "ap_int<30>",
             "weight": {"type": "ap_int<4>", "shape": [N_OUT, 3], "data": second.ravel().tolist()}},
        ],
        "outputs": ["q", "y"],
    }  # fmt: skip


def check(made, rng):
    """Two executors on the extremes and on random events, one at a time and many; the kernels of each for layer q."""
    x = np.concatenate([rng.integers(-128, 128, (90, N_IN)), np.full((1, N_IN), -128), np.full((1, N_IN), 127)])
    want = reference.run(made, x)
    chosen = []
    for isa in ("portable", "best"):
        net = Network(made, isa=isa)
        assert (net.run_integers(x) == want).all(), isa
        assert all((net.run_integers(x[i]) == want[i]).all() for i in (0, 1, -2, -1)), isa
        chosen.append([step["kernel"] for step in net.describe()["steps"] if "q" in step["layers"].split(" + ")])
    return chosen


def runs_exactly(kernels):
    """Whether the layer is left to the exact executor."""
    assert kernels
    return any(kernel.startswith("exact") for kernel in kernels)


@pytest.mark.parametrize("bits", [3, 6, 8])
@pytest.mark.parametrize("multiplier_bits", [6, 12, 16, 19])
def test_rescale(bits, multiplier_bits):
    rng = np.random.default_rng(bits * 100 + multiplier_bits)
    for signed in (False, True):
        shift = int(np.log2(N_IN * 128) + bits + multiplier_bits - 9)
        multiplier = rng.integers(-(1 << multiplier_bits) + 1, 1 << multiplier_bits, N_OUT)
        addend = rng.integers(-(1 << (shift + 7)), 1 << (shift + 7), N_OUT)
        low, high = (-128, 127) if signed else (0, 255)
        layer = {
            "op": "rescale", "multiplier": multiplier.tolist(), "addend": addend.tolist(), "divisor": [1 << shift],
            "round": "TRN", "minimum": low, "maximum": high,
        }  # fmt: skip
        made = document(rng, layer, "ap_int<8>" if signed else "ap_uint<8>", bits)
        assert not any(runs_exactly(kernels) for kernels in check(made, rng))


@pytest.mark.parametrize("n_steps", [1, 2, 3, 15])
def test_threshold(n_steps):
    rng = np.random.default_rng(n_steps)
    for channels in (1, N_OUT):
        thresholds = np.sort(rng.integers(-20000, 20000, (channels, n_steps)), axis=1)
        thresholds[0, 0] = -(1 << 29)  # always reached
        tensor = {"type": "ap_int<30>", "shape": [channels, n_steps], "data": thresholds.ravel().tolist()}
        layer = {"op": "threshold", "thresholds": tensor, "values": [2 * j - n_steps for j in range(n_steps + 1)]}
        assert not any(runs_exactly(kernels) for kernels in check(document(rng, layer, "ap_int<6>", 6), rng))


def test_multipliers_that_are_too_wide_are_applied_exactly():
    rng = np.random.default_rng(9)
    layer = {
        "op": "rescale", "multiplier": [(1 << 40) + 1], "addend": [1 << 39], "divisor": [1 << 50], "round": "TRN",
        "minimum": -128, "maximum": 127,
    }  # fmt: skip
    assert all(runs_exactly(kernels) for kernels in check(document(rng, layer, "ap_int<8>", 8), rng))
