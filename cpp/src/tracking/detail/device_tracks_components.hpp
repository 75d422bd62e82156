#pragma once

/// @file
/// The kernels that find the components, and those that put each which is left to one thread into a block of its own.

#include <algorithm>

#include "tracking/detail/device_tracks.hpp"
#include "tracking/detail/layer_merge.hpp"
#include "tracking/detail/track_walks.hpp"

namespace rheinfall::detail {

/// Bytes of a component's scratch, at most: so much for each of its hits and edges, and for itself. The last holds one
/// more entry of three arrays, and what aligning loses.
struct BlockBytes {
    std::size_t per_hit = 0, per_edge = 0;
    static constexpr std::size_t per_component = 24;

    RHEINFALL_HOST_DEVICE BlockBytes() {
        TrackScratch s;
        std::size_t bytes = 0;
        const auto add = [&bytes]<class T>(std::span<T>&, std::size_t n) { bytes += n * sizeof(T); };
        s.lay_out(0, 0, add);
        const std::size_t fixed = bytes;
        s.lay_out(1, 0, add);
        per_hit = bytes - 2 * fixed;
        bytes = 0;
        s.lay_out(0, 1, add);
        per_edge = bytes - fixed;
    }
    /// Where the block begins that has so many hits, edges and components before it.
    [[nodiscard]] RHEINFALL_HOST_DEVICE std::size_t begin(std::size_t n_hits, std::size_t n_edges,
                                                          std::size_t n_components) const {
        constexpr std::size_t alignment = alignof(double);
        const std::size_t bytes = per_hit * n_hits + per_edge * n_edges + per_component * n_components;
        return (bytes + alignment - 1) / alignment * alignment;
    }
};

/// A component: its places and its edges, of all edges sorted by place.
struct ComponentOfTracks {
    std::uint32_t number, first_place, n_hits, first_edge, n_edges;

    RHEINFALL_HOST_DEVICE ComponentOfTracks(const DeviceTrackBuilder& t, std::uint32_t c)
        : number(c),
          first_place(t.first_place[c]),
          n_hits(t.first_place[c + 1] - first_place),
          first_edge(t.row_begin[first_place]),
          n_edges(t.row_begin[first_place + n_hits] - first_edge) {}

    /// Its scratch, in which hits and edges are numbered from 0 on.
    [[nodiscard]] RHEINFALL_HOST_DEVICE TrackScratch scratch(const DeviceTrackBuilder& t) const {
        TrackScratch s;
        std::byte* at = t.blocks + BlockBytes().begin(first_place, first_edge, number);
        s.lay_out(n_hits, n_edges, [&at]<class T>(std::span<T>& span, std::size_t n) {
            span = {reinterpret_cast<T*>(at), n};
            at += n * sizeof(T);
        });
        return s;
    }
};

/// By place, and one more: 1 where a component begins.
struct MarkComponent {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t p) const {
        t.begins[p] = p < t.n_nodes && (p == 0 || t.sorted_label[p] != t.sorted_label[p - 1]) ? 1 : 0;
    }
};

/// By place, and one more: where components begin; the last one ends behind the last place. Nothing is known of them.
struct PlaceMember {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t p) const {
        const auto place = static_cast<std::uint32_t>(p);
        if (p < t.n_nodes) {
            t.place_of[t.member[p]] = place;
            t.unfinished[p] = t.branching[p] = 0;
        }
        if (p == t.n_nodes || t.begins[p] != 0) t.first_place[t.component[p]] = place;
    }
};

/// By edge: sorts by the places of source and target; edges that are not kept go last.
struct MakeEdgeKey {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t e) const {
        t.edge[e] = static_cast<std::uint32_t>(e);
        const std::uint32_t a = t.source[e];
        t.edge_key[e] = a == no_hit ? std::uint64_t{1} << (2 * t.index_bits)
                                    : std::uint64_t{t.place_of[a]} << t.index_bits | t.place_of[t.target[e]];
    }
};

/// By place, and one more.
struct FindRowOfPlace {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t p) const {
        t.row_begin[p] =
            static_cast<std::uint32_t>(first_not_below(t.sorted_edge_key, t.edge_capacity, p << t.index_bits));
    }
};

