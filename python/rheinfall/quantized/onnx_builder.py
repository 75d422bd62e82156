"""The document under construction: layers, names, and how a value gets into the order that a layer needs."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from math import gcd, lcm
from typing import Any

import numpy as np

from rheinfall.quantized.fixed_point import FixedType, format_type
from rheinfall.quantized.onnx_values import (
    INFINITY,
    Array,
    Linear,
    RefusalError,
    Stored,
    Trapped,
    Value,
    all_equal,
    integer_type,
)


class Builder:
    """Collects the layers of a document; `node` is the ONNX node that is being lowered, for names and notes."""

    def __init__(self) -> None:
        self.inputs: list[dict[str, Any]] = []
        self.layers: list[dict[str, Any]] = []
        self.traps = Trapped()
        self.rational: list[str] = []  # quantizers whose scale is no power of two
        self.node = ""
        self._names: set[str] = set()
        self._arranged: dict[tuple[str, tuple[int, ...], bytes], Stored] = {}

    def unique(self, wanted: str) -> str:
        """A name that is not taken: the wanted one, or with a number after it."""
        base = re.sub(r"[^\w./:-]", "_", wanted)[:200] or "layer"
        name, n = base, 1
        while name in self._names:
            n += 1
            name = f"{base}.{n}"
        self._names.add(name)
        return name

    def emit(
        self,
        op: str,
        inputs: list[Stored],
        shape: tuple[int, ...],
        result: FixedType,
        low: list[int],
        high: list[int],
        suffix: str = "",
        /,
        **fields: Any,
    ) -> Stored:
        """Append a layer; its name is the node's with `suffix`. Absent fields are given as None."""
        name = self.unique(f"{self.node}.{suffix}" if suffix else self.node)
        layer = {"name": name, "op": op, "inputs": [x.name for x in inputs], "result": format_type(result)}
        layer |= {key: value for key, value in fields.items() if value is not None}
        self.layers.append(layer)
        return Stored(name, shape, result, low, high, layer)

    def arrange(self, value: Value, index: Array, shape: tuple[int, ...]) -> Stored:
        """`value.stored` with the elements `index` (any shape, positions or -1 for zero), row-major, as `shape`."""
        stored, flat = value.stored, np.ascontiguousarray(index, dtype=np.int64).ravel()
        in_order = flat.size == stored.size and bool((flat == np.arange(flat.size)).all())
        if in_order and shape == stored.shape:
            return stored
        key = (stored.name, shape, flat.tobytes())
        if key not in self._arranged:
            self._arranged[key] = self._move(stored, flat, shape, in_order)
        return self._arranged[key]

    def _move(self, stored: Stored, flat: Array, shape: tuple[int, ...], in_order: bool) -> Stored:
        low, high = [min(stored.low)], [max(stored.high)]
        if in_order:
            if shape[-1] == stored.shape[-1]:
                low, high = stored.low, stored.high
            return self.emit("reshape", [stored], shape, stored.type, low, high, "reshape", shape=list(shape))
        perm = _permutation(stored.shape, flat, shape)
        if perm is not None:
            return self.emit("transpose", [stored], shape, stored.type, low, high, "transpose", perm=perm)
        if (flat < 0).any():
            low, high = [min(low[0], 0)], [max(high[0], 0)]
        return self.emit(
            "gather", [stored], shape, stored.type, low, high, "gather", index=flat.tolist(), shape=list(shape)
        )

    def in_onnx_order(self, value: Value) -> Value:
        """The value with its integers stored row-major in the ONNX shape."""
        stored = self.arrange(value, value.index, tuple(value.shape[1:]) or (1,))
        return replace(
            value, stored=stored, index=np.arange(stored.size).reshape(value.shape), single_use=value.single_use
        )

    def channels_last(self, value: Value) -> Value:
        """The value with its integers stored with axis 1 of the ONNX shape as the last one."""
        index = np.moveaxis(value.index, 1, -1)[0]
        stored = self.arrange(value, index, index.shape)
        flat = np.arange(stored.size).reshape((1, *index.shape))
        return replace(value, stored=stored, index=np.moveaxis(flat, -1, 1))

    def compact(self, value: Value) -> Value:
        """The value with each stored integer used exactly once (a slice or a padding becomes a gather)."""
        flat = value.index.ravel()
        if flat.size == value.stored.size and flat.min(initial=0) >= 0:
            seen = np.zeros(flat.size, dtype=bool)
            seen[flat] = True
            if seen.all():
                return value
        return self.in_onnx_order(value)

    def without_clamp(self, value: Value) -> Value:
        """The value with pending clamps done on its integers, on a finer grid where they need one.

        Raises:
            RefusalError: no grid of 62 bits holds the clamps, or a curve is pending.
        """
        linear = value.linear
        if not linear.has_clamp:
            return value
        value = self.compact(value)
        per_channel, stored = doc_order(self, value, linear.arrays)
        a, b, low, high = per_channel
        n = max(len(p) for p in per_channel)
        a, b, low, high = (p * n if len(p) == 1 else p for p in (a, b, low, high))
        if any(x == 0 for x in a):
            raise RefusalError("a channel of its input is multiplied by zero and clamped without a quantizer")
        offsets = [y / x for x, y in zip(a, b, strict=True)]
        ends = [sorted((lo / x, hi / x)) for x, lo, hi in zip(a, low, high, strict=True)]
        grid = 1
        for c in range(n):
            for x in (offsets[c], *ends[c]):
                if abs(x) != INFINITY:
                    grid = lcm(grid, Fraction(x).denominator)
        lows = [x[0] if x[0] == -INFINITY else int(x[0] * grid) for x in ends]
        highs = [x[1] if x[1] == INFINITY else int(x[1] * grid) for x in ends]
        if grid.bit_length() > 40 or not all_equal(lows) or not all_equal(highs):
            raise RefusalError(
                "it follows a clamp (Relu, Clip) whose limits have no common integers: no quantizer after it"
            )
        addend = [int(x * grid) for x in offsets]
        q_low = [min(stored.low) * grid + x for x in addend]
        q_high = [max(stored.high) * grid + x for x in addend]
        q_low, q_high = ([int(max(min(x, highs[0]), lows[0])) for x in q] for q in (q_low, q_high))
        fraction = stored.type.fraction if grid == 1 else 0
        result = integer_type(min(q_low), max(q_high), fraction)
        if grid == 1 and not any(addend) and lows[0] == 0 and highs[0] == INFINITY:
            done = self.emit("relu", [stored], stored.shape, result, q_low, q_high, "relu")
        else:
            done = self.emit(
                "rescale", [stored], stored.shape, result, q_low, q_high, "clamp",
                multiplier=[grid], addend=addend if not all_equal(addend) else addend[:1], divisor=[1], round="TRN",
                minimum=None if lows[0] == -INFINITY else lows[0], maximum=None if highs[0] == INFINITY else highs[0],
            )  # fmt: skip
        exact = Linear.of(linear.a / grid, 0, value.index.ndim)
        return replace(value, stored=done, steps=(exact,), single_use=True)

    def with_zero_offset(self, value: Value) -> Value:
        """The value with real = a·q: a pending constant, a zero point for instance, goes into the integers.

        Raises:
            RefusalError: the constant is no small multiple of the grid.
        """
        value = self.compact(self.without_clamp(value))
        linear = value.linear
        if all(x == 0 for x in linear.b.flat):
            return value
        if any(x == 0 for x in linear.a.flat):
            raise RefusalError("a channel of its input is multiplied by zero")
        ratio = np.asarray(linear.b / linear.a, dtype=object)
        (offsets,), stored = doc_order(self, value, (ratio,))
        grid = lcm(*(Fraction(x).denominator for x in offsets))
        if grid.bit_length() > 40:
            raise RefusalError(
                "the constant added to its input is no multiple of the input's scale: no quantizer after it"
            )
        addend = [int(x * grid) for x in offsets]
        low = [min(stored.low) * grid + x for x in addend]
        high = [max(stored.high) * grid + x for x in addend]
        result = integer_type(min(low), max(high), stored.type.fraction if grid == 1 else 0)
        done = self.emit(
            "rescale", [stored], stored.shape, result, low, high, "offset",
            multiplier=[grid], addend=addend, divisor=[1], round="TRN",
        )  # fmt: skip
        return replace(value, stored=done, steps=(Linear.of(linear.a / grid, 0, value.index.ndim),), single_use=True)


