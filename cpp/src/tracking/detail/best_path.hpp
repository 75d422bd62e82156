#pragma once

#include <algorithm>

#include "tracking/detail/track_scratch.hpp"

namespace rheinfall::detail {

// What the walks share: a best path from each hit, kept while hits retire.
//
// Rule: a type with
//   look(v)                     prepares v, once all that retires before `choose(v)` has retired;
//   follows(v, child, score)    whether the best path from v is sought over this edge, or would be but for a retirement;
//   choose(v)                   chooses it, from children that are not retired and up to date;
//   next(v)                     the next hit on it, no_hit at its end.
// A hit is stale if a hit that it could reach over followed edges has retired since. So what a hit that is not stale
// follows is not stale either, and only what lies behind followed edges is ever renewed.

/// States of a hit in a walk, bits of `TrackScratch::flags`.
inline constexpr std::uint8_t retired = 1;
inline constexpr std::uint8_t stale = 2;

/// Chooses the best path from every hit; @p s.order is topological.
template <class Rule>
void choose_all_paths(TrackScratch& s, Rule& rule) noexcept {
    for (std::size_t i = s.order.size(); i-- > 0;) {
        rule.look(s.order[i]);
        rule.choose(s.order[i]);
    }
}

/// Brings the best path from @p start up to date, children first. Depth first with one cursor per hit, so each edge is
/// passed once and the machine's stack is not used.
template <class Rule>
void refresh_best_path(Index start, TrackScratch& s, Rule& rule) noexcept {
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
void mark_followers(Index v, TrackScratch& s, const Rule& rule) noexcept {
    std::size_t n_stack = 0;
    s.stack[n_stack++] = v;
    while (n_stack > 0) {
        const Index child = s.stack[--n_stack];
        for (Index e = s.in.offsets[child]; e < s.in.offsets[child + 1]; ++e) {
            const Index parent = s.in.neighbour[e];
            if (s.flags[parent] != 0 || !rule.follows(parent, child, s.in.score[e])) continue;
            s.flags[parent] = stale;
            s.stack[n_stack++] = parent;
        }
    }
}

/// Makes the best path from @p start a track and retires its hits.
template <class Rule>
void take_path(Index start, TrackScratch& s, const Rule& rule) noexcept {
    Index smallest = start;
    for (Index v = start; v != no_hit; v = rule.next(v)) smallest = std::min(smallest, v);
    for (Index v = start; v != no_hit; v = rule.next(v)) {
        s.root[v] = smallest;
        s.flags[v] |= retired;
    }
    for (Index v = start; v != no_hit; v = rule.next(v)) mark_followers(v, s, rule);
}

}  // namespace rheinfall::detail
