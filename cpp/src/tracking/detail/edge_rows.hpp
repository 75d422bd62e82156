#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace rheinfall::detail {

/// Hits and edges of one event fit 32 bits; half the memory traffic of the public 64.
using Index = std::uint32_t;
inline constexpr Index no_hit = 0xFFFFFFFFU;

/// Edges in any order; the spans are as long as the event allows, the first `size` entries are in use.
struct EdgeList {
    std::span<Index> source, target;
    std::span<float> score;
    std::size_t size = 0;

    /// Leaves the edges for which `stays(source, target, score)` holds, in their order.
    template <class Stays>
    void keep_if(Stays&& stays) noexcept {
        std::size_t n = 0;
        for (std::size_t e = 0; e < size; ++e) {
            if (!stays(source[e], target[e], score[e])) continue;
            source[n] = source[e];
            target[n] = target[e];
            score[n++] = score[e];
        }
        size = n;
    }
};

/// Edges grouped by hit: the neighbours of hit v, ascending and distinct, at [offsets[v], offsets[v + 1]).
struct EdgeRows {
    std::span<Index> offsets, neighbour;
    std::span<float> score;

    [[nodiscard]] std::size_t n_nodes() const noexcept { return offsets.size() - 1; }
    [[nodiscard]] std::size_t degree(Index v) const noexcept { return offsets[v + 1] - offsets[v]; }
    [[nodiscard]] std::span<const Index> neighbours(Index v) const noexcept {
        return neighbour.subspan(offsets[v], degree(v));
    }
    [[nodiscard]] std::span<const float> scores(Index v) const noexcept { return score.subspan(offsets[v], degree(v)); }
};

/// Fills @p out (by source) and @p in (by target) from @p edges; of duplicates the larger score stays. Linear.
void group_edges(const EdgeList& edges, EdgeRows& out, EdgeRows& in) noexcept;

/// Writes the edges of @p out back into @p edges.
void list_edges(const EdgeRows& out, EdgeList& edges) noexcept;

}  // namespace rheinfall::detail
