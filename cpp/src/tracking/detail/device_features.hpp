#pragma once

/// @file
/// Pruning by triplet chi2 and the features of a graph as a device makes them: arrays of one event, and for each kernel
/// a body that is called once for each index, in any order, as in device_graph.hpp. No two threads write to the same
/// word. Each edge looks at all its continuations, so that every triplet is compared twice: nobody adds to another's
/// minima. The order of the kernels: device_features_steps.hpp.

#include <cstddef>
#include <cstdint>
#include <rheinfall/tracking/edge_features.hpp>

#include "tracking/detail/device_graph.hpp"
#include "tracking/detail/feature_rows.hpp"
#include "tracking/detail/triplet_chi2.hpp"

namespace rheinfall::detail {

/// In two loads of 16 bytes.
struct alignas(16) DeviceSegment {
    Segment segment;
};

/// The edges of one event, to be pruned.
struct DevicePruner {
    std::uint32_t n_hits, edge_capacity;
    std::uint32_t index_bits;  ///< of n_hits: no hit has the largest number of so many bits
    float chi2_max;

    // The caller's.
    const float *x, *y, *z;
    const std::uint64_t* module_id;
    const std::int64_t *source_in, *target_in;
    const std::size_t* n_edges_given;
    std::int64_t *source_out, *target_out;
    float *out_best, *out_second, *in_best, *in_second;  ///< of the edges left
    PruneResult* result;

    TripletModel* model;                                         ///< a copy
    std::uint32_t *target, *sorted_target, *number, *by_target;  ///< edges by the hit that they enter
    std::uint32_t *out_begin, *in_begin;                         ///< (n_hits + 1,)
    DeviceSegment* segments;                                     ///< by edge
    std::uint64_t *keep, *place;                                 ///< (edge_capacity + 1,): 1 for those left; the sums

    [[nodiscard]] RHEINFALL_HOST_DEVICE bool too_many() const {
        return n_edges_given != nullptr && *n_edges_given > edge_capacity;
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE std::uint32_t n_edges() const {
        if (too_many()) return 0;
        return n_edges_given == nullptr ? edge_capacity : static_cast<std::uint32_t>(*n_edges_given);
    }
    /// Calls `visit(chi2, other)` for each continuation of edge @p e outward, until it returns false.
    template <class Visit>
    RHEINFALL_HOST_DEVICE void continue_outward(std::uint64_t e, Visit&& visit) const {
        const auto hit = static_cast<std::size_t>(target_in[e]);
        const Segment own = segments[e].segment;
        for (std::uint32_t k = out_begin[hit]; k < out_begin[hit + 1]; ++k) {
            if (!visit(chi2(*model, own, segments[k].segment), k)) return;
        }
    }
    template <class Visit>
    RHEINFALL_HOST_DEVICE void continue_inward(std::uint64_t e, Visit&& visit) const {
        const auto hit = static_cast<std::size_t>(source_in[e]);
        const Segment own = segments[e].segment;
        for (std::uint32_t i = in_begin[hit]; i < in_begin[hit + 1]; ++i) {
            const std::uint32_t k = by_target[i];
            if (!visit(chi2(*model, segments[k].segment, own), k)) return;
        }
    }
};

/// One call: the model in device memory; as an argument of each kernel it would be 3 kB.
struct CopyTripletModel {
    TripletModel model;
    TripletModel* to;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t) const { *to = model; }
};

/// By edge: where it leads. Places without an edge go behind all others.
struct ListEdge {
    DevicePruner g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t e) const {
        g.number[e] = static_cast<std::uint32_t>(e);
        g.target[e] = e < g.n_edges() ? static_cast<std::uint32_t>(g.target_in[e])
                                      : static_cast<std::uint32_t>((std::uint64_t{1} << g.index_bits) - 1);
    }
};

/// By hit, and once behind the last: where its edges begin.
struct FindEdgeRows {
    DevicePruner g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t v) const {
        const std::uint64_t n = g.n_edges();
        g.out_begin[v] = static_cast<std::uint32_t>(first_not_below(g.source_in, n, static_cast<std::int64_t>(v)));
        g.in_begin[v] = static_cast<std::uint32_t>(first_not_below(g.sorted_target, n, static_cast<std::uint32_t>(v)));
    }
};

