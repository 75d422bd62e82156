#pragma once

#include <algorithm>

#include "tracking/detail/track_scratch.hpp"

namespace rheinfall::detail {

/// States of a hit in a walk, bits of `TrackScratch::flags`.
inline constexpr std::uint8_t retired = 1;
inline constexpr std::uint8_t stale = 2;  ///< the best path from here may lead over a hit that has retired since

/// Brings the best path from @p start up to date: calls `choose(v)` for each stale hit that can be reached, children
/// first. Depth first with one cursor per hit, so each edge is passed once and the machine's stack is not used.
template <class Choose>
void refresh_best_path(Index start, TrackScratch& s, Choose&& choose) noexcept {
    if ((s.flags[start] & stale) == 0) return;
    std::size_t n_stack = 0;
    const auto enter = [&](Index v) {
        s.cursor[v] = s.out.offsets[v];
        s.stack[n_stack++] = v;
    };
    enter(start);
    while (n_stack > 0) {
        const Index v = s.stack[n_stack - 1];
        if (s.cursor[v] == s.out.offsets[v + 1]) {
            choose(v);
            s.flags[v] &= static_cast<std::uint8_t>(~stale);
            --n_stack;
            continue;
        }
        const Index child = s.out.neighbour[s.cursor[v]++];
        if (s.flags[child] == stale) enter(child);
    }
}

/// Marks every hit from which @p v can be reached as stale. Hits that are stale already have stale ancestors.
inline void mark_ancestors(Index v, TrackScratch& s) noexcept {
    std::size_t n_stack = 0;
    s.stack[n_stack++] = v;
    while (n_stack > 0) {
        const Index child = s.stack[--n_stack];
        for (const Index parent : s.in.neighbours(child)) {
            if (s.flags[parent] != 0) continue;
            s.flags[parent] = stale;
            s.stack[n_stack++] = parent;
        }
    }
}

/// Retires the hits on the best path from @p start.
inline void retire_path(Index start, TrackScratch& s) noexcept {
    for (Index v = start; v != no_hit; v = s.next[v]) s.flags[v] |= retired;
    for (Index v = start; v != no_hit; v = s.next[v]) mark_ancestors(v, s);
}

/// Makes the best path from @p start a track and retires its hits.
inline void take_path(Index start, TrackScratch& s) noexcept {
    Index smallest = start;
    for (Index v = start; v != no_hit; v = s.next[v]) smallest = std::min(smallest, v);
    for (Index v = start; v != no_hit; v = s.next[v]) s.root[v] = smallest;
    retire_path(start, s);
}

}  // namespace rheinfall::detail
