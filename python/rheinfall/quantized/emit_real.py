"""C++ of what happens to real numbers at a generated network's boundary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rheinfall.quantized.emit_body import Integer, literal_code
from rheinfall.quantized.emit_values import Value

REAL_HELPERS = """\
enum class Rounding { trn, trn_zero, rnd, rnd_zero, rnd_min_inf, rnd_inf, rnd_conv };

/// The bits of x: x = magnitude * 2**exponent, negative or not; false for NaN and infinity.
RHEINFALL_EMIT_HD static inline bool take_apart(double x, i64& magnitude, int& exponent, bool& negative) noexcept {
    u64 bits = 0;
    std::memcpy(&bits, &x, sizeof(bits));
    negative = (bits >> 63) != 0;
    exponent = static_cast<int>((bits >> 52) & 0x7ffu);
    magnitude = static_cast<i64>(bits & 0xfffffffffffffu);
    if (exponent == 0x7ff) return false;
    if (exponent != 0) magnitude |= i64{1} << 52;
    exponent = exponent == 0 ? -1074 : exponent - 1075;
    return true;
}

/// x * 2**fraction as an integer, exactly rounded; 0 for NaN and infinity. A result beyond 124 bits comes as one
/// of that size whose low 64 bits are 0 as well, which is all that any overflow looks at.
RHEINFALL_EMIT_HD static inline i128 round_real(double x, int fraction, Rounding rounding, bool& finite) noexcept {
    i64 magnitude = 0;
    int exponent = 0;
    bool negative = false;
    if (!take_apart(x, magnitude, exponent, negative)) {
        finite = false;
        return 0;
    }
    const i128 v = negative ? -i128{magnitude} : i128{magnitude};
    const int up = exponent + fraction;
    if (magnitude == 0) return 0;
    if (up > 70) return negative ? -(i128{1} << 123) : i128{1} << 123;
    if (up >= 0) return v * (i128{1} << up);
    const int s = -up < 100 ? -up : 100;  // from there on nothing but the sign is left
    const i128 floor = v >> s;
    const i128 rest = v - floor * (i128{1} << s);
    const i128 half = i128{1} << (s - 1);
    bool more = false;
    switch (rounding) {
        case Rounding::trn: break;
        case Rounding::trn_zero: more = negative && rest != 0; break;
        case Rounding::rnd: more = rest >= half; break;
        case Rounding::rnd_zero: more = rest > half || (rest == half && negative); break;
        case Rounding::rnd_min_inf: more = rest > half; break;
        case Rounding::rnd_inf: more = rest > half || (rest == half && !negative); break;
        case Rounding::rnd_conv: more = rest > half || (rest == half && (floor & 1) != 0); break;
    }
    return floor + (more ? 1 : 0);
}
"""


def input_of_real(k: int, declared: Mapping[str, Any], value: Value, start: int) -> list[str]:
    """Statements that fill the stored integers of input `k` from in[start ...]."""
    scale = declared.get("scale")
    if scale is None:
        q = f"round_real(in[{start} + i], {value.fraction}, Rounding::{value.type.rounding.lower()}, finite)"
        return [f"    for (int i = 0; i < {value.size}; ++i) in{k}[i] = accept{k}({q}, outside);"]
    scales = [float(np.float32(s)) for s in np.atleast_1d(scale)]
    zero_point = literal_code(int(declared.get("zero_point", 0)), 64)
    return [
        f"    constexpr float scale{k}[{len(scales)}] = {{{', '.join(f'{s.hex()}f' for s in scales)}}};",
        f"    for (int i = 0; i < {value.size}; ++i) {{",
        f"        const float steps = static_cast<float>(in[{start} + i]) / scale{k}[i % {len(scales)}];",
        "        const i128 q = round_real(static_cast<double>(steps), 0, Rounding::rnd_conv, finite);",
        f"        in{k}[i] = accept{k}(q + {zero_point}, outside);",
        "    }",
    ]


def real_of_output(k: int, declared: str | Mapping[str, Any], value: Value, start: int) -> list[str]:
    """Statements that fill out[start ...] from the stored integers of output `k`."""
    scale = None if isinstance(declared, str) else declared.get("scale")
    if isinstance(declared, str) or (scale is None and "offset" not in declared):
        factor = float(2.0**-value.fraction).hex()
        code = f"static_cast<double>(out{k}[i]) * {factor}"
        return [f"    for (int i = 0; i < {value.size}; ++i) out[{start} + i] = {code};"]
    scales = [float(s) for s in np.atleast_1d(2.0**-value.fraction if scale is None else scale)]
    zero_point = int(declared.get("zero_point", 0))
    stored = Integer(f"out{k}[i]", value.lo, value.hi, int(value.ctype[1:]))
    bits = 64 if stored.bits < 128 else 128
    steps = f"static_cast<double>({stored.at(bits)} - {literal_code(zero_point, bits)})"
    code = f"{steps} * output_scale{k}[i % {len(scales)}]"
    lines = [
        f"    constexpr double output_scale{k}[{len(scales)}] = {{{', '.join(s.hex() for s in scales)}}};",
        f"    for (int i = 0; i < {value.size}; ++i) out[{start} + i] = {code};",
    ]
    offsets = [float(s) for s in np.atleast_1d(declared.get("offset", []))]
    if not offsets:
        return lines
    return [
        *lines,
        f"    constexpr double output_offset{k}[{len(offsets)}] = {{{', '.join(s.hex() for s in offsets)}}};",
        f"    for (int i = 0; i < {value.size}; ++i) {{",
        f"        volatile double product = out[{start} + i];  // rounded by itself, whatever a compiler would fuse",
        f"        out[{start} + i] = product + output_offset{k}[i % {len(offsets)}];",
        "    }",
    ]