/// By edge.
struct MakeSegment {
    DevicePruner g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t e) const {
        if (e >= g.n_edges()) return;
        const auto a = static_cast<std::size_t>(g.source_in[e]);
        const auto b = static_cast<std::size_t>(g.target_in[e]);
        const HitResolution* resolution = g.model->resolution_by_volume.data();
        g.segments[e].segment = make_segment(g.x[a], g.y[a], g.z[a], resolution[g.module_id[a] >> volume_shift], g.x[b],
                                             g.y[b], g.z[b], resolution[g.module_id[b] >> volume_shift]);
    }
};

/// By edge, and one more that is never there: whether it stays.
struct KeepEdge {
    DevicePruner g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t e) const {
        bool keep = false;
        if (e < g.n_edges()) {
            keep = no_continuation < g.chi2_max;
            const auto look = [&](float value, std::uint32_t) {
                keep = value < g.chi2_max;
                return !keep;
            };
            if (!keep) g.continue_outward(e, look);
            if (!keep) g.continue_inward(e, look);
        }
        g.keep[e] = keep ? 1 : 0;
    }
};

/// By edge: writes those that stay, with the chi2 of their continuations among these.
struct WriteKeptEdge {
    DevicePruner g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t e) const {
        if (g.keep[e] == 0) return;
        const std::uint64_t at = g.place[e];
        g.source_out[at] = g.source_in[e];
        g.target_out[at] = g.target_in[e];
        BestTwo outward;
        BestTwo inward;
        g.continue_outward(e, [&](float value, std::uint32_t k) {
            if (g.keep[k] != 0) outward.add(value);
            return true;
        });
        g.continue_inward(e, [&](float value, std::uint32_t k) {
            if (g.keep[k] != 0) inward.add(value);
            return true;
        });
        g.out_best[at] = outward.best;
        g.out_second[at] = outward.second;
        g.in_best[at] = inward.best;
        g.in_second[at] = inward.second;
    }
};

/// One call: the result, as `prune_edges` gives it.
struct FinishPruning {
    DevicePruner g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t) const {
        const std::size_t n = g.too_many() ? *g.n_edges_given : g.place[g.edge_capacity];
        const Status status = g.too_many() ? Status::capacity_exceeded : n == 0 ? Status::empty : Status::ok;
        *g.result = {status, n, 0};
    }
};

/// The features of one event.
struct DeviceFeatures {
    std::uint32_t n_hits, edge_capacity;
    const float *x, *y, *z;
    const std::uint32_t* n_hits_given;
    const std::int64_t *source, *target;
    const std::size_t* n_edges_given;
    const float *out_best, *out_second, *in_best, *in_second;
    float *node_rows, *edge_rows;  ///< or null
    DevicePoint* points;           ///< by hit
};

/// By hit: its features; what its edges need of it. Zeros where there is no hit.
struct MakeNodeRow {
    DeviceFeatures g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t v) const {
        SpacePoint p{};
        if (g.n_hits_given == nullptr || v < *g.n_hits_given) p = make_space_point(g.x[v], g.y[v], g.z[v]);
        g.points[v] = {p.r, p.phi, p.z, p.eta};
        if (g.node_rows == nullptr) return;
        if (!(is_finite(p.x) && is_finite(p.y) && is_finite(p.z))) p = {};
        write_node_row(p, g.node_rows + n_node_features * v);
    }
};

/// By edge.
struct MakeEdgeRow {
    DeviceFeatures g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t e) const {
        if (g.n_edges_given != nullptr && (e >= *g.n_edges_given || *g.n_edges_given > g.edge_capacity)) return;
        write_edge_row(point(g.source[e]), point(g.target[e]), {g.out_best[e], g.out_second[e]},
                       {g.in_best[e], g.in_second[e]}, g.edge_rows + n_edge_features * e);
    }

private:
    [[nodiscard]] RHEINFALL_HOST_DEVICE SpacePoint point(std::int64_t hit) const {
        const DevicePoint p = g.points[hit];
        return {0.0f, 0.0f, p.z, p.r, p.phi, p.eta};
    }
};

}  // namespace rheinfall::detail
