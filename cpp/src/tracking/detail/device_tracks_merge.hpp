#pragma once

/// @file
/// `layer_merge` by all threads at once. An edge may be decided as soon as no edge before it is undecided at either of
/// its clusters, since only such edges change them: in each round the first undecided edge of both its clusters is, and
/// one whose clusters share too many layers, since they only gain layers; whether an edge is too weak can only be told
/// of the first. Every cluster takes part in at most one merge
/// of a round, and the first undecided edge of the event always is one, so that the clusters are those of the CPU.

#include "tracking/detail/device_tracks.hpp"
#include "tracking/detail/layer_merge.hpp"

namespace rheinfall::detail {

/// By edge in the order of places: no score yet.
struct ClearBestScore {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t at) const { t.merge_key[at] = 0; }
};

/// By edge in the order of places: the best score of its duplicates, kept at the first of them. A weak edge may be
/// refused and a lesser duplicate, which is no edge of its own, allowed later. Uses `merge_key` again.
struct RaiseBestScore {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t at) const {
        if (at < t.row_begin[t.n_nodes]) raise_shared(t.merge_key + first(at), std::uint64_t{rank(at)});
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE bool is_lesser_duplicate(std::uint64_t at) const {
        return rank(at) < t.merge_key[first(at)];
    }

private:
    [[nodiscard]] RHEINFALL_HOST_DEVICE std::uint32_t rank(std::uint64_t at) const {
        return rank_score(t.score[t.sorted_edge[at]]);
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE std::uint64_t first(std::uint64_t at) const {
        const std::uint64_t key = t.sorted_edge_key[at];
        return at == 0 || t.sorted_edge_key[at - 1] != key ? at : first_not_below(t.sorted_edge_key, at, key);
    }
};

/// By place: a cluster of its own.
struct BeginCluster {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t p) const {
        t.cluster[p] = static_cast<std::uint32_t>(p);
        t.cluster_layers[p] = t.best_edge[p] = 0;
    }
};

/// By edge in the order of merging: its ends; sure ones join them.
struct MergeSureEdge {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t i) const {
        t.merge_a[i] = no_hit;
        if (i == 0) t.flags->busy[0] = 1;
        if (i >= t.row_begin[t.n_nodes]) return;
        const std::uint32_t at = t.merge_edge[i];
        const std::uint64_t key = t.sorted_edge_key[at];
        const auto a = static_cast<std::uint32_t>(key >> t.index_bits);
        const auto b = static_cast<std::uint32_t>(key & ((std::uint64_t{1} << t.index_bits) - 1));
        if (t.score[t.sorted_edge[at]] > t.plan.sure) {
            unite_shared(t.cluster, a, b);
            return;
        }
        if (RaiseBestScore{t}.is_lesser_duplicate(at)) return;
        t.merge_a[i] = a;
        t.merge_b[i] = b;
    }
};

/// By place: its layer is one of its cluster's.
struct CollectLayer {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t p) const {
        const std::uint32_t root = find_shared_root(t.cluster, static_cast<std::uint32_t>(p));
        add_bits_shared(t.cluster_layers + root, t.layer[t.member[p]]);
    }
};

/// By edge in the order of merging, for each round: refuses it, or stands in line at both of its clusters. Ranks of
/// later rounds are larger, so that nobody need take back those of earlier ones.
struct RankMergeEdge {
    DeviceTrackBuilder t;
    std::uint32_t round;  ///< from 1 on
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t i) const {
        if (t.flags->busy[round - 1] == 0 || t.merge_a[i] == no_hit) return;
        const std::uint32_t a = find_shared_root(t.cluster, t.merge_a[i]);
        const std::uint32_t b = find_shared_root(t.cluster, t.merge_b[i]);
        if (a == b || has_more_bits(t.cluster_layers[a] & t.cluster_layers[b], t.plan.shared_layers)) {
            t.merge_a[i] = no_hit;
            return;
        }
        t.merge_a[i] = a;
        t.merge_b[i] = b;
        raise_shared(t.best_edge + a, rank(i));
        raise_shared(t.best_edge + b, rank(i));
        store_shared(&t.flags->busy[round], 1);
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE std::uint64_t rank(std::uint64_t i) const {
        return std::uint64_t{round} << 32U | static_cast<std::uint32_t>(~i);
    }
};

/// By edge in the order of merging, for each round: the first at both of its clusters merges them, or is too weak.
struct MergeEdge {
    RankMergeEdge ranks;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t i) const {
        const DeviceTrackBuilder& t = ranks.t;
        if (t.flags->busy[ranks.round] == 0 || t.merge_a[i] == no_hit) return;
        const std::uint32_t a = t.merge_a[i];
        const std::uint32_t b = t.merge_b[i];
        if (t.best_edge[a] != ranks.rank(i) || t.best_edge[b] != ranks.rank(i)) return;
        t.merge_a[i] = no_hit;
        const float score = t.score[t.sorted_edge[t.merge_edge[i]]];
        if (is_too_weak(score, t.cluster_layers[a], t.cluster_layers[b], t.plan)) return;
        t.cluster[a > b ? a : b] = a > b ? b : a;
        t.cluster_layers[a > b ? b : a] |= t.cluster_layers[a > b ? a : b];
    }
};

/// By edge in the order of merging: what is not decided by now is left to one thread for each component.
struct LeaveMergeEdge {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t i) const {
        if (t.merge_a[i] != no_hit) store_shared(t.unfinished + (t.sorted_merge_key[i] >> 32U), 1);
    }
};

/// By place: its cluster is its track.
struct LabelCluster {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t p) const {
        std::uint32_t at = t.cluster[p];
        while (t.cluster[at] != at) at = t.cluster[at];
        t.root[t.member[p]] = t.member[at];
    }
};

template <class Executor>
void merge_in_rounds(Executor& on, const DeviceTrackBuilder& t) {
    on.for_each(t.edge_capacity, ClearBestScore{t});
    on.for_each(t.edge_capacity, RaiseBestScore{t});
    on.for_each(t.n_nodes, BeginCluster{t});
    on.for_each(t.edge_capacity, MergeSureEdge{t});
    on.for_each(t.n_nodes, CollectLayer{t});
    for (std::uint32_t round = 1; round <= EventFlags::method_rounds(t.plan.method); ++round) {
        for_each_strided(on, t.edge_capacity, RankMergeEdge{t, round});
        for_each_strided(on, t.edge_capacity, MergeEdge{{t, round}});
    }
    on.for_each(t.edge_capacity, LeaveMergeEdge{t});
    on.for_each(t.n_nodes, LabelCluster{t});
}

}  // namespace rheinfall::detail
