#pragma once

#include <bit>
#include <cstdint>

#include "tracking/detail/host_device.hpp"

namespace rheinfall::detail {

/// How far a float32 squared distance may lie from its definition, relatively: radius_graph_body.hpp has the proof.
RHEINFALL_HOST_DEVICE constexpr double relative_rounding(std::uint32_t dimension) {
    return static_cast<double>(dimension + 8) * 0x1p-24;
}
inline constexpr double underflow_loss = 0x1p-100;  ///< more than that loses, also where denormals are flushed
inline constexpr double largest_bound = 0x1p120;    ///< beyond it sums may overflow

/// A float32 squared distance beyond which the definition's is certainly larger than @p bound2.
RHEINFALL_HOST_DEVICE inline float possible_distance2(double bound2, std::uint32_t dimension) {
    const double above = bound2 * (1.0 + relative_rounding(dimension)) + underflow_loss;
    if (!(above < largest_bound)) return std::bit_cast<float>(0x7f800000U);  // infinity
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(static_cast<float>(above)) + 1U);
}

}  // namespace rheinfall::detail
