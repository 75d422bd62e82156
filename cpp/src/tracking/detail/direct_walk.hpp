#pragma once

/// @file
/// The walks by longest path as the CPU runs them, as long as little can be reached from each start.
///
/// With walk_min <= walk_add a hit follows its *strong* edges (score > walk_add) to hits that are not retired, or,
/// where none is left, its best one above walk_min. Most hits follow one edge or none: from them a path is passed along
/// without a choice. Only behind a hit that follows several, best paths are compared, and what is found there serves
/// that start alone: so no best path is kept, and nobody has to be told what a track takes away.

#include <algorithm>
#include <array>
#include <rheinfall/tracking/track_building.hpp>

#include "tracking/detail/best_edges.hpp"
#include "tracking/detail/track_scratch.hpp"
#include "tracking/detail/track_walk.hpp"

namespace rheinfall::detail {

/// @p a if @p condition, else @p b. Without a branch, which the compiler may prefer: what follows cannot be foreseen.
[[nodiscard]] inline Index pick(bool condition, Index a, Index b) noexcept {
    const Index mask = Index{0} - Index{condition};
    return (a & mask) | (b & ~mask);
}

class DirectWalk {
public:
    /// @p s.out: distinct edges that form no cycle, @p s.edges the same; @p s.order: topological.
    DirectWalk(const TrackBuildingPlan& plan, TrackScratch& s) noexcept
        : plan_(plan), s_(s), hits_(s.followed), paths_(s.seen), edges_(s.ranks), path_(s.listed) {}

    /// Walks from the hits that are not retired yet. False if that takes too many looks: some are left as they were
    /// then.
    bool walk_all() noexcept {
        rank_edges();
        const std::size_t most_looks = most_looks_each * (s_.order.size() + s_.edges.size);
        for (std::size_t n = 0; n_looks_ <= most_looks; ++n) {
            while (n_starts_ < n + window && n_ordered_ < s_.order.size()) list_starts();
            if (n == n_starts_) return true;
            fetch_ahead(n);
            if (!is_retired(starts_[n % ring])) walk_from(starts_[n % ring]);
        }
        for (std::uint8_t& state : s_.flags) state &= retired;
        return false;
    }

private:
    /// State of a hit, besides `retired`: it follows more than one edge.
    static constexpr std::uint8_t several = 4;
    /// Looks for each hit and edge; dense layers of as many hits cost that much any way.
    static constexpr std::size_t most_looks_each = 100;

    /// Ranks all edges, and finds the best one of each hit, and whether it follows several. Without a branch: how many
    /// edges a hit has cannot be foreseen.
    void rank_edges() noexcept {
        for (Index v = 0; v < hits_.size(); ++v) hits_[v] = {v, no_hit};
        const EdgeList& edges = s_.edges;
        for (std::size_t e = 0; e < edges.size; ++e) edges_[e] = rank_edge(edges.score[e], edges.target[e]);
        Index before = no_hit;
        unsigned n_strong = 0;
        std::uint64_t best = 0;
        for (std::size_t e = 0; e < edges.size; ++e) {
            const Index v = edges.source[e];
            const std::uint64_t rank = edges_[e];
            const std::uint64_t same_row = std::uint64_t{0} - std::uint64_t{v == before};
            before = v;
            best = std::max(std::max(best & same_row, lowest_), rank);
            n_strong = (n_strong & static_cast<unsigned>(same_row)) + (is_strong(rank) ? 1U : 0U);
            hits_[v].child = child_or(v, best);
            s_.flags[v] = static_cast<std::uint8_t>((s_.flags[v] & retired) | (n_strong > 1 ? several : 0U));
        }
    }

