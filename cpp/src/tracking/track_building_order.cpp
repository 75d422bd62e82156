#include "tracking/detail/track_methods.hpp"
#include "tracking/detail/track_order.hpp"

namespace rheinfall::detail {

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
