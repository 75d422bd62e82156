"""hls4ml's tables, computed once at import as its C++ initialises them: float arithmetic, then the table's type.

exp is evaluated in double precision and rounded to float, as today's libms do but for rare cases; tanh as fdlibm does
(`hls4ml_libm`). A libm whose last bit differs gives another entry only where that bit decides the conversion to the
table's type.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from rheinfall.quantized import fixed_point, hls4ml_libm
from rheinfall.quantized.errors import ModelError
from rheinfall.quantized.fixed_point import FixedType
from rheinfall.quantized.hls4ml_resolve import CppType

MAX_TABLE = 1 << 20


def to_float(x: float) -> float:
    """x rounded to single precision."""
    with np.errstate(over="ignore"):
        return float(np.float32(x))


def float_exp(x: float) -> float:
    """std::exp(float)."""
    return to_float(math.exp(x)) if x < 100.0 else math.inf


def sigmoid(x: float) -> float:
    """`1.0 / (1 + std::exp(-x))`: the sum is a float's, the quotient a double's."""
    return to_float(1.0 / to_float(1.0 + float_exp(-x)))


def tanh(x: float) -> float:
    """`tanh(float)`, as fdlibm computes it."""
    return hls4ml_libm.tanh(x)


def rounded_tanh(x: float) -> float:
    """`tanh(float)` correctly rounded, as newer libms have it."""
    return to_float(math.tanh(x))


def softplus(x: float) -> float:
    """`std::log(std::exp(x) + 1.)`."""
    return to_float(math.log(float_exp(x) + 1.0))


def softsign(x: float) -> float:
    """`x / (std::abs(x) + 1.)`."""
    return to_float(x / (abs(x) + 1.0))


def elu(x: float) -> float:
    """`std::exp(x) - 1.`."""
    return to_float(float_exp(x) - 1.0)


def selu(x: float) -> float:
    """hls4ml's SELU, its constants as doubles."""
    return to_float(1.0507009873554805 * (1.6732632423543772 * (float_exp(x) - 1.0)))


def activation_table(function: Callable[[float], float], size: int, span: float, type_: CppType) -> list[int]:
    """function((2 span)(i - size/2)/size) for i in 0 .. size - 1; function(-span i/size) for ELU and SELU."""
    check_size(size)
    entries = []
    for i in range(size):
        x = -span * i / size if function in (elu, selu) else 2 * span * (i - size / 2.0) / size
        entries.append(convert_float(function(to_float(x)), type_))
    return entries


def exp_table(size: int, input_type: FixedType, scale: float, type_: CppType, negative: bool) -> list[int]:
    """exp of the number whose top bits are i: softmax's first table."""
    entries = []
    for x in top_bit_values(size, input_type):
        scaled = to_float(x * to_float(scale))
        entries.append(convert_float(float_exp(-scaled if negative else scaled), type_))
    return entries


def inv_table(size: int, input_type: FixedType, type_: CppType) -> list[int]:
    """1/x of the number whose top bits are i: softmax's second table."""
    return [convert_float(to_float(1.0 / x) if x else math.inf, type_) for x in top_bit_values(size, input_type)]


def legacy_exp_table(size: int, type_: CppType) -> list[int]:
    """exp on [-8, 8)."""
    return activation_table(float_exp, size, 8.0, type_)


def legacy_inv_table(size: int, type_: CppType) -> list[int]:
    """1/x on [0, 64), 0 at 0."""
    check_size(size)
    values = [to_float(64.0 * i / size) for i in range(size)]
    return [convert_double(1.0 / x if x > 0 else 0.0, type_) for x in values]


def top_bit_values(size: int, input_type: FixedType) -> list[float]:
    """The numbers of `input_type` whose top log2(size) bits are 0, 1, ...; the bits below are 0."""
    bits = table_bits(size, input_type)
    values = []
    for i in range(size):
        q = i << (input_type.width - bits)
        if input_type.is_signed and i >= size // 2:
            q -= 1 << input_type.width
        values.append(to_float(float(Fraction(q) / Fraction(2) ** input_type.fraction)))
    return values


def table_bits(size: int, input_type: FixedType) -> int:
    """The number of bits that index a table.

    Raises:
        ModelError: the size is no power of two, or the type has too few bits (undefined behaviour in the C++).
    """
    check_size(size)
    bits = size.bit_length() - 1
    if size != 1 << bits or bits < 1:
        raise ModelError(f"a table of {size} entries, indexed by bits: expected a power of two")
    if bits > input_type.width:
        raise ModelError(
            f"a table of {size} entries, indexed by the top {bits} bits of a type of {input_type.width} bits"
        )
    return bits


def check_size(size: int) -> None:
    """Refuse an absurd table."""
    if not 1 <= size <= MAX_TABLE:
        raise ModelError(f"a table of {size} entries: expected 1 to {MAX_TABLE}")


def convert_float(x: float, type_: CppType) -> int:
    """A float converted to the table's type; the vendor's headers take an infinity for 2**1024."""
    return convert_double(x, type_)


def convert_double(x: float, type_: CppType) -> int:
    """A double converted to the table's type, as ap_fixed's constructor does."""
    if type_.is_integer and math.isfinite(x):
        x = float(math.trunc(x))
    exact = Fraction(x) if math.isfinite(x) else Fraction(2) ** 1024 * (1 if x > 0 else -1)
    return fixed_point.convert_real(exact, type_.fixed)
