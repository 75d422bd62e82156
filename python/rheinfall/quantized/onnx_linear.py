"""MatMul, Gemm, Conv and pooling of integers: exact sums, wide enough for anything their inputs can give."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from rheinfall.quantized.fixed_point import format_type, parse
from rheinfall.quantized.onnx_builder import Builder, common_measure, doc_order
from rheinfall.quantized.onnx_values import (
    Array,
    Const,
    Linear,
    RefusalError,
    Stored,
    Value,
    all_equal,
    fractions,
    integer_type,
    is_power_of_two,
    log2,
)

SUMS = ("dense", "conv1d", "conv2d")
GRID_BITS = 16  # float weights that lie on a grid of at most this many bits are integers


def quantized_input(builder: Builder, value: Value, what: str) -> Value:
    """The value with plain integers: one linear step, no clamp.

    Raises:
        RefusalError: no quantizer stands before it.
    """
    if not value.quantized:
        raise RefusalError(f"no quantizer before {what}: its input is a float")
    return builder.without_clamp(value)


def integer_weights(constant: Const, what: str) -> tuple[Array, Array]:
    """Weights as int64 and their scales as Fractions, of the same shape."""
    if constant.q is not None and constant.scale is not None:
        if np.unique(constant.scale).size == 1:
            scale = np.full(constant.q.shape, Fraction(float(constant.scale.flat[0])), dtype=object)
            return constant.q, scale
        return constant.q, fractions(constant.scale)
    real = np.asarray(constant.real, dtype=np.float64)
    if not np.isfinite(real).all():
        raise RefusalError(f"{what} hold NaN or infinity")
    mantissa, exponent = np.frexp(real)
    used = real != 0
    if not used.any():
        return np.zeros(real.shape, np.int64), np.full(real.shape, Fraction(1), dtype=object)
    whole = (mantissa[used] * (1 << 53)).astype(np.int64)
    lowest = exponent[used] - 53 + np.log2((whole & -whole).astype(np.float64)).astype(np.int64)
    fraction = -int(lowest.min())
    if int(exponent[used].max()) + fraction > GRID_BITS:
        raise RefusalError(f"no quantizer before {what}: they are floats on no grid of {GRID_BITS} bits")
    q = np.ldexp(real, fraction).astype(np.int64)
    return q, np.full(real.shape, Fraction(2) ** -fraction, dtype=object)


@dataclass(frozen=True)
class Products:
    """Σ a_i·q_i·s_io·w_io as g_o·Σ q_i·w'_io, and the constant Σ b_i·s_io·w_io of each output."""

    weight: Array  # int64 [k, n]
    scale: list[Fraction]  # g_o
    constant: list[Fraction]


def products(a: list[Fraction], b: list[Fraction], weight: Array, scale: Array) -> Products:
    """One scale per output for weights [k, n] with scales [k, n] and inputs a_i·q_i + b_i (one, or k of each).

    Raises:
        RefusalError: the scales of one output have no common measure within 31 bits.
    """
    k, n = weight.shape
    uniform = bool((scale == scale[:1]).all()) if k else True
    if all_equal(a) and uniform:
        new, g = weight, [a[0] * s for s in scale[0]]
    else:
        rows = a * k if len(a) == 1 else a
        new, g = np.zeros((k, n), np.int64), []
        for o in range(n):
            effective = [x * s for x, s in zip(rows, scale[:, o], strict=True)]
            used = [e for e, w in zip(effective, weight[:, o], strict=True) if e and w]
            measure = common_measure(used) or Fraction(1)
            column = [int(e / measure) * int(w) if w else 0 for e, w in zip(effective, weight[:, o], strict=True)]
            if max(map(abs, column)).bit_length() > 31:
                raise RefusalError("the scales of its inputs differ by factors that no integers of 31 bits express")
            new[:, o] = column
            g.append(measure)
    if not any(b):
        constant = [Fraction(0)] * n
    elif len(b) == 1 and uniform:
        constant = [b[0] * s * int(w) for s, w in zip(scale[0], weight.sum(axis=0), strict=True)]
    else:
        rows = b * k if len(b) == 1 else b
        constant = [sum((x * s * int(w) for x, s, w in zip(rows, scale[:, o], weight[:, o], strict=True)), Fraction(0))
                    for o in range(n)]  # fmt: skip
    return Products(new, g, constant)


