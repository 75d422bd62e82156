#include "tracking/detail/best_edges.hpp"
#include "tracking/detail/track_methods.hpp"
#include "tracking/detail/union_find.hpp"

namespace rheinfall::detail {

void group_components(TrackScratch& s) noexcept {
    label_components(s.edges, s.root);
}

void group_mutual_best(float sure, TrackScratch& s) noexcept {
    find_best_edges(s.edges, s);
    s.edges.keep_if([&](Index source, Index target, float score) {
        const bool from = is_best_from(source, target, score, s);
        const bool into = is_best_into(source, target, score, s);
        return (score > sure) | (from & into);
    });
}

}  // namespace rheinfall::detail
