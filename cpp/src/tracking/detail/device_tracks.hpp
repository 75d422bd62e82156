#pragma once

/// @file
/// Track building as a device runs it: the arrays of one event, and the bodies that select and join edges. Components
/// are in device_tracks_components.hpp, the output in device_tracks_output.hpp, the order of the kernels in
/// device_tracks_steps.hpp.
///
/// Everything is found by all threads at once, in rounds where one step hangs on others (device_tracks_merge.hpp,
/// device_tracks_walks.hpp). The number of rounds is fixed; a component that is not done by then is left to one thread,
/// which runs the very functions of the CPU on it. A *place* numbers the hits by component.

#include <cstddef>
#include <cstdint>
#include <rheinfall/tracking/track_building_cuda.hpp>

#include "tracking/detail/best_edges.hpp"
#include "tracking/detail/device_atomics.hpp"
#include "tracking/detail/device_graph.hpp"
#include "tracking/detail/track_order.hpp"

namespace rheinfall::detail {

/// What is known of an event as a whole. Each flag is set by any number of threads, to 1.
struct EventFlags {
    /// Depths are raised over all edges so often; what is not done then is done component by component. Real events are
    /// some thirty edges deep, and a cycle has no end.
    static constexpr std::uint32_t rounds = 64;
    /// Rounds of merging and of the walks. Event 21000 asks for 22 of merging, 9 of `walk` and 6 of `d_walk`.
    static constexpr std::uint32_t most_rounds = 48;
    [[nodiscard]] RHEINFALL_HOST_DEVICE static constexpr std::uint32_t method_rounds(TrackMethod method) {
        if (method == TrackMethod::layer_merge) return most_rounds;
        return method == TrackMethod::d_walk ? most_rounds / 4 : most_rounds / 2;
    }

    std::uint32_t n_edges;  ///< in use
    std::uint32_t too_many_edges;
    std::uint32_t not_finite;
    std::uint32_t cyclic;
    std::uint32_t deepened[rounds + 1];   ///< by round: some depth rose
    std::uint32_t busy[most_rounds + 1];  ///< by round: there is something to do, from 1 on
    std::uint32_t far[most_rounds + 2];   ///< by round, and behind the last: a search had no room
    std::uint32_t duplicates;             ///< some edges join the same hits in the same direction
};

/// An edge as searches meet it: the place that it leads to, and its score; minus infinity if no walk follows it.
struct DeviceLink {
    std::uint32_t child;
    float score;
};

/// One event.
struct DeviceTrackBuilder {
    TrackBuildingPlan plan;
    std::uint32_t n_nodes, edge_capacity;
    std::uint32_t index_bits;  ///< of n_nodes
    bool has_hits;

    // The caller's.
    const std::int64_t *edge_source, *edge_target;
    const float* score;
    const std::size_t* n_edges_given;
    const std::uint32_t* n_nodes_given;
    const float *x, *y, *z;
    const std::uint64_t* module_id;
    std::uint64_t n_offsets, n_hits, n_labels;  ///< sizes of the buffers
    std::int64_t *offsets, *hits, *labels;
    TracksResult* result;

    EventFlags* flags;
    // By edge: ends of the edges that are kept, `no_hit` as the source of others.
    std::uint32_t *source, *target;
    // By hit.
    double* distance2;                     ///< NaN for a hit that takes part in nothing; if there are hits
    std::uint32_t* parent;                 ///< of the components
    std::uint64_t *best_from, *best_into;  ///< as in TrackScratch; if `ranks_edges`
    std::uint32_t* label;                  ///< smallest hit of the component
    std::uint32_t* root;                   ///< smallest hit of the track
    std::uint32_t* depth;                  ///< edges on the longest path to the hit; without hits
    std::uint32_t* hit;                    ///< its number, to be sorted

