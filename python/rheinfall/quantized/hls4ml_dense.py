"""hls4ml's layers of multiplications: dense, convolutions, batch normalisation, dot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rheinfall.quantized.errors import ModelError
from rheinfall.quantized.fixed_point import FixedType
from rheinfall.quantized.hls4ml_lowering import Call, Value, fixed, plain, tensor
from rheinfall.quantized.hls4ml_resolve import Config, CppType, Weights

_SIGN = fixed(2)  # -1 and 1
MAX_PATCHES = 1 << 22
_PRODUCTS = ("mult", "weight_binary", "data_binary", "weight_ternary", "both_binary")


@dataclass(frozen=True)
class Kernel:
    """How a matrix is multiplied: weights [n_in, n_out], and the order of the sum where it matters."""

    product: str
    accum: CppType
    weight: Weights
    bias: Weights
    n_in: int
    n_out: int
    order: list[int] | None


def lower_dense(call: Call) -> None:
    """nnet::dense on the flat input."""
    config = call.config
    n_in, n_out = config.size("n_in"), config.size("n_out")
    kernel = read_kernel(call, config, config, n_in, n_out)
    call.finish(multiply(call, call.input(0, (n_in,)), kernel, call.result_type(), (n_out,)))


def read_kernel(call: Call, config: Config, mult: Config, n_in: int, n_out: int) -> Kernel:
    """Weights as [n_in, n_out], whatever the strategy's layout, and the order of accumulation."""
    strategy = strategy_of(config, mult)
    weight, bias = call.weights(2, n_in * n_out), call.weights(3, n_out)
    data = weight.data
    if strategy != "latency":  # resource strategies keep the weights transposed
        data = [data[o * n_in + i] for i in range(n_in) for o in range(n_out)]
    accum = config.type("accum_t")
    order = None
    reuse = config.integer("reuse_factor", 1)
    if strategy != "latency":
        order = resource_order(n_in, n_out, reuse)
        if accum.fixed.overflow == "WRAP" or order == list(range(n_in)):
            order = None
        else:
            call.trap(f"its accumulator saturates, so the sum hangs on the reuse factor ({reuse}): order is kept")
    product = mult.alias("product", "mult")
    if product not in _PRODUCTS:
        raise ModelError(f"product {product!r}: expected one of {', '.join(_PRODUCTS)}")
    if strategy == "resource_unrolled" and product in ("weight_binary", "both_binary"):
        raise ModelError(
            "resource_unrolled with weights of one bit: its code leaves out those that are stored as 0, the -1"
        )
    return Kernel(product, accum, Weights(weight.name, weight.type, data), bias, n_in, n_out, order)


def strategy_of(config: Config, mult: Config) -> str:
    """latency, resource or resource_unrolled; other strategies are refused."""
    strategy = config.choice("strategy", "latency")
    kernel = mult.alias("kernel", "none")
    if strategy == "distributed_arithmetic" or "_da_" in kernel:
        raise ModelError("strategy distributed_arithmetic holds no weights, only generated adder code")
    if strategy not in ("latency", "resource", "resource_unrolled"):
        raise ModelError(f"strategy {strategy!r}: expected latency, resource or resource_unrolled")
    return strategy


def resource_order(n_in: int, n_out: int, reuse: int) -> list[int]:
    """The order in which the resource strategy adds up the inputs of one output.

    Raises:
        ModelError: the C++ asserts that this reuse factor is none.
    """
    if reuse < 1 or (n_in % reuse if reuse <= n_in else reuse % n_in or n_in * n_out % reuse):
        raise ModelError(f"reuse factor {reuse} is not allowed for {n_in} inputs and {n_out} outputs")
    if reuse > n_in:
        return list(range(n_in))
    return [start + step for start in range(reuse) for step in range(0, n_in, reuse)]


def multiply(call: Call, x: Value, kernel: Kernel, result: CppType, shape: Sequence[int]) -> Value:
    """A dense layer on the last axis of x, with the product that the types chose."""
    if kernel.product == "both_binary":
        return _multiply_bits(call, x, kernel, result, shape)
    x = signed_bits(call, x) if kernel.product == "data_binary" else x
    type_, data = weight_factors(kernel)
    note_lost_bits(call, kernel, x)
    fields: dict[str, Any] = {
        "weight": tensor(type_, (kernel.n_in, kernel.n_out), data),
        "bias": bias_tensor(kernel),
        "accum": str(kernel.accum.fixed),
        "order": kernel.order,
    }
    return call.emit("dense", [x], result, shape, **fields)


