#pragma once

#include <cstdint>

#include "tracking/detail/edge_rows.hpp"

namespace rheinfall::detail {

/// What `measure_depth` knows of a hit; side by side, since both are needed at once.
struct HitDepth {
    Index edges_left;  ///< edges into the hit from hits that are not done
    Index depth;       ///< edges on the longest path to the hit so far
};

/// Fills @p depth (edges on the longest path to each hit); @p order becomes a topological order, unspecified among
/// equals. False if the graph has a cycle; both are then unfinished. @p scratch: one per hit.
bool measure_depth(const EdgeRows& out, std::span<Index> depth, std::span<Index> order,
                   std::span<HitDepth> scratch) noexcept;

/// Fills @p order with the hits by (depth, index). @p count is scratch, one per hit.
void sort_by_depth(std::span<const Index> depth, std::span<Index> order, std::span<Index> count) noexcept;

/// Scratch of `find_strong_components`, one entry per hit each.
struct StrongComponentsScratch {
    std::span<Index> low, cursor, stack, path;
    std::span<std::uint8_t> on_stack;
};

/// Labels the strongly connected components, hit by hit (R. Tarjan, SIAM J. Comput. 1 (1972) 146, without recursion).
void find_strong_components(const EdgeRows& out, std::span<Index> component,
                            const StrongComponentsScratch& scratch) noexcept;

}  // namespace rheinfall::detail
