"""Quantizers as staircases, and their steps pulled back through exact arithmetic to thresholds on integers.

A quantizer of y is an increasing staircase: level k is reached where y passes a bound, which counts as reached or not
(ties). Everything pending before it (scales, biases, batch normalisation, Relu, sigmoid) is monotone, so each bound
becomes one integer threshold on the stored integers. That is exact for any scale and any rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

from rheinfall.quantized.onnx_values import INFINITY, RefusalError

Bound = tuple[Fraction, bool]  # (y0, whether y = y0 has reached it)
ROUNDINGS = {  # QONNX's names, and those of the document's rescale
    "ROUND": "RND_CONV", "HALF_EVEN": "RND_CONV", "FLOOR": "TRN", "DOWN": "TRN_ZERO", "HALF_UP": "RND_INF",
    "HALF_DOWN": "RND_ZERO", "CEIL": "CEIL", "UP": "UP",
}  # fmt: skip
HALF = Fraction(1, 2)


def round_bound(k: int, rounding: str) -> Bound:
    """Where round(y) reaches the integer k, for a rounding of the document's rescale."""
    if rounding == "TRN":
        return Fraction(k), True
    if rounding == "CEIL":
        return Fraction(k - 1), False
    if rounding == "TRN_ZERO":
        return (Fraction(k), True) if k >= 1 else (Fraction(k - 1), False)
    if rounding == "UP":
        return (Fraction(k - 1), False) if k >= 1 else (Fraction(k), True)
    tie = {"RND_CONV": k % 2 == 0, "RND_INF": k >= 1, "RND_ZERO": k <= 0}
    return k - HALF, tie[rounding]


def round_fraction(y: Fraction, rounding: str) -> int:
    """round(y) by the same rules."""
    floor = y.numerator // y.denominator
    return floor + reached(y, round_bound(floor + 1, rounding))


def reached(y: Fraction, bound: Bound) -> bool:
    """Whether y has reached the bound."""
    return y > bound[0] or (y == bound[0] and bound[1])


@dataclass(frozen=True)
class Staircase:
    """values[0] before the first bound, values[j + 1] once bounds[j] is reached; both ascending.

    `rounding`: set where the staircase is clip(round(y) + shift), so that a rescale can do it.
    `bounds` holds one list for all channels, or one per channel.
    """

    values: Sequence[int]
    bounds: Sequence[Sequence[Bound]]
    rounding: str | None = None
    shift: int = 0

    @staticmethod
    def rounded(low: int, high: int, rounding: str, shift: int = 0) -> Staircase:
        """clip(round(y), low, high) + shift."""
        if high - low > 1 << 16:  # too many to list: only a rescale can do it
            return Staircase(range(low + shift, high + shift + 1), [()], rounding, shift)
        bounds = [round_bound(k, rounding) for k in range(low + 1, high + 1)]
        return Staircase(range(low + shift, high + shift + 1), [bounds], rounding, shift)

    @property
    def can_rescale(self) -> bool:
        """Whether clip(round(y + shift)) is the same, ties included."""
        even = self.rounding == "RND_CONV" and self.shift % 2 == 0
        return self.rounding is not None and (self.shift == 0 or self.rounding in ("TRN", "CEIL") or even)


Pull = Callable[[Bound], "Bound | bool"]


def pull_linear(bound: Bound, a: Fraction, b: Fraction, low: Any, high: Any) -> Bound | bool:
    """The bound on x for clamp(a·x + b, low, high), a > 0; True: always reached, False: never."""
    y, inclusive = bound
    if low != -INFINITY and reached(low, bound):
        return True
    if high != INFINITY and not reached(high, bound):
        return False
    return (y - b) / a, inclusive


def pull_curve(bound: Bound, kind: str, alpha: Fraction) -> Bound | bool:
    """The bound on x for an increasing curve of x."""
    y, inclusive = bound
    if kind == "leaky_relu":
        return (y, inclusive) if y > 0 or alpha == 1 else (y / alpha, inclusive)
    ends: dict[str, tuple[Any, Any]] = {
        "sigmoid": (0, 1),
        "tanh": (-1, 1),
        "elu": (-alpha, INFINITY),
        "softplus": (0, INFINITY),
    }
    lower, upper = ends[kind]
    if y <= lower:
        return True
    if y >= upper:
        return False
    with localcontext() as context:
        context.prec = 60
        return Fraction(_inverse(kind, Decimal(y.numerator) / Decimal(y.denominator), alpha)), inclusive