    // By place; the hits sorted by component.
    std::uint32_t *sorted_label, *member;
    std::uint64_t *begins, *component;  ///< (n_nodes + 1,): 1 where a component begins; the sums
    std::uint32_t* row_begin;           ///< (n_nodes + 1,): edges before those that leave the place
    std::uint32_t* place_of;            ///< by hit
    std::uint32_t* first_place;         ///< (n_nodes + 1,) by component
    // By edge, sorted by places.
    std::uint64_t *edge_key, *sorted_edge_key;
    std::uint32_t *edge, *sorted_edge;            ///< number of the caller's edge
    std::uint64_t *merge_key, *sorted_merge_key;  ///< component, falling score; `layer_merge`
    std::uint32_t* merge_edge;                    ///< place in `sorted_edge_key`, by `sorted_merge_key`
    std::uint64_t* layer;                         ///< by hit: one bit; `layer_merge`
    std::byte* blocks;                            ///< a TrackScratch of each component
    std::uint32_t *unfinished, *branching;        ///< by component: 1 or 0; left to one thread, no single chain

    // Of merging in rounds.
    std::uint32_t *merge_a, *merge_b;  ///< by `sorted_merge_key`: clusters at its ends, `no_hit` if that is decided
    std::uint32_t* cluster;            ///< by place: union-find
    std::uint64_t* cluster_layers;     ///< by place, of roots
    std::uint64_t* best_edge;          ///< by place, of roots: round, and the first edge that is not decided

    // Of walks in rounds.
    DeviceLink* link;       ///< by edge, sorted by places
    std::uint32_t* ranked;  ///< places by depth, then number
    std::uint32_t* far;     ///< by place: round in which a search from there had no room
    float* far_columns;     ///< of `n_far_searchers`, as `SearchNodes` uses them
    std::uint32_t n_far_searchers;
    std::uint32_t *taker, *next_taker;      ///< by place: rank of the start that takes it; `walk`, `cc_and_walk`
    std::uint32_t *retired_at, *led_to_at;  ///< by place: round in which it retired, in which an edge led to it
    std::uint64_t* claimed_sum;             ///< by place: bits of the largest sum of a path that may pass through it
    std::uint32_t* claimed_by;              ///< by place: the first start with that sum; `d_walk`

    // By hit or by place in the output.
    std::uint64_t *order_key, *sorted_order_key;
    std::uint32_t *by_order, *root_key, *sorted_root, *ordered;
    std::uint32_t* track_begin;             ///< by root: its place
    std::uint64_t *length, *length_before;  ///< (n_nodes + 1,) by root: hits of its track, 0 for none; the sums
    std::uint64_t *is_track, *track;        ///< (n_nodes + 1,) by root: 1 or 0; the sums
    std::uint64_t *on_cycle, *cycle_place;  ///< (n_nodes + 1,) by hit: 1 or 0; the sums

