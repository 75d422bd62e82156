"""ONNX's own quantization: QuantizeLinear and DequantizeLinear (QDQ), and the integer operators.

QuantizeLinear is saturate(round_half_even(x / scale) + zero_point), DequantizeLinear (q - zero_point)·scale. Between
them the values are exact reals here; ONNX Runtime computes them in float32, or with its graph optimisations in int8
kernels that scale int32 sums by a float32: both can differ from the exact result where a value lies near a tie.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from rheinfall.quantized.onnx_builder import Builder
from rheinfall.quantized.onnx_elementwise import add_constant, inverse, multiply_constant
from rheinfall.quantized.onnx_linear import convolve, dense
from rheinfall.quantized.onnx_lower import clamping_type, lower_quantizer, quantize_raw_input
from rheinfall.quantized.onnx_staircase import Staircase
from rheinfall.quantized.onnx_values import Array, Const, Linear, RefusalError, Value, is_power_of_two, log2
from rheinfall.quantized.qonnx import is_open_input, note_scale, positive

RANGES = {
    "int8": (-128, 127), "uint8": (0, 255), "int16": (-(1 << 15), (1 << 15) - 1), "uint16": (0, (1 << 16) - 1),
    "int4": (-8, 7), "uint4": (0, 15), "int2": (-2, 1), "uint2": (0, 3), "int32": (-(1 << 31), (1 << 31) - 1),
}  # fmt: skip
Attributes = dict[str, Any]


def range_of(array: Array) -> tuple[int, int]:
    """The integers of a zero point's type."""
    name = str(array.dtype)
    if name not in RANGES:
        raise RefusalError(f"quantizes to {name}: only integers of 2 to 32 bits are exact")
    return RANGES[name]


def along(parameter: Array, rank: int, attributes: Attributes, shape: tuple[int, ...]) -> Array:
    """A scale or zero point, one per element of `axis` where it has several."""
    if attributes.get("block_size", 0):
        raise RefusalError("block_size: quantization in blocks is not supported")
    if parameter.size == 1:
        return parameter.reshape((1,) * rank)
    axis = int(attributes.get("axis", 1))
    if not -rank <= axis < rank or parameter.ndim != 1 or parameter.size != shape[axis]:
        raise RefusalError(f"{parameter.size} scales along axis {axis} of {shape}")
    return parameter.reshape([-1 if i == axis % rank else 1 for i in range(rank)])


def quantize_linear(builder: Builder, x: Value | Const, inputs: list[Array], attributes: Attributes) -> Value | Const:
    """QuantizeLinear. The result's real numbers are the integers that ONNX has, its zero point in them."""
    zero = inputs[1] if len(inputs) > 1 else np.zeros(1, _output_dtype(attributes))
    low, high = range_of(zero)
    if isinstance(x, Const):
        shape = x.real.shape
        scale, zeros = (along(p, len(shape), attributes, shape) for p in (positive(inputs[0]), zero))
        real = np.rint(np.asarray(x.real, np.float32) / scale.astype(np.float32)).astype(np.float64)
        if np.isnan(real).any():
            raise RefusalError("quantizes a constant that holds NaN")
        return Const(np.clip(real + zeros.astype(np.float64), low, high).astype(zero.dtype))
    scale = along(positive(inputs[0]), x.index.ndim, attributes, x.shape)
    if np.unique(zero.astype(np.int64)).size != 1:
        raise RefusalError("zero points that differ by channel")
    z = int(zero.astype(np.int64).flat[0])
    note_scale(builder, scale)
    direct = _as_input(builder, x, scale, z, (low, high))
    if direct is not None:
        return direct
    kept = 0 if _bits(low - z, high - z) <= _bits(low, high) else z  # the zero point within the stored integers
    stairs = Staircase.rounded(low - z, high - z, "RND_CONV", kept)
    out = Linear.of(1, z - kept, x.index.ndim)
    y = multiply_constant(x, inverse(scale))
    return lower_quantizer(builder, y, stairs, out, _fraction(scale) if kept == 0 else None)


def _fraction(scale: Array) -> int | None:
    """Fraction bits of the integers without their zero point."""
    exact = Fraction(float(scale.flat[0]))
    if scale.size != 1 or not is_power_of_two(exact) or not -60 <= log2(exact) <= 60:
        return None
    return -log2(exact)


def _bits(low: int, high: int) -> int:
    return max((-low - 1).bit_length() + 1 if low < 0 else 0, high.bit_length() + (low < 0))


