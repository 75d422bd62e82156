"""hls4ml's layers that merge, pool and move: no weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rheinfall.quantized.errors import ModelError
from rheinfall.quantized.hls4ml_cpp import Name
from rheinfall.quantized.hls4ml_dense import MAX_PATCHES, Window
from rheinfall.quantized.hls4ml_lowering import Call, Value, plain, tensor
from rheinfall.quantized.hls4ml_resolve import Config, CppType


def lower_merge(call: Call) -> None:
    """add, subtract, multiply, average, maximum, minimum, of inputs of equal size or repeated."""
    x, y = _both(call)
    result, declared = call.result(2)
    shape = x.shape if x.size >= y.size else y.shape
    n_elem = call.config.integer("n_elem", max(x.size, y.size))
    if n_elem != max(x.size, y.size):
        raise ModelError(f"it computes {n_elem} of {max(x.size, y.size)} elements; the others are undefined in the C++")
    call.finish(call.emit(call.function, [x, y], result, declared or shape), 2)


def _both(call: Call) -> tuple[Value, Value]:
    config = call.config
    return tuple(  # type: ignore[return-value]
        call.input(i, None if call.result(i)[1] else (config.size(f"n_elem{i + 1}"),)) for i in range(2)
    )


def lower_concatenate(call: Call) -> None:
    """concatenate1d, 2d and 3d."""
    config = call.config
    rank = int(call.function[-2])
    shapes = [tuple(config.size(f"n_elem{i}_{axis}") for axis in range(rank)) for i in (1, 2)]
    axis = config.integer("axis", -1) if rank > 1 else 0
    axis = axis - (1 << 32) if axis > rank else axis
    axis = rank + axis if axis < 0 else max(axis - 1, 0)
    if not 0 <= axis < rank or any(a != b for i, (a, b) in enumerate(zip(*shapes, strict=True)) if i != axis):
        raise ModelError(f"cannot concatenate {shapes[0]} and {shapes[1]} on axis {axis}")
    inputs = [call.input(i, shapes[i]) for i in range(2)]
    shape = [a + b if i == axis else a for i, (a, b) in enumerate(zip(*shapes, strict=True))]
    call.finish(call.emit("concatenate", inputs, call.result_type(2), shape, axis=axis), 2)


# -- pooling


def lower_pool(call: Call) -> None:
    """pooling1d_cl, pooling2d_cl and the global ones."""
    config = call.config
    if call.function.endswith("_cf"):
        raise ModelError("channels first: only channels last is read")
    n_axes = 1 if "1d" in call.function else 2
    window = _pool_window(config, n_axes, call.function.startswith("global"))
    window.check()
    is_max = config.choice("pool_op", "Max") == "Max"
    image = (*window.image[2 - n_axes :], window.channels)
    x = call.input(0, image)
    out = (window.channels,) if call.function.startswith("global") else (*window.output[2 - n_axes :], window.channels)
    if is_max and any(window.padding):
        x, window = _pad_for_maximum(call, x, window, n_axes)
    if call.is_stream:
        x = _accumulated_stream(call, config, x, is_max)
    call.finish(call.lowering.reshape(_pool(call, config, x, window, n_axes, is_max), out))


def _pool_window(config: Config, n_axes: int, is_global: bool) -> Window:
    size = config.size
    image = (1, size("n_in")) if n_axes == 1 else (size("in_height"), size("in_width"))
    if is_global:
        return Window(image, size("n_filt"), image, image, (0, 0, 0, 0), (1, 1))
    pad = config.integer
    if n_axes == 1:
        return Window(
            image, size("n_filt"), (1, size("pool_width")), (1, size("stride_width")),
            (0, 0, pad("pad_left", 0), pad("pad_right", 0)), (1, size("n_out")),
        )  # fmt: skip
    return Window(
        image, size("n_filt"), (size("pool_height"), size("pool_width")),
        (size("stride_height"), size("stride_width")),
        (pad("pad_top", 0), pad("pad_bottom", 0), pad("pad_left", 0), pad("pad_right", 0)),
        (size("out_height"), size("out_width")),
    )  # fmt: skip


def _pool(call: Call, config: Config, x: Value, window: Window, n_axes: int, is_max: bool) -> Value:
    skip = 2 - n_axes
    accum, result = config.type("accum_t"), call.result_type()
    # Parallel code finds the largest pixel in the input's type, then converts it; a stream converts each one first.
    in_own_type = is_max and not call.is_stream
    fields: dict[str, Any] = {
        "kind": "max" if is_max else "average",
        "kernel": list(window.kernel[skip:]),
        "strides": list(window.strides[skip:]),
        "padding": list(window.padding[2 * skip :]) if any(window.padding) else None,
        "accum": str((plain(x.type) if in_own_type else accum).fixed),
        "count_padding": True if config.integer("count_pad", 0) and not is_max else None,
    }
    shape = (*window.output[skip:], window.channels)
    if not in_own_type or _holds(accum, x.type):
        return call.emit("pool", [x], result, shape, **fields)
    return call.emit("quantize", [call.emit("pool", [x], accum, shape, "_accum", **fields)], result, shape)


def _holds(outer: CppType, inner: CppType) -> bool:
    """Whether every value of one type is a value of the other, which converting leaves as it is."""
    wide, narrow = outer.fixed, inner.fixed
    shift = wide.fraction - narrow.fraction
    if shift < 0 or wide.overflow == "SAT_SYM":
        return False
    return wide.minimum <= narrow.minimum << shift and narrow.maximum << shift <= wide.maximum


def _pad_for_maximum(call: Call, x: Value, window: Window, n_axes: int) -> tuple[Value, Window]:
    """The C++ pads with the top bit alone: the smallest signed number, but half the range of an unsigned one."""
    type_ = x.type.fixed
    if type_.is_signed and type_.width > 1:
        return x, window
    call.trap(f"max pooling pads {type_} with 2^{type_.width - 1} of its steps, which may win")
    flat = call.lowering.reshape(x, (x.size,))
    top = tensor(type_, (1,), [type_.minimum if type_.is_signed else 1 << (type_.width - 1)])
    pad = call.emit("constant", [], plain(x.type), (1,), "_pad_value", value=top)
    both = call.emit("concatenate", [flat, pad], plain(x.type), (x.size + 1,), "_with_pad", axis=0)
    height, width = (size + sum(window.padding[2 * a : 2 * a + 2]) for a, size in enumerate(window.image))
    whole = replace(window, kernel=(1, 1), strides=(1, 1), output=(height, width))
    shape = (height, width, window.channels)[2 - n_axes :]
    padded = call.emit("gather", [both], plain(x.type), shape, "_padded", index=whole.index(padding=x.size))
    inside = replace(window, image=(height, width), padding=(0, 0, 0, 0))
    return replace(padded, type=x.type), inside


def _accumulated_stream(call: Call, config: Config, x: Value, is_max: bool) -> Value:
    """A stream converts each pixel to the accumulator, then adds in a tree or finds the largest."""
    accum = config.type("accum_t")
    if accum.fixed.overflow != "WRAP" and not is_max:
        raise ModelError("average pooling of a stream with a saturating accumulator")
    return x if _holds(accum, x.type) else call.emit("quantize", [x], accum, x.shape, "_accum")


# -- moves


def lower_padding(call: Call) -> None:
    """zeropad1d_cl and zeropad2d_cl."""
    config = call.config
    _channels_last(call)
    n_axes = 1 if "1d" in call.function else 2
    pad, channels = config.integer, config.size("n_chan")
    rows = (0, 0) if n_axes == 1 else (pad("pad_top"), pad("pad_bottom"))
    padding = (*rows, pad("pad_left"), pad("pad_right"))
    image = (1 if n_axes == 1 else config.size("in_height"), config.size("in_width"))
    out = (1 if n_axes == 1 else config.size("out_height"), config.size("out_width"))
    window = Window(image, channels, (1, 1), (1, 1), padding, out)
    window.check()
    _gather(call, (*image[2 - n_axes :], channels), window.index(), (*out[2 - n_axes :], channels))


def lower_cropping(call: Call) -> None:
    """cropping1d_cl and cropping2d_cl."""
    config = call.config
    _channels_last(call)
    n_axes = 1 if "1d" in call.function else 2
    channels = config.size("n_chan")
    image = (1 if n_axes == 1 else config.size("in_height"), config.size("in_width"))
    out = (1 if n_axes == 1 else config.size("out_height"), config.size("out_width"))
    if math.prod(image) * channels > MAX_PATCHES:
        raise ModelError(
            f"{image[0]} x {image[1]} pixels of {channels} channels: expected at most {MAX_PATCHES} values"
        )
    top, left = (0 if n_axes == 1 else config.integer("crop_top")), config.integer("crop_left")
    if top < 0 or left < 0 or top + out[0] > image[0] or left + out[1] > image[1]:
        raise ModelError(f"cannot crop {list(out)} from {list(image)} at {top}, {left}")
    index = [
        ((y + top) * image[1] + x + left) * channels + c
        for y in range(out[0]) for x in range(out[1]) for c in range(channels)
    ]  # fmt: skip
    _gather(call, (*image[2 - n_axes :], channels), index, (*out[2 - n_axes :], channels))


def lower_resize(call: Call) -> None:
    """resize_nearest, with its 16-bit ratios."""
    config = call.config
    height, width, channels = config.size("height"), config.size("width"), config.size("n_chan")
    out = config.size("new_height"), config.size("new_width")
    ratios = [(size << 16) // new + 1 for size, new in zip((height, width), out, strict=True)]
    rows, columns = ([(i * ratio) >> 16 for i in range(new)] for ratio, new in zip(ratios, out, strict=True))
    if out[0] * out[1] * channels > MAX_PATCHES:
        raise ModelError(f"{out[0]} x {out[1]} pixels of {channels} channels: expected at most {MAX_PATCHES} values")
    if max(rows) >= height or max(columns) >= width:
        raise ModelError(f"cannot resize {height} x {width} to {out[0]} x {out[1]}")
    index = [(y * width + x) * channels + c for y in rows for x in columns for c in range(channels)]
    one_dimensional = call.result()[1] is not None and len(call.result()[1] or ()) == 2
    shape = (width, channels) if one_dimensional and height == 1 else (height, width, channels)
    _gather(call, shape, index, call.result()[1] or (*out, channels))


def _channels_last(call: Call) -> None:
    if not call.function.endswith("_cl"):
        raise ModelError("channels first: only channels last is read")


def _gather(call: Call, shape: Sequence[int], index: list[int], out: Sequence[int]) -> None:
    x = call.input(0, shape)
    if math.prod(out) != len(index):
        raise ModelError(f"expected {len(index)} outputs, got {math.prod(out)}")
    call.finish(call.emit("gather", [x], call.result_type(), out, index=index))


def lower_transpose(call: Call) -> None:
    """nnet::transpose: the config's arrays tell the shapes."""
    config = call.config
    source, perm = _array(call, config, "from_shape"), _array(call, config, "perm")
    if sorted(perm) != list(range(len(source))):
        raise ModelError(f"permutation {perm} of {len(source)} axes")
    if call.is_stream and perm == [0, 1]:
        raise ModelError("a stream of two axes is transposed whatever the permutation says, here [0, 1]")
    x = call.input(0, source)
    out = [source[axis] for axis in perm]
    if config.has("perm_strides"):
        _check_strides(_array(call, config, "perm_strides"), source, perm)
    call.finish(call.emit("transpose", [x], call.result_type(), out, perm=perm))


def _array(call: Call, config: Config, name: str) -> list[int]:
    pointer = config.struct.constants.get(name)
    if not isinstance(pointer, Name):
        raise config.missing(name)
    array = call.project.declared.arrays.get(pointer.last)
    if array is None or array.values is None:
        raise ModelError(f"there is no array {pointer.last!r}")
    return [call.project.integer(value) for value in array.values]


def _check_strides(strides: list[int], source: Sequence[int], perm: Sequence[int]) -> None:
    expected = [math.prod(source[axis + 1 :]) for axis in perm]
    if strides != expected:
        raise ModelError(f"perm_strides {strides}: expected {expected}")


def lower_copy(call: Call) -> None:
    """clone_stream and repack_stream: values as they are, converted where the types differ."""
    x = call.input(0)
    for index in range(1, len(call.call.arguments)):
        result = call.result_type(index)
        y = replace(x, type=result) if result.same_as(x.type) else call.emit("quantize", [x], result, x.shape)
        call.lowering.write(call.argument(index), y)
