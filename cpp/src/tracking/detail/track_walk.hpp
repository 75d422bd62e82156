#pragma once

/// @file
/// The walks by longest path: `walk` and `cc_and_walk`. Host and device run the same.

#include <algorithm>
#include <numeric>

#include "tracking/detail/best_path.hpp"
#include "tracking/detail/track_scratch.hpp"

namespace rheinfall::detail {

/// True if the path over a child is better than the best so far.
[[nodiscard]] RHEINFALL_HOST_DEVICE inline bool is_longer(const LongPath& over, const LongPath& best) noexcept {
    const Index n_hits = over.n_hits + 1;
    if (n_hits != best.n_hits) return n_hits > best.n_hits;
    if (over.last_score != best.last_score) return over.last_score > best.last_score;
    return over.last_hit < best.last_hit;  // children come in ascending order, so on a tie the smaller stays
}

/// Longest paths by dynamic programming in place of enumeration, in `s.longest`; `best_out` is the best neighbour that
/// is not retired.
class LongestPath {
public:
    RHEINFALL_HOST_DEVICE LongestPath(const TrackBuildingPlan& plan, TrackScratch& s) noexcept : plan_(plan), s_(s) {}

    RHEINFALL_HOST_DEVICE void look(Index v) noexcept {
        Index best = no_hit;
        float best_score = 0.0F;
        for (Index e = s_.out.offsets[v]; e < s_.out.offsets[v + 1]; ++e) {
            const Index child = s_.out.neighbour[e];
            const float score = s_.out.score[e];
            const bool better = ((s_.flags[child] & retired) == 0) & ((best == no_hit) | (score > best_score));
            best = better ? child : best;
            best_score = better ? score : best_score;
        }
        s_.best_out[v] = best;
    }

    /// The best neighbour counts whatever its score: another one becomes the best when it retires.
    [[nodiscard]] RHEINFALL_HOST_DEVICE bool follows(Index v, Index child, float score) const noexcept {
        return s_.best_out[v] == child || score > plan_.walk_add;
    }

    RHEINFALL_HOST_DEVICE void choose(Index v) noexcept {
        const Index best = s_.best_out[v];
        LongPath path{1, v, 0.0F};
        Index next = no_hit;
        for (Index e = s_.out.offsets[v]; e < s_.out.offsets[v + 1]; ++e) {
            const Index child = s_.out.neighbour[e];
            const float score = s_.out.score[e];
            if (!(score > (child == best ? plan_.walk_min : plan_.walk_add))) continue;
            if ((s_.flags[child] & retired) != 0) continue;
            LongPath over = s_.longest[child];
            if (over.n_hits == 1) over.last_score = score;
            if (!is_longer(over, path)) continue;
            path = {over.n_hits + 1, over.last_hit, over.last_score};
            next = child;
        }
        s_.longest[v] = path;
        s_.next[v] = next;
    }

private:
    const TrackBuildingPlan& plan_;
    TrackScratch& s_;
};

/// Walks from every hit that is not retired yet.
RHEINFALL_HOST_DEVICE inline void walk_all(const TrackBuildingPlan& plan, TrackScratch& s) noexcept {
    // An edge that is not above the lower threshold is never followed, and a worse one never becomes the best.
    const float lowest = std::min(plan.walk_min, plan.walk_add);
    s.out.keep_if([lowest](Index, Index, float score) { return score > lowest; });
    transpose(s.out, s.in);
    LongestPath rule(plan, s);
    choose_all_paths(s, rule);
    PathsAhead ahead(s);
    for (const Index start : s.order) {
        if ((s.flags[start] & retired) != 0) continue;
        refresh_best_path(start, s, rule);
        if (s.longest[start].n_hits >= plan.min_length) {
            take_path(start, s, rule);
            ahead.fetch();
        } else {
            s.flags[start] |= retired;  // whatever leads here came earlier in the order and is retired
        }
    }
}

/// Takes the chain that begins with @p start, a hit without edges in, if it is a component of at least 3 hits.
RHEINFALL_HOST_DEVICE inline void take_chain(Index start, std::span<const Index> in_degree, TrackScratch& s) noexcept {
    std::size_t n_hits = 1;
    Index smallest = start;
    for (Index v = start; s.out.degree(v) > 0; ++n_hits) {
        if (s.out.degree(v) > 1 || in_degree[s.out.neighbour[s.out.offsets[v]]] > 1) return;
        v = s.out.neighbour[s.out.offsets[v]];
        smallest = std::min(smallest, v);
    }
    if (n_hits < 3) return;
    for (Index v = start;; v = s.out.neighbour[s.out.offsets[v]]) {
        s.root[v] = smallest;
        s.flags[v] = retired;
        if (s.out.degree(v) == 0) return;
    }
}

/// Takes the components that are single chains of at least 3 hits as they stand. Each hit is passed once at most:
/// behind the first, only hits with one edge in are.
RHEINFALL_HOST_DEVICE inline void take_chains(TrackScratch& s) noexcept {
    std::fill(s.count.begin(), s.count.end(), 0U);
    for (const Index w : s.out.neighbour.first(s.out.offsets.back())) ++s.count[w];
    for (Index v = 0; v < s.root.size(); ++v) {
        if (s.count[v] == 0) take_chain(v, s.count, s);
    }
}

RHEINFALL_HOST_DEVICE inline void group_walk(const TrackBuildingPlan& plan, TrackScratch& s) noexcept {
    std::iota(s.root.begin(), s.root.end(), 0U);
    std::fill(s.flags.begin(), s.flags.end(), std::uint8_t{0});
    walk_all(plan, s);
}

RHEINFALL_HOST_DEVICE inline void group_cc_and_walk(const TrackBuildingPlan& plan, TrackScratch& s) noexcept {
    std::iota(s.root.begin(), s.root.end(), 0U);
    std::fill(s.flags.begin(), s.flags.end(), std::uint8_t{0});
    take_chains(s);
    walk_all(plan, s);
}

}  // namespace rheinfall::detail
