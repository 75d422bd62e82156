"""Fixed-point types: their names, their ranges, and every rounding and overflow of the conversion to them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheinfall.quantized.fixed_point import (
    OVERFLOWS,
    ROUNDINGS,
    FixedType,
    convert,
    convert_real,
    format_type,
    parse,
)
from rheinfall.reference.quantized import convert_array, python_integers

types = st.builds(
    FixedType,
    width=st.integers(1, 64),
    integer=st.integers(-128, 192),
    is_signed=st.booleans(),
    rounding=st.sampled_from(ROUNDINGS),
    overflow=st.sampled_from(OVERFLOWS),
)
integers = st.one_of(st.integers(-20, 20), st.integers(-(2**70), 2**70))
fractions = st.integers(-40, 200)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ap_fixed<16,6>", FixedType(16, 6)),
        ("ap_fixed<16, 6, AP_RND, AP_SAT>", FixedType(16, 6, True, "RND", "SAT")),
        ("ap_fixed<16,6,RND_CONV>", FixedType(16, 6, True, "RND_CONV")),
        ("ap_ufixed<10,6,RND_CONV,SAT,0>", FixedType(10, 6, False, "RND_CONV", "SAT")),
        ("fixed<8,-2,TRN_ZERO,SAT_ZERO>", FixedType(8, -2, True, "TRN_ZERO", "SAT_ZERO")),
        ("ufixed<8,12>", FixedType(8, 12, False)),
        ("ap_int<7>", FixedType(7, 7)),
        ("uint<64>", FixedType(64, 64, False)),
        ("ap_uint<3,RND,SAT>", FixedType(3, 3, False, "RND", "SAT")),
        ("ac_fixed<16,6,false,AC_RND_CONV,AC_SAT_SYM>", FixedType(16, 6, False, "RND_CONV", "SAT_SYM")),
        ("ac_int<9,true>", FixedType(9, 9)),
    ],
)
def test_names(text: str, expected: FixedType) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ap_fixed<16,6,TRN,WRAP_SM>", "WRAP_SM"),
        ("ap_fixed<16,6,TRN,AP_WRAP_SM,0>", "WRAP_SM"),
        ("ap_fixed<16,6,TRN,WRAP,2>", "2 saturated bits"),
        ("ap_fixed<65,6>", "width 65"),
        ("ap_int<0>", "width 0"),
        ("ap_fixed<16,200>", "200 bits before"),
        ("ap_fixed<16>", "expected 2 numbers"),
        ("ap_fixed<16,6,ROUND>", "rounding 'ROUND'"),
        ("ap_fixed<16,6,SAT>", "rounding 'SAT'"),
        ("ap_fixed<16,6,TRN,TRN>", "overflow 'TRN'"),
        ("ap_fixed<16,x>", "'x' is no number"),
        ("ap_fixed<16,6,TRN,SAT,0,1>", "at most"),
        ("float", "expected ap_fixed"),
        ("ap_fixed<16,6", "expected ap_fixed"),
        ("ap_fixed<１６,6>", "'１６'"),
    ],
)
def test_refusals_say_the_type_and_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as error:
        parse(text)
    assert text in str(error.value)


@given(types)
def test_a_name_is_read_back(fixed: FixedType) -> None:
    assert parse(format_type(fixed)) == fixed
    assert parse(str(fixed).replace("ap_", "")) == fixed


# 2.5, -2.5, 2.75, -2.75, 3.5, -3.5, 2.25 and -2.25, in quarters, rounded to integers.
QUARTERS = [10, -10, 11, -11, 14, -14, 9, -9]


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [
        ("TRN", [2, -3, 2, -3, 3, -4, 2, -3]),
        ("TRN_ZERO", [2, -2, 2, -2, 3, -3, 2, -2]),
        ("RND", [3, -2, 3, -3, 4, -3, 2, -2]),
        ("RND_ZERO", [2, -2, 3, -3, 3, -3, 2, -2]),
        ("RND_MIN_INF", [2, -3, 3, -3, 3, -4, 2, -2]),
        ("RND_INF", [3, -3, 3, -3, 4, -4, 2, -2]),
        ("RND_CONV", [2, -2, 3, -3, 4, -4, 2, -2]),
    ],
)
def test_roundings_by_hand(rounding: str, expected: list[int]) -> None:
    target = FixedType(8, 8, True, rounding)
    assert [convert(v, 2, target) for v in QUARTERS] == expected
    assert [convert_real(v / 4, target) for v in QUARTERS] == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ap_int<4,TRN,WRAP>", [7, -8, -8, 7, 0, -1]),
        ("ap_int<4,TRN,SAT>", [7, 7, -8, -8, 7, -8]),
        ("ap_int<4,TRN,SAT_ZERO>", [7, 0, -8, 0, 0, 0]),
        ("ap_int<4,TRN,SAT_SYM>", [7, 7, -7, -7, 7, -7]),
        ("ap_uint<4,TRN,WRAP>", [7, 8, 8, 7, 0, 15]),
        ("ap_uint<4,TRN,SAT>", [7, 8, 0, 0, 15, 0]),
        ("ap_uint<4,TRN,SAT_ZERO>", [7, 8, 0, 0, 0, 0]),
        ("ap_uint<4,TRN,SAT_SYM>", [7, 8, 0, 0, 15, 0]),
        ("ap_int<1,TRN,SAT_SYM>", [0, 0, -1, -1, 0, -1]),  # as SAT: so the vendor's headers do
    ],
)
def test_overflows_by_hand(name: str, expected: list[int]) -> None:
    assert [convert(v, 0, parse(name)) for v in (7, 8, -8, -9, 16, -17)] == expected


def test_binary_points_outside_the_bits() -> None:
    assert convert(5, 0, parse("ap_fixed<8,12>")) == 0  # a unit of 16
    assert convert(24, 0, parse("ap_fixed<8,12,RND>")) == 2
    assert convert(3, 10, parse("ap_fixed<4,-6>")) == 3  # units of 2**-10
    assert convert(1, 0, parse("ap_fixed<4,-6,TRN,SAT>")) == 7
    assert convert(-1, 300, parse("ap_int<4>")) == -1  # truncation goes down, however small the number
    assert convert(-1, 300, parse("ap_int<4,TRN_ZERO>")) == 0
    assert convert(1, -100, parse("ap_int<4>")) == 0  # 2**100 wraps to 0


@given(integers, integers, fractions, types)
def test_conversion_without_wrapping_is_monotone(v: int, w: int, fraction: int, target: FixedType) -> None:
    if target.overflow in ("SAT", "SAT_SYM"):
        low, high = sorted((v, w))
        assert convert(low, fraction, target) <= convert(high, fraction, target)


@given(integers, fractions, types)
def test_conversion_stays_in_range_and_repeats_itself(v: int, fraction: int, target: FixedType) -> None:
    q = convert(v, fraction, target)
    assert target.minimum <= q <= target.maximum
    assert convert(q, target.fraction, target) == q
    if target.overflow == "SAT_SYM" and target.is_signed and target.width > 1:
        assert q >= -target.maximum


@given(integers, fractions, types)
def test_a_saturated_value_is_the_nearest_there_is(v: int, fraction: int, target: FixedType) -> None:
    """Judged by fractions: within one unit of the value clamped to the range, half a unit where a mode says so."""
    if target.overflow != "SAT":
        return
    exact = Fraction(v) * Fraction(2) ** (target.fraction - fraction)
    clamped = min(max(exact, Fraction(target.minimum)), Fraction(target.maximum))
    error = abs(convert(v, fraction, target) - clamped)
    assert error < 1
    if target.rounding.startswith("RND"):
        assert error <= Fraction(1, 2)


@given(integers, fractions, types)
def test_wrapping_loses_the_high_bits_alone(v: int, fraction: int, target: FixedType) -> None:
    wide = FixedType(64, 64, True, target.rounding)
    narrow = FixedType(target.width, target.width, target.is_signed, target.rounding)
    s = Fraction(v) / Fraction(2) ** max(fraction, 0)
    if abs(s) < 2**62:
        difference = convert(v, max(fraction, 0), narrow) - convert(v, max(fraction, 0), wide)
        assert difference % (1 << target.width) == 0


@given(st.floats(allow_nan=False, allow_infinity=False), types)
def test_a_float_is_converted_as_the_rational_number_it_is(x: float, target: FixedType) -> None:
    numerator, denominator = x.as_integer_ratio()
    assert convert_real(x, target) == convert(numerator, denominator.bit_length() - 1, target)


def test_what_is_not_finite_is_refused() -> None:
    for x in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="ap_int<4>"):
            convert_real(x, parse("ap_int<4>"))


@given(st.lists(integers, min_size=1, max_size=5), fractions, types)
def test_the_conversion_of_arrays_is_that_of_numbers(values: list[int], fraction: int, target: FixedType) -> None:
    expected = [convert(v, fraction, target) for v in values]
    assert convert_array(python_integers(np.array(values, dtype=object)), fraction, target).tolist() == expected
