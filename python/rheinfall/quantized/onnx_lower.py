"""Lowering of a quantizer, with everything pending before it, to one exact step on integers.

In order of preference: a conversion of binary points (`quantize`, `relu`, or the result type of the dense layer
itself) where scales are powers of two; a `rescale` by multiplication and shift that was checked against the exact
thresholds over the whole proven range; an exact rational `rescale`; the thresholds themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import lcm
from typing import Any

from rheinfall.quantized.fixed_point import FixedType, format_type
from rheinfall.quantized.onnx_builder import Builder, doc_order
from rheinfall.quantized.onnx_linear import absorb_bias, negate_outputs
from rheinfall.quantized.onnx_staircase import (
    Bound,
    Staircase,
    check_levels,
    fit,
    integer_threshold,
    pull_curve,
    pull_linear,
    reached,
    round_fraction,
)
from rheinfall.quantized.onnx_values import (
    INFINITY,
    Linear,
    RefusalError,
    Step,
    Stored,
    Value,
    all_equal,
    integer_type,
    is_power_of_two,
    log2,
)

Channel = list[tuple[Any, ...]]  # steps of one channel: (a, b, low, high) or (kind, alpha)
SMALL = 4  # levels up to which comparisons beat a multiplication


@dataclass(frozen=True)
class Chain:
    """The pending steps of a value, channel by channel in the order of the stored integers."""

    stored: Stored
    channels: list[Channel]

    def ranges(self) -> list[tuple[int, int]]:
        """The proven range of the stored integers of each channel."""
        n, low, high = len(self.channels), self.stored.low, self.stored.high
        if n == len(low) == len(high):
            return list(zip(low, high, strict=True))
        return [(min(low), max(high))] * n


def lower_quantizer(builder: Builder, value: Value, stairs: Staircase, out: Linear, fraction: int | None) -> Value:
    """The integers of a staircase of `value`, whose last pending step gives the staircase's own units.

    Args:
        builder: where the layers go.
        value: the quantizer's input.
        stairs: the quantizer.
        out: what the integers mean.
        fraction: fraction bits if the integers mean q / 2^fraction exactly, else None.
    """
    value = builder.compact(value)
    if not value.stored.is_raw:
        value = absorb_bias(value)
    chain = take_chain(builder, value)
    if chain.stored.is_raw:
        type_raw_input(builder, chain, stairs, value.single_use)
    if chain.stored.in_reals:
        unit = Fraction(2) ** -chain.stored.type.fraction
        chain = Chain(chain.stored, [[(c[0][0] * unit, *c[0][1:]), *c[1:]] for c in chain.channels])
    stored = (
        _by_binary_point(builder, value, chain, stairs, fraction)
        or _by_rational(builder, chain, stairs, fraction, only_if_simple=True)
        or _by_steps(builder, value, chain, stairs, fraction)
    )
    return Value(stored, value.index, (out,), single_use=stored is not chain.stored or value.single_use)


def take_chain(builder: Builder, value: Value) -> Chain:
    """The pending steps per channel; parameters that differ beyond the last axis make the integers one flat axis."""
    parameters = tuple(p for step in value.steps for p in (step.arrays if isinstance(step, Linear) else (step.alpha,)))
    lists, stored = doc_order(builder, value, parameters)
    n = max(len(p) for p in lists)
    lists = [p * n if len(p) == 1 else p for p in lists]
    channels: list[Channel] = []
    for c in range(n):
        column = [p[c] for p in lists]
        channels.append([_take_step(step, column) for step in value.steps])
    return Chain(stored, channels)


def _take_step(step: Step, column: list[Any]) -> tuple[Any, ...]:
    if isinstance(step, Linear):
        return tuple(column.pop(0) for _ in range(4))
    return step.kind, column.pop(0)


def is_linear(chain: Chain) -> bool:
    """Whether no curve is pending."""
    return len(chain.channels[0]) == 1 and len(chain.channels[0][0]) == 4


def _by_binary_point(
    builder: Builder, value: Value, chain: Chain, stairs: Staircase, fraction: int | None
) -> Stored | None:
    """A conversion, where it is one: real = q / 2^F before and after, and a range that a type can clamp to."""
    if fraction is None or not is_linear(chain) or not all_equal(chain.channels) or stairs.shift:
        return None
    a, b, low, high = chain.channels[0][0]
    source = chain.stored.type.fraction
    if b != 0 or a <= 0 or not is_power_of_two(a) or log2(a) != fraction - source or high != INFINITY:
        return None
    if low not in (-INFINITY, 0) or stairs.rounding is None or stairs.rounding in ("CEIL", "UP"):
        return None
    target = clamping_type(stairs.values[0] if low != 0 else 0, stairs.values[-1], fraction, stairs.rounding)
    if target is None:
        return None
    ends = _range_after(chain, stairs)
    if low == 0:
        return builder.emit("relu", [chain.stored], chain.stored.shape, target, *ends)
    layer = chain.stored.layer
    if value.single_use and layer is not None and layer["op"] in ("dense", "conv1d", "conv2d"):
        layer["result"] = format_type(target)
        return Stored(chain.stored.name, chain.stored.shape, target, *ends)
    return builder.emit("quantize", [chain.stored], chain.stored.shape, target, *ends)


def clamping_type(low: int, high: int, fraction: int, rounding: str) -> FixedType | None:
    """The type whose saturation clamps to [low, high], if there is one."""
    width = high.bit_length() + (low < 0)
    if width < 1 or width > 63 or high != (1 << (width - (low < 0))) - 1 or not -128 <= width - fraction <= 192:
        return None
    overflow = {0: "SAT", -high - 1: "SAT", -high: "SAT_SYM"}.get(low)
    return None if overflow is None else FixedType(width, width - fraction, low < 0, rounding, overflow)


def _range_after(chain: Chain, stairs: Staircase) -> tuple[list[int], list[int]]:
    """The proven range of the staircase's integers, per channel."""
    if not is_linear(chain) or stairs.rounding is None:
        return [min(stairs.values)], [max(stairs.values)]
    lows, highs = [], []
    for (step,), ends in zip(chain.channels, chain.ranges(), strict=True):
        a, b, low, high = step
        y = sorted(min(max(a * q + b, low), high) for q in ends)
        r = [round_fraction(Fraction(x), stairs.rounding) + stairs.shift for x in y]
        lows.append(min(max(r[0], stairs.values[0]), stairs.values[-1]))
        highs.append(min(max(r[1], stairs.values[0]), stairs.values[-1]))
    return lows, highs