    [[nodiscard]] RHEINFALL_HOST_DEVICE bool mutual() const {
        return plan.method == TrackMethod::mutual_best || plan.method == TrackMethod::junction_removal;
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE bool ranks_edges() const {
        return mutual() || plan.method == TrackMethod::d_walk;
    }
    /// True if depths are asked for.
    [[nodiscard]] RHEINFALL_HOST_DEVICE bool deepens() const { return needs_no_cycles(plan.method) || !has_hits; }
    /// True if all threads found them in time: then there are no cycles.
    [[nodiscard]] RHEINFALL_HOST_DEVICE bool deepened() const {
        return deepens() && flags->deepened[EventFlags::rounds] == 0;
    }
    /// True if edges that no walk follows are dropped. `cc_and_walk` must know the components of all edges.
    [[nodiscard]] RHEINFALL_HOST_DEVICE bool drops_unfollowed() const {
        return (plan.method == TrackMethod::walk || plan.method == TrackMethod::d_walk) && deepened();
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE static float unfollowed() { return std::bit_cast<float>(0xff800000U); }
    [[nodiscard]] RHEINFALL_HOST_DEVICE static bool may_be_followed(DeviceLink link) {
        return link.score > unfollowed();
    }
    /// True if that component is a chain, and the method takes chains as they are; after `FindBranch`.
    [[nodiscard]] RHEINFALL_HOST_DEVICE bool takes_as_it_stands(std::uint64_t c, std::uint32_t n_hits_of_it) const {
        return plan.method == TrackMethod::cc_and_walk && n_hits_of_it >= 3 && branching[c] == 0;
    }
    /// True if one thread must look into that component.
    [[nodiscard]] RHEINFALL_HOST_DEVICE bool must_look_into(std::uint64_t c) const {
        return (!merges_layers() && !deepened()) || unfinished[c] != 0;
    }
    /// Whether a walk may follow an edge that is kept.
    [[nodiscard]] RHEINFALL_HOST_DEVICE bool may_follow(std::uint32_t a, std::uint32_t b, float s) const {
        if (plan.method == TrackMethod::walk) return s > plan.walk_min || s > plan.walk_add;
        const auto passes = [&](std::uint64_t best, std::uint32_t other) {
            const bool is_best = static_cast<std::uint32_t>(~best) == other;
            if (is_best && best != rank_edge(s, other)) return false;  // a copy of the best edge, with a lower score
            return s > (is_best ? plan.walk_min : plan.walk_add);
        };
        return passes(best_from[a], b) && passes(best_into[b], a);
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE bool merges_layers() const { return plan.method == TrackMethod::layer_merge; }
    /// True if components are looked into one by one.
    [[nodiscard]] RHEINFALL_HOST_DEVICE bool needs_rows() const {
        return needs_no_cycles(plan.method) || merges_layers() || !has_hits;
    }
    /// True if a cycle leaves the event without tracks.
    [[nodiscard]] RHEINFALL_HOST_DEVICE bool stops_at_cycles() const {
        return needs_no_cycles(plan.method) && !plan.break_cycles;
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE bool stopped() const { return stops_at_cycles() && flags->cyclic != 0; }
    /// True if there is such a node: there may be fewer than there is room for.
    [[nodiscard]] RHEINFALL_HOST_DEVICE bool has_node(std::uint32_t v) const {
        return n_nodes_given == nullptr || v < *n_nodes_given;
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE bool knows_place_of(std::uint32_t v) const {
        return !has_hits || distance2[v] == distance2[v];
    }
};

/// Fewer threads than edges, each of which does some: a round without work costs what launching its threads does.
template <class Body>
struct Strided {
    static constexpr std::uint64_t n_threads = std::uint64_t{1} << 17U;
    Body body;
    std::uint64_t n;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t first) const {
        for (std::uint64_t i = first; i < n; i += n_threads) body(i);
    }
};

template <class Executor, class Body>
void for_each_strided(Executor& on, std::uint64_t n, const Body& body) {
    using Many = Strided<Body>;
    on.for_each(n < Many::n_threads ? n : Many::n_threads, Many{body, n});
}

/// One call: nothing is known yet.
struct BeginTracks {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t) const {
        const bool too_many = t.n_edges_given != nullptr && *t.n_edges_given > t.edge_capacity;
        *t.flags = {};
        t.flags->deepened[0] = 1;
        t.flags->too_many_edges = too_many ? 1 : 0;
        t.flags->n_edges = too_many                     ? 0
                           : t.n_edges_given != nullptr ? static_cast<std::uint32_t>(*t.n_edges_given)
                                                        : t.edge_capacity;
    }
};

/// By hit, and one more: measures its distance from the origin, and prepares what edges will write.
struct BeginHit {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t v) const {
        const auto index = static_cast<std::uint32_t>(v);
        if (t.stops_at_cycles()) t.on_cycle[v] = 0;
        if (index == t.n_nodes) return;
        t.parent[v] = index;
        t.hit[v] = index;
        if (t.ranks_edges()) t.best_from[v] = t.best_into[v] = 0;
        if (t.deepens()) t.depth[v] = 0;
        if (!t.has_hits) return;
        if (!t.has_node(index)) {
            t.distance2[v] = std::bit_cast<double>(0x7ff8000000000000U);
            return;
        }
        const auto x = static_cast<double>(t.x[v]);
        const auto y = static_cast<double>(t.y[v]);
        const auto z = static_cast<double>(t.z[v]);
        const double distance2 = x * x + y * y + z * z;  // of float32: infinite only if a coordinate is
        const bool finite = is_finite(t.x[v]) && is_finite(t.y[v]) && is_finite(t.z[v]);
        t.distance2[v] = finite ? distance2 : std::bit_cast<double>(0x7ff8000000000000U);
        if (!finite) store_shared(&t.flags->not_finite, 1);
    }
};

/// By edge: whether it is above the cut, and which way it leads; ranks it at its ends where that is asked for.
struct SelectEdge {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t e) const {
        t.source[e] = no_hit;
        if (e >= t.flags->n_edges) return;
        const float score = t.score[e];
        if (!is_finite(score)) {
            store_shared(&t.flags->not_finite, 1);
            return;
        }
        if (!(score > t.plan.score_cut)) return;
        auto a = static_cast<std::uint32_t>(t.edge_source[e]);
        auto b = static_cast<std::uint32_t>(t.edge_target[e]);
        if (a == b && !needs_no_cycles(t.plan.method)) return;
        if (!t.knows_place_of(a) || !t.knows_place_of(b)) return;
        if (t.plan.orient) {
            const double d_a = t.distance2[a];
            const double d_b = t.distance2[b];
            if (d_a > d_b || (d_a == d_b && a > b)) {
                const std::uint32_t inner = b;
                b = a;
                a = inner;
            }
        }
        t.source[e] = a;
        t.target[e] = b;
        if (!t.ranks_edges()) return;
        raise_shared(t.best_from + a, rank_edge(score, b));
        raise_shared(t.best_into + b, rank_edge(score, a));
    }
};

/// By edge: its target is deeper than its source. A round that raises nothing leaves the lengths of the longest paths.
struct DeepenEdge {
    DeviceTrackBuilder t;
    std::uint32_t round;  ///< from 1 on
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t e) const {
        if (t.flags->deepened[round - 1] == 0 || t.source[e] == no_hit) return;
        const std::uint32_t depth = load_shared(t.depth + t.source[e]) + 1;
        if (depth <= load_shared(t.depth + t.target[e])) return;
        raise_shared(t.depth + t.target[e], depth);
        store_shared(&t.flags->deepened[round], 1);
    }
};

/// By edge: drops it if it is neither the best at both ends nor sure, where that is asked for, or if no walk follows
/// it; else joins its ends.
struct JoinEdge {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t e) const {
        const std::uint32_t a = t.source[e];
        if (a == no_hit) return;
        const std::uint32_t b = t.target[e];
        if (t.mutual()) {
            const float score = t.score[e];
            const bool sure = t.plan.method == TrackMethod::mutual_best && score > t.plan.sure;
            if (!sure && (t.best_from[a] != rank_edge(score, b) || t.best_into[b] != rank_edge(score, a))) {
                t.source[e] = no_hit;
                return;
            }
        }
        if (t.drops_unfollowed() && !t.may_follow(a, b, t.score[e])) {
            t.source[e] = no_hit;
            return;
        }
        unite_shared(t.parent, a, b);
    }
};

/// By hit: its component; until a method says otherwise, its track.
struct LabelHit {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t v) const {
        std::uint32_t at = static_cast<std::uint32_t>(v);
        while (t.parent[at] != at) at = t.parent[at];
        t.label[v] = at;
        t.root[v] = at;
    }
};

}  // namespace rheinfall::detail
