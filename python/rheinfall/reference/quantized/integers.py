"""Operations on the stored integers as they are."""

from __future__ import annotations

import numpy as np

from rheinfall.quantized.fixed_point import FixedType, overflow, round_shift
from rheinfall.reference.quantized.values import (
    Layer,
    Value,
    convert_array,
    each,
    python_integers,
    result_type,
)

FACTORS = ("multiplier", "addend", "divisor")


def run_shift(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """q / 2**shift rounded down, or q·2**-shift wrapped, in x's own type; one shift, or one per element."""
    x = inputs[0]
    assert x.type is not None
    wrap = FixedType(x.type.width, x.type.integer, x.type.is_signed)
    columns = x.flat().copy()
    for i, shift in enumerate(np.resize(layer["shift"], x.size).tolist()):
        moved = columns[:, i] >> shift if shift > 0 else columns[:, i] << -shift
        columns[:, i] = convert_array(moved, wrap.fraction, wrap)
    return Value(columns.reshape(x.q.shape), x.fraction).to(result_type(layer))


def run_rescale(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """(q·multiplier + addend) / divisor as an integer, then the result's overflow or the clamp given."""
    x, result = inputs[0].q, result_type(layer)
    shape = x.shape[-1]
    m, a, d = (python_integers(np.resize(np.array(layer[key], dtype=object), shape)) for key in FACTORS)
    rounded = np.frompyfunc(lambda n, divisor: rational_rounding(n, divisor, layer["round"]), 2, 1)(x * m + a, d)
    low, high = layer.get("minimum"), layer.get("maximum")
    if low is None and high is None:
        return Value(each(lambda q: overflow(q, result), rounded), result.fraction, result)
    low, high = (result.minimum if low is None else low), (result.maximum if high is None else high)
    return Value(each(lambda q: min(max(q, low), high), rounded), result.fraction, result)


def rational_rounding(numerator: int, divisor: int, rounding: str) -> int:
    """numerator / divisor (> 0) rounded to an integer."""
    if rounding in ("CEIL", "UP"):
        up = -(-numerator // divisor)
        return up if rounding == "CEIL" or numerator >= 0 else numerator // divisor
    floor, rest = divmod(numerator, divisor)
    # Half of the remainder and whether there is more: what a shift by two bits would see.
    quarters = 4 * floor + (rest != 0) + (2 * rest >= divisor) + (2 * rest > divisor and rest != 0)
    return round_shift(quarters, 2, rounding)
