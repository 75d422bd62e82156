#pragma once

/// @file
/// Graph construction on a device, step by step, over an executor: CUDA's (cuda/core/executor.hpp), one that asks for
/// the size of scratch memory, and the host's in tests. An executor calls a body for each index, sums and sorts; all of
/// that in the order of its stream, and nothing waits for a count.

#include <bit>

#include "tracking/detail/device_arena.hpp"
#include "tracking/detail/device_graph.hpp"

namespace rheinfall::detail {

/// Takes the arrays of an event of up to @p limits, and sets the sizes; the caller sets the rest.
template <class Arena>
DeviceGraph take_device_graph(Arena& arena, const DeviceMapView& map, std::size_t n_hits, std::size_t n_doublets) {
    DeviceGraph g{};
    g.map = map;
    g.n_hits = static_cast<std::uint32_t>(n_hits);
    g.doublet_capacity = n_doublets;
    const std::size_t n_parts = std::size_t{DeviceGraph::parts} * n_hits + 1;
    g.bucket = arena.template take<std::uint32_t>(n_hits);
    g.hit = arena.template take<std::uint32_t>(n_hits);
    g.sorted_bucket = arena.template take<std::uint32_t>(n_hits);
    g.order = arena.template take<std::uint32_t>(n_hits);
    g.module_offsets = arena.template take<std::uint32_t>(std::size_t{map.n_modules} + 3);
    g.points = arena.template take<DevicePoint>(n_hits);
    g.planes = arena.template take<DevicePlane>(n_hits);
    g.candidate_counts = arena.template take<std::uint64_t>(n_parts);
    g.candidates = arena.template take<std::uint64_t>(n_parts);
    g.source = arena.template take<std::uint32_t>(n_doublets);
    g.target = arena.template take<std::uint32_t>(n_doublets);
    g.doublet = arena.template take<std::uint32_t>(n_doublets);
    g.dzdr = arena.template take<float>(n_doublets);
    g.tagged = arena.template take<std::uint8_t>(n_doublets);
    g.edge_counts = arena.template take<std::uint64_t>(n_hits + 1);
    g.edge_first = arena.template take<std::uint64_t>(n_hits + 1);
    return g;
}

/// Runs all steps on @p on; the grids depend on the capacities alone, so that a captured graph serves every event.
template <class Executor>
void build_device_graph(Executor& on, const DeviceGraph& g) {
    const std::uint64_t n_parts = std::uint64_t{DeviceGraph::parts} * g.n_hits;
    on.for_each(g.n_hits, LocateHit{g});
    on.sort_pairs(g.bucket, g.sorted_bucket, g.hit, g.order, g.n_hits,
                  static_cast<int>(std::bit_width(g.map.n_modules + 2U)));
    on.for_each(std::uint64_t{g.map.n_modules} + 3, FindBucket{g});
    on.for_each(g.n_hits, PlacePoint{g});
    on.for_each(n_parts + 1, CountCandidates{g});
    on.exclusive_sum(g.candidate_counts, g.candidates, n_parts + 1);
    on.for_each(n_parts, WriteCandidates{g});
    if (!g.map.doublets_only) on.for_each(g.doublet_capacity, TagTriplets{g});
    on.for_each(std::uint64_t{g.n_hits} + 1, CountEdges{g});
    on.exclusive_sum(g.edge_counts, g.edge_first, std::uint64_t{g.n_hits} + 1);
    on.for_each(g.n_hits, WriteEdges{g});
    on.for_each(1, FinishGraph{g});
}

}  // namespace rheinfall::detail
