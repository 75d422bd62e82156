"""Random fixed-point types, tensors and integers, for random networks; nothing is uniform: corners come often."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rheinfall.quantized.fixed_point import OVERFLOWS, ROUNDINGS, FixedType

# What one operation may need, in bits: the library refuses more than 127, which takes into account the values that
# really occur; here only types are looked at.
MAX_BITS = 110


class Draw(random.Random):
    """The source of a network's random choices, which knows how wide its types may be."""

    max_width = 64


@dataclass(frozen=True)
class Named:
    """A value of the network: an input or the result of a layer."""

    name: str
    shape: tuple[int, ...]
    type: FixedType

    @property
    def size(self) -> int:
        return product(self.shape)


def product(shape: Sequence[int]) -> int:
    result = 1
    for n in shape:
        result *= n
    return result


def random_type(rng: Draw, max_width: int = 64) -> FixedType:
    """Any type: narrow ones and those around 8, 16, 32 and 64 bits often, binary points outside the bits sometimes."""
    kind = rng.random()
    if kind < 0.35:
        width = rng.randint(1, 10)
    elif kind < 0.6:
        width = rng.choice((7, 8, 9, 15, 16, 17, 18, 24, 31, 32, 33, 63, 64))
    else:
        width = rng.randint(1, 64)
    width = min(width, max_width, rng.max_width)
    kind = rng.random()
    if kind < 0.75:
        integer = rng.randint(0, width)
    elif kind < 0.95:
        integer = rng.randint(-6, width + 6)
    else:
        integer = rng.randint(-30, width + 30) if rng.max_width == 64 else width
    plain = rng.random() < 0.3
    rounding = "TRN" if plain else rng.choice(ROUNDINGS)
    overflow = "WRAP" if plain else rng.choice(OVERFLOWS)
    return FixedType(width, integer, rng.random() < 0.7, rounding, overflow)


def near_type(rng: Draw, fraction: int, width: int) -> FixedType:
    """A type with about these fraction bits and width, so that values neither vanish nor always overflow."""
    w = min(max(width + rng.randint(-4, 4), 1), rng.max_width)
    integer = min(max(w - (fraction + rng.choice((-3, -1, 0, 0, 0, 1, 4))), -128), 192)
    plain = rng.random() < 0.4
    rounding = "TRN" if plain else rng.choice(ROUNDINGS)
    overflow = "WRAP" if plain else rng.choice(OVERFLOWS)
    return FixedType(w, integer, rng.random() < 0.75, rounding, overflow)


def spelled(rng: Draw, fixed: FixedType) -> str:
    """One of the names of a type."""
    sign = "" if fixed.is_signed else "u"
    whole = fixed.integer == fixed.width and rng.random() < 0.7
    name = f"ap_{sign}int<{fixed.width}" if whole else f"ap_{sign}fixed<{fixed.width},{fixed.integer}"
    prefix = rng.choice(("", "AP_"))
    modes = [prefix + fixed.rounding, prefix + fixed.overflow, "0"]
    n_modes = rng.randint(1, 3)
    if fixed.overflow == "WRAP":
        n_modes = rng.randint(0 if fixed.rounding == "TRN" else 1, 3)
    elif n_modes == 1:
        n_modes = 2
    return ",".join([name, *modes[:n_modes]]) + ">"


def random_integer(rng: Draw, fixed: FixedType) -> int:
    """A stored integer: an extreme, a small one, or any; below 2**63, as constants must be."""
    low, high = fixed.minimum, min(fixed.maximum, 2**63 - 1)
    kind = rng.random()
    if kind < 0.12:
        return rng.choice((low, high))
    if kind < 0.4:
        return min(max(rng.randint(-3, 3), low), high)
    if kind < 0.6:
        bits = rng.randint(1, fixed.width)
        return min(max(rng.randint(-(1 << bits), 1 << bits), low), high)
    return rng.randint(low, high)


def tensor(rng: Draw, shape: Sequence[int], fixed: FixedType, zeros: float = 0.0) -> dict[str, Any]:
    """A constant with random content, some of it 0."""
    data = [0 if rng.random() < zeros else random_integer(rng, fixed) for _ in range(product(shape))]
    return {"type": spelled(rng, fixed), "shape": list(shape), "data": data}


def sum_bits(*values: tuple[int, int]) -> int:
    """Bits that hold the sum or the comparison of numbers given as (width, fraction), at a common fraction."""
    common = max(fraction for _, fraction in values)
    return max(width + common - fraction for width, fraction in values) + 1


def fits(*values: tuple[int, int]) -> bool:
    return sum_bits(*values) <= MAX_BITS


def of(fixed: FixedType) -> tuple[int, int]:
    """(width, fraction) of a type."""
    return fixed.width + (not fixed.is_signed), fixed.fraction


def times(x: FixedType, y: FixedType) -> tuple[int, int]:
    """(width, fraction) of a product."""
    return x.width + y.width + 2, x.fraction + y.fraction


def divisor(rng: Draw, n: int) -> int:
    return rng.choice([d for d in range(1, n + 1) if n % d == 0])


def random_shape(rng: Draw, size: int) -> tuple[int, ...]:
    """A shape of 1 to 3 axes with `size` elements."""
    first = divisor(rng, size)
    second = divisor(rng, size // first)
    return rng.choice(((size,), (first, size // first), (first, second, size // first // second)))
