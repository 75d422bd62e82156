#pragma once

/// @file
/// What the canonical order of hits compares; see hit_order.hpp.

#include <bit>
#include <cstdint>

#include "tracking/detail/float_math.hpp"

namespace rheinfall::detail {

/// An integer in the order of the floats: -0 as 0, NaN above all.
RHEINFALL_HOST_DEVICE inline std::uint32_t sortable(float value) {
    if (value != value) return 0xffffffffu;
    const auto bits = std::bit_cast<std::uint32_t>(value + 0.0f);
    return bits >> 31 == 1 ? ~bits : bits | 0x80000000u;
}

/// Whether a hit precedes another one of the same module and z: by phi, x, y, index.
struct HitTie {
    const float *x, *y;

    RHEINFALL_HOST_DEVICE bool operator()(std::uint32_t a, std::uint32_t b) const {
        const std::uint32_t phi_a = phi_of(a);
        const std::uint32_t phi_b = phi_of(b);
        if (phi_a != phi_b) return phi_a < phi_b;
        if (sortable(x[a]) != sortable(x[b])) return sortable(x[a]) < sortable(x[b]);
        if (sortable(y[a]) != sortable(y[b])) return sortable(y[a]) < sortable(y[b]);
        return a < b;
    }

    [[nodiscard]] RHEINFALL_HOST_DEVICE std::uint32_t phi_of(std::uint32_t hit) const {
        const bool is_number = x[hit] == x[hit] && y[hit] == y[hit];
        return is_number ? sortable(atan2(y[hit], x[hit])) : sortable(x[hit] + y[hit]);
    }
};

}  // namespace rheinfall::detail
