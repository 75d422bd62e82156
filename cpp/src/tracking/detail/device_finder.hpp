#pragma once

/// @file
/// Track finding as a device does it: what lies between the stages of an event, and the bodies that are no stage's own:
/// the canonical order of hits, scores without a network, and the way back to the caller's numbers. The stages in their
/// order: device_finder_steps.hpp.

#include <cstddef>
#include <cstdint>
#include <rheinfall/tracking/edge_features_cuda.hpp>
#include <rheinfall/tracking/track_finder_cuda.hpp>

#include "core/sort_in_place.hpp"
#include "tracking/detail/feature_rows.hpp"
#include "tracking/detail/hit_order_keys.hpp"

namespace rheinfall::detail {

/// What one stage tells the next on the device.
struct FinderWords {
    std::uint32_t n_hits;  ///< that there are, at most as many as there is room for
    std::uint32_t too_many_hits;
    std::size_t n_edges;  ///< of the graph; more than there is room for if the graph was not written
    GraphResult graph;
    PruneResult pruned;
    Status scoring;
    TracksResult tracks;
};

/// One event. Arrays have the sizes of the limits.
struct DeviceFinder {
    std::uint32_t n_hits;  ///< room
    std::size_t edge_capacity;
    float chi2_scale;
    bool has_network;

    // The caller's.
    const float *x, *y, *z;
    const std::uint64_t* module_id;
    std::uint32_t n_given;  ///< size of these
    const std::uint32_t* n_hits_given;
    std::int64_t *track_hits, *labels;
    std::size_t n_track_hits, n_labels;  ///< sizes of these
    TracksResult* tracks_out;            ///< or null
    TrackFinderResult* result;

    FinderWords* words;
    std::uint32_t* order;  ///< of the caller's hits, by place
    float *sorted_x, *sorted_y, *sorted_z;
    std::uint64_t* sorted_module_id;
    std::int64_t *source, *target, *left_source, *left_target;  ///< of the graph, and what pruning leaves of it
    float *out_best, *out_second, *in_best, *in_second;
    float *node_rows, *edge_rows;  ///< with a network
    float* scores;
    std::int64_t* sorted_labels;

    // Of the order alone; by hit or by place.
    std::uint32_t *z_key, *sorted_z_key, *hit, *by_z, *place_z;
    std::uint64_t *module_key, *sorted_module_key;

    [[nodiscard]] HitsView sorted_hits() const {
        return {{sorted_x, n_hits}, {sorted_y, n_hits}, {sorted_z, n_hits}, {sorted_module_id, n_hits}};
    }
    [[nodiscard]] DeviceHits hits() const { return {sorted_hits(), &words->n_hits}; }
    [[nodiscard]] DeviceEdges edges() const {
        return {{{source, edge_capacity}, {target, edge_capacity}}, &words->n_edges};
    }
    [[nodiscard]] DeviceEdges left() const {
        return {{{left_source, edge_capacity}, {left_target, edge_capacity}}, &words->pruned.n_edges};
    }
    [[nodiscard]] ContinuationChi2 chi2() const {
        return {{out_best, edge_capacity},
                {out_second, edge_capacity},
                {in_best, edge_capacity},
                {in_second, edge_capacity}};
    }
};

/// One call.
struct BeginFinder {
    DeviceFinder g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t) const {
        const std::uint32_t n = g.n_hits_given == nullptr ? g.n_given : *g.n_hits_given;
        g.words->too_many_hits = n > g.n_given ? 1 : 0;
        g.words->n_hits = n > g.n_given ? g.n_given : n;
        g.words->scoring = Status::ok;
    }
};

/// By the caller's hit: what is sorted first. Places without a hit stay behind all hits, since the sorts are stable.
struct MakeZKey {
    DeviceFinder g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t i) const {
        g.hit[i] = static_cast<std::uint32_t>(i);
        g.z_key[i] = i < g.words->n_hits ? sortable(g.z[i]) : 0xffffffffU;
    }
};

