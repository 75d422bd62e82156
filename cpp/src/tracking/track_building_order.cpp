#include <algorithm>

#include "tracking/detail/track_methods.hpp"
#include "tracking/detail/track_order.hpp"

namespace rheinfall::detail {

bool leads_outward(bool has_hits, const TrackScratch& s) noexcept {
    constexpr std::size_t block = 1024;  // most often it holds for all edges, or fails for one of the first thousands
    const auto& edges = s.edges;
    bool ascends = true;
    bool outward = has_hits;
    for (std::size_t first = 0; first < edges.size && (ascends || outward); first += block) {
        const std::size_t end = std::min(first + block, edges.size);
        for (std::size_t e = first; e < end; ++e) ascends &= edges.source[e] < edges.target[e];
        for (std::size_t e = first; outward && e < end; ++e) {
            const Index a = edges.source[e];
            const Index b = edges.target[e];
            outward = (s.distance2[a] < s.distance2[b]) | ((s.distance2[a] == s.distance2[b]) & (a < b));
        }
    }
    return ascends || outward;
}

Status order_hits(bool has_hits, bool drop, TrackScratch& s) noexcept {
    group_edges(s.edges, s.out, s.in);
    return order_rows(has_hits, drop, s);
}

void list_hits_on_cycles(const TrackScratch& s, TracksBuffers& tracks) noexcept {
    for_each_hit_on_cycles(s, [&tracks](Index v) {
        if (tracks.n_hits < tracks.hits.size()) tracks.hits[tracks.n_hits++] = v;
    });
}

}  // namespace rheinfall::detail
