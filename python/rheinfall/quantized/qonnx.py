"""The quantizers of QONNX: Quant, BipolarQuant, Trunc and MultiThreshold, as its specification and executor have them.

Quant is y = (round(clip(x/scale + zero_point, min, max)) - zero_point)·scale, clipped before it is rounded. Source:
https://github.com/fastmachinelearning/qonnx/tree/main/docs/qonnx-custom-ops and qonnx 1.0.0. Constants are folded in
float32, as the executor does; values are exact.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from rheinfall.quantized.fixed_point import FixedType
from rheinfall.quantized.onnx_builder import Builder
from rheinfall.quantized.onnx_elementwise import add_constant, inverse, multiply_constant, parameter, plain
from rheinfall.quantized.onnx_lower import clamping_type, lower_quantizer, quantize_raw_input
from rheinfall.quantized.onnx_staircase import ROUNDINGS, Bound, Staircase, round_bound, round_fraction
from rheinfall.quantized.onnx_values import Array, Const, Linear, RefusalError, Value, fractions, is_power_of_two, log2

DOMAINS = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")
MAX_BITS = 32


def integer_range(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    """The integers of a Quant."""
    if signed:
        return -(1 << (bits - 1)) + narrow, (1 << (bits - 1)) - 1
    return 0, (1 << bits) - 1 - narrow


def whole(constant: Array, what: str, low: int, high: int) -> int:
    """One whole number out of a constant."""
    if finite(constant, what).size != 1 or float(constant.reshape(-1)[0]) != int(constant.reshape(-1)[0]):
        raise RefusalError(f"{what} is no single whole number")
    value = int(constant.reshape(-1)[0])
    if not low <= value <= high:
        raise RefusalError(f"{what} {value}: expected {low} to {high}")
    return value


def rounding_of(attributes: dict[str, Any], default: str = "ROUND") -> str:
    """The document's name of rounding_mode."""
    mode = attributes.get("rounding_mode", default)
    mode = (mode.decode() if isinstance(mode, bytes) else str(mode)).upper()
    if mode not in ROUNDINGS:
        raise RefusalError(f"rounding_mode {mode!r}: expected one of {', '.join(ROUNDINGS)}")
    return ROUNDINGS[mode]


def positive(scale: Array, what: str = "scale") -> Array:
    """A scale, checked."""
    if scale.dtype.kind not in "fiu" or not (np.isfinite(scale).all() and (scale > 0).all()):
        raise RefusalError(f"{what}: expected finite positive numbers")
    return scale


def note_scale(builder: Builder, scale: Array) -> None:
    """Say where float arithmetic can differ from the exact one."""
    if not all(is_power_of_two(x) for x in set(np.asarray(scale).ravel().tolist())):
        builder.rational.append(builder.node)


def finite(constant: Array, what: str) -> Array:
    """A parameter, checked."""
    if constant.dtype.kind not in "fiu" or not (np.abs(constant.astype(np.float64)) < 2.0**40).all():
        raise RefusalError(f"{what}: expected finite numbers below 2^40")
    return constant


def quant(builder: Builder, x: Value | Const, inputs: list[Array], attributes: dict[str, Any]) -> Value | Const:
    """Quant and IntQuant."""
    scale, zero, bits = positive(inputs[0]), finite(inputs[1], "zero point"), whole(inputs[2], "bit width", 1, MAX_BITS)
    signed, narrow = bool(attributes.get("signed", 1)), bool(attributes.get("narrow", 0))
    if bits == 1 and signed:
        return bipolar(builder, x, [scale], float(zero.reshape(-1)[0]) if zero.size == 1 else None)
    rounding = rounding_of(attributes)
    low, high = integer_range(bits, signed, narrow)
    if isinstance(x, Const):
        real = np.asarray(x.real, np.float32) / scale.astype(np.float32) + zero.astype(np.float32)
        q = _rounded(np.clip(real, low, high), rounding)
        return _constant(q - _integer_zero(zero), scale)
    note_scale(builder, scale)
    direct = _as_input(builder, x, scale, zero, (low, high), rounding)
    if direct is not None:
        return direct
    shift = _best_shift(zero, low, high)
    y = add_constant(multiply_constant(x, inverse(scale)), zero)
    return _lower(builder, y, Staircase.rounded(low, high, rounding, shift), scale, fractions(zero) + shift)


