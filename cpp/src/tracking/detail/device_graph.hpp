#pragma once

/// @file
/// Graph construction as a device runs it: the arrays of one event, and for each kernel a body that is called once for
/// each index, in any order. No body waits for another one of its kernel, none adds atomically, so that the same
/// functions run in a plain loop on the host. The kernels in their order: device_graph_steps.hpp.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <rheinfall/tracking/graph_construction.hpp>

#include "core/sort_in_place.hpp"
#include "tracking/detail/bucket_by_module.hpp"
#include "tracking/detail/hit_geometry.hpp"
#include "tracking/detail/triplet_codes.hpp"

namespace rheinfall::detail {

/// A module map in device memory.
struct DeviceMapView {
    const std::uint64_t* modules;
    const std::uint32_t* first_doublet;  ///< doublets of inner module m are [first_doublet[m], first_doublet[m + 1])
    const std::uint32_t* doublet_outer;
    const DoubletLimits* doublet_limits;
    const std::uint32_t* triplet_offsets;
    const std::uint32_t* triplet_outer;
    const ModuleMap::TripletCodes* triplet_codes;
    std::uint32_t n_modules;
    Bend bend;
    bool doublets_only;
};

/// What cuts on pairs look at, in one load of 16 bytes.
struct alignas(16) DevicePoint {
    float r, phi, z, eta;
};
struct alignas(8) DevicePlane {
    float x, y;
};

/// One event. A *place* numbers the hits that take part by module, in the caller's order within one.
struct DeviceGraph {
    /// The doublets of a hit are shared out among so many threads: hits alone are too few for a GPU.
    static constexpr std::uint32_t parts = 4;

    DeviceMapView map;
    const float *x, *y, *z;
    const std::uint64_t* module_id;
    std::uint32_t n_hits;               ///< room for hits: the size of the caller's arrays
    const std::uint32_t* n_hits_given;  ///< null, or how many of them there are
    std::uint64_t doublet_capacity, edge_capacity;
    std::int64_t *edge_source, *edge_target;
    GraphResult* result;

    // By caller's hit; a bucket is a module, or one of three behind them: unknown module, not finite, no hit.
    std::uint32_t *bucket, *hit;
    std::uint32_t *sorted_bucket, *order;          ///< the same by bucket
    std::uint32_t* module_offsets;                 ///< (n_modules + 3,): places of bucket b begin at [b]
    DevicePoint* points;                           ///< by place
    DevicePlane* planes;                           ///< by place
    std::uint64_t *candidate_counts, *candidates;  ///< (parts * n_hits + 1,) by place and part; counts, their sums
    std::uint32_t *source, *target, *doublet;      ///< by candidate: places, doublet of the map
    float* dzdr;
    std::uint8_t* tagged;                     ///< 1 for an edge of the graph
    std::uint64_t *edge_counts, *edge_first;  ///< (n_hits + 1,) by caller's hit; counts, their sums

