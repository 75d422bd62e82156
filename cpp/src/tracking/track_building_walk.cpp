#include <algorithm>

#include "tracking/detail/best_path.hpp"
#include "tracking/detail/track_methods.hpp"
#include "tracking/detail/union_find.hpp"

namespace rheinfall::detail {
namespace {

// Between retirements the longest path from each hit is defined by its children's, so one pass against the topological
// order replaces the enumeration of paths. Per hit: `count` hits on the path, `last_score` of its last edge,
// `last_hit`, `next`. A retirement makes the paths of its ancestors stale; they are renewed when a start needs them.

/// True if the path over @p child, whose first edge has @p score, is better than the best so far from @p v.
bool is_longer(Index v, Index child, float score, const TrackScratch& s) noexcept {
    const Index n_hits = s.count[child] + 1;
    const float last_score = s.next[child] == no_hit ? score : s.last_score[child];
    if (n_hits != s.count[v]) return n_hits > s.count[v];
    if (last_score != s.last_score[v]) return last_score > s.last_score[v];
    return s.last_hit[child] < s.last_hit[v];  // children come in ascending order, so on a tie the smaller stays
}

void choose_longest(const TrackBuildingPlan& plan, Index v, TrackScratch& s) noexcept {
    const std::span<const Index> children = s.out.neighbours(v);
    const std::span<const float> scores = s.out.scores(v);
    std::size_t best = children.size();
    for (std::size_t i = 0; i < children.size(); ++i) {
        if ((s.flags[children[i]] & retired) != 0) continue;
        if (best == children.size() || scores[i] > scores[best]) best = i;
    }
    s.count[v] = 1;
    s.next[v] = no_hit;
    s.last_hit[v] = v;
    for (std::size_t i = 0; i < children.size(); ++i) {
        const Index child = children[i];
        if ((s.flags[child] & retired) != 0 || !(scores[i] > (i == best ? plan.walk_min : plan.walk_add))) continue;
        if (!is_longer(v, child, scores[i], s)) continue;
        s.count[v] = s.count[child] + 1;
        s.last_score[v] = s.next[child] == no_hit ? scores[i] : s.last_score[child];
        s.last_hit[v] = s.last_hit[child];
        s.next[v] = child;
    }
}

/// Walks from every hit that is not retired yet.
void walk_all(const TrackBuildingPlan& plan, TrackScratch& s) noexcept {
    const auto choose = [&](Index v) { choose_longest(plan, v, s); };
    for (std::size_t i = s.order.size(); i-- > 0;) choose(s.order[i]);
    for (const Index start : s.order) {
        if ((s.flags[start] & retired) != 0) continue;
        refresh_best_path(start, s, choose);
        if (s.count[start] >= plan.min_length) {
            take_path(start, s);
        } else {
            s.flags[start] |= retired;  // whatever leads here came earlier in the order and is retired
        }
    }
}

/// Takes the components that are single chains of at least 3 hits as they stand.
void take_chains(TrackScratch& s) noexcept {
    list_edges(s.out, s.edges);
    label_components(s.edges, s.component);
    std::ranges::fill(s.count, 0U);
    std::ranges::fill(s.cursor, 0U);  // hits with a junction per component
    for (Index v = 0; v < s.component.size(); ++v) {
        ++s.count[s.component[v]];
        if (s.out.degree(v) > 1 || s.in.degree(v) > 1) ++s.cursor[s.component[v]];
    }
    for (Index v = 0; v < s.component.size(); ++v) {
        const Index c = s.component[v];
        if (s.count[c] < 3 || s.cursor[c] > 0) continue;
        s.root[v] = c;
        s.flags[v] = retired;
    }
}

}  // namespace

void group_walk(const TrackBuildingPlan& plan, TrackScratch& s) noexcept {
    std::ranges::fill(s.root, no_hit);
    std::ranges::fill(s.flags, std::uint8_t{0});
    walk_all(plan, s);
}

void group_cc_and_walk(const TrackBuildingPlan& plan, TrackScratch& s) noexcept {
    std::ranges::fill(s.root, no_hit);
    std::ranges::fill(s.flags, std::uint8_t{0});
    take_chains(s);
    walk_all(plan, s);
}

}  // namespace rheinfall::detail
