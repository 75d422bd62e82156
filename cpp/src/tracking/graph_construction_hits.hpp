#pragma once

#include <cstdint>
#include <rheinfall/tracking/graph_construction.hpp>
#include <span>

namespace rheinfall::detail {

/// The hits of one event by module.
struct HitBuckets {
    std::span<std::uint32_t> module_of_hit;   ///< by caller's hit; scratch
    std::span<std::uint32_t> module_offsets;  ///< hits of module m are [offsets[m], offsets[m + 1]) in `order`
    std::span<std::uint32_t> order;           ///< caller's hit, by module and in the caller's order within one
};

/// Finds each hit's module, then lists the hits that take part by module. Counts those that do not in @p result.
void bucket_hits(const ModuleMap& map, const HitsView& hits, const HitBuckets& s, GraphResult& result) noexcept;

}  // namespace rheinfall::detail
