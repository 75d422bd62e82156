#include <algorithm>

#include "tracking/detail/small_d_walk.hpp"
#include "tracking/detail/track_d_walk.hpp"
#include "tracking/detail/track_methods.hpp"

namespace rheinfall::detail {
namespace {

// What is known of a hit or of the component whose root it is, bits of `TrackScratch::flags`.
constexpr std::uint8_t has_out = 1;
constexpr std::uint8_t has_in = 2;
constexpr std::uint8_t branches = 4;  ///< a second edge out or in: has_out << 2; has_in << 1
constexpr std::uint8_t branched = 8;  ///< a component that is no chain
constexpr std::uint8_t large = 16;    ///< a branched component of more than SmallDWalk::most_hits hits

/// Marks the hits with two edges out or in, then the components that such a hit is in. What is not marked is a chain.
void mark_branches(TrackScratch& s) noexcept {
    std::ranges::fill(s.flags, std::uint8_t{0});
    s.edges.for_each([&s](Index source, Index target, float) {
        const unsigned from = s.flags[source];
        s.flags[source] = static_cast<std::uint8_t>(from | has_out | (from & has_out) << 2U);
        const unsigned into = s.flags[target];
        s.flags[target] = static_cast<std::uint8_t>(into | has_in | (into & has_in) << 1U);
    });
    for (Index v = 0; v < s.root.size(); ++v) {
        s.flags[s.root[v]] |= static_cast<std::uint8_t>((s.flags[v] & branches) << 1U);
    }
}

/// The small branched components: their first places, one after the other, in `s.order`, the last one's end behind
/// them; the place of each hit in `s.cursor`, no_hit for none; the hit of each place, ascending within a component, in
/// `s.listed`.
struct Components {
    std::size_t n = 0;
    Index n_places = 0;
    bool any_large = false;
};
Components place_hits(TrackScratch& s) noexcept {
    std::ranges::fill(s.count, 0U);
    for (const Index r : s.root) ++s.count[r];
    Components components;
    for (Index v = 0; v < s.root.size(); ++v) {
        if ((s.flags[v] & branched) == 0) continue;
        if (s.count[v] > SmallDWalk::most_hits) {
            s.flags[v] |= large;
            components.any_large = true;
            continue;
        }
        s.order[components.n++] = components.n_places;
        components.n_places += s.count[v];
        s.count[v] = s.order[components.n - 1];  // where its next hit goes
    }
    for (Index v = 0; v < s.root.size(); ++v) {
        const Index r = s.root[v];
        const bool is_small = (s.flags[r] & (branched | large)) == branched;
        const Index place = is_small ? s.count[r] : components.n_places;
        s.listed[place] = v;
        s.count[r] += is_small ? 1U : 0U;
        s.cursor[v] = is_small ? place : no_hit;
    }
    return components;
}

/// Rows of `s.out` by place, of the edges, sorted, that lead from hits with a place.
void place_edges(Index n_places, TrackScratch& s) noexcept {
    const auto offsets = s.out.offsets;
    std::ranges::fill(offsets.first(n_places + 1), 0U);
    // Whether an edge has a place cannot be foreseen: without one it is written behind the last row.
    const auto row_of = [&](Index source) { return std::min(s.cursor[source], n_places); };
    s.edges.for_each([&](Index source, Index, float) {
        const Index row = row_of(source);
        offsets[std::min(row + 1, n_places)] += row < n_places ? 1U : 0U;
    });
    for (Index p = 1; p <= n_places; ++p) offsets[p] += offsets[p - 1];
    s.edges.for_each([&](Index source, Index target, float score) {
        const Index row = row_of(source);
        const Index at = offsets[row];
        s.out.neighbour[at] = s.cursor[target];
        s.out.score[at] = score;
        offsets[row] += row < n_places ? 1U : 0U;
    });
    for (Index p = n_places; p > 0; --p) offsets[p] = offsets[p - 1];
    offsets[0] = 0;
}

void walk_small_components(const Components& components, TrackScratch& s, const ParallelFor& parallel_for) noexcept {
    // A task worth less than some 100 us would not pay for the threads that a host may start for it.
    const std::size_t n_tasks = std::clamp<std::size_t>(components.n / 1024, 1, 8 * parallel_for.n_threads());
    parallel_for(n_tasks, [&](std::size_t task) {
        for (std::size_t c = task * components.n / n_tasks; c < (task + 1) * components.n / n_tasks; ++c) {
            const Index end = c + 1 < components.n ? s.order[c + 1] : components.n_places;
            SmallDWalk(s.out, s.order[c], end).take_all(s.listed, s.root);
        }
    });
}

}  // namespace

void group_d_walk_on_host(const TrackBuildingPlan& plan, TrackScratch& s, const ParallelFor& parallel_for) noexcept {
    merge_equal_edges(s.edges, s.out, s.in);
    const float lowest = std::min(plan.walk_min, plan.walk_add);  // what is not above passes nowhere
    s.edges.keep_if([lowest](Index, Index, float score) { return score > lowest; });
    find_best_edges(s.edges, s);
    s.edges.keep_if(WalkRule{plan, s});
    label_components(s.edges, s.root);
    mark_branches(s);
    const Components components = place_hits(s);
    if (components.n > 0) {
        place_edges(components.n_places, s);
        walk_small_components(components, s, parallel_for);
    }
    if (!components.any_large) return;
    s.edges.keep_if([&s](Index source, Index, float) { return (s.flags[s.root[source]] & large) != 0; });
    group_edges(s.edges, s.out, s.in);
    measure_depth(s.out, s.component, s.order, s.hit_depth);  // `s.depth` belongs to all edges
    transpose(s.out, s.in);
    walk_heaviest(s);
}

}  // namespace rheinfall::detail
