#include "tracking/detail/edge_rows.hpp"

#include <algorithm>

namespace rheinfall::detail {
namespace {

/// How the edges of a list follow each other, without a branch.
struct ListOrder {
    bool is_sorted;    ///< by (source, target)
    bool is_distinct;  ///< no edge follows an equal one
};
ListOrder find_order(const EdgeList& edges) noexcept {
    bool down = false;
    bool equal = false;
    std::uint64_t before = 0;
    for (std::size_t e = 0; e < edges.size; ++e) {
        const std::uint64_t edge = std::uint64_t{edges.source[e]} << 32U | edges.target[e];
        down |= edge < before;
        equal |= edge == before && e > 0;
        before = edge;
    }
    return {!down, !equal};
}

/// Rows of a sorted list: a row ends behind the last edge that says so.
void copy_sorted(const EdgeList& edges, EdgeRows& rows) noexcept {
    std::ranges::fill(rows.offsets, 0U);
    for (std::size_t e = 0; e < edges.size; ++e) rows.offsets[edges.source[e] + 1] = static_cast<Index>(e + 1);
    for (std::size_t v = 1; v < rows.offsets.size(); ++v) {
        rows.offsets[v] = std::max(rows.offsets[v], rows.offsets[v - 1]);  // rows without edges end where they begin
    }
    std::ranges::copy(edges.target.first(edges.size), rows.neighbour.begin());
    std::ranges::copy(edges.score.first(edges.size), rows.score.begin());
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

void rewrite(EdgeList& edges, EdgeRows& out, EdgeRows& in) noexcept {
    group_edges(edges, out, in);
    list_rows(out, edges);
}

}  // namespace

bool group_edges(const EdgeList& edges, EdgeRows& out, EdgeRows& scratch) noexcept {
    const ListOrder order = find_order(edges);
    if (order.is_sorted) {
        copy_sorted(edges, out);
        if (order.is_distinct) return true;
    } else {  // two stable passes sort by (source, target)
        group_list(edges, edges.target, edges.source, scratch);
        transpose(scratch, out);
    }
    merge_duplicates(out);
    return false;
}

void list_rows(const EdgeRows& rows, EdgeList& edges) noexcept {
    edges.size = 0;
    rows.for_each([&edges](Index source, Index target, float score) {
        edges.source[edges.size] = source;
        edges.target[edges.size] = target;
        edges.score[edges.size++] = score;
    });
}

void sort_edges(EdgeList& edges, EdgeRows& out, EdgeRows& in) noexcept {
    if (!find_order(edges).is_sorted) rewrite(edges, out, in);
}

void merge_equal_edges(EdgeList& edges, EdgeRows& out, EdgeRows& in) noexcept {
    const ListOrder order = find_order(edges);
    if (!order.is_sorted || !order.is_distinct) rewrite(edges, out, in);
}

}  // namespace rheinfall::detail