def _by_rational(
    builder: Builder, chain: Chain, stairs: Staircase, fraction: int | None, *, only_if_simple: bool
) -> Stored | None:
    """An exact rational rescale: of whole numbers within 63 bits (simple), or with any divisor below 2^63."""
    if not is_linear(chain) or not stairs.can_rescale or stairs.rounding is None:
        return None
    if only_if_simple and len(stairs.values) <= SMALL and isinstance(stairs.values, range):
        return None
    multiplier, addend, divisor, minima, maxima = [], [], [], [], []
    for (step,), within in zip(chain.channels, chain.ranges(), strict=True):
        a, b, low, high = step
        b += stairs.shift
        d = lcm(a.denominator, b.denominator)
        m, n = int(a * d), int(b * d)
        largest = max(abs(q * m + n) for q in within)
        if max(d, abs(m), abs(n)) >= 1 << 62 or largest >= 1 << (62 if only_if_simple else 125):
            return None
        if only_if_simple and d != 1:
            return None
        multiplier.append(m)
        addend.append(n)
        divisor.append(d)
        minima.append(_end(low, stairs, stairs.values[0], max))
        maxima.append(_end(high, stairs, stairs.values[-1], min))
    if not all_equal(minima) or not all_equal(maxima):
        return None
    ends = _range_after(chain, stairs)
    result = _result(stairs, ends, fraction)
    if set(multiplier) == set(divisor) == {1} and not any(addend) and _is_free(chain.stored, result, stairs):
        return chain.stored
    return builder.emit(
        "rescale", [chain.stored], chain.stored.shape, result, *ends,
        multiplier=_short(multiplier), addend=_short(addend), divisor=_short(divisor), round=stairs.rounding,
        minimum=minima[0], maximum=max(maxima[0], minima[0]),
    )  # fmt: skip


def _is_free(stored: Stored, result: FixedType, stairs: Staircase) -> bool:
    """Whether a quantizer of the integers themselves changes nothing."""
    low, high = stored.bounds
    same_point = stored.type.fraction == result.fraction
    return same_point and stairs.values[0] <= low and high <= stairs.values[-1]


def _end(clamp: Any, stairs: Staircase, value: int, tighter: Any) -> int:
    if abs(clamp) == INFINITY or stairs.rounding is None:
        return value
    rounded = round_fraction(Fraction(clamp), stairs.rounding) + stairs.shift
    return int(min(max(tighter(rounded, value), stairs.values[0]), stairs.values[-1]))