    /// Lists some of the next hits in the order, but for those that have retired, and for those that follow no edge if
    /// a track needs one: nothing later leads to them. Without a branch, as above.
    void list_starts() noexcept {
        const bool needs_edge = plan_.min_length > 1;
        const std::size_t end = std::min(n_ordered_ + window, s_.order.size());
        for (; n_ordered_ < end; ++n_ordered_) {
            const Index v = s_.order[n_ordered_];
            prefetch(&hits_[s_.order[std::min(n_ordered_ + window, s_.order.size() - 1)]]);
            starts_[n_starts_ % ring] = v;
            ahead_[n_starts_ % ring] = v;
            prefetch(&paths_[v]);
            prefetch(&s_.out.offsets[v]);
            const bool is_short = needs_edge & (hits_[v].child == v);
            n_starts_ += is_retired(v) | is_short ? 0U : 1U;
        }
    }

    /// Fetches the paths of later starts, as far as they go from each hit to its best child: all of them one hit
    /// further, since each hit is a miss of the caches that only the hit before tells of.
    void fetch_ahead(std::size_t n) noexcept {
        for (std::size_t step = n_steps; step > 0; --step) {
            Index& v = ahead_[(n + step * gap) % ring];
            prefetch(edges_.data() + s_.out.offsets[v]);
            v = hits_[v].child;
            prefetch(&hits_[v]);
            prefetch(&paths_[v]);
            prefetch(&s_.out.offsets[v]);
        }
    }

    [[nodiscard]] bool is_strong(std::uint64_t rank) const noexcept { return rank > highest_weak_; }
    [[nodiscard]] bool is_retired(Index v) const noexcept { return (s_.flags[v] & retired) != 0; }

    [[nodiscard]] static Index child_of(std::uint64_t rank) noexcept { return ~static_cast<Index>(rank); }
    /// The child of the best edge, @p v if no edge is above walk_min.
    [[nodiscard]] Index child_or(Index v, std::uint64_t best) const noexcept {
        return pick(best != lowest_, child_of(best), v);
    }

    /// The best child that is not retired becomes the one that v follows; no strong one is left.
    void find_other_child(Index v) noexcept {
        std::uint64_t best = lowest_;
        for (Index e = s_.out.offsets[v]; e < s_.out.offsets[v + 1]; ++e) {
            const std::uint64_t is_free = (s_.flags[child_of(edges_[e])] & retired) - std::uint64_t{1};
            best = std::max(best, edges_[e] & is_free);
        }
        n_looks_ += s_.out.degree(v);
        hits_[v].child = child_or(v, best);
    }

    /// True if v follows more than one edge. If not, its child is the one that it follows.
    bool follows_several(Index v) noexcept {
        if ((s_.flags[v] & several) == 0) {
            if (is_retired(hits_[v].child)) find_other_child(v);
            return false;
        }
        unsigned n = 0;
        for (Index e = s_.out.offsets[v]; e < s_.out.offsets[v + 1]; ++e) n += is_followed(e) ? 1U : 0U;
        n_looks_ += s_.out.degree(v);
        if (n > 1) return true;
        s_.flags[v] = 0;
        find_other_child(v);
        return false;
    }

    /// Whether an edge of a hit that follows several is one of them.
    [[nodiscard]] bool is_followed(Index e) const noexcept {
        return is_strong(edges_[e]) & !is_retired(child_of(edges_[e]));
    }

    /// Where v follows one child: the path over it, which is @p over from there.
    [[nodiscard]] SeenPath extend(Index v, const SeenPath& over) const noexcept {
        const Index child = hits_[v].child;
        if (over.length > SeenPath::one_hit) return {over.length + SeenPath::one_hit, over.last_hit, child};
        Index e = s_.out.offsets[v];
        while (child_of(edges_[e]) != child) ++e;
        return {2 * SeenPath::one_hit + (edges_[e] >> 32U), child, child};
    }

    /// Where v follows several: the best path over children that have been seen.
    [[nodiscard]] SeenPath choose(Index v) const noexcept {
        SeenPath best{SeenPath::one_hit, v, no_hit};
        for (Index e = s_.out.offsets[v]; e < s_.out.offsets[v + 1]; ++e) {
            if (!is_followed(e)) continue;
            const Index child = child_of(edges_[e]);
            const Index last_hit = paths_[child].last_hit;
            std::uint64_t length = paths_[child].length + SeenPath::one_hit;
            if (length == 2 * SeenPath::one_hit) length += edges_[e] >> 32U;
            const bool longer = (length > best.length) | ((length == best.length) & (last_hit < best.last_hit));
            if (longer) best = {length, last_hit, child};
        }
        return best;
    }

