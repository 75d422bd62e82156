#pragma once

/// @file
/// Track finding on a device, stage by stage. `Stages` is what runs them: CUDA's calls each (cuda/tracking/
/// track_finder.cu), the host's in tests the bodies of each. Nothing here waits for a count.

#include "tracking/detail/device_arena.hpp"
#include "tracking/detail/device_finder.hpp"

namespace rheinfall::detail {

/// Takes what outlives a stage, and sets the sizes; the caller sets the rest.
template <class Arena>
DeviceFinder take_device_finder(Arena& arena, const TrackFinderOptions& options, const TrackFinderLimits& limits,
                                bool has_network, bool has_edge_rows) {
    DeviceFinder g{};
    const std::size_t n = limits.n_hits;
    const std::size_t n_edges = limits.n_edges;
    g.n_hits = static_cast<std::uint32_t>(n);
    g.edge_capacity = n_edges;
    g.chi2_scale = options.chi2_scale;
    g.has_network = has_network;
    g.words = arena.template take<FinderWords>(1);
    g.order = arena.template take<std::uint32_t>(n);
    for (auto* of_hits : {&g.sorted_x, &g.sorted_y, &g.sorted_z}) *of_hits = arena.template take<float>(n);
    g.sorted_module_id = arena.template take<std::uint64_t>(n);
    for (auto* ends : {&g.source, &g.target, &g.left_source, &g.left_target}) {
        *ends = arena.template take<std::int64_t>(n_edges);
    }
    for (auto* of_edges : {&g.out_best, &g.out_second, &g.in_best, &g.in_second, &g.scores}) {
        *of_edges = arena.template take<float>(n_edges);
    }
    if (has_network) g.node_rows = arena.template take<float>(n * n_node_features);
    if (has_edge_rows) g.edge_rows = arena.template take<float>(n_edges * n_edge_features);
    g.sorted_labels = arena.template take<std::int64_t>(n);
    return g;
}

/// Takes what the order of hits needs, for its time.
template <class Arena>
void take_hit_order(Arena& arena, DeviceFinder& g) {
    for (auto* of_hits : {&g.z_key, &g.sorted_z_key, &g.hit, &g.by_z, &g.place_z}) {
        *of_hits = arena.template take<std::uint32_t>(g.n_hits);
    }
    for (auto* of_hits : {&g.module_key, &g.sorted_module_key}) {
        *of_hits = arena.template take<std::uint64_t>(g.n_hits);
    }
}

/// Brings the hits into their canonical order, with `take_hit_order`'s arrays.
template <class Executor>
void order_device_hits(Executor& on, const DeviceFinder& g) {
    const std::uint64_t n = g.n_hits;
    on.for_each(1, BeginFinder{g});
    on.for_each(n, MakeZKey{g});
    on.sort_pairs(g.z_key, g.sorted_z_key, g.hit, g.by_z, n, 32);
    on.for_each(n, MakeModuleKey{g});
    on.sort_pairs(g.module_key, g.sorted_module_key, g.by_z, g.order, n, 64);
    on.for_each(n, PlaceZ{g});
    on.for_each(n, SortTies{g});
    on.for_each(n, GatherHit{g});
}

/// Runs all stages by @p stages.
template <class Stages>
void find_device_tracks(Stages& stages, const TrackFinderOptions& options, const DeviceTracks& tracks,
                        const DeviceFinder& g) {
    stages.order_hits(g);
    stages.build_graph(g.hits(), {{g.source, g.edge_capacity}, {g.target, g.edge_capacity}}, &g.words->graph);
    stages.for_each(1, PassGraph{g});
    stages.prune_edges(g.sorted_hits(), g.edges(), options.triplet_model, {options.chi2_max},
                       {{g.left_source, g.edge_capacity}, {g.left_target, g.edge_capacity}}, g.chi2(),
                       &g.words->pruned);
    const std::span<float> scores(g.scores, g.edge_capacity);
    if (g.has_network) {
        const std::span<float> nodes(g.node_rows, n_node_features * g.n_hits);
        const std::size_t n_rows = g.edge_rows == nullptr ? 0 : n_edge_features * g.edge_capacity;
        const std::span<float> rows(g.edge_rows, n_rows);
        stages.graph_features(g.hits(), g.left(), g.chi2(), nodes, rows);
        stages.score_edges({{g.n_hits, nodes, g.left().arrays, rows}, &g.words->n_hits, g.left().n_edges}, scores,
                           &g.words->scoring);
    } else {
        stages.for_each(g.edge_capacity, ScoreEdge{g});
    }
    const std::size_t n_labels = tracks.labels.empty() ? 0 : g.n_hits;
    stages.build_tracks({{g.left().arrays, scores, g.n_hits, g.sorted_hits()}, g.left().n_edges, &g.words->n_hits},
                        {tracks.offsets, tracks.hits, {g.sorted_labels, n_labels}, &g.words->tracks});
    stages.for_each(g.n_track_hits, RenumberHit{g});
    if (n_labels > 0) stages.for_each(g.n_hits, RenumberLabel{g});
    stages.for_each(1, FinishFinder{g});
}

}  // namespace rheinfall::detail