def emit_sum(
    builder: Builder, op: str, x: Stored, p: Products, shape: tuple[int, ...], pads: bool, **fields: Any
) -> Stored:
    """The layer of a sum of products with the accumulator that holds anything the input's range can give."""
    low_x, high_x = x.bounds
    if pads:
        low_x, high_x = min(low_x, 0), max(high_x, 0)
    flat = p.weight.astype(object)
    up, down = np.where(flat > 0, flat, 0).sum(axis=0), np.where(flat < 0, flat, 0).sum(axis=0)
    low = [int(u) * low_x + int(d) * high_x for u, d in zip(up, down, strict=True)]
    high = [int(u) * high_x + int(d) * low_x for u, d in zip(up, down, strict=True)]
    fraction = log2(1 / p.scale[0]) - x.type.fraction if all_equal(p.scale) and is_power_of_two(p.scale[0]) else 0
    weight = integer_type(int(p.weight.min(initial=0)), int(p.weight.max(initial=0)), fraction)
    accum = integer_type(min(low), max(high), x.type.fraction + weight.fraction)
    if accum.fraction != x.type.fraction + weight.fraction:
        raise RefusalError("its scales are out of range")
    shape_w = fields.pop("weight_shape")
    tensor = {"type": format_type(weight), "shape": shape_w, "data": p.weight.reshape(-1).tolist()}
    return builder.emit(op, [x], shape, accum, low, high, weight=tensor, accum=format_type(accum), **fields)


def dense(builder: Builder, value: Value, constant: Const) -> Value:
    """value @ constant, over the last axis of the ONNX shape."""
    value = quantized_input(builder, value, "it")
    if constant.real.ndim != 2 or value.index.ndim < 2 or value.shape[-1] != constant.real.shape[0]:
        raise RefusalError(f"shapes {value.shape} and {constant.real.shape} do not multiply")
    weight, scale = integer_weights(constant, "its weights")
    value = builder.compact(value)
    k, n = weight.shape
    if value.index.ndim == 2:
        order = value.index.ravel()  # of the flat integers: their own order is kept, the weights' rows follow it
        stored = builder.arrange(value, np.arange(k), (k,))
        permuted, row_scale = np.empty_like(weight), np.empty_like(scale)
        permuted[order], row_scale[order] = weight, scale
        weight, scale = permuted, row_scale
        value = replace(value, stored=stored)
    else:
        value = builder.in_onnx_order(value)
        stored = value.stored
    linear = value.linear
    if any(p.size > 1 and p.shape[-1] != p.size for p in (linear.a, linear.b)):
        raise RefusalError("its input has scales that differ along more than the last axis")
    (a, b), _ = doc_order(builder, value, (linear.a, linear.b))
    p = products(a, b, weight, scale)
    shape = (*stored.shape[:-1], n)
    result = emit_sum(builder, "dense", stored, p, shape, False, weight_shape=[k, n])
    index = np.arange(result.size).reshape(1, *shape)
    step = Linear.of(np.array(p.scale, dtype=object), np.array(p.constant, dtype=object), index.ndim)
    return Value(result, index, (shorten(step),))


def shorten(linear: Linear) -> Linear:
    """Parameters that are all equal become one."""

    def one(parameter: Array) -> Array:
        flat = parameter.ravel()
        if parameter.size > 1 and bool((flat == flat[0]).all()):
            return flat[:1].reshape((1,) * parameter.ndim)
        return parameter

    return linear.map(one)


@dataclass(frozen=True)
class Window:
    """The geometry of a convolution or pooling on 1 or 2 spatial axes."""

    kernel: list[int]
    strides: list[int]
    dilations: list[int]
    pads: list[int]  # begin of each axis, then end of each: as ONNX has them
    out: list[int]

    @property
    def document_pads(self) -> list[int]:
        """[before, after] or [top, bottom, left, right]."""
        n = len(self.kernel)
        return [self.pads[i + side * n] for i in range(n) for side in (0, 1)]