def weight_factors(kernel: Kernel) -> tuple[FixedType, list[int]]:
    """The weights as factors: what stands for a sign becomes -1 or 1."""
    data = kernel.weight.data
    if kernel.product == "weight_binary":
        return _SIGN.fixed, [2 * w - 1 for w in _bits(kernel.weight)]
    if kernel.product == "weight_ternary":
        one = 1 << max(kernel.weight.type.fixed.fraction, 0)
        return _SIGN.fixed, [0 if w == 0 else -1 if w == -one else 1 for w in data]
    return kernel.weight.type.fixed, data


def _bits(weights: Weights) -> list[int]:
    if weights.type.fixed.width != 1 or weights.type.fixed.is_signed:
        raise ModelError(f"constants {weights.name!r}: expected a type of one unsigned bit")
    return weights.data


def signed_bits(call: Call, x: Value) -> Value:
    """2x - 1 of bits: hls4ml stores -1 as 0."""
    if x.type.fixed.width != 1 or x.type.fixed.is_signed or x.type.fixed.fraction != 0:
        raise ModelError("binary data: expected a type of one unsigned bit")
    return _scaled(call, x, 2, -1, "_sign")


def _scaled(call: Call, x: Value, scale: int, bias: int, suffix: str, result: CppType = _SIGN) -> Value:
    """scale·x + bias, of integers."""
    type_, last = FixedType(40, 40), x.shape[-1]
    fields: dict[str, Any] = {
        "scale": tensor(type_, (last,), [scale] * last),
        "bias": tensor(type_, (last,), [bias] * last),
    }
    return call.emit("affine", [x], result, x.shape, suffix, **fields)


def _multiply_bits(call: Call, x: Value, kernel: Kernel, result: CppType, shape: Sequence[int]) -> Value:
    """Bits times bits: the products are a == w, and the sum of n of them becomes 2·sum - n.

    a == w is a·w + (1 - a)(1 - w), so x and 1 - x are laid side by side; the products that are 0 do not change the sum.
    """
    weights = _bits(kernel.weight)
    if not x.type.is_bit or not kernel.weight.type.is_bit:
        raise ModelError("product both_binary: expected ap_uint<1> on both sides")
    inverse = _scaled(call, x, -1, 1, "_inverse", fixed(1, is_signed=False))
    both = call.emit(
        "concatenate", [x, inverse], fixed(1, is_signed=False), (*x.shape[:-1], 2 * kernel.n_in), "_pairs",
        axis=len(x.shape) - 1,
    )  # fmt: skip
    order = kernel.order or list(range(kernel.n_in))
    fields: dict[str, Any] = {
        "weight": tensor(FixedType(1, 1, False), (2 * kernel.n_in, kernel.n_out), weights + [1 - w for w in weights]),
        "bias": bias_tensor(kernel),
        "accum": str(kernel.accum.fixed),
        "order": [j for i in order for j in (i, kernel.n_in + i)],
    }
    total = call.emit("dense", [both], plain(kernel.accum), shape, "_sum", **fields)
    width = max(kernel.n_in - 1, 0).bit_length() + 2
    signed = _scaled(call, total, 2, -kernel.n_in, "_signed", fixed(width))
    return call.emit("quantize", [signed], result, shape)


def bias_tensor(kernel: Kernel) -> dict[str, Any] | None:
    """The bias, None where it is all 0."""
    bias = kernel.bias
    return tensor(bias.type.fixed, (kernel.n_out,), bias.data) if any(bias.data) else None


def note_lost_bits(call: Call, kernel: Kernel, x: Value) -> None:
    """A trap where products have more fraction bits than the accumulator."""
    type_, _ = weight_factors(kernel)
    lost = x.type.fixed.fraction + type_.fraction - kernel.accum.fixed.fraction
    if lost > 0:
        call.trap(f"its accumulator drops {lost} fraction bits of each product ({kernel.accum.fixed})")
    lost = kernel.bias.type.fixed.fraction - kernel.accum.fixed.fraction
    if lost > 0 and any(b % (1 << lost) for b in kernel.bias.data):
        call.trap(f"its accumulator drops {lost} fraction bits of the bias")


# -- convolutions


