#pragma once

/// @file
/// The walks by longest path as the CPU runs them: only the edges that are followed are looked at.
///
/// With walk_min <= walk_add a hit follows its *strong* edges (score > walk_add) to hits that are not retired, or,
/// where none is left, its best one above walk_min, its *weak* edge. Most hits have one strong edge or none: so strong
/// edges lie in rows of their own, and a hit knows its weak child. Whom a weak edge leads to, changes; the hits that
/// follow one as weak are a list, which a hit enters when it is first chosen over that edge, and which it leaves only
/// with it.

#include <algorithm>
#include <rheinfall/tracking/track_building.hpp>

#include "tracking/detail/best_path.hpp"
#include "tracking/detail/track_scratch.hpp"
#include "tracking/detail/track_walk.hpp"

namespace rheinfall::detail {

class FollowedWalk {
public:
    /// @p s.out: distinct edges that form no cycle; @p s.order: topological.
    FollowedWalk(const TrackBuildingPlan& plan, TrackScratch& s) noexcept
        : plan_(plan), s_(s), strong_{s.listed, s.edges.target, s.edges.score} {}

    /// Walks from every hit that is not retired yet.
    void walk_all() noexcept {
        split_edges();
        transpose(strong_, s_.in);
        for (std::size_t i = s_.order.size(); i-- > 0;) {
            if (i >= 32) prefetch_rows(s_.order[i - 32]);
            if (i >= 16) prefetch_children(s_.order[i - 16]);
            choose_first(s_.order[i]);
        }
        for (std::size_t i = 0; i < s_.order.size(); ++i) {
            if (i + 32 < s_.order.size()) prefetch_start(s_.order[i + 32]);
            if (i + 16 < s_.order.size()) prefetch(&s_.walk[after(s_.order[i + 16])]);
            walk_from(s_.order[i]);
        }
    }

private:
    /// Strong edges go to `strong_`; of a hit without any, the best other one to `weak_child`.
    void split_edges() noexcept {
        Index n = 0;
        strong_.offsets[0] = 0;
        for (Index v = 0; v < s_.out.n_nodes(); ++v) {
            const Index first = n;
            Index best = no_hit;
            float best_score = plan_.walk_min;
            for (Index e = s_.out.offsets[v]; e < s_.out.offsets[v + 1]; ++e) {
                const Index child = s_.out.neighbour[e];
                const float score = s_.out.score[e];
                strong_.neighbour[n] = child;
                strong_.score[n] = score;
                n += score > plan_.walk_add ? 1U : 0U;
                const bool better = score > best_score;
                best = better ? child : best;
                best_score = better ? score : best_score;
            }
            strong_.offsets[v + 1] = n;
            WalkedHit& hit = s_.walk[v];
            hit.weak_child = n == first ? best : no_hit;
            hit.weak_score = best_score;
            hit.weak_parent = no_hit;
        }
    }

    void prefetch_rows(Index v) const noexcept {
        prefetch(&strong_.offsets[v]);
        prefetch(&s_.walk[v]);
    }
    void prefetch_children(Index v) const noexcept {
        const Index row = strong_.offsets[v];
        const Index child = strong_.degree(v) > 0 ? strong_.neighbour[row] : s_.walk[v].weak_child;
        if (child != no_hit) prefetch(&s_.walk[child]);
    }
    void prefetch_start(Index v) const noexcept {
        prefetch(&s_.walk[v]);
        prefetch(&s_.in.offsets[v]);
        prefetch(&s_.root[v]);
    }
    [[nodiscard]] Index after(Index v) const noexcept {
        const Index next = s_.walk[v].next;
        return next == no_hit ? v : next;
    }

    /// Children come in topological order, so all of them are up to date.
    void choose_first(Index v) noexcept {
        if ((s_.flags[v] & retired) != 0) return;  // in a chain that was taken
        if (s_.walk[v].weak_child != no_hit) enter_list(v);
        choose(v);
    }

    void enter_list(Index v) noexcept {
        WalkedHit& child = s_.walk[s_.walk[v].weak_child];
        s_.walk[v].weak_sibling = child.weak_parent;
        child.weak_parent = v;
    }

