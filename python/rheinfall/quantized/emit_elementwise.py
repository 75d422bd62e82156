"""C++ of the layers that move values or treat each element by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

from rheinfall.quantized.emit_body import Body, Integer, literal
from rheinfall.quantized.emit_values import Layer, Tensor, Value, tensor
from rheinfall.quantized.fixed_point import FixedType, convert

Interval = tuple[int, int]


class Writer:
    """Writes one layer's function: reads the arrays of `inputs`, stores `y`, keeps the interval of what is stored."""

    def __init__(self, layer: Layer, inputs: Sequence[Value], shape: tuple[int, ...], result: FixedType) -> None:
        self.layer, self.inputs, self.shape, self.result = layer, inputs, shape, result
        self.body = Body()
        self.lo, self.hi = 0, 0
        self._stored = False

    @property
    def size(self) -> int:
        """Elements of the result."""
        return math.prod(self.shape)

    def x(self, index: str = "i", which: int = 0) -> Integer:
        """An element of an input."""
        value = self.inputs[which]
        return Integer(f"{value.code}[{index}]", value.lo, value.hi, int(value.ctype[1:]))

    def store(self, value: Integer, fraction: int, index: str = "i") -> None:
        """Convert to the result's type and store."""
        self.store_integer(self.body.convert(value, fraction, self.result), index)

    def store_integer(self, value: Integer, index: str = "i") -> None:
        """Store an integer of the result's grid. The C++ type of y is known when all is written: Y stands for it."""
        self.body.line(f"y[{index}] = static_cast<Y>({value.code});")
        self.lo, self.hi = (min(self.lo, value.lo), max(self.hi, value.hi)) if self._stored else (value.lo, value.hi)
        self._stored = True

    def store_constants(self, values: Sequence[int]) -> None:
        """Store integers of the result's grid."""
        table = self.body.array("value", values)
        with self.body.loop("i", len(values)):
            self.store_integer(table["i"])

    def per_channel(self, described: Tensor, stem: str) -> Callable[[str], Integer]:
        """Reader, by flat index, of a tensor with one value, one per element of the last axis, or of x's shape."""
        if len(described.data) == 1:
            return lambda index: literal(described.data[0])
        array = self.body.array(stem, described.data)
        if len(described.data) == self.inputs[0].shape[-1] and len(described.data) != self.size:
            return lambda index: array[f"{index} % {len(described.data)}"]
        return lambda index: array[index]

    def aligned(self, *values: tuple[Integer, int]) -> tuple[list[Integer], int]:
        """Numbers brought to one binary point."""
        fraction = max(f for _, f in values)
        return [self.body.let(self.body.scale_up(v, fraction - f)) for v, f in values], fraction


def write_constant(w: Writer) -> None:
    """A tensor of the document."""
    w.store_constants(tensor(w.layer["value"]).to(w.result))


def write_quantize(w: Writer) -> None:
    """A conversion; a reshape is one too, for flat arrays."""
    with w.body.loop("i", w.size):
        w.store(w.x(), w.inputs[0].fraction)


def write_transpose(w: Writer) -> None:
    """Axis k of the result is axis perm[k] of x."""
    x = w.inputs[0]
    _write_indexed(w, np.arange(x.size).reshape(x.shape).transpose(w.layer["perm"]).reshape(-1).tolist())


def write_gather(w: Writer) -> None:
    """x[index], 0 where the index is -1."""
    _write_indexed(w, list(w.layer["index"]))


def _write_indexed(w: Writer, index: list[int]) -> None:
    table, x = w.body.array("index", index), w.inputs[0]
    with w.body.loop("i", len(index)):
        element = w.x(table["i"].code)
        if min(index) < 0:
            element = w.body.select(f"{table['i'].code} < 0", literal(0), element)
        w.store(element, x.fraction)


