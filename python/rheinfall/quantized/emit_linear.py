"""C++ of the layers that add products or values in an accumulator: dense, convolutions, dot, sums, pools.

An accumulator that neither rounds nor saturates is exact modulo 2**W in any order, so it lives in an unsigned lane of
32 or 64 bits; the same holds for one that provably never leaves its range. Any other is converted at each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rheinfall.quantized.emit_body import Array, Body, Integer, converted_interval, least_kept, literal
from rheinfall.quantized.emit_elementwise import Writer
from rheinfall.quantized.emit_values import Window, lane_bits, tensor
from rheinfall.quantized.fixed_point import FixedType, parse

Interval = tuple[int, int]


@dataclass
class Accumulator:
    """How one layer accumulates products of `fraction` fraction bits in the type `accum`."""

    accum: FixedType
    fraction: int
    proven: Interval | None  # exact final interval, where no conversion on the way changes anything but fraction bits
    is_modular: bool  # kept in an unsigned lane

    @property
    def lanes(self) -> int:
        """Bits of the unsigned lane, or of the signed accumulator."""
        if self.is_modular:
            return 32 if self.accum.width <= 32 else 64
        return lane_bits(*self.accum.range)

    @property
    def raises(self) -> int:
        """By how many bits the exact sum of products is moved up in the end."""
        return max(self.accum.fraction - self.fraction, 0) if self.is_modular else 0

    @property
    def declared(self) -> str:
        """The C++ type of the accumulator."""
        return f"{'u' if self.is_modular else 'i'}{self.lanes}"

    def start(self, body: Body, bias: Array | None, index: str) -> str:
        """The accumulator before the first product; with `raises`, the bias comes last."""
        if bias is None or self.raises:
            return "0"
        return bias[index].lane(self.lanes) if self.is_modular else bias[index].at(self.lanes)

    def add(self, body: Body, a: str, x: Integer, w: Integer) -> None:
        """a = a + (x·w → accum) → accum."""
        if self.is_modular and self.fraction <= self.accum.fraction:
            body.line(f"{a} += {x.lane(self.lanes)} * {w.lane(self.lanes)};")
        else:
            self.add_product(body, a, body.multiply(x, w))

    def add_product(self, body: Body, a: str, product: Integer) -> None:
        """The same for a product as it is."""
        term = body.round_shift(product, self.fraction - self.accum.fraction, self.accum.rounding, self.accum)
        self.add_term(body, a, term if self.is_modular else body.overflow(term, self.accum))

    def add_term(self, body: Body, a: str, term: Integer) -> None:
        """a = a + term → accum; the term is in accum's grid."""
        if self.is_modular:
            body.line(f"{a} += {term.lane(self.lanes)};")
            return
        before = Integer(a, *self.accum.range, self.lanes)
        after = body.overflow(body.let(body.add(before, term)), self.accum)
        body.line(f"{a} = {after.at(self.lanes)};")

    def value(self, body: Body, a: str, bias: Array | None, index: str) -> Integer:
        """The accumulator at the end, an integer of accum's grid."""
        if not self.is_modular:
            return Integer(a, *self.accum.range, self.lanes)
        lane = a
        if self.raises:
            lane = f"({a} << {self.raises})" if self.raises < self.lanes else f"u{self.lanes}{{0}}"
            if bias is not None:
                lane = f"({lane} + {bias[index].lane(self.lanes)})"
        full = Integer(
            f"static_cast<i{self.lanes}>({lane})", -(1 << (self.lanes - 1)), (1 << (self.lanes - 1)) - 1, self.lanes
        )
        if self.proven is not None:
            lo, hi = self.proven
            if lane_bits(lo, hi) <= self.lanes:
                return body.let(Integer(full.code, lo, hi, self.lanes))
            wide = lane_bits(lo, hi)  # an unsigned type that fills its lane
            return body.let(Integer(f"static_cast<i{wide}>({lane})", lo, hi, wide))
        return body.let(body.overflow(full, FixedType(self.accum.width, self.accum.integer, self.accum.is_signed)))


def accumulator(
    accum: FixedType, fraction: int, x: Interval, weights: npt.NDArray[np.object_], bias: Sequence[int]
) -> Accumulator:
    """Prove what can be proven about Σ x_i·w_io + bias_o (in accum's grid), terms in order along the first axis."""
    proven = _prove(accum, fraction, x, weights, bias)
    return Accumulator(accum, fraction, proven, proven is not None or accum.overflow == "WRAP")