    /// Chooses the best path from v over children that are up to date.
    void choose(Index v) noexcept {
        WalkedHit& hit = s_.walk[v];
        LongPath path{1, v, 0.0F};
        Index next = no_hit;
        const auto follow = [&](Index child, float score) {
            LongPath over = s_.walk[child].path;
            if (over.n_hits == 1) over.last_score = score;
            if (!is_longer(over, path)) return;
            path = {over.n_hits + 1, over.last_hit, over.last_score};
            next = child;
        };
        if (hit.weak_child != no_hit) {
            follow(hit.weak_child, hit.weak_score);
        } else {
            for (Index e = strong_.offsets[v]; e < strong_.offsets[v + 1]; ++e) {
                if ((s_.flags[strong_.neighbour[e]] & retired) == 0) follow(strong_.neighbour[e], strong_.score[e]);
            }
        }
        hit.path = path;
        hit.next = next;
    }

    /// The best child that is not retired becomes the weak one; no strong one is left.
    void find_weak_child(Index v) noexcept {
        WalkedHit& hit = s_.walk[v];
        if (hit.weak_child != no_hit && (s_.flags[hit.weak_child] & retired) == 0) return;
        Index best = no_hit;
        float best_score = plan_.walk_min;
        for (Index e = s_.out.offsets[v]; e < s_.out.offsets[v + 1]; ++e) {
            const Index child = s_.out.neighbour[e];
            const float score = s_.out.score[e];
            const bool better = (score > best_score) & ((s_.flags[child] & retired) == 0);
            best = better ? child : best;
            best_score = better ? score : best_score;
        }
        hit.weak_child = best;
        hit.weak_score = best_score;
        if (best != no_hit) enter_list(v);
    }

    /// Sets the cursor to the first strong edge, or behind them if none is left, and finds the weak one then.
    void look(Index v) noexcept {
        bool any = false;
        for (Index e = strong_.offsets[v]; e < strong_.offsets[v + 1]; ++e) {
            any |= (s_.flags[strong_.neighbour[e]] & retired) == 0;
        }
        s_.cursor[v] = any ? strong_.offsets[v] : strong_.offsets[v + 1];
        if (!any) find_weak_child(v);
    }

    /// The next stale child of v, no_hit if there is none.
    Index find_stale_child(Index v) noexcept {
        const Index weak = s_.walk[v].weak_child;
        if (weak != no_hit) return s_.flags[weak] == stale ? weak : no_hit;
        for (Index& e = s_.cursor[v]; e < strong_.offsets[v + 1]; ++e) {
            if (s_.flags[strong_.neighbour[e]] == stale) return strong_.neighbour[e];
        }
        return no_hit;
    }

    /// Brings the best path from @p start up to date, children first, each edge once.
    void refresh(Index start) noexcept {
        std::size_t n_stack = 0;
        const auto enter = [&](Index v) {
            look(v);
            s_.stack[n_stack++] = v;
        };
        enter(start);
        while (n_stack > 0) {
            const Index v = s_.stack[n_stack - 1];
            const Index child = find_stale_child(v);
            if (child != no_hit) {
                enter(child);
                continue;
            }
            choose(v);
            s_.flags[v] = 0;
            --n_stack;
        }
    }

    void mark_followers(Index v) noexcept {
        std::size_t n_stack = 0;
        const auto mark = [&](Index parent) {
            if (s_.flags[parent] != 0) return;
            s_.flags[parent] = stale;
            s_.stack[n_stack++] = parent;
        };
        while (true) {
            for (Index e = s_.in.offsets[v]; e < s_.in.offsets[v + 1]; ++e) mark(s_.in.neighbour[e]);
            for (Index p = s_.walk[v].weak_parent; p != no_hit; p = s_.walk[p].weak_sibling) mark(p);
            if (n_stack == 0) return;
            v = s_.stack[--n_stack];
        }
    }

    void walk_from(Index start) noexcept {
        if ((s_.flags[start] & retired) != 0) return;
        if ((s_.flags[start] & stale) != 0) refresh(start);
        if (s_.walk[start].path.n_hits < plan_.min_length) {
            s_.flags[start] = retired;  // whatever leads here came earlier in the order and is retired
            return;
        }
        Index smallest = start;
        for (Index v = start; v != no_hit; v = s_.walk[v].next) {
            s_.flags[v] = retired;
            smallest = std::min(smallest, v);
        }
        for (Index v = start; v != no_hit; v = s_.walk[v].next) {
            s_.root[v] = smallest;
            mark_followers(v);
        }
    }

    const TrackBuildingPlan& plan_;
    TrackScratch& s_;
    EdgeRows strong_;
};

}  // namespace rheinfall::detail
