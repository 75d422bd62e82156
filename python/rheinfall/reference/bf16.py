"""What a linear operation in bf16 computes: slow, plain, to the bit.

Inputs and weights are rounded to bf16 and their products, which are exact, are summed in float32: for each pair of
inputs (2p, 2p + 1) first the product of the odd one and then that of the even one, each added with one rounding.
Behind an odd number of inputs stands a zero times zero. That is what the instruction VDPBF16PS does, save that it takes
subnormal numbers for zero: none comes up here, since small inputs, weights and biases count as zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rheinfall.gnn.ir import Network

Array = Any
LEAST_INPUT = np.float32(2.0**-63)
LEAST_WEIGHT = np.float32(2.0**-47)
LEAST_BIAS = np.float32(2.0**-101)


def round_to_bf16(x: Array, least: np.float32) -> Array:
    """Float32 values rounded to 8 bits of mantissa, to nearest even; zero in place of what is below `least`."""
    x = np.asarray(x, np.float32)
    bits = x.view(np.uint32).astype(np.uint64)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    small = np.where(np.abs(x) < least, np.float32(0), rounded)
    return np.where(np.isnan(x), x, small).astype(np.float32)


def add_product(total: Array, x: Array, w: Array) -> Array:
    """total + x · w in float32 with one rounding, for x and w in bf16."""
    product = x.astype(np.float64) * w.astype(np.float64)  # exact
    a = total.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        s = product + a
        # What the sum in float64 lost decides where it lies between two float32: it is rounded to odd first.
        b = s - product
        lost = (product - (s - b)) + (a - b)
        even = (s.view(np.int64) & 1) == 0
        odd = np.where((lost != 0) & even & np.isfinite(s), np.nextafter(s, np.copysign(np.inf, lost)), s)
        return odd.astype(np.float32)


def linear(inputs: Sequence[Array], weight: Array, bias: Array | None) -> Array:
    """The operation on float32 inputs [(n, width)], taken one after the other; weight (inputs, outputs)."""
    n, n_out = len(inputs[0]), weight.shape[1]
    total = np.zeros((n, n_out), np.float32)
    if bias is not None:
        total = total + np.where(np.abs(bias) < LEAST_BIAS, np.float32(0), bias.astype(np.float32))
    weight = round_to_bf16(weight, LEAST_WEIGHT)
    first = 0
    for x in inputs:
        columns = round_to_bf16(x, LEAST_INPUT)
        rows = weight[first : first + x.shape[1]]
        first += x.shape[1]
        if x.shape[1] % 2:
            columns = np.concatenate([columns, np.zeros((n, 1), np.float32)], axis=1)
            rows = np.concatenate([rows, np.zeros((1, n_out), np.float32)])
        for k in range(0, len(rows), 2):
            for i in (k + 1, k):
                total = add_product(total, columns[:, i : i + 1], rows[i])
    return total


def operations_in_bf16(network: Network) -> set[int]:
    """Linear operations of edges."""
    return {k for k, o in enumerate(network.operations) if o.op == "linear" and o.kind == "edge"}