def doc_order(builder: Builder, value: Value, parameters: tuple[Array, ...]) -> tuple[list[list[Any]], Stored]:
    """Parameters in the order of the stored integers: one for all, or one per last axis, the same for each parameter.

    Where they vary more than that, the integers are taken as one flat axis. `value` must be compact.
    """
    stored = value.stored
    spread: list[tuple[Array, list[Any]] | None] = []  # for each parameter, codes in stored order and what they mean
    for parameter in parameters:
        if parameter.size == 1:
            spread.append(None)
            continue
        codes, meanings = _coded(parameter)
        placed = np.empty(stored.size, dtype=np.int64)
        placed[value.index.ravel()] = np.broadcast_to(codes, value.index.shape).ravel()
        spread.append((placed, meanings))
    last = stored.shape[-1]
    if all(s is None or bool((s[0].reshape(-1, last) == s[0][:last]).all()) for s in spread):
        n = last
    else:
        n, stored = stored.size, builder.arrange(value, np.arange(stored.size), (stored.size,))
    lists = [
        [p.flat[0]] if s is None else [s[1][code] for code in s[0][:n].tolist()]
        for p, s in zip(parameters, spread, strict=True)
    ]
    return [_shortened(x) for x in lists], stored


def _coded(parameter: Array) -> tuple[Array, list[Any]]:
    """Equal values as equal small integers: exact numbers are slow to compare."""
    by_identity: dict[int, int] = {}
    by_value: dict[Any, int] = {}
    codes = []
    objects = parameter.ravel().tolist()
    for x in objects:
        code = by_identity.get(id(x))
        if code is None:
            code = by_identity[id(x)] = by_value.setdefault(x, len(by_value))
        codes.append(code)
    return np.array(codes, dtype=np.int64).reshape(parameter.shape), list(by_value)


def _shortened(values: list[Any]) -> list[Any]:
    return values[:1] if all_equal(values) else values


def _permutation(old: tuple[int, ...], flat: Array, shape: tuple[int, ...]) -> list[int] | None:
    """The axes of `old` that make `shape` in the order `flat`, if a transposition does."""
    if len(old) > 4 or len(shape) != len(old) or flat.size != int(np.prod(old)):
        return None
    positions = np.arange(flat.size).reshape(old)
    from itertools import permutations

    for perm in permutations(range(len(old))):
        if tuple(old[axis] for axis in perm) == shape and bool((positions.transpose(perm).ravel() == flat).all()):
            return list(perm)
    return None


def common_measure(values: list[Fraction]) -> Fraction:
    """The largest rational number of which all (not zero) are whole multiples."""
    result = Fraction(0)
    for x in values:
        x = abs(x)
        result = Fraction(gcd(result.numerator * x.denominator, x.numerator * result.denominator),
                          result.denominator * x.denominator)  # fmt: skip
    return result