    /// The next child of v that @p start has not seen, v itself if there is none; where v follows several.
    [[nodiscard]] Index find_unseen(Index v, Index start) noexcept {
        Index child = v;
        Index e = s_.cursor[v];
        for (; e < s_.out.offsets[v + 1] && child == v; ++e) {
            const Index other = child_of(edges_[e]);
            child = pick(is_followed(e) & (hits_[other].seen_by != start), other, v);
        }
        s_.cursor[v] = e;
        return child;
    }

    /// The child of v to be seen before the path from v is chosen, v itself if there is none.
    [[nodiscard]] Index enter(Index v, Index start) noexcept {
        ++n_looks_;
        if (follows_several(v)) {
            s_.cursor[v] = s_.out.offsets[v];
            return find_unseen(v, start);
        }
        const Index child = hits_[v].child;
        return pick(hits_[child].seen_by != start, child, v);
    }

    /// Finds the best path from @p from, children first, each edge once. What @p start has seen is known.
    void find_best_path(Index from, Index start) noexcept {
        std::size_t n_stack = 0;
        Index v = from;
        Index unseen = enter(v, start);
        while (true) {
            for (; unseen != v; unseen = enter(v, start)) {
                s_.stack[n_stack++] = v;
                v = unseen;
            }
            SeenPath path = path_from(v);
            while (unseen == v) {
                paths_[v] = path;
                hits_[v].seen_by = start;
                if (n_stack == 0) return;
                v = s_.stack[--n_stack];
                unseen = v;
                if ((s_.flags[v] & several) == 0) {
                    path = extend(v, path);
                } else {
                    unseen = find_unseen(v, start);
                    if (unseen == v) path = choose(v);
                }
            }
        }
    }

    /// The best path from v, all of whose children have been seen.
    [[nodiscard]] SeenPath path_from(Index v) const noexcept {
        if ((s_.flags[v] & several) != 0) return choose(v);
        const Index child = hits_[v].child;
        return child == v ? SeenPath{SeenPath::one_hit, v, no_hit} : extend(v, paths_[child]);
    }

    void walk_from(Index start) noexcept {
        std::size_t n_hits = 0;
        Index smallest = start;
        const auto pass = [&](Index v) {
            path_[n_hits++] = v;
            smallest = std::min(smallest, v);
        };
        pass(start);
        Index v = start;
        bool chooses = follows_several(v);
        while (!chooses && hits_[v].child != v) {
            v = hits_[v].child;
            pass(v);
            chooses = follows_several(v);
        }
        n_looks_ += n_hits;
        if (chooses) {
            find_best_path(v, start);
            for (v = paths_[v].next; v != no_hit; v = paths_[v].next) pass(v);
        }
        if (n_hits < plan_.min_length) {
            s_.flags[start] = retired;  // whatever leads here came earlier in the order and is retired
            return;
        }
        for (const Index u : path_.first(n_hits)) {
            s_.flags[u] = retired;
            s_.root[u] = smallest;
        }
    }

    const TrackBuildingPlan& plan_;
    TrackScratch& s_;
    std::span<FollowedHit> hits_;
    std::span<SeenPath> paths_;
    std::span<std::uint64_t> edges_;  ///< ranks of `s_.out`
    std::span<Index> path_;
    std::uint64_t lowest_ = rank_edge(plan_.walk_min, 0);  ///< rank of the best edge that is never followed
    std::uint64_t highest_weak_ = rank_edge(plan_.walk_add, 0);
    std::size_t n_looks_ = 0;  ///< hits and rows of edges looked at, each edge for one

    static constexpr std::size_t window = 32, ring = 64, n_steps = 6, gap = 4;
    std::array<Index, ring> starts_{}, ahead_{};  ///< starts to come, and how far their paths were followed
    std::size_t n_starts_ = 0, n_ordered_ = 0;    ///< listed so far, and hits in the order that were looked at for it
};

}  // namespace rheinfall::detail
