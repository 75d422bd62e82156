#include "tracking/detail/edge_rows.hpp"

#include <algorithm>

namespace rheinfall::detail {
namespace {

bool is_sorted_by_source_and_target(const EdgeList& edges) noexcept {
    for (std::size_t e = 1; e < edges.size; ++e) {
        const bool source_up = edges.source[e - 1] < edges.source[e];
        if (!source_up && (edges.source[e - 1] != edges.source[e] || edges.target[e - 1] > edges.target[e]))
            return false;
    }
    return true;
}

/// Turns counts at [v + 1] into offsets at [v]; `fill` then uses [v] as the cursor of row v, which leaves it at the
/// row's end, so that `close_rows` restores the offsets by one shift.
void open_rows(std::span<Index> offsets) noexcept {
    for (std::size_t v = 1; v < offsets.size(); ++v) offsets[v] += offsets[v - 1];
}
void close_rows(std::span<Index> offsets) noexcept {
    for (std::size_t v = offsets.size() - 1; v > 0; --v) offsets[v] = offsets[v - 1];
    offsets[0] = 0;
}

void push(EdgeRows& rows, Index row, Index neighbour, float score) noexcept {
    const Index at = rows.offsets[row]++;
    rows.neighbour[at] = neighbour;
    rows.score[at] = score;
}

/// Stable: rows keep the order of the list.
void group_list(const EdgeList& edges, std::span<const Index> row_of, std::span<const Index> neighbour_of,
                EdgeRows& rows) noexcept {
    std::ranges::fill(rows.offsets, 0U);
    for (std::size_t e = 0; e < edges.size; ++e) ++rows.offsets[row_of[e] + 1];
    open_rows(rows.offsets);
    for (std::size_t e = 0; e < edges.size; ++e) push(rows, row_of[e], neighbour_of[e], edges.score[e]);
    close_rows(rows.offsets);
}

/// The same edges by their other end; rows come out ascending.
void transpose(const EdgeRows& from, EdgeRows& to) noexcept {
    std::ranges::fill(to.offsets, 0U);
    const std::size_t n_edges = from.offsets.back();
    for (std::size_t e = 0; e < n_edges; ++e) ++to.offsets[from.neighbour[e] + 1];
    open_rows(to.offsets);
    for (Index v = 0; v < from.n_nodes(); ++v) {
        for (Index e = from.offsets[v]; e < from.offsets[v + 1]; ++e) push(to, from.neighbour[e], v, from.score[e]);
    }
    close_rows(to.offsets);
}

/// Of equal neighbours in an ascending row, keeps one with the largest score.
void merge_duplicates(EdgeRows& rows) noexcept {
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

}  // namespace

void group_edges(const EdgeList& edges, EdgeRows& out, EdgeRows& in) noexcept {
    if (is_sorted_by_source_and_target(edges)) {
        group_list(edges, edges.source, edges.target, out);
    } else {  // two stable passes sort by (source, target)
        group_list(edges, edges.target, edges.source, in);
        transpose(in, out);
    }
    merge_duplicates(out);
    transpose(out, in);
}

void list_edges(const EdgeRows& out, EdgeList& edges) noexcept {
    edges.size = out.offsets.back();
    for (Index v = 0; v < out.n_nodes(); ++v) {
        for (Index e = out.offsets[v]; e < out.offsets[v + 1]; ++e) {
            edges.source[e] = v;
            edges.target[e] = out.neighbour[e];
            edges.score[e] = out.score[e];
        }
    }
}

}  // namespace rheinfall::detail