def _result(stairs: Staircase, ends: tuple[list[int], list[int]], fraction: int | None) -> FixedType:
    """The type that holds the staircase's integers."""
    return integer_type(min(stairs.values[0], *ends[0]), max(stairs.values[-1], *ends[1]), fraction or 0)


def _by_steps(builder: Builder, value: Value, chain: Chain, stairs: Staircase, fraction: int | None) -> Stored:
    """A multiplication that takes the exact steps, else the exact rational one, else the steps as thresholds."""
    n = len(chain.channels)
    if len(stairs.values) < 2:
        raise RefusalError("a quantizer of a single level")
    try:
        check_levels(len(stairs.values), n)
    except RefusalError:
        rational = _by_rational(builder, chain, stairs, fraction, only_if_simple=False)
        if rational is None:
            raise
        return rational
    bounds = rows_of(stairs, n)
    signs = [_sign(channel) for channel in chain.channels]
    ranges = [(-hi, -lo) if s < 0 else (lo, hi) for s, (lo, hi) in zip(signs, chain.ranges(), strict=True)]
    tables = [
        [integer_threshold(_pull(bound, channel, s), *span) for bound in rows]
        for channel, s, rows, span in zip(chain.channels, signs, bounds, ranges, strict=True)
    ]
    ends = ([min(stairs.values)], [max(stairs.values)]) if stairs.rounding is None else _range_after(chain, stairs)
    result = _result(stairs, ends, fraction)
    within, tables = _reachable(stairs, tables, ranges)
    if len(within.values) > SMALL and isinstance(within.values, range):
        found = _by_fit(builder, chain, within, tables, ranges, ends, result) or _by_rational(
            builder, chain, stairs, fraction, only_if_simple=False
        )
        if found is not None:
            return found
    return _by_threshold(builder, value, chain, within, tables, signs, ends, result)


def _reachable(
    stairs: Staircase, tables: list[list[int]], ranges: list[tuple[int, int]]
) -> tuple[Staircase, list[list[int]]]:
    """The staircase between the lowest and the highest level that any integer of any channel reaches."""
    bottom = min(sum(t <= lo for t in table) for table, (lo, _) in zip(tables, ranges, strict=True))
    top = max(sum(t <= hi for t in table) for table, (_, hi) in zip(tables, ranges, strict=True))
    if top == bottom:  # constant: one step stays
        bottom, top = (bottom - 1, top) if bottom else (bottom, top + 1)
    if len(stairs.bounds[0]) > 0:
        rows = [list(row[bottom:top]) for row in stairs.bounds]
        stairs = replace(stairs, values=stairs.values[bottom : top + 1], bounds=rows)
    return stairs, [table[bottom:top] for table in tables]


def _by_fit(
    builder: Builder,
    chain: Chain,
    stairs: Staircase,
    tables: list[list[int]],
    ranges: list[tuple[int, int]],
    ends: tuple[list[int], list[int]],
    result: FixedType,
) -> Stored | None:
    """A rescale between the lowest and the highest level that some integer reaches in each channel."""
    slopes = [_slope(channel) for channel in chain.channels]
    levels = range(stairs.values[0], stairs.values[-1] + 1)
    found = fit(slopes, tables, ranges, levels)
    if found is None:
        return None
    low, high = [max(x, levels[0]) for x in ends[0]], [min(x, levels[-1]) for x in ends[1]]
    return builder.emit(
        "rescale", [chain.stored], chain.stored.shape, result, low, high,
        multiplier=_short(found.multiplier), addend=_short(found.addend), divisor=[1 << found.k], round="TRN",
        minimum=levels[0], maximum=levels[-1],
    )  # fmt: skip


def _by_threshold(
    builder: Builder,
    value: Value,
    chain: Chain,
    stairs: Staircase,
    tables: list[list[int]],
    signs: list[int],
    ends: tuple[list[int], list[int]],
    result: FixedType,
) -> Stored:
    """The thresholds as they are; channels that fall are turned round first."""
    stored = chain.stored
    if min(signs) < 0 and not (value.single_use and negate_outputs(stored, signs)):
        low, high = stored.bounds
        far = max(abs(low), abs(high))
        stored = builder.emit(
            "rescale", [stored], stored.shape, integer_type(-far, far), [-far], [far], "negate",
            multiplier=_short(signs), addend=[0], divisor=[1], round="TRN",
        )  # fmt: skip
    rows = tables[:1] if all_equal(tables) else tables
    numbers = [t for row in rows for t in row]
    kind = integer_type(min(numbers), max(numbers), stored.type.fraction)
    if kind.fraction != stored.type.fraction:
        raise RefusalError("its scale is out of range")
    return builder.emit(
        "threshold", [stored], stored.shape, result, *ends,
        thresholds={"type": format_type(kind), "shape": [len(rows), len(rows[0])], "data": numbers},
        values=list(stairs.values),
    )  # fmt: skip


