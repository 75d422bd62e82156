"""Fixed-point types by their vendor's names, and the conversion to them, on Python integers of any size.

A stored integer q of a type with F fraction bits means q / 2**F. `convert` is the definition of every rounding and
overflow in docs/quantized_format.md; nothing here is fast.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

ROUNDINGS = ("TRN", "TRN_ZERO", "RND", "RND_ZERO", "RND_MIN_INF", "RND_INF", "RND_CONV")
OVERFLOWS = ("WRAP", "SAT", "SAT_ZERO", "SAT_SYM")
MAX_WIDTH = 64
INTEGER_RANGE = (-128, 192)

_NAME = re.compile(r"(?:ap_|ac_)?(u?)(fixed|int)<([^<>]*)>", re.ASCII)


@dataclass(frozen=True)
class FixedType:
    """An integer of `width` bits (1 to 64) with a binary point after `integer` of them (-128 to 192).

    `rounding` and `overflow` say how a value is converted *to* the type; they are no property of what is stored.
    """

    width: int
    integer: int
    is_signed: bool = True
    rounding: str = "TRN"
    overflow: str = "WRAP"

    def __post_init__(self) -> None:
        if not 1 <= self.width <= MAX_WIDTH:
            raise ValueError(f"width {self.width}: expected 1 to {MAX_WIDTH} bits")
        low, high = INTEGER_RANGE
        if not low <= self.integer <= high:
            raise ValueError(f"{self.integer} bits before the binary point: expected {low} to {high}")
        if self.rounding not in ROUNDINGS:
            raise ValueError(f"rounding {self.rounding!r}: expected one of {', '.join(ROUNDINGS)}")
        if self.overflow not in OVERFLOWS:
            raise ValueError(f"overflow {self.overflow!r}: expected one of {', '.join(OVERFLOWS)}")

    @property
    def fraction(self) -> int:
        """Bits after the binary point; may be negative, or more than the width."""
        return self.width - self.integer

    @property
    def minimum(self) -> int:
        """The smallest stored integer."""
        return -(1 << (self.width - 1)) if self.is_signed else 0

    @property
    def maximum(self) -> int:
        """The largest stored integer."""
        return (1 << (self.width - self.is_signed)) - 1

    @property
    def range(self) -> tuple[int, int]:
        """Smallest and largest stored integer."""
        return self.minimum, self.maximum

    def __str__(self) -> str:
        return format_type(self)


def parse(text: str) -> FixedType:
    """The type that `text` names: ap_fixed, ap_ufixed, ap_int or ap_uint, with modes or without.

    Reads "ap_fixed<16,6>", "ap_fixed<16,6,AP_RND,AP_SAT>", "ap_fixed<16,6,RND,SAT,0>", "ap_int<8>", the names of hls4ml
    without `ap_`, and `ac_fixed<16,6,true,AC_RND,AC_SAT>`, whose third argument is the sign.

    Raises:
        ValueError: names `text` and what is wrong: WRAP_SM, saturated bits other than 0, a width above 64, an unknown
            mode.
    """
    found = _NAME.fullmatch("".join(text.split()))
    if found is None:
        raise ValueError(f"type {text!r}: expected ap_fixed<W,I>, ap_ufixed<W,I>, ap_int<W> or ap_uint<W>")
    unsigned, kind, inner = found.groups()
    fields = inner.split(",")
    n_numbers = 2 if kind == "fixed" else 1
    if len(fields) < n_numbers:
        raise ValueError(f"type {text!r}: expected {n_numbers} numbers")
    is_signed, modes = not unsigned, fields[n_numbers:]
    if text.strip().startswith("ac_") and modes:
        is_signed = _parse_sign(modes.pop(0), text)
    if len(modes) > 3:
        raise ValueError(f"type {text!r}: expected at most rounding, overflow and the number of saturated bits")
    if len(modes) == 3 and _parse_integer(modes[2], text) != 0:
        raise ValueError(f"type {text!r}: {modes[2]} saturated bits; only 0 is supported")
    width = _parse_integer(fields[0], text)
    integer = _parse_integer(fields[1], text) if kind == "fixed" else width
    rounding = _parse_mode(modes[0], ROUNDINGS, "rounding", text) if modes else "TRN"
    overflow = _parse_mode(modes[1], OVERFLOWS, "overflow", text) if len(modes) > 1 else "WRAP"
    try:
        return FixedType(width, integer, is_signed, rounding, overflow)
    except ValueError as error:
        raise ValueError(f"type {text!r}: {error}") from None


def format_type(fixed: FixedType) -> str:
    """The name of a type, as the documents write it: modes only where they are not TRN and WRAP."""
    sign = "" if fixed.is_signed else "u"
    name = f"int<{fixed.width}" if fixed.integer == fixed.width else f"fixed<{fixed.width},{fixed.integer}"
    modes = "" if (fixed.rounding, fixed.overflow) == ("TRN", "WRAP") else f",{fixed.rounding},{fixed.overflow}"
    return f"ap_{sign}{name}{modes}>"


def convert(v: int, fraction: int, target: FixedType) -> int:
    """The stored integer of v / 2**fraction in type `target`: rounded first, then brought into range."""
    return overflow(round_shift(v, fraction - target.fraction, target.rounding), target)


def convert_real(x: float | Fraction, target: FixedType) -> int:
    """The stored integer of a real number, exactly: a finite float is a rational number.

    Raises:
        ValueError: x is not finite (OverflowError for an infinity becomes one too).
    """
    try:
        exact = Fraction(x) * Fraction(2) ** target.fraction
    except (ValueError, OverflowError):
        raise ValueError(f"{x} has no value in {target}") from None
    # Three more bits than asked for, the last of them telling of any remainder: enough for each rounding.
    scaled, rest = divmod(exact.numerator << 2, exact.denominator)
    return overflow(round_shift(2 * scaled + (rest != 0), 3, target.rounding), target)


def round_shift(v: int, s: int, rounding: str) -> int:
    """v / 2**s as an integer; s may be negative."""
    if s <= 0:
        return v << -s
    floor = v >> s
    remainder = v - (floor << s)
    half = 1 << (s - 1)
    up = {
        "TRN": False,
        "TRN_ZERO": v < 0 and remainder != 0,
        "RND": remainder >= half,
        "RND_ZERO": remainder > half or (remainder == half and v < 0),
        "RND_MIN_INF": remainder > half,
        "RND_INF": remainder > half or (remainder == half and v >= 0),
        "RND_CONV": remainder > half or (remainder == half and floor % 2 == 1),
    }[rounding]
    return floor + up


def overflow(v: int, target: FixedType) -> int:
    """The integer v brought into the range of `target` as its overflow mode says."""
    low, high = target.range
    if target.overflow == "WRAP":
        return (v - low) % (1 << target.width) + low
    if target.overflow == "SAT_ZERO":
        return v if low <= v <= high else 0
    if target.overflow == "SAT_SYM" and target.is_signed and target.width > 1:  # one bit saturates to -1, as SAT
        low = -high
    return min(max(v, low), high)


def _parse_integer(text: str, name: str) -> int:
    if not re.fullmatch(r"[+-]?\d+", text, re.ASCII) or len(text) > 6:
        raise ValueError(f"type {name!r}: {text!r} is no number of bits")
    return int(text)


def _parse_sign(text: str, name: str) -> bool:
    if text.lower() not in ("true", "false", "0", "1"):
        raise ValueError(f"type {name!r}: {text!r} is no sign (true or false)")
    return text.lower() in ("true", "1")


def _parse_mode(text: str, known: tuple[str, ...], what: str, name: str) -> str:
    mode = text.removeprefix("AP_").removeprefix("AC_")
    if mode == "WRAP_SM":
        raise ValueError(f"type {name!r}: overflow WRAP_SM (sign-magnitude wrap) is not supported")
    if mode not in known:
        raise ValueError(f"type {name!r}: {what} {text!r}: expected one of {', '.join(known)}")
    return mode
