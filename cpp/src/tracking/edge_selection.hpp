#pragma once

#include <rheinfall/tracking/track_building.hpp>

#include "tracking/detail/edge_rows.hpp"

namespace rheinfall::detail {

/// Edges of a part of a graph that were looked at, and copied.
struct Copied {
    std::size_t n_seen = 0, n_kept = 0;
    bool finite = true;  ///< all scores seen
};

/// Copies the edges with finite score > @p cut, and without @p keeps_loops those that join two hits, from @p first on
/// to @p edges until less than sixteen of its room are left to see. x86-64 with AVX-512 (F, DQ, VL, BW) only.
Copied copy_edges_avx512(float cut, bool keeps_loops, const ScoredGraph& graph, std::size_t first,
                         const EdgeList& edges) noexcept;

}  // namespace rheinfall::detail
