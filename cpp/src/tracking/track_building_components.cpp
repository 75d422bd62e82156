#include <algorithm>
#include <numeric>

#include "tracking/detail/best_edges.hpp"
#include "tracking/detail/concurrent_union_find.hpp"
#include "tracking/detail/edge_chunks.hpp"
#include "tracking/detail/track_methods.hpp"
#include "tracking/detail/union_find.hpp"

namespace rheinfall::detail {
namespace {

/// Calls `make(c)`, which fills piece c, for each piece and joins the hits along the edges of all.
template <class Make>
void join_hits(const EdgeChunks& chunks, const ParallelFor& parallel_for, std::span<Index> root, Make&& make) noexcept {
    if (chunks.n() == 1) {
        for (std::size_t c = 0; c < chunks.n(); ++c) make(c);
        return unite_all(chunks, root);
    }
    std::iota(root.begin(), root.end(), 0U);
    parallel_for(chunks.n(), [&](std::size_t c) {
        make(c);
        chunks[c].for_each([root](Index source, Index target, float) { unite_concurrently(root, source, target); });
    });
}

/// Selects the pieces and fills `s.best_from` and `s.best_into`.
void select_with_best(EdgeChunks& chunks, TrackScratch& s, const ParallelFor& parallel_for) noexcept {
    if (chunks.n() == 1) {
        chunks.select_all(parallel_for);
        return find_best_edges(chunks, s);
    }
    std::ranges::fill(s.best_from, std::uint64_t{0});
    std::ranges::fill(s.best_into, std::uint64_t{0});
    parallel_for(chunks.n(), [&](std::size_t c) {
        chunks.select(c);
        chunks[c].for_each([&s](Index source, Index target, float score) {
            raise_concurrently(s.best_from[source], rank_edge(score, target));
            raise_concurrently(s.best_into[target], rank_edge(score, source));
        });
    });
}

}  // namespace

void group_components(EdgeChunks& chunks, TrackScratch& s, const ParallelFor& parallel_for) noexcept {
    join_hits(chunks, parallel_for, s.root, [&](std::size_t c) { chunks.select(c); });
}

void group_mutual_best(float sure, EdgeChunks& chunks, TrackScratch& s, const ParallelFor& parallel_for) noexcept {
    select_with_best(chunks, s, parallel_for);
    const auto stays = [&](Index source, Index target, float score) {
        const bool from = is_best_from(source, target, score, s);
        const bool into = is_best_into(source, target, score, s);
        return (score > sure) | (from & into);
    };
    join_hits(chunks, parallel_for, s.root, [&](std::size_t c) { chunks.keep_if(c, stays); });
}

}  // namespace rheinfall::detail
