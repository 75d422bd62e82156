"""Numbers of the reference: Python integers with a binary point, and what several operations do with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rheinfall.quantized.fixed_point import FixedType, overflow, parse, round_shift

Integers = npt.NDArray[Any]  # of Python integers
Layer = Mapping[str, Any]


@dataclass(frozen=True)
class Value:
    """Integers of shape (n_events, *shape), each q meaning q / 2**fraction; width as stored."""

    q: Integers
    fraction: int
    type: FixedType | None = None  # None: an exact intermediate

    @property
    def n_events(self) -> int:
        """The length of the first axis."""
        return int(self.q.shape[0])

    @property
    def size(self) -> int:
        """Elements of one event."""
        return int(np.prod(self.q.shape[1:]))

    def flat(self) -> Integers:
        """The integers as (n_events, size)."""
        return self.q.reshape(self.n_events, self.size)

    def to(self, target: FixedType) -> Value:
        """The values converted to a type."""
        return Value(convert_array(self.q, self.fraction, target), target.fraction, target)

    def at(self, fraction: int) -> Integers:
        """The integers with more fraction bits."""
        return self.q << (fraction - self.fraction)


def python_integers(values: npt.ArrayLike) -> Integers:
    """An array of Python integers, of the same shape."""
    array = np.asarray(values)
    result = np.empty(array.shape, dtype=object)
    result[...] = array.tolist() if array.ndim else int(array)
    return result


def convert_array(v: Integers, fraction: int, target: FixedType) -> Integers:
    """`fixed_point.convert` for arrays of Python integers, with the cases that lose nothing told apart for speed."""
    s = fraction - target.fraction
    if v.size == 0:
        return v
    if s > 0:
        v = each(lambda q: round_shift(q, s, target.rounding), v)
    elif s < 0:
        v = np.multiply(v, 1 << -s)
    high = target.maximum
    if -high * target.is_signed <= v.min() and v.max() <= high:  # without the lowest value, which SAT_SYM changes
        return v
    return each(lambda q: overflow(q, target), v)


def each(function: Callable[[int], int], v: Integers) -> Integers:
    """function(q) of each element."""
    result: Integers = np.asarray(np.frompyfunc(function, 1, 1)(v), dtype=object)
    return result


def zeros(*shape: int) -> Integers:
    """An array of the Python integer 0."""
    result = np.empty(shape, dtype=object)
    result[...] = 0
    return result


def constant(tensor: Mapping[str, Any]) -> Value:
    """A tensor of the document as a value, with an axis of one event."""
    stored = parse(tensor["type"])
    return Value(python_integers(tensor["data"]).reshape(1, *tensor["shape"]), stored.fraction, stored)


def result_type(layer: Layer) -> FixedType:
    """The type in which a layer's result is stored."""
    return parse(layer["result"])


def linear(x: Value, scale: Value, shift: Value) -> Value:
    """x·scale + shift, exactly."""
    return add(Value(x.q * scale.q, x.fraction + scale.fraction), shift)


def add(x: Value, y: Value) -> Value:
    """x + y, exactly."""
    fraction = max(x.fraction, y.fraction)
    return Value(x.at(fraction) + y.at(fraction), fraction)


def select(condition: npt.NDArray[np.bool_], x: Value, y: Value) -> Value:
    """x where the condition holds, else y, with fraction bits enough for both."""
    fraction = max(x.fraction, y.fraction)
    return Value(np.where(condition, x.at(fraction), y.at(fraction)), fraction)


def greater(x: Value, y: Value) -> npt.NDArray[np.bool_]:
    """x > y, element by element, as real numbers."""
    fraction = max(x.fraction, y.fraction)
    return np.asarray(x.at(fraction) > y.at(fraction), dtype=bool)


def single(q: int, fraction: int = 0) -> Value:
    """One number for all events and elements."""
    return Value(python_integers([q]), fraction)


def scalar(tensor: Mapping[str, Any]) -> Value:
    """A tensor of one element, which meets arrays of any shape."""
    value = constant(tensor)
    return Value(value.q.reshape(1), value.fraction)


def per_channel(tensor: Mapping[str, Any], x: Value) -> Value:
    """A tensor of one value, one per element of the last axis, or of x's shape."""
    value = constant(tensor)
    flat = value.q.reshape(-1)
    return Value(flat if flat.size in (1, x.q.shape[-1]) else flat.reshape(x.q.shape[1:]), value.fraction)


def truncated_quotient(numerator: int, denominator: int) -> int:
    """numerator / denominator (> 0), cut off towards zero."""
    quotient = abs(numerator) // denominator
    return quotient if numerator >= 0 else -quotient


def top_bits(x: Value, bits: int) -> Integers:
    """The top bits of the stored bit pattern, as an unsigned number."""
    assert x.type is not None
    width = x.type.width
    return each(lambda q: (q % (1 << width)) >> (width - bits), x.q)


def look_up(table: Value, index: Integers, n: int) -> Integers:
    """table[index], the index clamped to the table."""
    clamped = np.clip(index, 0, n - 1).astype(np.int64)
    entries: Integers = table.q.reshape(-1)[clamped]
    return entries


def running_sum(terms: Any, fraction: int, accum: FixedType, *shape: int) -> Value:
    """a = 0; a = (a + x) → accum for each of the terms, which have `fraction` fraction bits."""
    a = Value(zeros(*shape), accum.fraction, accum)
    for x in terms:
        a = add(a, Value(x, fraction)).to(accum)
    return a
