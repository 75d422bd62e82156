"""Operations of one element at a time, of one input or of two."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from rheinfall.reference.quantized.values import (
    Layer,
    Value,
    add,
    constant,
    each,
    greater,
    linear,
    look_up,
    per_channel,
    python_integers,
    result_type,
    scalar,
    select,
    single,
    top_bits,
    truncated_quotient,
)


def run_affine(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """x·scale + bias."""
    x = inputs[0]
    return linear(x, per_channel(layer["scale"], x), per_channel(layer["bias"], x)).to(result_type(layer))


def run_relu(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """x > 0 ? min(x, maximum) : 0."""
    x = inputs[0]
    q = np.where(x.q > 0, x.q, 0)
    if layer.get("maximum") is not None:
        limit = Fraction(layer["maximum"]) * Fraction(2) ** x.fraction
        if limit.denominator != 1:
            raise ValueError(f"layer {layer['name']!r}, maximum {layer['maximum']}: does not lie in the grid of x")
        q = np.minimum(q, int(limit))
    return Value(q, x.fraction).to(result_type(layer))


def run_leaky_relu(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """x > 0 ? x : alpha·x."""
    x = inputs[0]
    alpha = per_channel(layer["alpha"], x)
    below = Value(x.q * alpha.q, x.fraction + alpha.fraction)
    return select(greater(x, single(0)), x, below).to(result_type(layer))


def run_thresholded_relu(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """x > theta ? x : 0."""
    x = inputs[0]
    return select(greater(x, scalar(layer["theta"])), x, single(0)).to(result_type(layer))


def unit_clamp(layer: Layer, x: Value) -> Value:
    """slope·x + shift, clamped to [0, 1]."""
    y = linear(x, scalar(layer["slope"]), scalar(layer["shift"]))
    zero, one = single(0), single(1)
    return select(greater(y, one), one, select(greater(y, zero), y, zero))


def run_hard_sigmoid(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """slope·x + shift, clamped to [0, 1]."""
    return unit_clamp(layer, inputs[0]).to(result_type(layer))


def run_hard_tanh(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """2y - 1, y as for the hard sigmoid."""
    return linear(unit_clamp(layer, inputs[0]), single(2), single(-1)).to(result_type(layer))


def run_threshold(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """values[number of thresholds that x reaches], thresholds per element of the last axis; stored as it is."""
    x, thresholds, result = inputs[0], constant(layer["thresholds"]), result_type(layer)
    fraction = max(x.fraction, thresholds.fraction)
    reached = x.at(fraction)[..., None] >= thresholds.at(fraction)[0]  # (events, ..., c, k)
    count = np.asarray(reached, dtype=bool).sum(axis=-1)
    return Value(python_integers(layer["values"])[count], result.fraction, result)


def run_table(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """table[index(x)], or a multiple of x where `otherwise` says so."""
    x, table, how = inputs[0], constant(layer["table"]), layer["index"]
    n = table.size
    if "bits" in how:
        index = top_bits(x, how["bits"])
    else:
        multiply, shift, offset = how["multiply"], how["shift"], how["offset"]
        index = each(lambda q: truncated_quotient(q * multiply, 1 << shift) + offset, x.q)
    y = Value(look_up(table, index, n), table.fraction)
    otherwise = layer.get("otherwise")
    if otherwise is not None:
        if otherwise.get("negative_multiply") is not None:
            factor = scalar(otherwise["negative_multiply"])
            y = Value(y.q * factor.q, y.fraction + factor.fraction)
        slope = scalar(otherwise["multiply"])
        direct = Value(x.q * slope.q, x.fraction + slope.fraction)
        y = select(x.q >= 0 if otherwise["when"] == "nonnegative" else x.q > 0, direct, y)
    return y.to(result_type(layer))


def exact_multiply(x: Value, y: Value) -> Value:
    """x·y."""
    return Value(x.q * y.q, x.fraction + y.fraction)


def exact_subtract(x: Value, y: Value) -> Value:
    """x - y."""
    return add(x, Value(-y.q, y.fraction))


def exact_average(x: Value, y: Value) -> Value:
    """(x + y) / 2: the same integer with one more fraction bit."""
    total = add(x, y)
    return Value(total.q, total.fraction + 1)


def exact_maximum(x: Value, y: Value) -> Value:
    """y unless x > y."""
    return select(greater(x, y), x, y)


def exact_minimum(x: Value, y: Value) -> Value:
    """y unless x < y."""
    return select(greater(y, x), x, y)


def binary(operation: Callable[[Value, Value], Value]) -> Callable[[Layer, list[Value], int], Value]:
    """A layer of two inputs: the shorter one begins again from its first element."""

    def run_binary(layer: Layer, inputs: list[Value], n_events: int) -> Value:
        x, y = inputs
        size, shape = (x.size, x.q.shape) if x.size >= y.size else (y.size, y.q.shape)
        cyclic = [Value(value.flat()[:, np.arange(size) % value.size], value.fraction) for value in (x, y)]
        result = operation(*cyclic).to(result_type(layer))
        return Value(result.q.reshape(shape), result.fraction, result.type)

    return run_binary