def write_concatenate(w: Writer) -> None:
    """Each input to its place along the axis."""
    rank = len(w.shape)
    axis = w.layer["axis"] % rank
    inner = math.prod(w.shape[axis + 1 :])
    row, start = w.shape[axis] * inner, 0
    for which, x in enumerate(w.inputs):
        length = x.shape[axis] * inner
        with w.body.loop("r", x.size // length), w.body.loop("j", length):
            w.store(w.x(f"r * {length} + j", which), x.fraction, f"r * {row} + {start} + j")
        start += length


def write_affine(w: Writer) -> None:
    """x·scale + bias."""
    scale, bias, x = tensor(w.layer["scale"]), tensor(w.layer["bias"]), w.inputs[0]
    read_scale, read_bias = w.per_channel(scale, "scale"), w.per_channel(bias, "bias")
    with w.body.loop("i", w.size):
        product = w.body.multiply(w.x(), read_scale("i"))
        (a, b), fraction = w.aligned((product, x.fraction + scale.fraction), (read_bias("i"), bias.fraction))
        w.store(w.body.add(a, b), fraction)


def write_relu(w: Writer) -> None:
    """x > 0 ? min(x, maximum) : 0."""
    maximum, fraction = w.layer.get("maximum"), w.inputs[0].fraction
    with w.body.loop("i", w.size):
        x = w.body.maximum(w.x(), 0)
        if maximum is not None:
            # Where x is not positive the result is 0 even if the maximum is negative.
            limit = int(Fraction(maximum) * Fraction(2) ** fraction)
            x = w.body.minimum(x, limit) if limit >= 0 else _negative_maximum(w, limit)
        w.store(x, fraction)


def _negative_maximum(w: Writer, limit: int) -> Integer:
    return w.body.select(f"{w.x().code} > 0", literal(limit), literal(0)) if w.x().hi > 0 else literal(0)


def write_leaky_relu(w: Writer) -> None:
    """x > 0 ? x : alpha·x."""
    alpha, x = tensor(w.layer["alpha"]), w.inputs[0]
    read_alpha = w.per_channel(alpha, "alpha")
    with w.body.loop("i", w.size):
        value = w.body.let(w.x())
        below = w.body.multiply(value, read_alpha("i"))
        (a, b), fraction = w.aligned((value, x.fraction), (below, x.fraction + alpha.fraction))
        w.store(w.body.let(w.body.select(f"{value.code} > 0", a, b)), fraction)


def write_thresholded_relu(w: Writer) -> None:
    """x > theta ? x : 0."""
    theta, x = tensor(w.layer["theta"]), w.inputs[0]
    with w.body.loop("i", w.size):
        value = w.body.let(w.x())
        (a, b), _ = w.aligned((value, x.fraction), (literal(theta.data[0]), theta.fraction))
        w.store(w.body.let(w.body.select(w.body.compare(a, ">", b), value, literal(0))), x.fraction)


def write_hard_sigmoid(w: Writer) -> None:
    """slope·x + shift, held in [0, 1]; the hard tanh is twice that, less one."""
    slope, shift, x = tensor(w.layer["slope"]), tensor(w.layer["shift"]), w.inputs[0]
    with w.body.loop("i", w.size):
        product = w.body.multiply(w.x(), literal(slope.data[0]))
        (a, b), fraction = w.aligned((product, x.fraction + slope.fraction), (literal(shift.data[0]), shift.fraction))
        y = w.body.let(w.body.scale_up(w.body.add(a, b), max(-fraction, 0)))
        fraction = max(fraction, 0)
        y = w.body.minimum(w.body.maximum(y, 0), 1 << fraction)
        if w.layer["op"] == "hard_tanh":
            y = w.body.subtract(w.body.scale_up(y, 1), literal(1 << fraction))
        w.store(y, fraction)


def write_threshold(w: Writer) -> None:
    """values[number of thresholds reached]."""
    thresholds, x, values = tensor(w.layer["thresholds"]), w.inputs[0], list(w.layer["values"])
    rows, k = thresholds.shape
    table, read = w.body.array("threshold", thresholds.data or [0]), w.body.array("value", values)
    with w.body.loop("i", w.size):
        (value,), fraction = w.aligned((w.x(), x.fraction))
        raised = w.body.let(w.body.scale_up(value, max(thresholds.fraction - fraction, 0)))
        w.body.line("int n = 0;")
        with w.body.loop("j", k):
            index = "j" if rows == 1 else f"i % {rows} * {k} + j"
            limit = w.body.scale_up(table[index], max(fraction - thresholds.fraction, 0))
            w.body.line(f"n += {w.body.compare(raised, '>=', limit)} ? 1 : 0;")
        w.store_integer(read["n"])


def write_argmax(w: Writer) -> None:
    """1 at the first largest of the last axis."""
    n = w.shape[-1]
    hot, cold = (literal(convert(v, 0, w.result)) for v in (1, 0))
    with w.body.loop("r", w.size // n):
        w.body.line("int largest = 0;")
        with w.body.loop("j", n):
            w.body.line(f"largest = {w.x(f'r * {n} + j').code} > {w.x(f'r * {n} + largest').code} ? j : largest;")
        with w.body.loop("j", n):
            w.store_integer(w.body.select("j == largest", hot, cold), f"r * {n} + j")


def write_binary(w: Writer) -> None:
    """Two inputs; the shorter one begins again from its first element."""
    fractions = [value.fraction for value in w.inputs]
    with w.body.loop("i", w.size):
        x, y = (w.x("i" if v.size == w.size else f"i % {v.size}", k) for k, v in enumerate(w.inputs))
        w.store(*_binary(w, x, y, fractions))


def _binary(w: Writer, x: Integer, y: Integer, fractions: list[int]) -> tuple[Integer, int]:
    kind = w.layer["op"]
    if kind == "multiply":
        return w.body.multiply(x, y), sum(fractions)
    (a, b), fraction = w.aligned((x, fractions[0]), (y, fractions[1]))
    if kind in ("maximum", "minimum"):
        return w.body.let(w.body.select(w.body.compare(a, ">" if kind == "maximum" else "<", b), a, b)), fraction
    if kind == "subtract":
        return w.body.subtract(a, b), fraction
    return w.body.add(a, b), fraction + (kind == "average")  # half of it is the same integer, one fraction bit more


def write_shift(w: Writer) -> None:
    """floor(q / 2**k), or q·2**-k wrapped to x's width; then to the result."""
    x, shifts = w.inputs[0], list(w.layer["shift"])
    wrap = FixedType(x.type.width, x.type.integer, x.type.is_signed)
    right, left = [max(k, 0) for k in shifts], [max(-k, 0) for k in shifts]
    bits = w.x().bits
    if len(set(shifts)) == 1:
        with w.body.loop("i", w.size):
            if left[0]:
                # A left shift is the conversion of a number whose binary point stands further right.
                w.store(w.body.let(w.body.convert(w.x(), x.fraction - left[0], wrap)), x.fraction)
            else:
                w.store(w.body.floor_shift(w.x(), right[0]), x.fraction)
        return
    down = w.body.array("down", [min(k, bits - 1) for k in right])
    with w.body.loop("i", w.size):
        value = w.body.let(Integer(f"({w.x().code} >> {down['i'].code})", min(x.lo, 0), max(x.hi, 0), bits))
        if any(left):
            lanes = 32 if x.type.width <= 32 else 64
            up = w.body.array("up", [min(k, lanes - 1) for k in left])
            keep = w.body.array("keep", [-1 if k < lanes else 0 for k in left])
            low, high = (-(1 << (lanes - 1)), (1 << (lanes - 1)) - 1)
            kept = f"({value.lane(lanes)} & {keep['i'].lane(lanes)})"
            raised = Integer(f"static_cast<i{lanes}>({kept} << {up['i'].code})", low, high, lanes)
            value = w.body.let(w.body.overflow(w.body.let(raised), wrap))
        w.store(value, x.fraction)


def write_rescale(w: Writer) -> None:
    """(q·multiplier + addend) / divisor rounded, then clamped or brought into range."""
    layer = w.layer
    grid = FixedType(64, 64)
    factors = (Tensor(grid, (len(layer[k]),), list(layer[k])) for k in ("multiplier", "addend", "divisor"))
    multiplier, addend, divisor = (w.per_channel(t, f"factor{k}") for k, t in enumerate(factors))
    with w.body.loop("i", w.size):
        n = w.body.let(w.body.add(w.body.multiply(w.x(), multiplier("i")), addend("i")))
        q = w.body.let(rational_rounding(w.body, n, w.body.let(divisor("i")), layer["round"]))
        low, high = layer.get("minimum"), layer.get("maximum")
        if low is None and high is None:
            w.store_integer(w.body.overflow(q, w.result))
        else:
            q = w.body.maximum(q, w.result.minimum if low is None else low)
            w.store_integer(w.body.minimum(q, w.result.maximum if high is None else high))


def rational_rounding(body: Body, n: Integer, d: Integer, rounding: str) -> Integer:
    """n / d (d > 0) rounded to an integer, from the floor and the remainder."""
    truncated = body.let(body.truncated_quotient(n, d))
    remainder = body.let(body.subtract(n, Integer(f"{truncated.at(n.bits)} * {d.at(n.bits)}", n.lo, n.hi, n.bits)))
    remainder = Integer(remainder.code, -d.hi + 1, d.hi - 1, remainder.bits)
    floor = body.let(body.subtract(truncated, Integer(f"({remainder.code} < 0 ? 1 : 0)", 0, 1, 32)))
    rest = body.let(body.select(f"{remainder.code} < 0", body.add(remainder, d), remainder))
    rest = body.let(Integer(rest.code, 0, d.hi - 1, rest.bits))
    other = body.let(body.subtract(d, rest))  # above, equal or below the rest: below, at or above one half
    over, tie = body.compare(rest, ">", other), body.compare(rest, "==", other)
    inexact = f"{rest.code} != 0"
    negative = f"{n.code} < 0"
    up = {
        "TRN": "false",
        "TRN_ZERO": f"{negative} && {inexact}",
        "RND": f"{over} || {tie}",
        "RND_MIN_INF": over,
        "RND_ZERO": f"{over} || ({tie} && {negative})",
        "RND_INF": f"{over} || ({tie} && !({negative}))",
        "RND_CONV": f"{over} || ({tie} && ({floor.code} & 1) != 0)",
        "CEIL": inexact,
        "UP": f"{inexact} && !({negative})",
    }[rounding]
    return body.add(floor, Integer(f"(({up}) ? 1 : 0)", 0, 1, 32))
