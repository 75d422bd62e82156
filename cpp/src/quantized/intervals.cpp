#include "quantized/intervals.hpp"

#include <algorithm>
#include <array>

#include "quantized/detail/fixed_point.hpp"

namespace rheinfall::quantized {
namespace {

constexpr Int128 huge = Int128{1} << 126;

int signed_bits(Int128 v) noexcept {
    auto magnitude = static_cast<UInt128>(v < 0 ? ~v : v);
    int bits = 1;
    for (; magnitude != 0; magnitude >>= 1) ++bits;
    return bits;
}

/// v·2^shift, or ±2^126 where that is smaller in magnitude.
Int128 shift_left(Int128 v, int shift) noexcept {
    if (v == 0) return 0;
    if (shift >= 126 || signed_bits(v) + shift > 127) return v < 0 ? -huge : huge;
    return v * (Int128{1} << shift);
}

Int128 round_to(Int128 v, int shift, Rounding rounding) noexcept {
    return shift > 0 ? detail::round_shift(v, shift, rounding) : shift_left(v, -shift);
}

}  // namespace

Int128 multiply_clamped(Int128 x, Int128 y) noexcept {
    if (signed_bits(x) + signed_bits(y) <= 127) return x * y;
    const auto magnitude = [](Int128 v) {
        return v < 0 ? UInt128{0} - static_cast<UInt128>(v) : static_cast<UInt128>(v);
    };
    if (y != 0 && magnitude(x) >= static_cast<UInt128>(huge) / magnitude(y)) return (x < 0) == (y < 0) ? huge : -huge;
    return x * y;
}

int signed_bits(const Interval& x) noexcept {
    return std::max(signed_bits(x.lo), signed_bits(x.hi));
}

Interval hull(const Interval& x, const Interval& y) noexcept {
    return {std::min(x.lo, y.lo), std::max(x.hi, y.hi)};
}

Interval type_range(const FixedType& type) noexcept {
    return {detail::smallest(type), static_cast<Int128>(detail::largest(type))};
}

Interval converted_range(const FixedType& type) noexcept {
    Interval range = type_range(type);
    if (type.is_signed && type.width > 1 && type.overflow == Overflow::sat_sym) ++range.lo;
    return range;
}

Interval BitCount::note(Interval x) {
    const int bits = signed_bits(x);
    if (bits > 127 || x.lo <= -huge) throw TooWide{};  // a clamped bound is ±2^126
    bits_ = std::max(bits_, bits);
    return x;
}

Interval BitCount::add(const Interval& x, const Interval& y) {
    return note({x.lo + y.lo, x.hi + y.hi});  // both within 127 bits: no overflow
}

Interval BitCount::multiply(const Interval& x, const Interval& y) {
    const std::array corners = {multiply_clamped(x.lo, y.lo), multiply_clamped(x.lo, y.hi),
                                multiply_clamped(x.hi, y.lo), multiply_clamped(x.hi, y.hi)};
    const auto [lo, hi] = std::ranges::minmax(corners);
    return note({lo, hi});
}

Interval BitCount::align(const Interval& x, int from, int to) {
    return note({shift_left(x.lo, to - from), shift_left(x.hi, to - from)});
}

Bounds BitCount::add(const Bounds& x, const Bounds& y) {
    const int f = std::max(x.fraction, y.fraction);
    return {add(align(x.x, x.fraction, f), align(y.x, y.fraction, f)), f};
}

Bounds BitCount::multiply(const Bounds& x, const Bounds& y) {
    return {multiply(x.x, y.x), x.fraction + y.fraction};
}

void BitCount::compare(const Bounds& x, const Bounds& y) {
    const int f = std::max(x.fraction, y.fraction);
    align(x.x, x.fraction, f);
    align(y.x, y.fraction, f);
}

Conversion convert_interval(const Bounds& bounds, const FixedType& type, int zeros) noexcept {
    const int shift = bounds.fraction - type.fraction();
    // Each rounding is monotone, so the ends give the ends.
    const Interval x{round_to(bounds.x.lo, shift, type.rounding), round_to(bounds.x.hi, shift, type.rounding)};
    Conversion conversion{x, shift > zeros && bounds.x != Interval{}, false};
    const Interval range = converted_range(type);
    if (contains(range, x)) return conversion;
    conversion.overflows = true;
    const Interval clamped{std::clamp(x.lo, range.lo, range.hi), std::clamp(x.hi, range.lo, range.hi)};
    switch (type.overflow) {
        case Overflow::sat:
        case Overflow::sat_sym: conversion.result = clamped; break;
        case Overflow::sat_zero: conversion.result = hull(clamped, {}); break;
        case Overflow::wrap: {
            conversion.result = range;
            if (x.lo > -huge && x.hi < huge && x.hi - x.lo < Int128{1} << type.width) {
                const auto wrapped = [&](Int128 v) {
                    return detail::widen<Int128>(detail::wrap(static_cast<std::uint64_t>(v), type), type);
                };
                if (wrapped(x.lo) <= wrapped(x.hi)) conversion.result = {wrapped(x.lo), wrapped(x.hi)};
            }
            break;
        }
    }
    return conversion;
}

}  // namespace rheinfall::quantized
