"""hls4ml's softmax in its forms, and argmax."""

from __future__ import annotations

import numpy as np

from rheinfall.quantized.fixed_point import FixedType, parse
from rheinfall.reference.quantized.values import (
    Integers,
    Layer,
    Value,
    constant,
    each,
    look_up,
    python_integers,
    result_type,
    running_sum,
    single,
    top_bits,
    truncated_quotient,
    zeros,
)


def run_softmax(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """hls4ml's softmax over slices of `axis_size` values, by default the last axis."""
    x = inputs[0]
    size = layer.get("axis_size") or x.q.shape[-1]
    slices = Value(x.q.reshape(-1, size), x.fraction, x.type)
    kinds = {"latency": softmax_latency, "stable": softmax_stable, "legacy": softmax_legacy}
    result = kinds[layer["implementation"]](layer, slices)
    return Value(result.q.reshape(x.q.shape), result.fraction, result.type)


def softmax_latency(layer: Layer, x: Value) -> Value:
    """Exponentials of the top bits of x, times the inverse of their sum."""
    exp_table, inv_table, accum = constant(layer["exp_table"]), constant(layer["inv_table"]), parse(layer["accum"])
    e = Value(top_entries(exp_table, x), exp_table.fraction).to(accum)
    s = tree_sum([e.q[:, i] for i in range(e.q.shape[1])], accum)
    inverse = top_entries(inv_table, Value(s, accum.fraction).to(parse(layer["inv_input"])))
    return Value(e.q * inverse[:, None], accum.fraction + inv_table.fraction).to(result_type(layer))


def softmax_stable(layer: Layer, x: Value) -> Value:
    """The same, of the largest x minus x."""
    largest = x.q.max(axis=1, keepdims=True)
    return softmax_latency(layer, Value(largest - x.q, x.fraction).to(parse(layer["norm"])))


def top_entries(table: Value, x: Value) -> Integers:
    """table[top bits of x]."""
    return look_up(table, top_bits(x, table.size.bit_length() - 1), table.size)


def tree_sum(terms: list[Integers], accum: FixedType) -> Integers:
    """Sum in pairs, split at the largest power of two below the number of terms; each addition → accum."""
    if len(terms) == 1:
        return terms[0]
    split = 1 << ((len(terms) - 1).bit_length() - 1)
    total = tree_sum(terms[:split], accum) + tree_sum(terms[split:], accum)
    return Value(total, accum.fraction).to(accum).q


def softmax_legacy(layer: Layer, x: Value) -> Value:
    """For each i the inverse of Σ_j exp(x_j - x_i), both read from tables over [-8, 8) and [0, 64)."""
    exp_table, inv_table, accum = constant(layer["exp_table"]), constant(layer["inv_table"]), parse(layer["accum"])
    n_exp, n_inv = exp_table.size, inv_table.size
    result = zeros(*x.q.shape)
    for i in range(x.q.shape[1]):
        terms = []
        for j in range(x.q.shape[1]):
            index = table_index(Value(x.q[:, j] - x.q[:, i], x.fraction), n_exp, 16) + n_exp // 2
            entry = Value(look_up(exp_table, index, n_exp), exp_table.fraction)
            terms.append(single(1).to(accum).q if i == j else entry.to(accum).q)
        e = running_sum(terms, accum.fraction, accum, len(x.q))
        result[:, i] = look_up(inv_table, table_index(e, n_inv, 64), n_inv)
    return Value(result, inv_table.fraction).to(result_type(layer))


def table_index(x: Value, n: int, span: int) -> Integers:
    """x·n / span, cut off towards zero."""
    up, down = max(-x.fraction, 0), max(x.fraction, 0)
    return each(lambda q: truncated_quotient((q << up) * n, span << down), x.q)


def run_argmax(layer: Layer, inputs: list[Value], n_events: int) -> Value:
    """1 at the first largest of the last axis, 0 elsewhere."""
    x = inputs[0].q
    first = np.argmax(x, axis=-1)
    hot = np.where(np.arange(x.shape[-1]) == first[..., None], 1, 0)
    return Value(python_integers(hot), 0).to(result_type(layer))