/// By place: writes the row of its hit, and what else the component needs to know of the hit.
struct PlaceRow {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t p) const {
        const ComponentOfTracks c(t, static_cast<std::uint32_t>(t.component[p + 1] - 1));
        if (c.n_edges == 0 || !t.must_look_into(c.number)) return;
        TrackScratch s = c.scratch(t);
        const std::uint64_t v = p - c.first_place;
        s.out.offsets[v] = t.row_begin[p] - c.first_edge;
        if (v + 1 == c.n_hits) s.out.offsets[v + 1] = c.n_edges;
        if (t.has_hits) s.distance2[v] = t.distance2[t.member[p]];
    }
};

/// By edge in the order of places: writes it to the row of its source.
struct PlaceEdge {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t i) const {
        const std::uint64_t key = t.sorted_edge_key[i];
        if (i >= t.row_begin[t.n_nodes]) return;
        const ComponentOfTracks c(t, static_cast<std::uint32_t>(t.component[(key >> t.index_bits) + 1] - 1));
        if (!t.must_look_into(c.number)) return;
        TrackScratch s = c.scratch(t);
        const std::uint64_t mask = (std::uint64_t{1} << t.index_bits) - 1;
        const std::uint64_t e = i - c.first_edge;
        s.out.neighbour[e] = static_cast<std::uint32_t>(key & mask) - c.first_place;
        s.out.score[e] = t.score[t.sorted_edge[i]];
        if (i > 0 && t.sorted_edge_key[i - 1] == key) store_shared(&t.flags->duplicates, 1);
    }
};

/// By edge in the order of places: sorts by component, then by falling score. Uses `edge` again.
struct MakeMergeKey {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t i) const {
        const bool used = i < t.row_begin[t.n_nodes];
        const std::uint64_t place = t.sorted_edge_key[i] >> t.index_bits;
        const std::uint64_t component = used ? t.component[place + 1] - 1 : t.n_nodes;
        const std::uint32_t falling = used ? ~rank_score(t.score[t.sorted_edge[i]]) : 0;
        t.merge_key[i] = component << 32U | falling;
        t.edge[i] = static_cast<std::uint32_t>(i);
    }
};

/// By edge in the order of merging: writes it to the list of its component.
struct PlaceMergeEdge {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t i) const {
        if (i >= t.row_begin[t.n_nodes]) return;
        const ComponentOfTracks c(t, static_cast<std::uint32_t>(t.sorted_merge_key[i] >> 32U));
        if (!t.must_look_into(c.number)) return;
        TrackScratch s = c.scratch(t);
        const std::uint32_t at = t.merge_edge[i];
        const std::uint64_t key = t.sorted_edge_key[at];
        const std::uint64_t mask = (std::uint64_t{1} << t.index_bits) - 1;
        const std::uint64_t e = i - c.first_edge;
        s.edges.source[e] = static_cast<std::uint32_t>(key >> t.index_bits) - c.first_place;
        s.edges.target[e] = static_cast<std::uint32_t>(key & mask) - c.first_place;
        s.edges.score[e] = t.score[t.sorted_edge[at]];
    }
};

/// By hit: sorts by layer.
struct MakeLayerKey {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t v) const {
        // A place without a hit must add no layer.
        t.root_key[v] = layer_of(t.module_id[t.has_node(static_cast<std::uint32_t>(v)) ? v : 0]);
    }
};

/// By hit in the order of layers, and one more: 1 where another layer begins. Uses `begins` and `component`.
struct MarkLayer {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t i) const {
        t.begins[i] = i > 0 && i < t.n_nodes && t.sorted_root[i] != t.sorted_root[i - 1] ? 1 : 0;
    }
};

/// By hit in the order of layers: the rank of its layer among those of the event, modulo 64, as a bit.
struct RankLayer {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t i) const {
        t.layer[t.ordered[i]] = std::uint64_t{1} << (t.component[i + 1] % 64);
    }
};

/// One thread in so many looks into a component: neighbours in a warp would wait for each other.
inline constexpr std::uint32_t threads_per_component = 8;

