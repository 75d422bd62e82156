#pragma once

#include <cstdint>
#include <type_traits>

#include "quantized/detail/int128.hpp"
#include "rheinfall/quantized/fixed_point.hpp"
#include "tracking/detail/host_device.hpp"

/// Conversions between types of fixed point, as docs/quantized_format.md defines them: one function for CPU and CUDA.
/// A *stored* value is an int64_t with the low 64 bits of the integer: an ap_uint<64> above 2^63 - 1 is stored as its
/// two's complement, and `widen` gives the integer back.
namespace rheinfall::quantized::detail {

template <class Int>
struct MakeUnsigned : std::make_unsigned<Int> {};
template <>
struct MakeUnsigned<Int128> {
    using type = UInt128;
};
template <class Int>
using Unsigned = typename MakeUnsigned<Int>::type;

template <class Int>
inline constexpr int bits_of = static_cast<int>(sizeof(Int)) * 8;

/// The largest integer of a type.
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr std::uint64_t largest(const FixedType& type) noexcept {
    return (~std::uint64_t{0} >> (64 - type.width)) >> (type.is_signed ? 1 : 0);
}

/// The smallest integer of a type.
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr std::int64_t smallest(const FixedType& type) noexcept {
    return type.is_signed ? -static_cast<std::int64_t>(largest(type)) - 1 : 0;
}

/// The integer behind a stored value. An Int of 64 bits is for values below 2^63 only.
template <class Int>
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr Int widen(std::int64_t stored, const FixedType& type) noexcept {
    if constexpr (bits_of<Int> > 64) {
        if (!type.is_signed) return static_cast<Int>(static_cast<std::uint64_t>(stored));
    }
    return static_cast<Int>(stored);
}

/// The low bits of an integer as a stored value of a type: overflow WRAP.
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr std::int64_t wrap(std::uint64_t bits, const FixedType& type) noexcept {
    const std::uint64_t mask = ~std::uint64_t{0} >> (64 - type.width);
    bits &= mask;
    const bool negative = type.is_signed && (bits >> (type.width - 1)) != 0;
    return static_cast<std::int64_t>(negative ? bits | ~mask : bits);
}

/// floor(v / 2^shift) for any shift >= 0.
template <class Int>
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr Int shift_right(Int v, int shift) noexcept {
    return v >> (shift < bits_of<Int> ? shift : bits_of<Int> - 1);
}

/// v / 2^shift, shift > 0, rounded to an integer. What is cut off is judged by its upper bit ("half") and whether any
/// bit below that is set, so that nothing is wider than v.
template <class Int>
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr Int round_shift(Int v, int shift, Rounding rounding) noexcept {
    using U = Unsigned<Int>;
    const Int f = shift_right(v, shift);
    const bool half = (shift_right(v, shift - 1) & 1) != 0;
    const bool below = shift > bits_of<Int> ? v != 0 : (static_cast<U>(v) & ((U{1} << (shift - 1)) - U{1})) != 0;
    bool up = false;
    switch (rounding) {
        case Rounding::trn: break;
        case Rounding::trn_zero: up = v < 0 && (half || below); break;
        case Rounding::rnd: up = half; break;
        case Rounding::rnd_zero: up = half && (below || v < 0); break;
        case Rounding::rnd_min_inf: up = half && below; break;
        case Rounding::rnd_inf: up = half && (below || v >= 0); break;
        case Rounding::rnd_conv: up = half && (below || (f & 1) != 0); break;
    }
    return up ? f + 1 : f;  // no overflow: |f| <= |v| / 2
}

/// v·2^shift, shift >= 0, with the overflow of a type; shifted out of v's own bits or not.
template <class Int>
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr std::int64_t fit(Int v, int shift, const FixedType& type) noexcept {
    using U = Unsigned<Int>;
    const std::uint64_t bits = shift < 64 ? static_cast<std::uint64_t>(v) << shift : 0;
    if (type.overflow == Overflow::wrap) return wrap(bits, type);
    // Limits are shifted instead of v; below zero the magnitude is compared, which the smallest v has as unsigned only.
    const std::uint64_t max = largest(type);
    const std::uint64_t above_limit = shift < 64 ? max >> shift : 0;
    const int room = type.width - 1 - shift;
    const std::uint64_t below_limit = type.is_signed && room >= 0 ? std::uint64_t{1} << room : 0;
    const bool above = v > 0 && static_cast<U>(v) > U{above_limit};
    const bool beneath = v < 0 && U{0} - static_cast<U>(v) > U{below_limit};
    if (type.overflow == Overflow::sat_zero) return above || beneath ? 0 : static_cast<std::int64_t>(bits);
    if (above) return static_cast<std::int64_t>(max);
    // The vendor's headers saturate one signed bit to -1, not to the ±0 that symmetry would ask for.
    const bool symmetric = type.overflow == Overflow::sat_sym && type.is_signed && type.width > 1;
    const std::int64_t min = symmetric ? smallest(type) + 1 : smallest(type);
    if (beneath) return min;
    const auto value = static_cast<std::int64_t>(bits);
    return type.is_signed && value < min ? min : value;
}

/// v / 2^from_fraction as a stored value of a type: its rounding first, then its overflow. Any v and fraction will do.
template <class Int>
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr std::int64_t convert(Int v, int from_fraction,
                                                                   const FixedType& type) noexcept {
    const int shift = from_fraction - type.fraction();
    return shift > 0 ? fit(round_shift(v, shift, type.rounding), 0, type) : fit(v, -shift, type);
}

}  // namespace rheinfall::quantized::detail
