#pragma once

#include <algorithm>
#include <array>

#include "tracking/detail/track_scratch.hpp"

namespace rheinfall::detail {

// What the walks share: a best path from each hit, kept while hits retire.
//
// Rule: a type with
//   look(v)                     prepares v, once all that retires before `choose(v)` has retired;
//   follows(v, child, score)    whether the best path from v is sought over this edge, or would be but for a
//   retirement; choose(v)                   chooses it, from children that are not retired and up to date, and leaves
//   s.next[v].
// A hit is stale if a hit that it could reach over followed edges has retired since. So what a hit that is not stale
// follows is not stale either, and only what lies behind followed edges is ever renewed.

/// States of a hit in a walk, bits of `TrackScratch::flags`.
inline constexpr std::uint8_t retired = 1;
inline constexpr std::uint8_t stale = 2;

/// Chooses the best path from every hit; @p s.order is topological.
template <class Rule>
RHEINFALL_HOST_DEVICE void choose_all_paths(TrackScratch& s, Rule& rule) noexcept {
    for (std::size_t i = s.order.size(); i-- > 0;) {
        if (i >= 32) prefetch(&s.out.offsets[s.order[i - 32]]);
        if (i >= 16) prefetch(s.out.neighbour.data() + s.out.offsets[s.order[i - 16]]);
        if (i >= 16) prefetch(s.out.score.data() + s.out.offsets[s.order[i - 16]]);
        rule.look(s.order[i]);
        rule.choose(s.order[i]);
    }
}

/// Brings the best path from @p start up to date, children first. Depth first with one cursor per hit, so each edge is
/// passed once and the machine's stack is not used.
template <class Rule>
RHEINFALL_HOST_DEVICE void refresh_best_path(Index start, TrackScratch& s, Rule& rule) noexcept {
    if ((s.flags[start] & stale) == 0) return;
    std::size_t n_stack = 0;
    const auto enter = [&](Index v) {
        rule.look(v);
        s.cursor[v] = s.out.offsets[v];
        s.stack[n_stack++] = v;
    };
    enter(start);
    while (n_stack > 0) {
        const Index v = s.stack[n_stack - 1];
        if (s.cursor[v] == s.out.offsets[v + 1]) {
            rule.choose(v);
            s.flags[v] &= static_cast<std::uint8_t>(~stale);
            --n_stack;
            continue;
        }
        const Index e = s.cursor[v]++;
        const Index child = s.out.neighbour[e];
        if (s.flags[child] == stale && rule.follows(v, child, s.out.score[e])) enter(child);
    }
}

/// Marks every hit that follows @p v, directly or not, as stale. Hits that are stale already have stale followers.
template <class Rule>
RHEINFALL_HOST_DEVICE void mark_followers(Index v, TrackScratch& s, const Rule& rule) noexcept {
    std::size_t n_stack = 0;
    Index child = v;
    while (true) {
        for (Index e = s.in.offsets[child]; e < s.in.offsets[child + 1]; ++e) {
            const Index parent = s.in.neighbour[e];
            if (s.flags[parent] != 0 || !rule.follows(parent, child, s.in.score[e])) continue;
            s.flags[parent] = stale;
            s.stack[n_stack++] = parent;
        }
        if (n_stack == 0) return;
        child = s.stack[--n_stack];
    }
}

/// Makes the best path from @p start a track and retires its hits.
template <class Rule>
RHEINFALL_HOST_DEVICE void take_path(Index start, TrackScratch& s, const Rule& rule) noexcept {
    Index smallest = start;
    for (Index v = start; v != no_hit; v = s.next[v]) {
        s.flags[v] |= retired;
        smallest = std::min(smallest, v);
    }
    for (Index v = start; v != no_hit; v = s.next[v]) s.root[v] = smallest;
    for (Index v = start; v != no_hit; v = s.next[v]) mark_followers(v, s, rule);
}

/// Fetches paths before they are taken. Each hit of a path is a miss of the caches that only the hit before tells of;
/// so some paths are followed at once, one hit each per track that is taken.
class PathsAhead {
public:
    /// @p s.order: hits with which paths begin, in the order of taking; no_hit ends the list.
    RHEINFALL_HOST_DEVICE explicit PathsAhead(TrackScratch& s) noexcept : s_(s) {
        at_.fill(Index{no_hit});
        for (std::size_t i = 0; i < at_.size(); ++i) fetch();
    }

    RHEINFALL_HOST_DEVICE void fetch() noexcept {
        for (Index& v : at_) {
            if (v != no_hit) {
                const Index row = s_.in.offsets[v];
                prefetch(s_.in.neighbour.data() + row);
                prefetch(s_.in.score.data() + row);
                v = s_.next[v];
            }
            if (v == no_hit) v = begin_next();
            if (v == no_hit) continue;
            prefetch(&s_.next[v]);
            prefetch(&s_.in.offsets[v]);
            prefetch(&s_.root[v]);
        }
    }

private:
    RHEINFALL_HOST_DEVICE Index begin_next() noexcept {
        for (; begun_ < s_.order.size() && s_.order[begun_] != no_hit; ++begun_) {
            if (begun_ + 32 < s_.order.size() && s_.order[begun_ + 32] != no_hit)
                prefetch(&s_.next[s_.order[begun_ + 32]]);
            const Index v = s_.order[begun_];
            if ((s_.flags[v] & retired) == 0 && s_.next[v] != no_hit) return s_.order[begun_++];
        }
        return no_hit;
    }

    TrackScratch& s_;
    std::array<Index, 24> at_;
    std::size_t begun_ = 0;
};

}  // namespace rheinfall::detail
