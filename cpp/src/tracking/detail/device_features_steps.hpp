#pragma once

/// @file
/// Pruning and features on a device, step by step, over an executor as in device_graph_steps.hpp.

#include <bit>

#include "tracking/detail/device_arena.hpp"
#include "tracking/detail/device_features.hpp"

namespace rheinfall::detail {

/// Takes the arrays of an event of up to so many hits and edges, and sets the sizes; the caller sets the rest.
template <class Arena>
DevicePruner take_device_pruner(Arena& arena, std::size_t n_hits, std::size_t n_edges) {
    DevicePruner g{};
    g.n_hits = static_cast<std::uint32_t>(n_hits);
    g.edge_capacity = static_cast<std::uint32_t>(n_edges);
    g.index_bits = static_cast<std::uint32_t>(std::bit_width(n_hits));
    g.model = arena.template take<TripletModel>(1);
    for (auto* of_edges : {&g.target, &g.sorted_target, &g.number, &g.by_target}) {
        *of_edges = arena.template take<std::uint32_t>(n_edges);
    }
    for (auto* of_hits : {&g.out_begin, &g.in_begin}) *of_hits = arena.template take<std::uint32_t>(n_hits + 1);
    g.segments = arena.template take<DeviceSegment>(n_edges);
    for (auto* of_edges : {&g.keep, &g.place}) *of_edges = arena.template take<std::uint64_t>(n_edges + 1);
    return g;
}

/// Runs all steps on @p on, in grids of the room that there is.
template <class Executor>
void prune_device_edges(Executor& on, const TripletModel& model, const DevicePruner& g) {
    const std::uint64_t n = g.edge_capacity;
    on.for_each(1, CopyTripletModel{model, g.model});
    on.for_each(n, ListEdge{g});
    on.sort_pairs(g.target, g.sorted_target, g.number, g.by_target, n, static_cast<int>(g.index_bits));
    on.for_each(std::uint64_t{g.n_hits} + 1, FindEdgeRows{g});
    on.for_each(n, MakeSegment{g});
    on.for_each(n + 1, KeepEdge{g});
    on.exclusive_sum(g.keep, g.place, n + 1);
    on.for_each(n, WriteKeptEdge{g});
    on.for_each(1, FinishPruning{g});
}

template <class Executor>
void make_device_features(Executor& on, const DeviceFeatures& g) {
    on.for_each(g.n_hits, MakeNodeRow{g});
    if (g.edge_rows != nullptr) on.for_each(g.edge_capacity, MakeEdgeRow{g});
}

}  // namespace rheinfall::detail