def window(attributes: dict[str, Any], spatial: tuple[int, ...], kernel: list[int]) -> Window:
    """Read kernel, strides, dilations, pads and auto_pad, and check them."""
    n = len(spatial)

    def ints(name: str, default: int, count: int = n) -> list[int]:
        values = [int(x) for x in attributes.get(name, [default] * count)]
        if len(values) != count or any(not 0 <= x <= 1 << 16 for x in values):
            raise RefusalError(f"{name} {values}: expected {count} small numbers, none negative")
        return values

    strides, dilations, pads = ints("strides", 1), ints("dilations", 1), ints("pads", 0, 2 * n)
    if min(strides + dilations + kernel) < 1 or len(kernel) != n:
        raise RefusalError(
            f"kernel {kernel}, strides {strides}, dilations {dilations}: expected {n} positive numbers each"
        )
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    mode = attributes.get("auto_pad", b"NOTSET")
    mode = mode.decode() if isinstance(mode, bytes) else mode
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        total = [max((-(-s // t) - 1) * t + r - s, 0) for s, t, r in zip(spatial, strides, reach, strict=True)]
        small = [x // 2 for x in total]
        large = [x - y for x, y in zip(total, small, strict=True)]
        pads = small + large if mode == "SAME_UPPER" else large + small
    elif mode == "VALID":
        pads = [0] * (2 * n)
    elif mode != "NOTSET":
        raise RefusalError(f"auto_pad {mode!r} is unknown")
    room = [s + pads[i] + pads[i + n] - reach[i] for i, s in enumerate(spatial)]
    if min(room) < 0:
        raise RefusalError(f"kernel {kernel} is larger than its padded input {spatial}")
    out = [x // t + 1 for x, t in zip(room, strides, strict=True)]
    if attributes.get("ceil_mode", 0) and any(x % t for x, t in zip(room, strides, strict=True)):
        raise RefusalError("ceil_mode with windows that reach beyond the input")
    return Window(kernel, strides, dilations, pads, out)


def convolve(builder: Builder, value: Value, constant: Const, attributes: dict[str, Any]) -> Value:
    """Conv without its bias."""
    value = quantized_input(builder, value, "it")
    rank = value.index.ndim - 2
    if rank not in (1, 2) or constant.real.ndim != rank + 2:
        raise RefusalError(f"input {value.shape} and weights {constant.real.shape}: expected 1 or 2 spatial axes")
    weight, scale = integer_weights(constant, "its weights")
    kernel = [int(x) for x in attributes.get("kernel_shape", constant.real.shape[2:])]
    if kernel != list(constant.real.shape[2:]):
        raise RefusalError(f"kernel_shape {kernel} is not that of its weights {constant.real.shape}")
    groups = int(attributes.get("group", 1))
    n_out, per_group = weight.shape[:2]
    if groups < 1 or n_out % groups or per_group * groups != value.shape[1]:
        raise RefusalError(f"{value.shape[1]} channels in {groups} groups for weights {constant.real.shape}")
    w = window(attributes, value.shape[2:], kernel)
    if any(w.pads):
        value = builder.with_zero_offset(value)
    value = builder.channels_last(builder.compact(value))
    a, b = _channel_parameters(builder, value)
    # The weights as [kernel · channels of the group, outputs], and the inputs' scales as each output meets them.
    axes = (*range(2, rank + 2), 1, 0)
    columns, scales = (x.transpose(axes).reshape(-1, n_out) for x in (weight, scale))
    if len(a) > 1 or len(b) > 1:
        p = _grouped(a, b, columns, scales, groups, per_group)
    else:
        p = products(a, b, columns, scales)
    return _emit_windowed(builder, value, w, p, n_out, per_group, groups)


def _grouped(
    a: list[Fraction], b: list[Fraction], weight: Array, scale: Array, groups: int, per_group: int
) -> Products:
    """`products` where inputs' scales differ by channel: group by group."""
    n = weight.shape[1] // groups
    repeats = weight.shape[0] // per_group
    parts = []
    for g in range(groups):
        own = slice(g * per_group, (g + 1) * per_group)
        a_g, b_g = (list((p * groups * per_group if len(p) == 1 else p)[own]) * repeats for p in (a, b))
        columns = slice(g * n, (g + 1) * n)
        parts.append(products(a_g, b_g, weight[:, columns], scale[:, columns]))
    return Products(
        np.concatenate([p.weight for p in parts], axis=1),
        [s for p in parts for s in p.scale],
        [c for p in parts for c in p.constant],
    )


def _emit_windowed(
    builder: Builder, value: Value, w: Window, p: Products, n_out: int, per_group: int, groups: int
) -> Value:
    op = "conv1d" if len(w.kernel) == 1 else "conv2d"
    shape = (*w.out, n_out)
    result = emit_sum(
        builder, op, value.stored, p, shape, any(w.pads), weight_shape=[*w.kernel, per_group, n_out],
        strides=w.strides, padding=w.document_pads, dilations=w.dilations, groups=groups,
    )  # fmt: skip
    index = np.moveaxis(np.arange(result.size).reshape(1, *shape), -1, 1)
    ones = [1] * len(w.kernel)
    scale, constant = (np.array(x, dtype=object).reshape(1, n_out, *ones) for x in (p.scale, p.constant))
    return Value(result, index, (shorten(Linear.of(scale, constant, index.ndim)),))


def _channel_parameters(builder: Builder, value: Value) -> tuple[list[Fraction], list[Fraction]]:
    linear = value.linear
    if any(p.size > 1 and p.shape[1] != p.size for p in (linear.a, linear.b)):
        raise RefusalError("its input has scales that differ within a channel")
    (a, b), _ = doc_order(builder, value, (linear.a, linear.b))
    return a, b


def sum_pool(builder: Builder, value: Value, w: Window) -> Value:
    """The sum over each window of each channel, as a depthwise convolution with ones."""
    value = quantized_input(builder, value, "it")
    if any(w.pads):
        value = builder.with_zero_offset(value)
    value = builder.channels_last(builder.compact(value))
    a, b = _channel_parameters(builder, value)
    n = value.shape[1]
    taps = int(np.prod(w.kernel))
    a, b = (x * n if len(x) == 1 else x for x in (a, b))
    p = Products(np.ones((taps, n), np.int64), a, [taps * x for x in b])
    return _emit_windowed(builder, value, w, p, n, 1, n)


def average_pool(builder: Builder, value: Value, w: Window, count_padding: bool) -> Value:
    """The exact mean over each window: the sum, with 1/n pending."""
    spatial = value.shape[2:]
    total = sum_pool(builder, value, w)
    counts = np.ones((1, 1, *w.out), dtype=object) * int(np.prod(w.kernel))
    if any(w.pads) and not count_padding:
        for position in np.ndindex(*w.out):
            n = 1
            for i, o in enumerate(position):
                at = range(o * w.strides[i] - w.pads[i], o * w.strides[i] - w.pads[i] + w.kernel[i] * w.dilations[i],
                           w.dilations[i])  # fmt: skip
                n *= sum(0 <= x < spatial[i] for x in at)
            counts[(0, 0) + position] = n
    return total.with_linear(lambda x: shorten(x.times(fractions(Fraction(1) / counts))))


def max_pool(builder: Builder, value: Value, w: Window) -> Value:
    """MaxPool on the integers: everything pending is increasing, so it can follow."""
    if not value.quantized:
        raise RefusalError("no quantizer before it: its input is a float")
    for step in value.steps:
        for p in step.arrays if isinstance(step, Linear) else (step.alpha,):
            if p.size > 1 and p.shape[1] != p.size:
                raise RefusalError("its input has scales that differ within a channel")
        if isinstance(step, Linear) and any(x <= 0 for x in step.a.flat):
            value = _turned(builder, value)
            break
    if any(d != 1 for d in w.dilations):
        raise RefusalError("dilations in a pooling")
    value = builder.channels_last(builder.compact(value))
    x = value.stored
    n = value.shape[1]
    shape = (*w.out, n)
    result = builder.emit(
        "pool", [x], shape, x.type, x.low, x.high, kind="max", kernel=w.kernel, strides=w.strides,
        padding=w.document_pads, accum=format_type(x.type),
    )  # fmt: skip
    index = np.moveaxis(np.arange(result.size).reshape(1, *shape), -1, 1)
    return replace(value, stored=result, index=index, single_use=True)


def _turned(builder: Builder, value: Value) -> Value:
    """The value with channels negated whose pending factor is negative."""
    first, rest = value.steps[0], value.steps[1:]
    if not isinstance(first, Linear) or any(isinstance(s, Linear) and any(x <= 0 for x in s.a.flat) for s in rest):
        raise RefusalError("its input is turned round (a negative factor) after a curve")
    if any(x == 0 for x in first.a.flat):
        raise RefusalError("a channel of its input is multiplied by zero")
    value = builder.compact(value)
    signs = np.where(first.a < 0, -1, 1)
    (sign,), stored = doc_order(builder, value, (fractions(signs),))
    far = max(abs(x) for x in stored.bounds)
    done = builder.emit(
        "rescale", [stored], stored.shape, integer_type(-far, far, stored.type.fraction), [-far], [far], "negate",
        multiplier=[int(s) for s in sign], addend=[0], divisor=[1], round="TRN",
    )  # fmt: skip
    return replace(value, stored=done, steps=(replace(first, a=first.a * signs), *rest), single_use=True)


def absorb_bias(value: Value) -> Value:
    """Move a pending constant into the integer bias of the sum of products that `value` alone reads, if it fits."""
    layer, step = value.stored.layer, value.steps[0]
    if not value.single_use or layer is None or layer["op"] not in SUMS or "bias" in layer:
        return value
    if not isinstance(step, Linear) or not any(step.b.flat) or any(x == 0 for x in step.a.flat):
        return value
    ratio = np.asarray(step.b / step.a, dtype=object)
    channels = value.stored.shape[-1]
    placed = np.empty(value.stored.size, dtype=object)
    if value.index.size != placed.size:
        return value
    placed[value.index.ravel()] = np.broadcast_to(ratio, value.index.shape).ravel()
    rows = placed.reshape(-1, channels)
    if any(x.denominator != 1 for x in rows[0]) or not bool((rows == rows[0]).all()):
        return value
    bias = [int(x) for x in rows[0]]
    stored = value.stored
    n = len(bias)
    low, high = ((x * n if len(x) == 1 else x) for x in (stored.low, stored.high))
    low, high = ([x + b for x, b in zip(end, bias, strict=True)] for end in (low, high))
    fraction = stored.type.fraction
    try:
        accum, kind = integer_type(min(low), max(high), fraction), integer_type(min(bias), max(bias), fraction)
    except RefusalError:
        return value
    if accum.fraction != fraction or kind.fraction != fraction:
        return value
    layer["bias"] = {"type": format_type(kind), "shape": [n], "data": bias}
    layer["accum"] = layer["result"] = format_type(accum)
    stored.type, stored.low, stored.high = accum, low, high
    return replace(value, steps=(replace(step, b=step.b * 0), *value.steps[1:]))


def negate_outputs(stored: Stored, signs: list[int]) -> bool:
    """Negate the weights of the outputs whose sign is -1, if `stored` is a sum of products; tells whether it is."""
    layer, n = stored.layer, stored.shape[-1]
    if layer is None or layer["op"] not in SUMS or len(signs) not in (1, n):
        return False
    signs = signs * n if len(signs) == 1 else signs
    fraction = stored.type.fraction
    for name in ("weight", "bias"):
        if name in layer:
            tensor = layer[name]
            data = [q * s for q, s in zip(tensor["data"], signs * (len(tensor["data"]) // n), strict=True)]
            point = parse(tensor["type"]).fraction
            layer[name] = tensor | {"data": data, "type": format_type(integer_type(min(data), max(data), point))}
    low, high = ((x * n if len(x) == 1 else x) for x in (stored.low, stored.high))
    stored.low = [a if s > 0 else -b for a, b, s in zip(low, high, signs, strict=True)]
    stored.high = [b if s > 0 else -a for a, b, s in zip(low, high, signs, strict=True)]
    stored.type = integer_type(min(stored.low), max(stored.high), fraction)
    layer["accum"] = layer["result"] = format_type(stored.type)
    return True
