#include <algorithm>

#include "tracking/detail/topological_order.hpp"
#include "tracking/detail/track_methods.hpp"

namespace rheinfall::detail {
namespace {

/// Drops the edges within a strongly connected set that do not lead outward. What is left ascends in (distance, index)
/// within each set, and the sets themselves form no cycle.
void drop_inward_edges(bool has_hits, TrackScratch& s) noexcept {
    s.out.keep_if([&](Index a, Index b, float) {
        const bool further = has_hits && s.distance2[a] != s.distance2[b] ? s.distance2[a] < s.distance2[b] : a < b;
        return s.component[a] != s.component[b] || further;
    });
}

}  // namespace

Status order_hits(bool has_hits, bool drop, TrackScratch& s) noexcept {
    group_edges(s.edges, s.out, s.in);
    if (measure_depth(s.out, s.depth, s.order, s.hit_depth)) return Status::ok;
    find_strong_components(s.out, s.component, {s.best_out, s.cursor, s.stack, s.listed, s.flags});
    if (drop) {
        drop_inward_edges(has_hits, s);
        measure_depth(s.out, s.depth, s.order, s.hit_depth);
    }
    return Status::cycle;
}

void list_hits_on_cycles(TrackScratch& s, TracksBuffers& tracks) noexcept {
    std::ranges::fill(s.count, 0U);
    for (const Index c : s.component) ++s.count[c];
    for (Index v = 0; v < s.component.size(); ++v) {
        const bool loop = std::ranges::binary_search(s.out.neighbours(v), v);
        if (!loop && s.count[s.component[v]] < 2) continue;
        if (tracks.n_hits < tracks.hits.size()) tracks.hits[tracks.n_hits] = v;
        ++tracks.n_hits;
    }
    tracks.n_hits = std::min(tracks.n_hits, tracks.hits.size());
}

}  // namespace rheinfall::detail
