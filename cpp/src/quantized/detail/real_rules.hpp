#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "quantized/detail/fixed_point.hpp"

/// Real numbers at the boundary of a network: the same functions for CPU and CUDA.
namespace rheinfall::quantized::detail {

/// x, finite, as a stored value of a type: exact, whatever its magnitude.
[[nodiscard]] RHEINFALL_HOST_DEVICE inline std::int64_t convert_real(double x, const FixedType& type) noexcept {
    const auto bits = std::bit_cast<std::uint64_t>(x);
    const auto exponent = static_cast<int>(bits >> 52U & 0x7FFU);
    auto mantissa = static_cast<std::int64_t>(bits & ((std::uint64_t{1} << 52U) - 1));
    if (exponent != 0) mantissa |= std::int64_t{1} << 52;
    return convert((bits >> 63U) != 0 ? -mantissa : mantissa, 1075 - (exponent == 0 ? 1 : exponent), type);
}

/// round-half-even(x / scale) + zero point, with the type's overflow; x is finite.
[[nodiscard]] RHEINFALL_HOST_DEVICE inline std::int64_t convert_scaled(float x, float scale, std::int64_t zero_point,
                                                                       const FixedType& type) noexcept {
    const float q = std::nearbyint(x / scale);
    // Beyond 2^100 a float is a multiple of 2^64 and outside every type, so that 2^100 does as well.
    constexpr float huge = 0x1p100F;
    const float clamped = q > huge ? huge : q < -huge ? -huge : q;
    return fit(static_cast<Int128>(clamped) + Int128{zero_point}, 0, type);
}

/// The real value of a stored one by its binary point.
[[nodiscard]] RHEINFALL_HOST_DEVICE inline double real_value(std::int64_t stored, const FixedType& type) noexcept {
    return std::ldexp(static_cast<double>(widen<Int128>(stored, type)), -type.fraction());
}

/// The same by a scale and a zero point.
[[nodiscard]] RHEINFALL_HOST_DEVICE inline double real_value(std::int64_t stored, const FixedType& type,
                                                             std::int64_t zero_point, double scale) noexcept {
    return static_cast<double>(widen<Int128>(stored, type) - zero_point) * scale;
}

}  // namespace rheinfall::quantized::detail
