#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tracking/detail/host_device.hpp"

namespace rheinfall::detail {

/// Hits and edges of one event fit 32 bits; half the memory traffic of the public 64.
using Index = std::uint32_t;
inline constexpr Index no_hit = 0xFFFFFFFFU;

/// Edges in any order; the spans are as long as the event allows, the first `size` entries are in use.
struct EdgeList {
    std::span<Index> source, target;
    std::span<float> score;
    std::size_t size = 0;

    /// Calls `visit(source, target, score)` for each edge.
    template <class Visit>
    RHEINFALL_HOST_DEVICE void for_each(Visit&& visit) const noexcept {
        for (std::size_t e = 0; e < size; ++e) visit(source[e], target[e], score[e]);
    }

    /// Leaves the edges for which `stays(source, target, score)` holds, in their order. Without a branch, since what
    /// stays cannot be foreseen.
    template <class Stays>
    RHEINFALL_HOST_DEVICE void keep_if(Stays&& stays) noexcept {
        std::size_t n = 0;
        for (std::size_t e = 0; e < size; ++e) {
            const bool kept = stays(source[e], target[e], score[e]);
            source[n] = source[e];
            target[n] = target[e];
            score[n] = score[e];
            n += kept ? 1U : 0U;
        }
        size = n;
    }
};

/// Edges grouped by hit: the neighbours of hit v, ascending and distinct, at [offsets[v], offsets[v + 1]).
struct EdgeRows {
    std::span<Index> offsets, neighbour;
    std::span<float> score;

    [[nodiscard]] RHEINFALL_HOST_DEVICE std::size_t n_nodes() const noexcept { return offsets.size() - 1; }
    [[nodiscard]] RHEINFALL_HOST_DEVICE std::size_t degree(Index v) const noexcept {
        return offsets[v + 1] - offsets[v];
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE std::span<const Index> neighbours(Index v) const noexcept {
        return neighbour.subspan(offsets[v], degree(v));
    }

    /// Calls `visit(source, target, score)` for each edge, row by row.
    template <class Visit>
    RHEINFALL_HOST_DEVICE void for_each(Visit&& visit) const noexcept {
        for (Index v = 0; v < n_nodes(); ++v) {
            for (Index e = offsets[v]; e < offsets[v + 1]; ++e) visit(v, neighbour[e], score[e]);
        }
    }

    /// Leaves the edges for which `stays(source, target, score)` holds, in their order.
    template <class Stays>
    RHEINFALL_HOST_DEVICE void keep_if(Stays&& stays) noexcept {
        Index n = 0;
        Index first = 0;
        for (Index v = 0; v < n_nodes(); ++v) {
            const Index last = offsets[v + 1];
            for (Index e = first; e < last; ++e) {
                const bool kept = stays(v, neighbour[e], score[e]);
                neighbour[n] = neighbour[e];
                score[n] = score[e];
                n += kept ? 1U : 0U;
            }
            first = last;
            offsets[v + 1] = n;
        }
    }
};

/// Fills @p out (by source) from @p edges; of duplicates the larger score stays. @p scratch is as large. Linear. True
/// if the list is sorted by (source, target) and distinct, so that the rows one after the other are the list.
bool group_edges(const EdgeList& edges, EdgeRows& out, EdgeRows& scratch) noexcept;

/// Sorts @p edges by (source, target); duplicates may go. Scratch: the rows of as many edges and hits.
void sort_edges(EdgeList& edges, EdgeRows& out, EdgeRows& in) noexcept;
/// The same, and duplicates do go: one with the largest score stays.
void merge_equal_edges(EdgeList& edges, EdgeRows& out, EdgeRows& in) noexcept;

/// Writes the edges of @p rows to @p edges, sorted.
void list_rows(const EdgeRows& rows, EdgeList& edges) noexcept;

/// Turns counts at [v + 1] into offsets at [v]; `fill` then uses [v] as the cursor of row v, which leaves it at the
/// row's end, so that `close_rows` restores the offsets by one shift.
RHEINFALL_HOST_DEVICE inline void open_rows(std::span<Index> offsets) noexcept {
    for (std::size_t v = 1; v < offsets.size(); ++v) offsets[v] += offsets[v - 1];
}
RHEINFALL_HOST_DEVICE inline void close_rows(std::span<Index> offsets) noexcept {
    for (std::size_t v = offsets.size() - 1; v > 0; --v) offsets[v] = offsets[v - 1];
    offsets[0] = 0;
}

RHEINFALL_HOST_DEVICE inline void push(EdgeRows& rows, Index row, Index neighbour, float score) noexcept {
    const Index at = rows.offsets[row]++;
    rows.neighbour[at] = neighbour;
    rows.score[at] = score;
}

/// Groups the edges of @p from by their other end.
RHEINFALL_HOST_DEVICE inline void transpose(const EdgeRows& from, EdgeRows& to) noexcept {
    std::fill(to.offsets.begin(), to.offsets.end(), 0U);
    const std::size_t n_edges = from.offsets.back();
    for (std::size_t e = 0; e < n_edges; ++e) ++to.offsets[from.neighbour[e] + 1];
    open_rows(to.offsets);
    from.for_each([&to](Index source, Index target, float score) { push(to, target, source, score); });
    close_rows(to.offsets);
}

/// Of equal neighbours in an ascending row, keeps one with the largest score.
RHEINFALL_HOST_DEVICE inline void merge_duplicates(EdgeRows& rows) noexcept {
    Index end = 0;
    Index first = 0;
    for (std::size_t v = 0; v < rows.n_nodes(); ++v) {
        const Index last = rows.offsets[v + 1];
        const Index row = end;
        for (Index e = first; e < last; ++e) {
            if (end > row && rows.neighbour[end - 1] == rows.neighbour[e]) {
                rows.score[end - 1] = std::max(rows.score[end - 1], rows.score[e]);
                continue;
            }
            rows.neighbour[end] = rows.neighbour[e];
            rows.score[end++] = rows.score[e];
        }
        first = last;
        rows.offsets[v + 1] = end;
    }
}

}  // namespace rheinfall::detail
