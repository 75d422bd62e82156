"""Elementwise ONNX operations: on one value they stay pending; on two they become one exact integer operation."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from rheinfall.quantized.onnx_builder import Builder, common_measure, doc_order
from rheinfall.quantized.onnx_linear import absorb_bias, shorten
from rheinfall.quantized.onnx_values import (
    INFINITY,
    Array,
    Const,
    Curve,
    Linear,
    RefusalError,
    Stored,
    Value,
    fractions,
    integer_type,
)


def parameter(constant: Array, value: Value) -> tuple[Array, Value]:
    """A constant as Fractions with the rank of `value`, which is repeated where the constant has more elements."""
    exact = fractions(constant)
    rank = max(value.index.ndim, exact.ndim)
    exact = exact.reshape((1,) * (rank - exact.ndim) + exact.shape)
    shape = np.broadcast_shapes((1,) * (rank - value.index.ndim) + value.shape, exact.shape)
    if shape != value.shape:
        value = value.moved(lambda x: np.broadcast_to(x.reshape((1,) * (rank - x.ndim) + x.shape), shape))
    return exact, value


def add_constant(value: Value, constant: Array) -> Value:
    """value + constant."""
    term, value = parameter(constant, value)
    return value.with_linear(lambda x: x.plus(term))


def multiply_constant(value: Value, factor: Array) -> Value:
    """value·factor."""
    factor, value = parameter(factor, value)
    return value.with_linear(lambda x: x.times(factor))


def clamp(value: Value, low: Any, high: Any) -> Value:
    """min(max(value, low), high)."""
    return value.with_linear(lambda x: x.clamped(low, high))


def bend(value: Value, kind: str, alpha: Any = 1) -> Value:
    """A curve stays pending until the next quantizer."""
    exact, value = (
        parameter(np.asarray(alpha), value) if kind == "leaky_relu" else (fractions(np.asarray(alpha)), value)
    )
    return replace(
        value, steps=(*value.steps, Curve(kind, exact.reshape((1,) * (value.index.ndim - exact.ndim) + exact.shape)))
    )


def inverse(values: Array) -> Array:
    """1 / values, exactly.

    Raises:
        RefusalError: one of them is zero.
    """
    exact = fractions(values)
    if any(x == 0 for x in exact.flat):
        raise RefusalError("division by a constant that holds zero")
    return np.asarray(Fraction(1) / exact, dtype=object).reshape(exact.shape)


def same_shape(x: Value, y: Value) -> tuple[Value, Value]:
    """Two values broadcast to one shape."""
    rank = max(x.index.ndim, y.index.ndim)
    shape = np.broadcast_shapes(*((1,) * (rank - v.index.ndim) + v.shape for v in (x, y)))

    def widen(v: Value) -> Value:
        if v.shape == shape:
            return v
        return v.moved(lambda p: np.broadcast_to(p.reshape((1,) * (rank - p.ndim) + p.shape), shape))

    return widen(x), widen(y)


def aligned(builder: Builder, x: Value, y: Value) -> tuple[Value, Value]:
    """Two values of one shape, stored in the same order."""
    x, y = same_shape(x, y)
    if x.stored.shape == y.stored.shape and x.index.size == x.stored.size and bool((x.index == y.index).all()):
        return x, y
    if x.index.ndim in (3, 4) and (_is_channels_last(x) or _is_channels_last(y)):
        return builder.channels_last(x), builder.channels_last(y)
    return builder.in_onnx_order(x), builder.in_onnx_order(y)


def _is_channels_last(value: Value) -> bool:
    flat = np.moveaxis(value.index, 1, -1).ravel()
    return flat.size == value.stored.size and bool((flat == np.arange(flat.size)).all())


def plain(builder: Builder, value: Value) -> Value:
    """The value with one linear step and no clamp, quantized."""
    if not value.quantized:
        raise RefusalError("no quantizer before it: its input is a float")
    return builder.without_clamp(absorb_bias(value))


def add_values(builder: Builder, x: Value, y: Value, sign: int) -> Value:
    """x + sign·y: both on the largest grid that holds them."""
    x, y = aligned(builder, plain(builder, x), plain(builder, y))
    if any(v == 0 for v in (*x.linear.a.flat, *y.linear.a.flat)):
        raise RefusalError("a channel of its input is multiplied by zero")
    grid = np.asarray(np.frompyfunc(lambda p, q: common_measure([p, q]), 2, 1)(x.linear.a, y.linear.a), dtype=object)
    points = (x.stored.type.fraction, y.stored.type.fraction)
    if all(_at_its_point(v) for v in (x, y)):
        left, right, fraction = x.stored, y.stored, max(points)
    else:
        (ax, ay), _ = doc_order(builder, builder.compact(x), (x.linear.a / grid, y.linear.a / grid))
        left, right = _multiplied(builder, x.stored, ax, 0), _multiplied(builder, y.stored, ay, 1)
        fraction = 0
    ends = [[e << (fraction - v.type.fraction) for e in v.bounds] for v in (left, right)]
    low = ends[0][0] + (ends[1][0] if sign > 0 else -ends[1][1])
    high = ends[0][1] + (ends[1][1] if sign > 0 else -ends[1][0])
    op = "add" if sign > 0 else "subtract"
    kind = integer_type(low, high, fraction)
    result = builder.emit(op, [left, right], left.shape, kind, [low], [high])
    step = shorten(Linear.of(grid, 0, x.index.ndim).plus(x.linear.b + y.linear.b * sign))
    return replace(x, stored=result, steps=(step,), single_use=True)


def _at_its_point(value: Value) -> bool:
    """Whether the value is what its binary point says."""
    a = value.linear.a
    return a.size == 1 and bool(a.flat[0] == Fraction(2) ** -value.stored.type.fraction)


def _multiplied(builder: Builder, stored: Stored, factors: list[Fraction], side: int) -> Stored:
    """The integers times whole numbers, with no binary point: the operation after it is on plain integers."""
    factor = [int(f) for f in factors]
    same_point = stored.type.fraction == 0
    if all(f == 1 for f in factor) and same_point:
        return stored
    if len(factor) > 1 and len(factor) != stored.shape[-1]:
        raise RefusalError("the scales of its inputs differ along several axes")
    corners = [f * q for f in set(factor) for q in stored.bounds]
    short = factor[:1] if all(f == factor[0] for f in factor) else factor
    if max(map(abs, short)).bit_length() > 62:
        raise RefusalError("the scales of its inputs have no common grid of 62 bits: no quantizer after it?")
    low, high = min(corners), max(corners)
    return builder.emit(
        "rescale", [stored], stored.shape, integer_type(low, high), [low], [high], f"input{side}",
        multiplier=short, addend=[0], divisor=[1], round="TRN",
    )  # fmt: skip


def multiply_values(builder: Builder, x: Value, y: Value) -> Value:
    """x·y, each without a pending constant."""
    x, y = (builder.with_zero_offset(plain(builder, v)) for v in (x, y))
    x, y = aligned(builder, x, y)
    corners = [p * q for p in x.stored.bounds for q in y.stored.bounds]
    low, high = min(corners), max(corners)
    fraction = x.stored.type.fraction + y.stored.type.fraction
    kind = integer_type(low, high, fraction)
    if kind.fraction != fraction:
        raise RefusalError("its scales are out of range")
    result = builder.emit("multiply", [x.stored, y.stored], x.stored.shape, kind, [low], [high])
    step = shorten(Linear.of(x.linear.a * y.linear.a, 0, x.index.ndim))
    return replace(x, stored=result, steps=(step,), single_use=True)


def concatenate(builder: Builder, values: list[Value | Const], axis: int) -> Value:
    """Integers one after the other; each part keeps its own scale, pending."""
    parts = [v for v in values if isinstance(v, Value)]
    if len(parts) != len(values):
        raise RefusalError("concatenates constants with values")
    rank = parts[0].index.ndim
    axis = axis % rank if -rank <= axis < rank else -1
    if axis < 1:
        raise RefusalError("concatenates along the axis of the batch")
    alike = _same_steps(parts)
    parts = parts if alike else [builder.without_clamp(v) for v in parts]
    if any(not v.quantized for v in parts):
        raise RefusalError("no quantizer before it: an input is a float")
    stored, index = _joined(builder, parts, axis)
    if alike:
        steps: tuple[Any, ...] = parts[0].steps
    else:
        spread = [[np.broadcast_to(p, v.shape) for p in v.linear.arrays] for v in parts]
        joined = (np.concatenate([s[i] for s in spread], axis=axis) for i in range(4))
        steps = (shorten(Linear(*joined)),)
    return Value(stored, index, steps)


def _same_steps(parts: list[Value]) -> bool:
    """Whether all parts mean their integers alike, by parameters that are one for all elements."""
    first = parts[0].steps

    def key(value: Value) -> Any:
        return [(type(s), getattr(s, "kind", ""), [p.tolist() for p in _parameters(s)]) for s in value.steps]

    if any(p.size > 1 for v in parts for s in v.steps for p in _parameters(s)):
        return False
    return all(len(v.steps) == len(first) and key(v) == key(parts[0]) for v in parts)


def _parameters(step: Any) -> tuple[Array, ...]:
    return step.arrays if isinstance(step, Linear) else (step.alpha,)


def _joined(builder: Builder, parts: list[Value], axis: int) -> tuple[Stored, Array]:
    fraction = parts[0].stored.type.fraction
    if any(v.stored.type.fraction != fraction for v in parts):
        parts = [replace(v, stored=without_point(builder, v.stored)) for v in parts]
        fraction = 0
    low, high = min(v.stored.bounds[0] for v in parts), max(v.stored.bounds[1] for v in parts)
    kind = integer_type(low, high, fraction)
    if parts[0].index.ndim in (3, 4) and axis == 1 and all(_is_channels_last(v) for v in parts):
        placed = [builder.channels_last(v) for v in parts]
        shape = (*placed[0].stored.shape[:-1], sum(v.stored.shape[-1] for v in placed))
        result = builder.emit("concatenate", [v.stored for v in placed], shape, kind, [low], [high],
                              axis=len(shape) - 1)  # fmt: skip
        return result, np.moveaxis(np.arange(result.size).reshape(1, *shape), -1, 1)
    flat = [builder.arrange(v, np.arange(v.stored.size), (v.stored.size,)) for v in parts]
    starts = np.cumsum([0] + [f.size for f in flat])
    shape = (int(starts[-1]),)
    result = builder.emit("concatenate", flat, shape, kind, [low], [high], axis=0)
    moved = [np.where(v.index < 0, -1, v.index + s) for v, s in zip(parts, starts, strict=False)]
    return result, np.concatenate(moved, axis=axis)


def without_point(builder: Builder, stored: Stored) -> Stored:
    """The same integers with no binary point."""
    if stored.type.fraction == 0:
        return stored
    low, high = stored.bounds
    return builder.emit("rescale", [stored], stored.shape, integer_type(low, high), [low], [high], "integers",
                        multiplier=[1], addend=[0], divisor=[1], round="TRN")  # fmt: skip


def batch_normalize(value: Value, parameters: list[Array], epsilon: float) -> Value:
    """(x - mean)·gamma / sqrt(var + epsilon) + beta, with the root rounded to float32 as float arithmetic gives it."""
    gamma, beta, mean, variance = parameters
    with np.errstate(all="ignore"):
        root = np.sqrt(variance.astype(np.float32) + np.float32(epsilon)).astype(np.float32)
    shape = (1, -1) + (1,) * (value.index.ndim - 2)
    if any(p.shape != (value.shape[1],) for p in parameters):
        raise RefusalError(f"its parameters are not one per channel of {value.shape}")
    factor = (fractions(gamma) * inverse(root)).reshape(shape)
    value = add_constant(value, -fractions(mean).reshape(shape))
    return add_constant(multiply_constant(value, factor), fractions(beta).reshape(shape))


def limits(low: Array | None, high: Array | None) -> tuple[Any, Any]:
    """Clip's limits as Fractions, or infinities where they are absent."""
    ends: list[Any] = []
    for end, absent in ((low, -INFINITY), (high, INFINITY)):
        if end is None or np.asarray(end).size == 0:
            ends.append(absent)
            continue
        if np.asarray(end).size != 1 or np.isnan(np.asarray(end, dtype=np.float64)).any():
            raise RefusalError("its limits are no single numbers")
        x = np.asarray(end).reshape(-1)[0]
        ends.append(absent if abs(float(x)) >= 3.4e38 else Fraction(x.item()))
    return ends[0], ends[1]