/// By hit in the order of z.
struct MakeModuleKey {
    DeviceFinder g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t p) const {
        const std::uint32_t i = g.by_z[p];
        g.module_key[p] = i < g.words->n_hits ? g.module_id[i] : 0xffffffffffffffffU;
    }
};

/// By place: the key by which ties of the module were decided.
struct PlaceZ {
    DeviceFinder g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t p) const { g.place_z[p] = g.z_key[g.order[p]]; }
};

/// By place: the first of those that agree in module and z puts them in order.
struct SortTies {
    DeviceFinder g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t first) const {
        const std::uint64_t n = g.words->n_hits;
        if (first >= n || (first > 0 && same(first, first - 1))) return;
        std::uint64_t end = first + 1;
        while (end < n && same(end, first)) ++end;
        if (end - first > 1) sort_in_place(g.order + first, end - first, HitTie{g.x, g.y});
    }

private:
    [[nodiscard]] RHEINFALL_HOST_DEVICE bool same(std::uint64_t a, std::uint64_t b) const {
        return g.sorted_module_key[a] == g.sorted_module_key[b] && g.place_z[a] == g.place_z[b];
    }
};

/// By place: copies its hit.
struct GatherHit {
    DeviceFinder g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t p) const {
        const std::uint32_t i = g.order[p];
        const bool is_hit = p < g.words->n_hits;
        g.sorted_x[p] = is_hit ? g.x[i] : 0.0F;
        g.sorted_y[p] = is_hit ? g.y[i] : 0.0F;
        g.sorted_z[p] = is_hit ? g.z[i] : 0.0F;
        g.sorted_module_id[p] = is_hit ? g.module_id[i] : 0;
    }
};

/// One call: so that later stages see a graph that was not written as one without room.
struct PassGraph {
    DeviceFinder g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t) const {
        const GraphResult& graph = g.words->graph;
        const bool failed = graph.status == Status::capacity_exceeded || g.words->too_many_hits != 0;
        g.words->n_edges = failed ? g.edge_capacity + 1 : graph.n_edges;
    }
};

/// By edge that is left: its score, in a finder without a network.
struct ScoreEdge {
    DeviceFinder g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t e) const {
        if (e < g.words->pruned.n_edges) g.scores[e] = chi2_score(g.out_best[e], g.in_best[e], g.chi2_scale);
    }
};

/// By place in the caller's array of hits of tracks: the caller's number.
struct RenumberHit {
    DeviceFinder g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t i) const {
        const TracksResult& tracks = g.words->tracks;
        if (tracks.status == Status::capacity_exceeded || i >= tracks.n_hits) return;
        g.track_hits[i] = g.order[g.track_hits[i]];
    }
};

/// By place: the label of the caller's hit.
struct RenumberLabel {
    DeviceFinder g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t p) const {
        const std::uint32_t i = g.order[p];
        if (g.words->tracks.status == Status::capacity_exceeded || i >= g.n_labels) return;
        g.labels[i] = p < g.words->n_hits ? g.sorted_labels[p] : -1;
    }
};

/// One call: the result, as `TrackFinder::run` gives it.
struct FinishFinder {
    DeviceFinder g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t) const {
        const FinderWords& w = *g.words;
        TrackFinderResult result;
        result.n_doublets = w.graph.n_doublets;
        result.n_edges = result.n_pruned_edges = w.graph.n_edges;
        result.n_unknown_modules = w.graph.n_unknown_modules;
        result.n_not_finite = w.graph.n_not_finite;
        if (w.n_edges > g.edge_capacity) {
            result.status = Status::capacity_exceeded;
        } else {
            result.n_pruned_edges = w.pruned.n_edges;
            const Status scoring = w.pruned.n_edges > 0 ? w.scoring : Status::ok;
            result.status = worst(worst(w.graph.status, scoring), w.tracks.status);
            result.n_tracks = w.tracks.n_tracks;
            result.n_track_hits = w.tracks.n_hits;
        }
        *g.result = result;
        if (g.tracks_out != nullptr) *g.tracks_out = {result.status, result.n_tracks, result.n_track_hits};
    }
};

}  // namespace rheinfall::detail
