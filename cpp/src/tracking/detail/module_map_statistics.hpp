#pragma once

#include <array>
#include <cstddef>
#include <rheinfall/tracking/module_map_builder.hpp>

namespace rheinfall::detail {

inline constexpr std::size_t n_quantities = ModuleMapBuilder::n_quantities;

/// Fixed-point units per unit of each quantity. Values are clamped to 2^20 units, which only bounds the rms of
/// outliers, never min and max; any 2^23 - 1 occurrences of a triplet then fit 64 bits, and more are refused where they
/// do not.
inline std::array<double, n_quantities> scales(Bend bend) {
    const double bend_scale = bend == Bend::angle ? 262144.0 : 4096.0;
    return {64.0, 262144.0, 67108864.0, 65536.0, 64.0, 262144.0, 67108864.0, 65536.0, 32768.0, bend_scale};
}

}  // namespace rheinfall::detail
