"""Sums of products: dense layers, convolutions, dots and sums."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rheinfall.quantized.fixed_point import FixedType, parse
from rheinfall.reference.quantized.values import (
    Integers,
    Layer,
    Value,
    constant,
    result_type,
    running_sum,
    zeros,
)


def multiply_accumulate(
    start: Value, terms: Iterator[tuple[Integers, Integers]], fraction: int, accum: FixedType
) -> Value:
    """a = start; for (x, w): a = a + (x·w → accum) → accum, with x·w of `fraction` fraction bits."""
    a = start
    for x, w in terms:
        product = Value(x * w, fraction).to(accum)
        a = Value(a.q + product.q, accum.fraction).to(accum)
    return a


def initial(layer: Layer, shape: tuple[int, ...], accum: FixedType) -> Value:
    """The accumulator before the first product: the bias, converted, along the last axis; or 0."""
    start = Value(zeros(*shape), accum.fraction, accum)
    if layer.get("bias") is not None:
        bias = constant(layer["bias"]).to(accum)
        start = Value(start.q + bias.q.reshape(-1), accum.fraction, accum)
    return start


def run_dense(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """On the last axis, products added in `order`."""
    x, w, accum = inputs[0], constant(layer["weight"]), parse(layer["accum"])
    n_in, n_out = layer["weight"]["shape"]
    order = layer.get("order") or range(n_in)
    terms = ((x.q[..., i, None], w.q[0, i]) for i in order)
    start = initial(layer, (*x.q.shape[:-1], n_out), accum)
    return multiply_accumulate(start, terms, x.fraction + w.fraction, accum).to(result_type(layer))


def run_conv(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """Dense over the patch under the kernel, row-major in (kh, kw, c); padded pixels are 0."""
    w, accum = constant(layer["weight"]), parse(layer["accum"])
    x, window = with_height(inputs[0]), Window(layer, layer["weight"]["shape"][:-2])
    kernel = w.q.reshape(*window.kernel, *layer["weight"]["shape"][-2:])
    groups, (c_in, c_out) = layer.get("groups", 1), layer["weight"]["shape"][-2:]
    of_group = np.arange(c_out) // (c_out // groups)  # the group of each output channel
    padded = window.pad(x.q)

    def terms() -> Iterator[tuple[Integers, Integers]]:
        for row, column in np.ndindex(*window.kernel):
            pixels = window.under(padded, row, column)
            for c in range(c_in):
                yield pixels[..., of_group * c_in + c], kernel[row, column, c]

    start = initial(layer, (n_events, *window.output_size(padded), c_out), accum)
    a = multiply_accumulate(start, terms(), x.fraction + w.fraction, accum).to(result_type(layer))
    return without_height(a, layer)


class Window:
    """A kernel that moves over two spatial axes; one of one dimension has height 1."""

    def __init__(self, layer: Layer, kernel: Sequence[int]) -> None:
        self.kernel = two(kernel)
        self.strides = two(layer.get("strides") or [1] * len(kernel))
        self.dilations = two(layer.get("dilations") or [1] * len(kernel))
        padding = layer.get("padding") or [0, 0] * len(kernel)
        self.padding = tuple(padding) if len(padding) == 4 else (0, 0, *padding)

    def pad(self, x: Integers, fill: int | None = 0) -> Integers:
        """x (events, height, width, channels) with `fill` around it."""
        top, bottom, left, right = self.padding
        n, height, width, channels = x.shape
        padded = zeros(n, top + height + bottom, left + width + right, channels)
        padded[...] = fill
        padded[:, top : top + height, left : left + width] = x
        return padded

    def output_size(self, padded: Integers) -> tuple[int, int]:
        """Positions along both axes at which the whole kernel lies on the padded image."""
        reach = [(k - 1) * dilation + 1 for k, dilation in zip(self.kernel, self.dilations, strict=True)]
        height = (padded.shape[1] - reach[0]) // self.strides[0] + 1
        width = (padded.shape[2] - reach[1]) // self.strides[1] + 1
        return height, width

    def under(self, padded: Integers, row: int, column: int) -> Integers:
        """The pixels below kernel element (row, column), at each position of the kernel."""
        height, width = self.output_size(padded)
        rows = np.arange(height) * self.strides[0] + row * self.dilations[0]
        columns = np.arange(width) * self.strides[1] + column * self.dilations[1]
        pixels: Integers = padded[:, rows][:, :, columns]
        return pixels


def two(sizes: Sequence[int]) -> tuple[int, int]:
    """(height, width), the height 1 where only one number is given."""
    return (sizes[0], sizes[1]) if len(sizes) == 2 else (1, sizes[0])


def with_height(x: Value) -> Value:
    """(length, channels) as (1, length, channels); images as they are."""
    return x if x.q.ndim == 4 else Value(x.q[:, None], x.fraction, x.type)


def without_height(x: Value, layer: Layer) -> Value:
    """The result of a one-dimensional window without its height."""
    one_dimensional = layer["op"] == "conv1d" or len(layer.get("kernel", ())) == 1
    return Value(x.q[:, 0], x.fraction, x.type) if one_dimensional else x


def run_dot(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """Σ x_i·y_i, as a dense layer."""
    x, y, accum = inputs[0], inputs[1], parse(layer["accum"])
    terms = zip(x.flat().T, y.flat().T, strict=True)
    start = Value(zeros(n_events), accum.fraction, accum)
    return as_single(multiply_accumulate(start, terms, x.fraction + y.fraction, accum), layer)


def run_sum_of_squares(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """Σ x_i·x_i, as a dense layer."""
    return run_dot(layer, [inputs[0], inputs[0]], n_events)


def run_sum(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """a = (a + x_i) → accum: x_i itself is not converted first."""
    return as_single(running_sum(inputs[0].flat().T, inputs[0].fraction, parse(layer["accum"]), n_events), layer)


def as_single(a: Value, layer: Layer) -> Value:
    """One number per event as shape [1], converted to the result's type."""
    return Value(a.q.reshape(-1, 1), a.fraction, a.type).to(result_type(layer))