def _best_shift(zero: Array, low: int, high: int) -> int:
    """-zero_point where the integers without it take no more bits, else 0."""
    z = Fraction(float(zero.reshape(-1)[0]))
    if zero.size != 1 or z.denominator != 1:
        return 0

    def width(lo: int, hi: int) -> int:
        return max((-lo - 1).bit_length() + 1 if lo < 0 else 0, hi.bit_length() + (lo < 0))

    z_int = int(z)
    return -z_int if width(low - z_int, high - z_int) <= width(low, high) else 0


def _lower(builder: Builder, y: Value, stairs: Staircase, scale: Array, zero: Array) -> Value:
    """The quantizer's integers q, real = (q - zero)·scale."""
    factor, y = parameter(scale, y)
    offset, y = parameter(zero, y)
    out = Linear.of(factor, 0, y.index.ndim).plus(-offset * factor)
    fraction = None
    if factor.size == 1 and is_power_of_two(factor.flat[0]) and not any(offset.flat):
        fraction = -log2(factor.flat[0])
        fraction = fraction if -60 <= fraction <= 120 else None
    return lower_quantizer(builder, y, stairs, out, fraction)


def _rounded(y: Array, rounding: str) -> Array:
    functions: dict[str, Any] = {
        "RND_CONV": np.round, "TRN": np.floor, "CEIL": np.ceil, "TRN_ZERO": np.trunc,
        "UP": lambda v: np.sign(v) * np.ceil(np.abs(v)),
        "RND_INF": lambda v: np.sign(v) * np.floor(np.abs(v) + np.float32(0.5)),
        "RND_ZERO": lambda v: np.sign(v) * np.ceil(np.abs(v) - np.float32(0.5)),
    }  # fmt: skip
    if np.isnan(y).any():
        raise RefusalError("quantizes a constant that holds NaN")
    return np.asarray(functions[rounding](y)).astype(np.int64)


def _integer_zero(zero: Array) -> Array:
    if not (np.abs(zero) < 2.0**40).all() or (zero != np.round(zero)).any():
        raise RefusalError("quantizes a constant with a zero point that is no integer, or a huge one")
    return zero.astype(np.int64)


def _constant(q: Array, scale: Array) -> Const:
    spread = (
        np.broadcast_to(scale.astype(np.float64), q.shape)
        if scale.size != 1
        else np.full(q.shape, float(scale.flat[0]))
    )
    if np.broadcast_shapes(scale.shape, q.shape) != q.shape and scale.size != 1:
        raise RefusalError("its scale has more elements than its input")
    return Const((q * spread).astype(np.float32), q.astype(np.int64), spread)


def is_open_input(value: Value) -> bool:
    """Whether `value` is an input of the graph, its type still open, that nothing else reads or has changed."""
    if not (value.stored.is_raw and value.single_use and len(value.steps) == 1):
        return False
    step = value.steps[0]
    return isinstance(step, Linear) and not step.has_clamp and set(step.a.flat) == {1} and set(step.b.flat) == {0}


def _as_input(
    builder: Builder, x: Value, scale: Array, zero: Array, ends: tuple[int, int], rounding: str
) -> Value | None:
    """The quantizer as the type of the network's input, where it stands directly at it."""
    if not is_open_input(x) or scale.size != 1 or zero.size != 1 or float(zero.reshape(-1)[0]) != 0:
        return None
    exact = Fraction(float(scale.reshape(-1)[0]))
    out = Linear.of(exact, 0, x.index.ndim)
    if is_power_of_two(exact) and -60 <= log2(exact) <= 60 and rounding not in ("CEIL", "UP"):
        chosen = clamping_type(*ends, -log2(exact), rounding)
        return None if chosen is None else quantize_raw_input(builder, x, chosen, out, None, 0)
    if rounding != "RND_CONV":
        return None
    chosen = clamping_type(*ends, 0, "RND_CONV")
    return None if chosen is None else quantize_raw_input(builder, x, chosen, out, float(exact), 0)