def _output_dtype(attributes: Attributes) -> str:
    kinds = {0: "uint8", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16"}
    kind = int(attributes.get("output_dtype", 0))
    if kind not in kinds:
        raise RefusalError(f"output_dtype {kind}: expected an integer of 8 or 16 bits")
    return kinds[kind]


def _as_input(builder: Builder, x: Value, scale: Array, zero: int, ends: tuple[int, int]) -> Value | None:
    """The quantizer as the type of the network's input, where it stands directly at it."""
    fraction = _fraction(scale)
    if not is_open_input(x) or scale.size != 1:
        return None
    if fraction is not None and zero == 0:
        chosen, real = clamping_type(*ends, fraction, "RND_CONV"), None
    else:
        chosen, real = clamping_type(*ends, 0, "RND_CONV"), float(scale.flat[0])
    if chosen is None:
        return None
    return quantize_raw_input(builder, x, chosen, Linear.of(1, 0, x.index.ndim), real, zero)


def dequantize_linear(builder: Builder, x: Value | Const, inputs: list[Array], attributes: Attributes) -> Value | Const:
    """DequantizeLinear."""
    scale = positive(inputs[0])
    shape = x.shape if isinstance(x, Value) else x.real.shape
    scale = along(scale, len(shape), attributes, shape)
    zero = np.zeros(1, np.int64) if len(inputs) < 2 else inputs[1].astype(np.int64)
    zero = along(zero, len(shape), attributes, shape)
    if isinstance(x, Value):
        return multiply_constant(add_constant(x, -zero), scale)
    if x.real.dtype.kind == "f" or str(x.real.dtype).startswith(("float", "bfloat")):
        raise RefusalError(f"dequantizes {x.real.dtype}: only integers are exact")
    q = x.real.astype(np.int64) - zero
    spread = np.ascontiguousarray(np.broadcast_to(scale.astype(np.float64), q.shape))
    return Const((q * spread).astype(np.float32), q, spread)


def pair(inputs: list[Any], at: int) -> list[Array]:
    """Scale and zero point at a position of an operator's inputs."""
    parameters = inputs[at : at + 2]
    if len(parameters) != 2 or not all(isinstance(p, Const) for p in parameters):
        raise RefusalError("its scales and zero points are no constants")
    return [p.real for p in parameters]


def qlinear_matmul(builder: Builder, inputs: list[Any]) -> Value:
    """QLinearMatMul(a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero)."""
    a, b = inputs[0], inputs[3]
    if not isinstance(a, Value) or not isinstance(b, Const):
        raise RefusalError("expected a value times constant weights")
    x = dequantize_linear(builder, a, pair(inputs, 1), {"axis": -2})
    w = dequantize_linear(builder, b, pair(inputs, 4), {"axis": -1})
    assert isinstance(x, Value)
    assert isinstance(w, Const)
    result = quantize_linear(builder, dense(builder, x, w), pair(inputs, 6), {})
    assert isinstance(result, Value)
    return result


def qlinear_conv(builder: Builder, inputs: list[Any], attributes: Attributes) -> Value:
    """QLinearConv(x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias): the bias is in sums' own units."""
    a, b = inputs[0], inputs[3]
    if not isinstance(a, Value) or not isinstance(b, Const):
        raise RefusalError("expected a value and constant weights")
    x = dequantize_linear(builder, a, pair(inputs, 1), {})
    w = dequantize_linear(builder, b, pair(inputs, 4), {"axis": 0})
    assert isinstance(x, Value)
    assert isinstance(w, Const)
    y = convolve(builder, x, w, attributes)
    if len(inputs) > 8 and inputs[8] is not None:
        if not isinstance(inputs[8], Const):
            raise RefusalError("its bias is no constant")
        units = Const(pair(inputs, 1)[0]).exact.reshape(-1) * Const(pair(inputs, 4)[0]).exact.reshape(-1)
        bias = Const(inputs[8].real).exact * units
        y = add_constant(y, bias.reshape([1, -1] + [1] * (y.index.ndim - 2)))
    result = quantize_linear(builder, y, pair(inputs, 6), {})
    assert isinstance(result, Value)
    return result


def integer_product(builder: Builder, inputs: list[Any], attributes: Attributes, is_conv: bool) -> Value:
    """MatMulInteger and ConvInteger: (a, b, a_zero, b_zero)."""
    a, b = inputs[0], inputs[1]
    if not isinstance(a, Value) or not isinstance(b, Const):
        raise RefusalError("expected a value times constant weights")
    zeros = [x.real if isinstance(x, Const) else np.zeros(1, np.int64) for x in (*inputs[2:4], None, None)][:2]
    if any(x is not None and not isinstance(x, Const) for x in inputs[2:4]):
        raise RefusalError("its zero points are no constants")
    one = np.ones(1, np.float32)
    x = dequantize_linear(builder, a, [one, zeros[0].reshape(-1)], {"axis": -2})
    w = dequantize_linear(builder, b, [one, zeros[1].reshape(-1)], {"axis": 0 if is_conv else -1})
    assert isinstance(x, Value)
    assert isinstance(w, Const)
    return convolve(builder, x, w, attributes) if is_conv else dense(builder, x, w)