/// By component, if the index is a multiple of `threads_per_component`: its tracks, and its depths without hits.
struct LookIntoComponent {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t index) const {
        const std::uint64_t number = index / threads_per_component;
        if (index % threads_per_component != 0 || number >= t.component[t.n_nodes]) return;
        const ComponentOfTracks c(t, static_cast<std::uint32_t>(number));
        if (c.n_edges == 0) {  // one hit, its own track
            if (!t.deepened()) t.depth[t.member[c.first_place]] = 0;
            return;
        }
        if (!t.must_look_into(c.number)) return;
        TrackScratch s = c.scratch(t);
        if (t.merges_layers()) {
            merge_layers(c, s);
        } else if (!find_tracks(c, s)) {
            return;
        }
        for (std::uint32_t v = 0; v < c.n_hits; ++v) {
            const std::uint32_t hit = t.member[c.first_place + v];
            if (!t.has_hits && !t.deepened()) t.depth[hit] = s.depth[v];
            if (needs_no_cycles(t.plan.method) || t.merges_layers()) t.root[hit] = t.member[c.first_place + s.root[v]];
        }
    }

private:
    /// False if a cycle forbids.
    RHEINFALL_HOST_DEVICE bool find_tracks(const ComponentOfTracks& c, TrackScratch& s) const {
        const bool walks = needs_no_cycles(t.plan.method);
        if (t.flags->duplicates != 0) merge_duplicates(s.out);
        if (t.deepened()) {
            walk_in_order(c, s);
            return true;
        }
        const Status status = order_rows(t.has_hits, !t.stops_at_cycles(), s);
        if (walks && status == Status::cycle) {
            store_shared(&t.flags->cyclic, 1);
            if (t.stops_at_cycles()) {
                for_each_hit_on_cycles(s, [&](Index v) { t.on_cycle[t.member[c.first_place + v]] = 1; });
                return false;
            }
        }
        if (walks) {
            sort_by_depth(s.depth, s.order, s.count);
            group_walks(t.plan, s);
        }
        return true;
    }

    /// Walks along edges that were looked through already, in the order of the whole event's depths.
    RHEINFALL_HOST_DEVICE void walk_in_order(const ComponentOfTracks& c, TrackScratch& s) const {
        for (std::uint32_t v = 0; v < c.n_hits; ++v) {
            s.order[v] = v;
            s.depth[v] = t.depth[t.member[c.first_place + v]];
        }
        const auto before = [depth = s.depth](Index a, Index b) {
            return depth[a] < depth[b] || (depth[a] == depth[b] && a < b);
        };
        std::make_heap(s.order.begin(), s.order.end(), before);
        std::sort_heap(s.order.begin(), s.order.end(), before);
        TrackBuildingPlan plan = t.plan;
        if (plan.method == TrackMethod::d_walk) plan.walk_min = plan.walk_add = plan.score_cut;  // all edges are above
        group_walks(plan, s);
    }

    /// A weak edge may be refused and its duplicate, which is no edge of its own, allowed later. Equal ones stay, side
    /// by side, where they do no harm.
    RHEINFALL_HOST_DEVICE void drop_lesser_duplicates(TrackScratch& s) const {
        merge_duplicates(s.out);
        s.edges.keep_if([&s](Index source, Index target, float score) {
            const auto row = s.out.neighbours(source);
            const auto at = static_cast<std::size_t>(std::lower_bound(row.begin(), row.end(), target) - row.begin());
            return score >= s.out.score[s.out.offsets[source] + at];
        });
    }

    RHEINFALL_HOST_DEVICE void merge_layers(const ComponentOfTracks& c, TrackScratch& s) const {
        s.edges.size = c.n_edges;
        if (t.flags->duplicates != 0) drop_lesser_duplicates(s);
        merge_sure(t.plan.sure, s);
        for (std::uint32_t v = 0; v < c.n_hits; ++v) s.layers[v] = 0;
        for (std::uint32_t v = 0; v < c.n_hits; ++v) s.layers[s.root[v]] |= t.layer[t.member[c.first_place + v]];
        merge_by_layers(s.edges, t.plan, s);
    }
};

}  // namespace rheinfall::detail