def bipolar(builder: Builder, x: Value | Const, inputs: list[Array], zero: float | None = 0) -> Value | Const:
    """BipolarQuant, and Quant of one signed bit: +scale where x >= 0, else -scale."""
    scale = positive(inputs[0])
    if zero != 0:
        raise RefusalError("one signed bit with a zero point")
    if isinstance(x, Const):
        if np.isnan(x.real).any():
            raise RefusalError("quantizes a constant that holds NaN")
        return _constant(np.where(np.asarray(x.real) >= 0, 1, -1), scale)
    stairs = Staircase((-1, 1), [[(Fraction(0), True)]])
    return _lower(builder, x, stairs, scale, np.zeros(1))


def trunc(builder: Builder, x: Value | Const, inputs: list[Array], attributes: dict[str, Any]) -> Value | Const:
    """Trunc: version 1 drops bits and keeps the scale; version 2 (six inputs) clips and has a scale of its own."""
    if isinstance(x, Const):
        raise RefusalError("truncates a constant")
    rounding = rounding_of(attributes, "FLOOR")
    scale, zero = positive(inputs[0]), finite(inputs[1], "zero point")
    if scale.size != 1 or zero.size != 1:
        raise RefusalError("scale and zero point of several elements")
    bits = whole(inputs[2], "input bit width", 1, MAX_BITS)
    if len(inputs) == 4:
        shift = bits - whole(inputs[3], "output bit width", 1, MAX_BITS)
        out_scale, ends = scale, None
    else:
        out_scale, out_bits = positive(inputs[3], "output scale"), whole(inputs[4], "output bit width", 1, MAX_BITS)
        if out_scale.size != 1:
            raise RefusalError("an output scale of several elements")
        shift = round(float(np.log2(np.float32(out_scale.reshape(-1)[0]) / np.float32(scale.reshape(-1)[0]))))
        ends = integer_range(out_bits, bool(attributes.get("signed", 1)), bool(attributes.get("narrow", 0)))
    note_scale(builder, scale)
    exact_zero = Fraction(float(zero.reshape(-1)[0]))
    out_zero = exact_zero if len(inputs) == 4 else exact_zero / Fraction(2) ** shift
    y = add_constant(multiply_constant(plain(builder, x), inverse(scale)), zero)
    return _lower(
        builder, *_truncation(builder, y, shift, rounding, ends), out_scale, np.array([out_zero], dtype=object)
    )


def _truncation(
    builder: Builder, y: Value, shift: int, rounding: str, ends: tuple[int, int] | None
) -> tuple[Value, Staircase]:
    """round(rint(y) / 2^shift), clipped to `ends`, or to all that the proven range of y can give."""
    linear = y.linear
    if linear.a.size != 1 or linear.b.size != 1:
        raise RefusalError("its input has scales that differ by channel")
    a, b = linear.a.flat[0], linear.b.flat[0]
    unit = Fraction(2) ** shift
    extremes = sorted(round_fraction(round_fraction(a * q + b, "RND_CONV") / unit, rounding) for q in y.stored.bounds)
    low, high = ends if ends is not None else (extremes[0], extremes[1])
    if a.denominator == b.denominator == 1:  # already on the grid: one rounding
        return multiply_constant(y, fractions(np.array([1 / unit], dtype=object))), Staircase.rounded(
            low, high, rounding
        )
    if high - low > 1 << 16:
        raise RefusalError("its input is not on the grid of its scale, and has too many levels to list")
    return y, Staircase(range(low, high + 1), [[_twice(k, unit, rounding) for k in range(low + 1, high + 1)]])