    [[nodiscard]] RHEINFALL_HOST_DEVICE std::uint32_t n_places() const { return module_offsets[map.n_modules]; }
    [[nodiscard]] RHEINFALL_HOST_DEVICE std::uint64_t n_candidates() const {
        return candidates[std::uint64_t{parts} * n_hits];
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE bool candidates_fit() const { return n_candidates() <= doublet_capacity; }
    [[nodiscard]] RHEINFALL_HOST_DEVICE std::uint64_t row_begin(std::uint32_t place) const {
        return candidates[std::uint64_t{parts} * place];
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE SpacePoint point(std::uint32_t place) const {
        const DevicePoint p = points[place];
        return {0.0F, 0.0F, p.z, p.r, p.phi, p.eta};
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE SpacePoint full_point(std::uint32_t place) const {
        SpacePoint p = point(place);
        p.x = planes[place].x;
        p.y = planes[place].y;
        return p;
    }
};

/// First of @p n rising values that is not below @p value.
template <class T>
RHEINFALL_HOST_DEVICE inline std::uint64_t first_not_below(const T* values, std::uint64_t n, T value) {
    std::uint64_t first = 0;
    while (n > 0) {
        const std::uint64_t half = n / 2;
        if (values[first + half] < value) {
            first += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return first;
}

RHEINFALL_HOST_DEVICE inline bool is_finite(float value) {
    return (std::bit_cast<std::uint32_t>(value) & 0x7f800000U) != 0x7f800000U;
}

/// By caller's hit: the bucket that it belongs to.
struct LocateHit {
    DeviceGraph g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t index) const {
        const auto i = static_cast<std::uint32_t>(index);
        const std::uint32_t n = g.map.n_modules;
        g.hit[i] = i;
        if (g.n_hits_given != nullptr && i >= *g.n_hits_given) {
            g.bucket[i] = n + 2;
        } else if (!(is_finite(g.x[i]) && is_finite(g.y[i]) && is_finite(g.z[i]))) {
            g.bucket[i] = n + 1;
        } else {
            g.bucket[i] = find_module(g.map.modules, n, g.module_id[i]);
        }
    }
};

/// By bucket: where its places begin.
struct FindBucket {
    DeviceGraph g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t index) const {
        g.module_offsets[index] =
            static_cast<std::uint32_t>(first_not_below(g.sorted_bucket, g.n_hits, static_cast<std::uint32_t>(index)));
    }
};

/// By place: the coordinates that cuts use.
struct PlacePoint {
    DeviceGraph g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t index) const {
        if (index >= g.n_places()) return;
        const std::uint32_t i = g.order[index];
        const SpacePoint p = make_space_point(g.x[i], g.y[i], g.z[i]);
        g.points[index] = {p.r, p.phi, p.z, p.eta};
        g.planes[index] = {p.x, p.y};
    }
};

/// Calls `visit(doublet, source, target)` for each candidate of part @p index, by rising doublet, then target.
template <class Visit>
RHEINFALL_HOST_DEVICE inline void for_each_candidate(const DeviceGraph& g, std::uint64_t index, Visit&& visit) {
    const auto i = static_cast<std::uint32_t>(index / DeviceGraph::parts);
    const auto part = static_cast<std::uint32_t>(index % DeviceGraph::parts);
    if (i >= g.n_places()) return;
    const std::uint32_t module = g.sorted_bucket[i];
    const std::uint32_t begin = g.map.first_doublet[module];
    const std::uint32_t n = g.map.first_doublet[module + 1] - begin;  // at most 65536, as a map's reader checks
    const SpacePoint a = g.point(i);
    for (std::uint32_t d = begin + n * part / DeviceGraph::parts; d < begin + n * (part + 1) / DeviceGraph::parts;
         ++d) {
        const std::uint32_t outer = g.map.doublet_outer[d];
        const std::uint32_t end = g.module_offsets[outer + 1];
        std::uint32_t j = g.module_offsets[outer];
        if (j == end) continue;
        const DoubletLimits limits = g.map.doublet_limits[d];
        for (; j < end; ++j) {
            const SpacePoint b = g.point(j);
            // Two quantities of `passes` need no division, and one of them turns most pairs away.
            if (!limits.deta.contains(b.eta - a.eta) || !limits.dphi.contains(delta_phi(a, b))) continue;
            if (i != j && passes(limits, doublet_quantities(a, b))) visit(d, i, j);
        }
    }
}

/// By place and part: how many candidates there are. The entry behind the last stays 0, so that its sum is the total.
struct CountCandidates {
    DeviceGraph g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t index) const {
        std::uint64_t n = 0;
        if (index < std::uint64_t{DeviceGraph::parts} * g.n_hits) {
            for_each_candidate(g, index, [&n](std::uint32_t, std::uint32_t, std::uint32_t) { ++n; });
        }
        g.candidate_counts[index] = n;
    }
};

/// By place and part: the candidates, if all have room.
struct WriteCandidates {
    DeviceGraph g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t index) const {
        if (!g.candidates_fit() || g.candidate_counts[index] == 0) return;
        std::uint64_t at = g.candidates[index];
        for_each_candidate(g, index, [&](std::uint32_t d, std::uint32_t i, std::uint32_t j) {
            g.source[at] = i;
            g.target[at] = j;
            g.doublet[at] = d;
            g.dzdr[at] = slope_dzdr(g.point(i), g.point(j));
            g.tagged[at] = g.map.doublets_only ? 1 : 0;
            ++at;
        });
    }
};

/// By candidate: tags it and each candidate that leaves its target, where both pass a triplet.
///
/// Several threads may store the same 1 to the same byte; nobody reads it before the kernel is over.
struct TagTriplets {
    DeviceGraph g;

    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t c) const {
        if (!g.candidates_fit() || c >= g.n_candidates()) return;
        const std::uint32_t d = g.doublet[c];
        const std::uint32_t middle = g.target[c];
        const std::uint64_t begin = g.row_begin(middle);
        const std::uint64_t end = g.row_begin(middle + 1);
        if (begin == end) return;
        for (std::uint32_t t = g.map.triplet_offsets[d]; t < g.map.triplet_offsets[d + 1]; ++t) {
            const std::uint32_t outer = g.map.triplet_outer[t];
            std::uint64_t o = begin + first_not_below(g.doublet + begin, end - begin, outer);
            if (o == end || g.doublet[o] != outer) continue;
            const ModuleMap::TripletCodes codes = g.map.triplet_codes[t];
            const float low = decode_bfloat16(codes.differences[0]);
            const float high = decode_bfloat16(codes.differences[1]);
            for (; o < end && g.doublet[o] == outer; ++o) {
                const float difference = g.dzdr[c] - g.dzdr[o];
                if (difference >= low && difference <= high && passes_triplet(c, o, codes)) {
                    tag(c);
                    tag(o);
                }
            }
        }
    }

private:
    RHEINFALL_HOST_DEVICE void tag(std::uint64_t c) const { *static_cast<volatile std::uint8_t*>(g.tagged + c) = 1; }