def _pull(bound: Bound | bool, channel: Channel, sign: int) -> Bound | bool:
    """The bound on the stored integers, or on their negatives where the channel falls."""
    for i, step in reversed(list(enumerate(channel))):
        if isinstance(bound, bool):
            return bound
        if len(step) == 2:
            bound = pull_curve(bound, *step)
            continue
        a, b, low, high = step
        if a == 0:
            return reached(min(max(b, low), high), bound)
        bound = pull_linear(bound, a * sign if i == 0 else a, b, low, high)
    return bound


def _sign(channel: Channel) -> int:
    """-1 where the channel falls with the stored integers."""
    for step in channel[1:]:
        if (len(step) == 4 and step[0] < 0) or (step[0] == "leaky_relu" and step[1] <= 0):
            raise RefusalError("it follows a curve that is then turned round (a negative factor): not supported")
    first = channel[0]
    return -1 if len(first) == 4 and first[0] < 0 else 1


def _slope(channel: Channel) -> Fraction:
    slope = Fraction(1)
    for step in channel:
        slope *= step[0] if len(step) == 4 else 1
    return slope


def rows_of(stairs: Staircase, n: int) -> list[Sequence[Bound]]:
    """The bounds of each channel."""
    if len(stairs.bounds) not in (1, n):
        raise RefusalError(f"thresholds of {len(stairs.bounds)} channels after scales that differ in {n} places")
    return list(stairs.bounds) * (n // len(stairs.bounds))


def _short(values: list[int]) -> list[int]:
    return values[:1] if all_equal(values) else values


def type_raw_input(builder: Builder, chain: Chain, stairs: Staircase, single_use: bool) -> None:
    """Choose the fixed-point type of a float input so that no float32 can be on another side of a bound.

    Rounding down to a grid keeps `x >= bound` for a bound on the grid; where the grid is as fine as float32 is beside
    the bounds, it keeps every comparison. Only a bound of exactly 0 that is not reached at 0 is left open.
    """
    bounds = rows_of(stairs, len(chain.channels))
    points: list[Fraction] = []
    for channel, rows in zip(chain.channels, bounds, strict=True):
        sign = _sign(channel)
        pulled = (_pull(bound, channel, sign) for bound in rows)
        for x in pulled:
            if not isinstance(x, bool):
                points.append(abs(x[0]))
                if x[0] == 0 and (not x[1]) == (sign > 0):
                    builder.traps.add(
                        f"input {chain.stored.name!r}: a step at 0 is decided on a fixed-point grid, "
                        "not for smaller floats"
                    )
    finest = min((floor_log2(x) for x in points if x > 0), default=0)
    coarsest = max((floor_log2(x) for x in points if x > 0), default=0)
    integer, fraction = max(coarsest + 3, 1), max(25 - finest, 8)
    if not single_use or not points:
        integer, fraction = 16, 40
    if integer + fraction > 60:
        fraction = 60 - integer
        builder.traps.add(f"input {chain.stored.name!r}: float32 is finer than its grid of 2^-{fraction}")
    settle_raw_input(builder, chain.stored, FixedType(integer + fraction, integer, True, "TRN", "SAT"))


def floor_log2(x: Fraction) -> int:
    """The largest k with 2^k <= x."""
    k = x.numerator.bit_length() - x.denominator.bit_length()
    return k if Fraction(2) ** k <= x else k - 1


def settle_raw_input(builder: Builder, stored: Stored, chosen: FixedType, **real: Any) -> None:
    """Give an input its type; `real`: scale and zero point of the boundary."""
    declared = next(x for x in builder.inputs if x["name"] == stored.name)
    declared["type"] = format_type(chosen)
    declared |= real
    stored.type, stored.is_raw, stored.in_reals = chosen, False, True
    stored.low, stored.high = [chosen.minimum], [chosen.maximum]


def quantize_raw_input(
    builder: Builder, value: Value, chosen: FixedType, out: Linear, scale: float | None, zero_point: int
) -> Value:
    """A quantizer that stands directly at an input becomes the input's type: its integers are the network's input."""
    real = {} if scale is None else {"scale": scale} | ({"zero_point": zero_point} if zero_point else {})
    settle_raw_input(builder, value.stored, chosen, **real)
    value.stored.in_reals = False
    if chosen.overflow == "SAT_SYM":
        value.stored.low = [-chosen.maximum]
    return replace(value, steps=(out,), quantized=True)