@dataclass(frozen=True)
class Window:
    """The geometry of a convolution or pooling: pairs (height, width); padding top, bottom, left, right."""

    image: tuple[int, int]
    channels: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    padding: tuple[int, int, int, int]
    output: tuple[int, int]

    def check(self) -> None:
        """Refuse a geometry that does not fit together, or is absurdly large."""
        size = math.prod(self.output) * math.prod(self.kernel) * self.channels
        if size > MAX_PATCHES:
            raise ModelError(f"{size} values in all windows: expected at most {MAX_PATCHES}")
        for axis, (before, after) in enumerate((self.padding[:2], self.padding[2:])):
            padded = self.image[axis] + before + after
            size, step = self.kernel[axis], self.strides[axis]
            outputs = (padded - size) // step + 1 if padded >= size else 0
            if outputs != self.output[axis]:
                raise ModelError(
                    f"{padded} padded pixels, kernel {size}, stride {step}: expected {outputs} outputs, not "
                    f"{self.output[axis]} (a dilation is not read)"
                )

    def index(self, padding: int = -1) -> list[int]:
        """For each output pixel the flat indices of its patch, in the order height, width, channel."""
        found = []
        (height, width), (top, _, left, _) = self.image, self.padding
        for oy in range(self.output[0]):
            for ox in range(self.output[1]):
                for ky in range(self.kernel[0]):
                    for kx in range(self.kernel[1]):
                        y, x = oy * self.strides[0] + ky - top, ox * self.strides[1] + kx - left
                        inside = 0 <= y < height and 0 <= x < width
                        start = (y * width + x) * self.channels
                        found += [start + c if inside else padding for c in range(self.channels)]
        return found


def read_window(config: Config, n_axes: int) -> Window:
    """The geometry of a convolution's config."""
    size = config.size
    pad = config.integer
    if config.integer("dilation", 1) != 1:
        raise ModelError("a dilation other than 1: hls4ml's io_parallel code leaves it out")
    if n_axes == 1:
        return Window(
            (1, size("in_width")), size("n_chan"), (1, size("filt_width")), (1, size("stride_width")),
            (0, 0, pad("pad_left", 0), pad("pad_right", 0)), (1, size("out_width")),
        )  # fmt: skip
    return Window(
        (size("in_height"), size("in_width")), size("n_chan"), (size("filt_height"), size("filt_width")),
        (size("stride_height"), size("stride_width")),
        (pad("pad_top", 0), pad("pad_bottom", 0), pad("pad_left", 0), pad("pad_right", 0)),
        (size("out_height"), size("out_width")),
    )  # fmt: skip


def lower_conv(call: Call) -> None:
    """conv_1d_cl, conv_2d_cl, their pointwise and depthwise forms."""
    config, n_axes = call.config, 2 if "_2d_" in call.function else 1
    if call.function.endswith("_cf"):
        raise ModelError("channels first: only channels last is read")
    window = read_window(config, n_axes)
    window.check()
    n_filt = config.size("n_filt")
    mult = config.config("mult_config") if "mult_config" in config.struct.types else config
    image = (window.image[1], window.channels) if n_axes == 1 else (*window.image, window.channels)
    out = (*window.output[2 - n_axes :], n_filt)
    x = call.input(0, image)
    if call.function.startswith("depthwise"):
        call.finish(_depthwise(call, x, window, config, mult, out))
        return
    n_in = math.prod(window.kernel) * window.channels
    kernel = read_kernel(call, config, mult, n_in, n_filt)
    is_padded = any(window.padding)
    if strategy_of(config, mult) != "latency" and not call.is_stream and config.integer("reuse_factor", 1) > n_in:
        raise ModelError(f"reuse factor {config.integer('reuse_factor')} of a convolution: at most {n_in} is allowed")
    if kernel.order is None and (kernel.product in ("mult", "weight_binary", "weight_ternary")):
        type_, data = weight_factors(kernel)
        note_lost_bits(call, kernel, x)
        call.finish(_conv(call, x, window, n_axes, kernel, tensor(type_, (n_in, n_filt), data), 1, out))
    else:
        n_pixels = math.prod(window.output)
        gathered = x
        if window.kernel != (1, 1) or is_padded or window.strides != (1, 1):
            shape = (n_pixels, n_in)
            gathered = call.emit("gather", [x], plain(x.type), shape, "_patches", index=window.index())
            gathered = replace(gathered, type=x.type)
        else:
            gathered = call.lowering.reshape(x, (n_pixels, n_in))
        call.finish(
            call.lowering.reshape(multiply(call, gathered, kernel, call.result_type(), (n_pixels, n_filt)), out)
        )


