#include <algorithm>

#include "tracking/detail/best_path.hpp"
#include "tracking/detail/track_methods.hpp"
#include "tracking/detail/union_find.hpp"

namespace rheinfall::detail {
namespace {

/// Longest paths by dynamic programming in place of enumeration. Per hit: `count` hits on the path, `last_score` of its
/// last edge, `last_hit`, `next`; `best_out` is the best neighbour that is not retired.
class LongestPath {
public:
    LongestPath(const TrackBuildingPlan& plan, TrackScratch& s) noexcept : plan_(plan), s_(s) {}

    void look(Index v) noexcept {
        const std::span<const Index> children = s_.out.neighbours(v);
        const std::span<const float> scores = s_.out.scores(v);
        s_.best_out[v] = no_hit;
        float best_score = 0.0F;
        for (std::size_t i = 0; i < children.size(); ++i) {
            if ((s_.flags[children[i]] & retired) != 0 || (s_.best_out[v] != no_hit && !(scores[i] > best_score)))
                continue;
            s_.best_out[v] = children[i];
            best_score = scores[i];
        }
    }

    /// The best neighbour counts whatever its score: another one becomes the best when it retires.
    [[nodiscard]] bool follows(Index v, Index child, float score) const noexcept {
        return s_.best_out[v] == child || score > plan_.walk_add;
    }

    void choose(Index v) noexcept {
        const std::span<const Index> children = s_.out.neighbours(v);
        const std::span<const float> scores = s_.out.scores(v);
        s_.count[v] = 1;
        s_.next[v] = no_hit;
        s_.last_hit[v] = v;
        for (std::size_t i = 0; i < children.size(); ++i) {
            const Index child = children[i];
            const float threshold = child == s_.best_out[v] ? plan_.walk_min : plan_.walk_add;
            if ((s_.flags[child] & retired) != 0 || !(scores[i] > threshold)) continue;
            const float last_score = s_.next[child] == no_hit ? scores[i] : s_.last_score[child];
            if (!is_longer(v, child, last_score)) continue;
            s_.count[v] = s_.count[child] + 1;
            s_.last_score[v] = last_score;
            s_.last_hit[v] = s_.last_hit[child];
            s_.next[v] = child;
        }
    }

private:
    /// True if the path over @p child, which ends with @p last_score, is better than the best so far from @p v.
    [[nodiscard]] bool is_longer(Index v, Index child, float last_score) const noexcept {
        const Index n_hits = s_.count[child] + 1;
        if (n_hits != s_.count[v]) return n_hits > s_.count[v];
        if (last_score != s_.last_score[v]) return last_score > s_.last_score[v];
        return s_.last_hit[child] < s_.last_hit[v];  // children come in ascending order, so on a tie the smaller stays
    }

    const TrackBuildingPlan& plan_;
    TrackScratch& s_;
};

/// Walks from every hit that is not retired yet.
void walk_all(const TrackBuildingPlan& plan, TrackScratch& s) noexcept {
    LongestPath rule(plan, s);
    choose_all_paths(s, rule);
    for (const Index start : s.order) {
        if ((s.flags[start] & retired) != 0) continue;
        refresh_best_path(start, s, rule);
        if (s.count[start] >= plan.min_length) {
            take_path(start, s, rule);
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
