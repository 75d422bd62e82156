#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace rheinfall {

/// The hits of one event, one array per field, owned by the caller. All spans have the same size.
struct HitsView {
    std::span<const float> x;                  ///< [mm]
    std::span<const float> y;                  ///< [mm]
    std::span<const float> z;                  ///< [mm]
    std::span<const std::uint64_t> module_id;  ///< the sensor of each hit

    [[nodiscard]] std::size_t size() const noexcept { return x.size(); }
};

/// Directed edges of a graph, source = inner hit, target = outer hit; both spans have the same size.
struct EdgesView {
    std::span<const std::int64_t> source;
    std::span<const std::int64_t> target;

    [[nodiscard]] std::size_t size() const noexcept { return source.size(); }
};

}  // namespace rheinfall