def _prove(
    accum: FixedType, fraction: int, x: Interval, weights: npt.NDArray[np.object_], bias: Sequence[int]
) -> Interval | None:
    low = np.array(list(bias), dtype=object)
    high = low.copy()
    least, most = int(low.min()), int(high.max())
    products_low, products_high = np.minimum(weights * x[0], weights * x[1]), np.maximum(weights * x[0], weights * x[1])
    if converted_interval(int(products_low.min()), int(products_high.max()), fraction, accum) is None:
        return None
    rounded = np.frompyfunc(lambda v: _converted(v, fraction, accum), 1, 1)
    for term_low, term_high in zip(rounded(products_low), rounded(products_high), strict=True):
        low, high = low + term_low, high + term_high
        least, most = min(least, int(low.min())), max(most, int(high.max()))
    if least < least_kept(accum) or most > accum.maximum:
        return None
    return int(low.min()), int(high.max())


def _converted(v: int, fraction: int, accum: FixedType) -> int:
    interval = converted_interval(v, v, fraction, accum)
    assert interval is not None
    return interval[0]


def _bias(w: Writer, n: int, accum: FixedType, n_padded: int = 0) -> tuple[list[int], Array | None]:
    if w.layer.get("bias") is None:
        return [0] * n, None
    values = tensor(w.layer["bias"]).to(accum)
    return values, w.body.array("bias", values + [0] * (n_padded - n))


