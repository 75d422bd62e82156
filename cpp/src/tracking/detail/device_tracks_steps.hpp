#pragma once

/// @file
/// Track building on a device, step by step, over an executor as in device_graph_steps.hpp.

#include <algorithm>
#include <bit>

#include "tracking/detail/device_arena.hpp"
#include "tracking/detail/device_tracks_components.hpp"
#include "tracking/detail/device_tracks_merge.hpp"
#include "tracking/detail/device_tracks_output.hpp"
#include "tracking/detail/device_tracks_walks.hpp"

namespace rheinfall::detail {

/// The arrays of the methods that go in rounds.
template <class Arena>
void take_device_rounds(Arena& arena, DeviceTrackBuilder& t) {
    const std::size_t n = t.n_nodes;
    const std::size_t n_edges = t.edge_capacity;
    for (auto* of_components : {&t.unfinished, &t.branching}) *of_components = arena.template take<std::uint32_t>(n);
    if (t.merges_layers()) {
        for (auto* of_edges : {&t.merge_a, &t.merge_b}) *of_edges = arena.template take<std::uint32_t>(n_edges);
        t.cluster = arena.template take<std::uint32_t>(n);
        for (auto* of_hits : {&t.cluster_layers, &t.best_edge}) *of_hits = arena.template take<std::uint64_t>(n);
    }
    if (!needs_no_cycles(t.plan.method)) return;
    t.link = arena.template take<DeviceLink>(n_edges);
    if (t.plan.method == TrackMethod::d_walk) {
        for (auto* of_hits : {&t.retired_at, &t.led_to_at, &t.claimed_by}) {
            *of_hits = arena.template take<std::uint32_t>(n);
        }
        t.claimed_sum = arena.template take<std::uint64_t>(n);
    } else {
        for (auto* of_hits : {&t.ranked, &t.taker, &t.next_taker, &t.far}) {
            *of_hits = arena.template take<std::uint32_t>(n);
        }
        t.n_far_searchers = static_cast<std::uint32_t>(std::min<std::size_t>(n, most_far_searchers));
        t.far_columns = arena.template take<float>(std::size_t{t.n_far_searchers} * SearchNodes::n_far_columns);
    }
}

template <class Arena>
void take_device_components(Arena& arena, DeviceTrackBuilder& t) {
    const std::size_t n = t.n_nodes;
    const std::size_t n_edges = t.edge_capacity;
    t.depth = arena.template take<std::uint32_t>(n);
    t.sorted_label = arena.template take<std::uint32_t>(n);
    t.member = arena.template take<std::uint32_t>(n);
    t.begins = arena.template take<std::uint64_t>(n + 1);
    t.component = arena.template take<std::uint64_t>(n + 1);
    t.row_begin = arena.template take<std::uint32_t>(n + 1);
    t.place_of = arena.template take<std::uint32_t>(n);
    t.first_place = arena.template take<std::uint32_t>(n + 1);
    t.edge_key = arena.template take<std::uint64_t>(n_edges);
    t.sorted_edge_key = arena.template take<std::uint64_t>(n_edges);
    t.edge = arena.template take<std::uint32_t>(n_edges);
    t.sorted_edge = arena.template take<std::uint32_t>(n_edges);
    t.blocks = arena.template take<std::byte>(BlockBytes().begin(n, n_edges, n));
    if (t.merges_layers()) {
        t.merge_key = arena.template take<std::uint64_t>(n_edges);
        t.sorted_merge_key = arena.template take<std::uint64_t>(n_edges);
        t.merge_edge = arena.template take<std::uint32_t>(n_edges);
        t.layer = arena.template take<std::uint64_t>(n);
    }
    take_device_rounds(arena, t);
    if (t.stops_at_cycles()) {
        t.on_cycle = arena.template take<std::uint64_t>(n + 1);
        t.cycle_place = arena.template take<std::uint64_t>(n + 1);
    }
}

/// Takes the arrays of an event within @p limits, and sets the sizes; the caller sets the rest.
template <class Arena>
DeviceTrackBuilder take_device_tracks(Arena& arena, const TrackBuildingPlan& plan, const TrackBuildingLimits& limits,
                                      bool has_hits) {
    DeviceTrackBuilder t{};
    t.plan = plan;
    t.n_nodes = static_cast<std::uint32_t>(limits.n_nodes);
    t.edge_capacity = static_cast<std::uint32_t>(limits.n_edges);
    t.index_bits = std::max(1U, static_cast<std::uint32_t>(std::bit_width(limits.n_nodes)));
    t.has_hits = has_hits;
    const std::size_t n = limits.n_nodes;
    t.flags = arena.template take<EventFlags>(1);
    t.source = arena.template take<std::uint32_t>(limits.n_edges);
    t.target = arena.template take<std::uint32_t>(limits.n_edges);
    t.distance2 = arena.template take<double>(has_hits ? n : 0);
    for (auto* of_hits : {&t.parent, &t.label, &t.root, &t.hit}) *of_hits = arena.template take<std::uint32_t>(n);
    for (auto* of_hits : {&t.best_from, &t.best_into}) {
        *of_hits = arena.template take<std::uint64_t>(t.ranks_edges() ? n : 0);
    }
    for (auto* of_hits : {&t.order_key, &t.sorted_order_key}) *of_hits = arena.template take<std::uint64_t>(n);
    for (auto* of_hits : {&t.by_order, &t.root_key, &t.sorted_root, &t.ordered, &t.track_begin}) {
        *of_hits = arena.template take<std::uint32_t>(n);
    }
    for (auto* of_hits : {&t.length, &t.length_before, &t.is_track, &t.track}) {
        *of_hits = arena.template take<std::uint64_t>(n + 1);
    }
    if (t.needs_rows()) take_device_components(arena, t);
    return t;
}

/// Finds the components, then their tracks: in rounds, and what is left one by one.
template <class Executor>
void look_into_components(Executor& on, const DeviceTrackBuilder& t) {
    const std::uint64_t n = t.n_nodes;
    const int n_bits = static_cast<int>(t.index_bits);
    if (t.merges_layers()) {
        on.for_each(n, MakeLayerKey{t});
        on.sort_pairs(t.root_key, t.sorted_root, t.hit, t.ordered, n, 28);
        on.for_each(n + 1, MarkLayer{t});
        on.exclusive_sum(t.begins, t.component, n + 1);
        on.for_each(n, RankLayer{t});
    }
    on.sort_pairs(t.label, t.sorted_label, t.hit, t.member, n, n_bits);
    on.for_each(n + 1, MarkComponent{t});
    on.exclusive_sum(t.begins, t.component, n + 1);
    on.for_each(n + 1, PlaceMember{t});
    on.for_each(t.edge_capacity, MakeEdgeKey{t});
    on.sort_pairs(t.edge_key, t.sorted_edge_key, t.edge, t.sorted_edge, t.edge_capacity, 2 * n_bits + 1);
    on.for_each(n + 1, FindRowOfPlace{t});
    if (t.merges_layers()) {
        on.for_each(t.edge_capacity, MakeMergeKey{t});
        on.sort_pairs(t.merge_key, t.sorted_merge_key, t.edge, t.merge_edge, t.edge_capacity, 32 + n_bits);
        merge_in_rounds(on, t);
    }
    if (needs_no_cycles(t.plan.method)) walk_in_rounds(on, t);
    on.for_each(n, PlaceRow{t});
    on.for_each(t.edge_capacity, PlaceEdge{t});
    if (t.merges_layers()) on.for_each(t.edge_capacity, PlaceMergeEdge{t});
    on.for_each(n * threads_per_component, LookIntoComponent{t});
    if (t.stops_at_cycles()) on.exclusive_sum(t.on_cycle, t.cycle_place, n + 1);
}

template <class Executor>
void measure_depths(Executor& on, const DeviceTrackBuilder& t) {
    for (std::uint32_t round = 1; round <= EventFlags::rounds; ++round) {
        for_each_strided(on, t.edge_capacity, DeepenEdge{t, round});
    }
}

/// Runs all steps on @p on; the grids depend on the numbers of hits and on the room for edges alone.
template <class Executor>
void build_device_tracks(Executor& on, const DeviceTrackBuilder& t) {
    const std::uint64_t n = t.n_nodes;
    on.for_each(1, BeginTracks{t});
    on.for_each(n + 1, BeginHit{t});
    on.for_each(t.edge_capacity, SelectEdge{t});
    if (needs_no_cycles(t.plan.method)) measure_depths(on, t);
    on.for_each(t.edge_capacity, JoinEdge{t});
    if (!needs_no_cycles(t.plan.method) && t.deepens()) measure_depths(on, t);
    on.for_each(n, LabelHit{t});
    if (t.needs_rows()) look_into_components(on, t);
    on.for_each(n, MakeOrderKey{t});
    on.sort_pairs(t.order_key, t.sorted_order_key, t.hit, t.by_order, n,
                  t.has_hits ? 64 : static_cast<int>(t.index_bits));
    on.for_each(n, MakeRootKey{t});
    on.sort_pairs(t.root_key, t.sorted_root, t.by_order, t.ordered, n, static_cast<int>(t.index_bits));
    on.for_each(n + 1, CountTrack{t});
    on.exclusive_sum(t.length, t.length_before, n + 1);
    on.exclusive_sum(t.is_track, t.track, n + 1);
    on.for_each(n, WriteTracks{t});
    on.for_each(1, FinishTracks{t});
}

}  // namespace rheinfall::detail
