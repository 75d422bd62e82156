#pragma once

/// @file
/// A triplet's limits as small codes. Rounding is outward: a decoded limit is never narrower than the one encoded.

#include <bit>
#include <cstdint>
#include <rheinfall/tracking/module_map.hpp>

#include "tracking/detail/host_device.hpp"

namespace rheinfall::detail {

RHEINFALL_HOST_DEVICE inline float decode_low(const Interval& range, std::uint8_t code) {
    return range.low + static_cast<float>(code) * ((range.high - range.low) / 255.0f);
}

RHEINFALL_HOST_DEVICE inline float decode_high(const Interval& range, std::uint8_t code) {
    return range.high - static_cast<float>(code) * ((range.high - range.low) / 255.0f);
}

/// A triplet's limits of one pair, from the doublet's limits @p d and four pairs of codes.
RHEINFALL_HOST_DEVICE inline DoubletLimits decode_limits(const DoubletLimits& d, const std::uint8_t* codes) {
    return {{decode_low(d.z0, codes[0]), decode_high(d.z0, codes[1])},
            {decode_low(d.dphi, codes[2]), decode_high(d.dphi, codes[3])},
            {decode_low(d.phi_slope, codes[4]), decode_high(d.phi_slope, codes[5])},
            {decode_low(d.deta, codes[6]), decode_high(d.deta, codes[7])}};
}

/// bfloat16 is the upper half of a float32.
RHEINFALL_HOST_DEVICE inline float decode_bfloat16(std::uint16_t code) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(code) << 16);
}

/// A code that is not below the one for an end that lies @p inward from the range's end.
inline int guess_code(const Interval& range, float inward) {
    const float step = (range.high - range.low) / 255.0f;
    const float steps = inward / step;  // NaN for an empty range, where every code means the same
    return steps < 254.0f ? static_cast<int>(steps) + 1 : 255;
}

/// Largest code whose decoded low end is at or below @p low.
inline std::uint8_t encode_low(const Interval& range, float low) {
    int code = guess_code(range, low - range.low);
    while (code > 0 && decode_low(range, static_cast<std::uint8_t>(code)) > low) --code;
    return static_cast<std::uint8_t>(code);
}

/// Largest code whose decoded high end is at or above @p high.
inline std::uint8_t encode_high(const Interval& range, float high) {
    int code = guess_code(range, range.high - high);
    while (code > 0 && decode_high(range, static_cast<std::uint8_t>(code)) < high) --code;
    return static_cast<std::uint8_t>(code);
}

/// Largest bfloat16 at or below @p value.
inline std::uint16_t encode_bfloat16_low(float value) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
    const auto truncated = static_cast<std::uint16_t>(bits >> 16);
    // Truncation moves toward zero: a negative value that lost bits needs one step away from zero.
    const bool lost = (bits & 0xffffu) != 0;
    return static_cast<std::uint16_t>(truncated + ((lost && value < 0.0f) ? 1 : 0));
}

/// Smallest bfloat16 at or above @p value.
inline std::uint16_t encode_bfloat16_high(float value) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
    const auto truncated = static_cast<std::uint16_t>(bits >> 16);
    const bool lost = (bits & 0xffffu) != 0;
    return static_cast<std::uint16_t>(truncated + ((lost && value > 0.0f) ? 1 : 0));
}

}  // namespace rheinfall::detail
