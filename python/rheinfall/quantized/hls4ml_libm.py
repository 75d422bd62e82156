"""tanh of a float as fdlibm computes it: glibc up to 2.40 and most other libms, to the last bit.

std::exp of a float is correctly rounded nearly everywhere, tanh is not: in one table entry of seven fdlibm's last bit
differs, which shows in tables of more than some 16 fraction bits. Newer glibc rounds tanh correctly.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Float: TypeAlias = Any  # np.float32, of whose operators NumPy's stubs say nothing
_F = np.float32


def _from_bits(bits: int) -> Float:
    return _F(np.uint32(bits).view(np.float32))


_ONE = _F(1)
_LN2_HIGH, _LN2_LOW, _INVERSE_LN2 = _from_bits(0x3F317180), _from_bits(0x3717F7D1), _from_bits(0x3FB8AA3B)
_Q = [_from_bits(bits) for bits in (0xBD088889, 0x3AD00D01, 0xB8A670CD, 0x36867E54, 0xB457EDBB)]
_HALF_LN2, _THREE_HALVES_LN2, _HUGE_LN2 = _from_bits(0x3EB17218), _from_bits(0x3F851592), _from_bits(0x4195B844)
_TINY = _from_bits(0x33000000)


def tanh(x: float) -> float:
    """tanhf(x), x a float."""
    value, size = _F(x), _F(abs(x))
    if size < 2.0**-55:
        return float(value * (_ONE + value))
    if size >= 22:
        z = _ONE
    elif size >= 1:
        z = _ONE - _F(2) / (_expm1(_F(2) * size) + _F(2))
    else:
        t = _expm1(_F(-2) * size)
        z = -t / (t + _F(2))
    return float(z if value >= 0 else -z)


def _expm1(x: Float) -> Float:
    """exp(x) - 1: reduced by multiples k of ln 2, then a polynomial; x below 44."""
    if x <= -_HUGE_LN2:
        return _F(-1)
    if abs(x) < _TINY:
        return x
    x, c, k = _reduce(x)
    half = _F(0.5) * x
    square = x * half
    polynomial = _ONE + square * (_Q[0] + square * (_Q[1] + square * (_Q[2] + square * (_Q[3] + square * _Q[4]))))
    t = _F(3) - polynomial * half
    e = square * ((polynomial - t) / (_F(6) - x * t))
    if k == 0:
        return x - (x * e - square)
    e = (x * (e - c) - c) - square
    if k == -1:
        return _F(0.5) * (x - e) - _F(0.5)
    if k == 1:
        return _F(-2) * (e - (x + _F(0.5))) if x < _F(-0.25) else _ONE + _F(2) * (x - e)
    return _scaled(x, e, k)


def _reduce(x: Float) -> tuple[Float, Float, int]:
    """x - k ln 2, what rounding took from it, and k."""
    if abs(x) <= _HALF_LN2:
        return x, _F(0), 0
    sign = -1 if x < 0 else 1
    k = sign if abs(x) < _THREE_HALVES_LN2 else int(_INVERSE_LN2 * x + _F(0.5 * sign))
    high, low = x - _F(k) * _LN2_HIGH, _F(k) * _LN2_LOW
    reduced = high - low
    return reduced, (high - reduced) - low, k


def _scaled(x: Float, e: Float, k: int) -> Float:
    if k <= -2 or k > 56:
        return _F(np.ldexp(_ONE - (e - x), k)) - _ONE
    if k < 23:
        return _F(np.ldexp(_ONE - _F(2.0**-k) - (e - x), k))
    return _F(np.ldexp((x - (e + _F(2.0**-k))) + _ONE, k))