def _twice(k: int, unit: Fraction, rounding: str) -> Bound:
    """Where round(rint(y) / unit) reaches k."""
    edge, inclusive = round_bound(k, rounding)
    edge *= unit
    first = -((-edge.numerator) // edge.denominator) if inclusive else edge.numerator // edge.denominator + 1
    return round_bound(first, "RND_CONV")


def multi_threshold(builder: Builder, x: Value, thresholds: Array, attributes: dict[str, Any]) -> Value:
    """MultiThreshold: out_scale·(how many thresholds x has reached) + out_bias, per channel."""
    layout = attributes.get("data_layout", b"")
    layout = layout.decode() if isinstance(layout, bytes) else layout
    if layout not in ("", "NC", "NCW", "NCHW", "NWC", "NHWC"):
        raise RefusalError(f"data_layout {layout!r}")
    layout = layout or {2: "NC", 3: "NWC", 4: "NCHW"}.get(x.index.ndim, "")
    if thresholds.ndim != 2 or len(layout) != x.index.ndim:
        raise RefusalError(f"thresholds {thresholds.shape} for an input of shape {x.shape}, layout {layout!r}")
    axis = layout.index("C")
    n, k = thresholds.shape
    if n not in (1, x.shape[axis]) or k < 1:
        raise RefusalError(f"thresholds {thresholds.shape} for {x.shape[axis]} channels")
    last = axis == x.index.ndim - 1  # the channels become the last axis of the integers
    x = builder.in_onnx_order(x) if last else builder.channels_last(builder.compact(x))
    exact = fractions(np.sort(thresholds, axis=1))
    rows: list[list[Bound]] = [[(t, True) for t in row] for row in exact]
    a, b = (Fraction(float(attributes.get(name, default))) for name, default in (("out_scale", 1.0), ("out_bias", 0.0)))
    if n > 1 and not _varies(x, axis):  # one set of steps per channel
        ones = np.full(x.shape[axis], Fraction(1), dtype=object)
        ones[0] = Fraction(2)  # makes the parameters differ by channel; undone by the thresholds
        shape = [1] * x.index.ndim
        shape[axis] = -1
        x = multiply_constant(x, ones.reshape(shape))
        rows[0] = [(2 * t, True) for t, _ in rows[0]]
    stairs = Staircase(range(k + 1), rows)
    out = Linear.of(a, b, x.index.ndim)
    fraction = -log2(a) if b == 0 and is_power_of_two(a) and -60 <= log2(a) <= 60 else None
    return lower_quantizer(builder, x, stairs, out, fraction)


def _varies(x: Value, axis: int) -> bool:
    return any(p.size == x.shape[axis] > 1 for step in x.steps if isinstance(step, Linear) for p in step.arrays)


def integer_annotation(name: str) -> FixedType | None:
    """The type that a finn_datatype annotation says, if it says one."""
    if name.startswith("UINT") and name[4:].isdigit() and 1 <= int(name[4:]) <= MAX_BITS:
        return FixedType(int(name[4:]), int(name[4:]), False, "RND_CONV", "SAT")
    if name.startswith("INT") and name[3:].isdigit() and 1 <= int(name[3:]) <= MAX_BITS:
        return FixedType(int(name[3:]), int(name[3:]), True, "RND_CONV", "SAT")
    if name in ("BINARY", "BIPOLAR", "TERNARY"):
        is_signed = name != "BINARY"
        return FixedType(1 + is_signed, 1 + is_signed, is_signed, "RND_CONV", "SAT_SYM" if is_signed else "SAT")
    if name.startswith("FIXED<") and name.endswith(">"):
        width, _, integer = name[6:-1].partition(",")
        if width.strip().isdigit() and integer.strip().isdigit() and 1 <= int(width) <= MAX_BITS:
            return FixedType(int(width), int(integer), True, "RND_CONV", "SAT")
    return None
