#include <algorithm>

#include "tracking/detail/track_methods.hpp"
#include "tracking/detail/union_find.hpp"

namespace rheinfall::detail {
namespace {

void offer(Index end, Index other, float score, std::span<Index> best, std::span<float> best_score) noexcept {
    const bool better =
        best[end] == no_hit || score > best_score[end] || (score == best_score[end] && other < best[end]);
    if (!better) return;
    best[end] = other;
    best_score[end] = score;
}

}  // namespace

void find_best_edges(TrackScratch& s) noexcept {
    std::ranges::fill(s.best_out, no_hit);
    std::ranges::fill(s.best_in, no_hit);
    const EdgeList& edges = s.edges;
    for (std::size_t e = 0; e < edges.size; ++e) {
        offer(edges.source[e], edges.target[e], edges.score[e], s.best_out, s.best_out_score);
        offer(edges.target[e], edges.source[e], edges.score[e], s.best_in, s.best_in_score);
    }
}

void group_components(TrackScratch& s) noexcept {
    label_components(s.edges, s.root);
}

void group_mutual_best(float sure, TrackScratch& s) noexcept {
    find_best_edges(s);
    s.edges.keep_if([&](Index source, Index target, float score) {
        // A weaker duplicate of a best edge passes too; it joins hits that are joined anyway.
        return (s.best_out[source] == target && s.best_in[target] == source) || score > sure;
    });
}

}  // namespace rheinfall::detail
