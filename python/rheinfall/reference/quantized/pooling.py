"""Pooling."""

from __future__ import annotations

import numpy as np

from rheinfall.quantized.fixed_point import FixedType, overflow, parse, round_shift
from rheinfall.reference.quantized.sums import Window, with_height, without_height
from rheinfall.reference.quantized.values import (
    Layer,
    Value,
    result_type,
    truncated_quotient,
)


def run_pool(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """Largest or mean per channel of the pixels under the kernel; padded pixels (None) take no part."""
    x, accum, result = with_height(inputs[0]), parse(layer["accum"]), result_type(layer)
    window = Window({**layer, "dilations": None}, layer["kernel"])
    padded = window.pad(x.q, None)
    under = [window.under(padded, row, column) for row, column in np.ndindex(*window.kernel)]
    stacked = np.stack(under, axis=-1)
    pool = pool_maximum if layer["kind"] == "max" else pool_average
    pooled = np.empty(stacked.shape[:-1], dtype=object)
    for position in np.ndindex(*pooled.shape):
        pooled[position] = pool(list(stacked[position]), x.fraction, accum, bool(layer.get("count_padding", False)))
    return without_height(Value(pooled, accum.fraction, accum).to(result), layer)


def pool_maximum(pixels: list[int | None], fraction: int, accum: FixedType, count_padding: bool) -> int:
    """The first → accum, then each that is larger than what is kept → accum."""
    inside = [pixel for pixel in pixels if pixel is not None]
    common = max(fraction, accum.fraction)
    y = _convert(inside[0], fraction, accum)
    for pixel in inside[1:]:
        if pixel << (common - fraction) > y << (common - accum.fraction):
            y = _convert(pixel, fraction, accum)
    return y


def pool_average(pixels: list[int | None], fraction: int, accum: FixedType, count_padding: bool) -> int:
    """Sum in accum, then the quotient, cut off towards zero at accum's last bit."""
    inside = [pixel for pixel in pixels if pixel is not None]
    common = max(fraction, accum.fraction)
    y = 0
    for pixel in inside:
        y = _convert((y << (common - accum.fraction)) + (pixel << (common - fraction)), common, accum)
    return _convert(truncated_quotient(y, len(pixels) if count_padding else len(inside)), accum.fraction, accum)


def _convert(v: int, fraction: int, target: FixedType) -> int:
    return overflow(round_shift(v, fraction - target.fraction, target.rounding), target)
