#pragma once

/// @file
/// The order of the hits of a graph, which may have cycles. Host and device run the same.

#include <rheinfall/tracking/track_building.hpp>

#include "tracking/detail/topological_order.hpp"
#include "tracking/detail/track_scratch.hpp"

namespace rheinfall::detail {

RHEINFALL_HOST_DEVICE constexpr bool needs_no_cycles(TrackMethod method) noexcept {
    return method == TrackMethod::cc_and_walk || method == TrackMethod::walk || method == TrackMethod::d_walk;
}

/// Drops the edges within a strongly connected set that do not lead outward. What is left ascends in (distance, index)
/// within each set, and the sets themselves form no cycle.
RHEINFALL_HOST_DEVICE inline void drop_inward_edges(bool has_hits, TrackScratch& s) noexcept {
    s.out.keep_if([&](Index a, Index b, float) {
        const bool further = has_hits && s.distance2[a] != s.distance2[b] ? s.distance2[a] < s.distance2[b] : a < b;
        return s.component[a] != s.component[b] || further;
    });
}

struct MeasureDepth {
    RHEINFALL_HOST_DEVICE bool operator()(const EdgeRows& out, std::span<Index> depth, std::span<Index> order,
                                          std::span<HitDepth> hits) const noexcept {
        return measure_depth(out, depth, order, hits);
    }
};

/// Measures depths in `s.out`. Edges on cycles that do not lead outward are dropped, and then the return value is
/// `cycle`; if @p drop is false they stay and the depths are unfinished. @p measure: `measure_depth` or its like.
template <class Measure = MeasureDepth>
RHEINFALL_HOST_DEVICE Status order_rows(bool has_hits, bool drop, TrackScratch& s, Measure measure = {}) noexcept {
    if (measure(s.out, s.depth, s.order, s.hit_depth)) return Status::ok;
    find_strong_components(s.out, s.component, {s.best_out, s.cursor, s.stack, s.listed, s.flags});
    if (drop) {
        drop_inward_edges(has_hits, s);
        measure(s.out, s.depth, s.order, s.hit_depth);
    }
    return Status::cycle;
}

/// Calls `visit(hit)` for each hit on a cycle, ascending; after `order_rows` left a cycle standing.
template <class Visit>
RHEINFALL_HOST_DEVICE void for_each_hit_on_cycles(const TrackScratch& s, Visit&& visit) noexcept {
    std::fill(s.count.begin(), s.count.end(), 0U);
    for (const Index c : s.component) ++s.count[c];
    for (Index v = 0; v < s.component.size(); ++v) {
        const auto neighbours = s.out.neighbours(v);
        const bool loop = std::binary_search(neighbours.begin(), neighbours.end(), v);
        if (loop || s.count[s.component[v]] > 1) visit(v);
    }
}

}  // namespace rheinfall::detail