def _conv(
    call: Call, x: Value, window: Window, n_axes: int, kernel: Kernel, weight: dict[str, Any], groups: int,
    out: Sequence[int],
) -> Value:  # fmt: skip
    skip = 2 - n_axes
    weight["shape"] = [*window.kernel[skip:], window.channels // groups, kernel.n_out]
    fields: dict[str, Any] = {
        "weight": weight,
        "bias": bias_tensor(kernel),
        "accum": str(kernel.accum.fixed),
        "strides": list(window.strides[skip:]),
        "padding": list(window.padding[2 * skip :]),
        "groups": groups if groups > 1 else None,
    }
    return call.emit(f"conv{n_axes}d", [x], call.result_type(), out, **fields)


def _depthwise(call: Call, x: Value, window: Window, config: Config, mult: Config, out: Sequence[int]) -> Value:
    n_filt = config.size("n_filt")
    if n_filt != window.channels:
        raise ModelError(f"{n_filt} filters of {window.channels} channels: only a depth multiplier of 1 is read")
    strategy = strategy_of(config, mult)
    accum = config.type("accum_t")
    if strategy != "latency" and accum.fixed.overflow != "WRAP":
        raise ModelError("depthwise convolution with strategy resource and a saturating accumulator")
    size = math.prod(window.kernel)
    weight, bias = call.weights(2, size * n_filt), call.weights(3, n_filt)
    product = mult.alias("product", "mult")
    if product not in ("mult", "weight_binary", "weight_ternary"):
        raise ModelError(f"depthwise convolution with product {product!r}")
    kernel = Kernel(product, accum, weight, bias, size, n_filt, None)
    note_lost_bits(call, kernel, x)
    type_, data = weight_factors(kernel)
    return _conv(call, x, window, len(out) - 1, kernel, tensor(type_, (size, n_filt), data), n_filt, out)


# -- others


def lower_normalize(call: Call) -> None:
    """nnet::normalize: x·scale + bias, exact, then the result."""
    config = call.config
    n_in, n_filt = config.size("n_in"), config.integer("n_filt", -1)
    n = n_in if n_filt in (-1, 0xFFFFFFFF) else n_filt
    if n < 1 or n_in % n:
        raise ModelError(f"{n} channels of {n_in} inputs")
    scale, bias = call.weights(2, n), call.weights(3, n)
    x = call.sized_input(n_in)
    shape = x.shape
    x = _by_channel(call, x, n_in, n)
    product = config.alias("product", "mult")
    if product == "data_binary":
        x = signed_bits(call, x)
    elif product not in ("mult", "weight_binary", "weight_ternary"):
        raise ModelError(f"batch normalisation with product {product!r}")
    type_, data = weight_factors(Kernel(product, scale.type, scale, bias, 1, n, None))
    fields: dict[str, Any] = {"scale": tensor(type_, (n,), data), "bias": tensor(bias.type.fixed, (n,), bias.data)}
    y = call.emit("affine", [x], call.result_type(), x.shape, **fields)
    call.finish(call.lowering.reshape(y, shape))


def _by_channel(call: Call, x: Value, n_in: int, n: int) -> Value:
    if x.shape[-1] == n:
        return x
    return call.lowering.reshape(x, (n_in // n, n) if n != n_in else (n,))


def lower_quantized_tanh(call: Call) -> None:
    """normalize_binary_tanh and normalize_ternary_tanh: thresholds per channel."""
    config = call.config
    n_in, n_filt = config.size("n_in"), config.integer("n_filt", -1)
    n = n_in if n_filt in (-1, 0xFFFFFFFF) else n_filt
    if n < 1 or n_in % n:
        raise ModelError(f"{n} channels of {n_in} inputs")
    x = call.sized_input(n_in)
    shape = x.shape
    x = _by_channel(call, x, n_in, n)
    high = call.weights(2, n)
    if call.function == "normalize_binary_tanh":
        type_, rows, values = high.type.fixed, [[t] for t in high.data], [0, 1]
    else:
        low = call.weights(3, n)
        if low.type != high.type:
            raise ModelError("thresholds of two types")
        rows = [[min(a, b) + 1, b + 1] for a, b in zip(low.data, high.data, strict=True)]
        # x > t is x >= t + one step: one bit more, lest the step leave the type.
        type_ = replace(high.type.fixed, width=high.type.fixed.width + 1, integer=high.type.fixed.integer + 1)
        values = [-1, 0, 1]
    if high.type.fixed.fraction < x.type.fixed.fraction and call.function != "normalize_binary_tanh":
        raise ModelError("thresholds with fewer fraction bits than the input")
    thresholds = tensor(type_, (n, len(rows[0])), [t for row in rows for t in row])
    y = call.emit("threshold", [x], call.result_type(), x.shape, thresholds=thresholds, values=values)
    call.finish(call.lowering.reshape(y, shape))


def lower_dot(call: Call) -> None:
    """nnet::dot1d."""
    config = call.config
    n_in = config.size("n_in")
    x, y = call.input(0, (n_in,)), call.input(1, (n_in,))
    product = config.alias("product", "mult")
    if product != "mult":
        raise ModelError(f"dot with product {product!r}")
    accum = config.type("accum_t")
    lost = x.type.fixed.fraction + y.type.fixed.fraction - accum.fixed.fraction
    if lost > 0:
        call.trap(f"its accumulator drops {lost} fraction bits of each product ({accum.fixed})")
    result = call.result_type(2)
    call.finish(call.emit("dot", [x, y], result, (1,), accum=str(accum.fixed)), 2)
