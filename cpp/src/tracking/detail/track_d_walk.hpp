#pragma once

/// @file
/// The walk by heaviest path: `d_walk`. Host and device run the same.

#include <algorithm>
#include <numeric>
#include <rheinfall/tracking/track_building.hpp>

#include "tracking/detail/best_edges.hpp"
#include "tracking/detail/best_path.hpp"
#include "tracking/detail/track_scratch.hpp"
#include "tracking/detail/union_find.hpp"

namespace rheinfall::detail {

/// Whether an edge passes the walk's rule at both ends, of distinct edges whose best ones were found.
struct WalkRule {
    const TrackBuildingPlan& plan;
    const TrackScratch& s;

    RHEINFALL_HOST_DEVICE bool operator()(Index source, Index target, float score) const noexcept {
        const bool as_best = score > plan.walk_min;  // no branch: what passes cannot be foreseen
        const bool as_other = score > plan.walk_add;
        const bool best_from = is_best_from(source, target, score, s);
        const bool best_into = is_best_into(source, target, score, s);
        return ((best_from & as_best) | (!best_from & as_other)) & ((best_into & as_best) | (!best_into & as_other));
    }
};

/// best[v] = max over children of (score + best[child]), 0 without children; ties to the smaller child. Every edge that
/// survived the pruning is followed.
class HeaviestPath {
public:
    RHEINFALL_HOST_DEVICE explicit HeaviestPath(TrackScratch& s) noexcept : s_(s) {}

    RHEINFALL_HOST_DEVICE void look(Index) noexcept {}
    [[nodiscard]] RHEINFALL_HOST_DEVICE bool follows(Index, Index, float) const noexcept { return true; }

    RHEINFALL_HOST_DEVICE void choose(Index v) noexcept {
        double best = 0.0;
        Index next = no_hit;
        for (Index e = s_.out.offsets[v]; e < s_.out.offsets[v + 1]; ++e) {
            const Index child = s_.out.neighbour[e];
            if ((s_.flags[child] & retired) != 0) continue;
            const double sum = static_cast<double>(s_.out.score[e]) + s_.heaviest[child];
            const bool better = (next == no_hit) | (sum > best);
            best = better ? sum : best;
            next = better ? child : next;
        }
        s_.heaviest[v] = best;
        s_.next[v] = next;
    }

private:
    TrackScratch& s_;
};

/// Hits of a component without edges in, the best on top. A stale sum is an upper bound, since deletions only take
/// choices away: it is renewed when it reaches the top.
class Sources {
    [[nodiscard]] RHEINFALL_HOST_DEVICE auto end() const noexcept {
        return heap_.begin() + static_cast<std::ptrdiff_t>(size_);
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE auto after() const noexcept {
        return [sum = s_.heap_sum](Index a, Index b) { return sum[a] < sum[b] || (sum[a] == sum[b] && a > b); };
    }

public:
    RHEINFALL_HOST_DEVICE explicit Sources(TrackScratch& s) noexcept : s_(s), heap_(s.best_out) {}

    RHEINFALL_HOST_DEVICE void push(Index v) noexcept {
        heap_[size_++] = v;
        s_.heap_sum[v] = s_.heaviest[v];
        std::push_heap(heap_.begin(), end(), after());
    }
    RHEINFALL_HOST_DEVICE Index pop() noexcept {
        std::pop_heap(heap_.begin(), end(), after());
        return heap_[--size_];
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE bool empty() const noexcept { return size_ == 0; }

private:
    TrackScratch& s_;
    std::span<Index> heap_;
    std::size_t size_ = 0;
};

/// One edge less into each child of the hits on the path from @p start; children without any become sources.
RHEINFALL_HOST_DEVICE inline void release_children(Index start, Sources& sources, TrackScratch& s) noexcept {
    for (Index v = start; v != no_hit; v = s.next[v]) {
        for (const Index child : s.out.neighbours(v)) {
            if (--s.count[child] == 0 && (s.flags[child] & retired) == 0) sources.push(child);
        }
    }
}

/// Takes the best source of one component, again and again.
RHEINFALL_HOST_DEVICE inline void take_component(Sources& sources, HeaviestPath& rule, TrackScratch& s) noexcept {
    while (!sources.empty()) {
        const Index v = sources.pop();
        if ((s.flags[v] & stale) != 0) {
            refresh_best_path(v, s, rule);
            sources.push(v);
            continue;
        }
        take_path(v, s, rule);
        release_children(v, sources, s);
    }
}

/// Chains the hits with edges out and none in, component by component: the first one of each component in `s.order`
/// (no_hit behind the last), the following one in `s.listed`, no_hit at the end of a chain. `s.count` becomes the edges
/// into each hit.
RHEINFALL_HOST_DEVICE inline void list_sources(TrackScratch& s) noexcept {
    label_components(s.out, s.component);
    std::fill(s.order.begin(), s.order.end(), Index{no_hit});
    for (Index v = 0; v < s.root.size(); ++v) {
        s.count[v] = static_cast<Index>(s.in.degree(v));
        if (s.count[v] > 0 || s.out.degree(v) == 0) continue;  // a hit without edges is a path of its own
        s.listed[v] = s.order[s.component[v]];
        s.order[s.component[v]] = v;
    }
    std::fill(std::remove(s.order.begin(), s.order.end(), Index{no_hit}), s.order.end(), Index{no_hit});
}

/// Walks along the edges of `s.out`, of which `s.in` is the transpose, whose hits are in topological order in
/// `s.order`. Leaves the roots of hits without edges as they are.
RHEINFALL_HOST_DEVICE inline void walk_heaviest(TrackScratch& s) noexcept {
    std::fill(s.flags.begin(), s.flags.end(), std::uint8_t{0});
    HeaviestPath rule(s);
    choose_all_paths(s, rule);
    list_sources(s);
    Sources sources(s);
    PathsAhead ahead(s);
    for (const Index first : s.order) {
        if (first == no_hit) break;
        for (Index v = first; v != no_hit; v = s.listed[v]) sources.push(v);
        take_component(sources, rule, s);
        ahead.fetch();
    }
}

RHEINFALL_HOST_DEVICE inline void group_d_walk(const TrackBuildingPlan& plan, TrackScratch& s) noexcept {
    find_best_edges(s.out, s);
    s.out.keep_if(WalkRule{plan, s});  // judged on the graph before any edge goes
    transpose(s.out, s.in);
    std::iota(s.root.begin(), s.root.end(), 0U);
    walk_heaviest(s);
}

}  // namespace rheinfall::detail