def _inverse(kind: str, y: Decimal, alpha: Fraction) -> Decimal:
    if kind == "sigmoid":
        return (y / (1 - y)).ln()
    if kind == "tanh":
        return ((1 + y) / (1 - y)).ln() / 2
    if kind == "softplus":
        return (y.exp() - 1).ln()
    return y if y >= 0 else (y / (Decimal(alpha.numerator) / Decimal(alpha.denominator)) + 1).ln()


def integer_threshold(bound: Bound | bool, low: int, high: int) -> int:
    """The smallest integer q of [low, high] that reaches the bound; high + 1 if none does, low if all do."""
    if isinstance(bound, bool):
        return low if bound else high + 1
    x, inclusive = bound
    first = -((-x.numerator) // x.denominator) if inclusive else x.numerator // x.denominator + 1
    return min(max(first, low), high + 1)


@dataclass(frozen=True)
class Fit:
    """floor((q·m + n) / 2^k) of each channel, which takes the same steps as the exact staircase on all of its range."""

    multiplier: list[int]
    addend: list[int]
    k: int


def fit(slopes: list[Fraction], tables: list[list[int]], ranges: list[tuple[int, int]], levels: range) -> Fit | None:
    """A multiplication and a shift for the steps of `tables`: T[c][j] is where channel c reaches levels[j + 1].

    For each channel the conditions q >= T_j <=> q·m + n >= level·2^k on the two integers beside each step leave an
    interval for n; if none is empty, the result equals the exact one for every integer in range.
    A channel's table holds thresholds on q if its slope is positive, else on -q (with the range on -q too).
    """
    largest = max(abs(s) for s in slopes)
    if largest == 0:
        return None
    reach = max(max(abs(lo), abs(hi)) for lo, hi in ranges).bit_length()
    for bits in (6, 8, 10, 12, *range(14, 24), 26, 31, 38, 46, 54):  # few bits fit 32-bit lanes
        k = bits - (largest.numerator.bit_length() - largest.denominator.bit_length())
        if k < 0 or k > 62 or bits + reach > 61 or max(abs(levels[0]), abs(levels[-1])).bit_length() + k > 61:
            continue
        pairs = []
        for slope, table, within in zip(slopes, tables, ranges, strict=True):
            found = _fit_channel(abs(slope), table, within, levels, k)
            if found is None:
                break
            pairs.append(found)
        if len(pairs) == len(slopes):
            signs = [1 if s >= 0 else -1 for s in slopes]
            return Fit([m * s for (m, _), s in zip(pairs, signs, strict=True)], [n for _, n in pairs], k)
    return None


def _fit_channel(
    slope: Fraction, table: list[int], within: tuple[int, int], levels: range, k: int
) -> tuple[int, int] | None:
    low, high = within
    m = round(slope * (1 << k))
    at_least, at_most = None, None
    for level, t in zip(levels[1:], table, strict=True):
        if t > low:  # the integer before the step stays below it
            top = (level << k) - m * (t - 1) - 1
            at_most = top if at_most is None else min(at_most, top)
        if t <= high:
            bottom = (level << k) - m * t
            at_least = bottom if at_least is None else max(at_least, bottom)
    if at_least is None and at_most is None:
        return m, 0
    if at_least is None or at_most is None:
        return m, (at_most if at_least is None else at_least) or 0
    return None if at_least > at_most else (m, (at_least + at_most) // 2)


def check_levels(levels: int, channels: int) -> None:
    """Refuse tables that no one would want.

    Raises:
        RefusalError: too many steps to list.
    """
    if levels > 1 << 16 or levels * channels > 1 << 22:
        raise RefusalError(
            f"{levels} levels in {channels} channels with scales that are no powers of two: too many to prove exact"
        )