def whole_vectors(n: int) -> int:
    """So many lanes, from 4 on to whole eights: compilers fill rows of other lengths with worse than products of 0."""
    return n if n < 4 else -(-n // 8) * 8


def write_dense(w: Writer) -> None:
    """On the last axis."""
    weight, accum, x = tensor(w.layer["weight"]), parse(w.layer["accum"]), w.inputs[0]
    n_in, n_out = weight.shape
    order = list(w.layer.get("order") or range(n_in))
    rows = np.array(weight.data, dtype=object).reshape(n_in, n_out)[order]
    lanes = whole_vectors(n_out)
    bias_values, bias = _bias(w, n_out, accum, lanes)
    steps = accumulator(accum, x.fraction + weight.fraction, (x.lo, x.hi), rows, bias_values)
    table = w.body.array("weight", [q for row in rows.tolist() for q in [*row, *[0] * (lanes - n_out)]])
    place = "i"
    if order != list(range(n_in)):
        place = w.body.array("order", order)["i"].code
    body, n_rows = w.body, x.size // n_in
    with body.loop("r", n_rows) if n_rows > 1 else nullcontext():
        body.line(f"alignas(64) {steps.declared} a[{lanes}];")
        with body.loop("o", lanes):
            body.line(f"a[o] = {steps.start(body, bias, 'o')};")
        body.line("RHEINFALL_EMIT_ROW_BY_ROW")
        with body.loop("i", n_in):
            value = body.let(w.x(f"r * {n_in} + {place}" if n_rows > 1 else place))
            with body.loop("o", lanes):
                steps.add(body, "a[o]", value, table[f"i * {lanes} + o"])
        with body.loop("o", n_out):
            w.store(steps.value(body, "a[o]", bias, "o"), accum.fraction, f"r * {n_out} + o" if n_rows > 1 else "o")


def write_conv(w: Writer) -> None:
    """Dense over each patch, row-major in (height, width, channel); padded pixels add nothing."""
    weight, accum, x = tensor(w.layer["weight"]), parse(w.layer["accum"]), w.inputs[0]
    window, groups, channels = Window.of(w.layer, x.shape), int(w.layer.get("groups", 1)), x.shape[-1]
    c_in, c_out = weight.shape[-2:]
    of_group = c_out // groups
    bias_values, bias = _bias(w, c_out, accum)
    rows = np.array(weight.data, dtype=object).reshape(-1, c_out)
    interval = (min(x.lo, 0), max(x.hi, 0)) if window.leaves_image else (x.lo, x.hi)
    steps = accumulator(accum, x.fraction + weight.fraction, interval, rows, bias_values)
    table, body = w.body.array("weight", weight.data), w.body
    height, width = window.output
    with body.loop("h", height), body.loop("v", width):
        body.line(f"alignas(64) {steps.declared} a[{c_out}];")
        with body.loop("o", c_out):
            body.line(f"a[o] = {steps.start(body, bias, 'o')};")
        with body.loop("p", window.kernel[0]), body.loop("q", window.kernel[1]):
            pixel = _pixel(body, window)
            with body.loop("c", c_in), body.loop("g", groups):
                value = body.let(w.x(f"{pixel} * {channels} + g * {c_in} + c"))
                with body.loop("j", of_group):
                    body.line(f"const int o = g * {of_group} + j;")
                    row = f"((p * {window.kernel[1]} + q) * {c_in} + c) * {c_out} + o"
                    steps.add(body, "a[o]", value, table[row])
        with body.loop("o", c_out):
            w.store(steps.value(body, "a[o]", bias, "o"), accum.fraction, f"(h * {width} + v) * {c_out} + o")


def _pixel(body: Body, window: Window) -> str:
    """The pixel under kernel element (p, q) at (h, v); a padded one is passed over."""
    for name, axis, out, kernel in (("row", 0, "h", "p"), ("column", 1, "v", "q")):
        before = window.before[axis]
        body.line(
            f"const int {name} = {out} * {window.strides[axis]} + {kernel} * {window.dilations[axis]} - {before};"
        )
    if window.leaves_image:
        rows, columns = window.image
        body.line(f"if (row < 0 || row >= {rows} || column < 0 || column >= {columns}) continue;")
    return f"(row * {window.image[1]} + column)"


def write_dot(w: Writer) -> None:
    """Σ x_i·y_i; of x with itself the sum of squares."""
    x, y, accum = w.inputs[0], w.inputs[-1], parse(w.layer["accum"])
    corners = [a * b for a in (x.lo, x.hi) for b in (y.lo, y.hi)]
    interval = (0, max(corners)) if x is y and x.lo <= 0 <= x.hi else (min(corners), max(corners))
    ones = np.full((x.size, 1), 1, dtype=object)
    steps = accumulator(accum, x.fraction + y.fraction, interval, ones, [0])
    w.body.line(f"{steps.declared} a = 0;")
    with w.body.loop("i", x.size):
        first = w.body.let(w.x("i", 0))
        if x is y and steps.fraction > accum.fraction:
            square = w.body.multiply(first, first)
            square = w.body.let(Integer(square.code, max(interval[0], 0), interval[1], square.bits))
            steps.add_product(w.body, "a", square)
        else:
            steps.add(w.body, "a", first, first if x is y else w.body.let(w.x("i", 1)))
    w.store(steps.value(w.body, "a", None, "0"), accum.fraction, "0")


def write_sum(w: Writer) -> None:
    """a = (a + x_i) → accum; x_i itself is not converted first."""
    x, accum = w.inputs[0], parse(w.layer["accum"])
    w.body.line(f"i{lane_bits(*accum.range)} a = 0;")
    with w.body.loop("i", x.size):
        _add_value(w, "a", w.x(), x.fraction, accum)
    w.store(Integer("a", *accum.range, lane_bits(*accum.range)), accum.fraction, "0")


def _add_value(w: Writer, a: str, x: Integer, fraction: int, accum: FixedType) -> None:
    before = Integer(a, *accum.range, lane_bits(*accum.range))
    (p, q), common = w.aligned((before, accum.fraction), (x, fraction))
    after = w.body.convert(w.body.let(w.body.add(p, q)), common, accum)
    w.body.line(f"{a} = {after.at(lane_bits(*accum.range))};")


def write_pool(w: Writer) -> None:
    """Largest or mean per channel; padded pixels take no part."""
    x, accum = w.inputs[0], parse(w.layer["accum"])
    window, channels, body = Window.of(w.layer, x.shape), x.shape[-1], w.body
    height, width = window.output
    lanes = lane_bits(*accum.range)
    with body.loop("h", height), body.loop("v", width), body.loop("c", channels):
        body.line(f"i{lanes} a = 0;")
        body.line("int n = 0;")
        with body.loop("p", window.kernel[0]), body.loop("q", window.kernel[1]):
            pixel = body.let(w.x(f"{_pixel(body, window)} * {channels} + c"))
            if w.layer["kind"] == "max":
                _keep_larger(w, pixel, x.fraction, accum)
            else:
                _add_value(w, "a", pixel, x.fraction, accum)
            body.line("++n;")
        kept = converted_interval(x.lo, x.hi, x.fraction, accum) if w.layer["kind"] == "max" else None
        pooled = Integer("a", *(kept or accum.range), lanes)
        if w.layer["kind"] == "average":
            pooled = _mean(w, pooled, window, accum)
        elif not window.leaves_image:
            body.line("static_cast<void>(n);")
        w.store(pooled, accum.fraction, f"(h * {width} + v) * {channels} + c")


def _keep_larger(w: Writer, pixel: Integer, fraction: int, accum: FixedType) -> None:
    kept = Integer("a", *accum.range, lane_bits(*accum.range))
    (p, q), _ = w.aligned((pixel, fraction), (kept, accum.fraction))
    converted = w.body.let(w.body.convert(pixel, fraction, accum))
    w.body.line(f"if (n == 0 || {w.body.compare(p, '>', q)}) a = {converted.at(kept.bits)};")


def _mean(w: Writer, total: Integer, window: Window, accum: FixedType) -> Integer:
    n_all = window.kernel[0] * window.kernel[1]
    if w.layer.get("count_padding", False) or not window.leaves_image:
        w.body.line("static_cast<void>(n);")
        count = literal(n_all)
    else:
        count = Integer("n", 1, n_all, 32)
    return w.body.let(w.body.overflow(w.body.let(w.body.truncated_quotient(total, count)), accum))