    /// Whether both pass what is left of the triplet's limits.
    [[nodiscard]] RHEINFALL_HOST_DEVICE bool passes_triplet(std::uint64_t inner, std::uint64_t outer,
                                                            const ModuleMap::TripletCodes& codes) const {
        const SpacePoint p1 = g.full_point(g.source[inner]);
        const SpacePoint p2 = g.full_point(g.target[inner]);
        const SpacePoint p3 = g.full_point(g.target[outer]);
        const DoubletLimits first = decode_limits(g.map.doublet_limits[g.doublet[inner]], codes.inner_low_high.data());
        if (!passes(first, doublet_quantities(p1, p2))) return false;
        const DoubletLimits second = decode_limits(g.map.doublet_limits[g.doublet[outer]], codes.outer_low_high.data());
        if (!passes(second, doublet_quantities(p2, p3))) return false;
        const Interval limits{decode_bfloat16(codes.differences[2]), decode_bfloat16(codes.differences[3])};
        return limits.contains(bend(g.map.bend, p1, p2, p3));
    }
};

/// By place, and one behind them: how many edges leave its hit. Zero for hits that do not take part.
struct CountEdges {
    DeviceGraph g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t index) const {
        if (index >= g.n_hits) {
            g.edge_counts[g.n_hits] = 0;
            return;
        }
        std::uint64_t n = 0;
        if (index < g.n_places() && g.candidates_fit()) {
            const auto place = static_cast<std::uint32_t>(index);
            for (std::uint64_t c = g.row_begin(place); c < g.row_begin(place + 1); ++c) n += g.tagged[c];
        }
        g.edge_counts[g.order[index]] = n;
    }
};

/// By place: writes the edges that leave its hit, sorted by target, if all edges have room.
struct WriteEdges {
    DeviceGraph g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t index) const {
        if (index >= g.n_places() || !g.candidates_fit() || g.edge_first[g.n_hits] > g.edge_capacity) return;
        const auto place = static_cast<std::uint32_t>(index);
        const std::uint32_t hit = g.order[place];
        const std::uint64_t begin = g.edge_first[hit];
        std::uint64_t at = begin;
        for (std::uint64_t c = g.row_begin(place); c < g.row_begin(place + 1); ++c) {
            if (g.tagged[c] == 0) continue;
            g.edge_source[at] = hit;
            g.edge_target[at++] = g.order[g.target[c]];
        }
        sort_in_place(g.edge_target + begin, at - begin);
    }
};

/// One call: the result, as `build_graph` gives it.
struct FinishGraph {
    DeviceGraph g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t) const {
        const std::uint32_t n = g.map.n_modules;
        GraphResult result;
        result.n_doublets = g.n_candidates();
        result.n_edges = g.edge_first[g.n_hits];
        result.n_unknown_modules = g.module_offsets[n + 1] - g.module_offsets[n];
        result.n_not_finite = g.module_offsets[n + 2] - g.module_offsets[n + 1];
        if (result.n_edges == 0) result.status = Status::empty;
        if (result.n_unknown_modules > 0) result.status = worst(result.status, Status::unknown_modules);
        if (result.n_not_finite > 0) result.status = worst(result.status, Status::not_finite);
        const bool too_many_hits = g.n_hits_given != nullptr && *g.n_hits_given > g.n_hits;
        if (too_many_hits || !g.candidates_fit() || result.n_edges > g.edge_capacity) {
            result.status = Status::capacity_exceeded;
        }
        *g.result = result;
    }
};

}  // namespace rheinfall::detail
