#include "gnn/edge_order.hpp"

#include <algorithm>
#include <bit>

namespace rheinfall::gnn {
namespace {

/// Exclusive sums of counts that stand one place ahead: first[i + 1] counts i.
void add_up(std::span<std::int32_t> first) noexcept {
    for (std::size_t i = 1; i < first.size(); ++i) first[i] += first[i - 1];
}

/// Edges that agree in both ends come in the order of their features' bits.
void sort_equal_edges(const EdgeClassifierInput& input, const EdgeOrder& order) noexcept {
    const std::size_t n = order.caller.size();
    const std::size_t width = n == 0 ? 0 : input.edge_features.size() / n;
    const auto less = [&](std::int32_t a, std::int32_t b) {
        const float* x = input.edge_features.data() + static_cast<std::size_t>(a) * width;
        const float* y = input.edge_features.data() + static_cast<std::size_t>(b) * width;
        for (std::size_t k = 0; k < width; ++k) {
            const auto i = std::bit_cast<std::uint32_t>(x[k]);
            const auto j = std::bit_cast<std::uint32_t>(y[k]);
            if (i != j) return i < j;
        }
        return false;
    };
    for (std::size_t e = 0; e < n;) {
        std::size_t end = e + 1;
        while (end < n && order.source[end] == order.source[e] && order.target[end] == order.target[e]) ++end;
        if (end - e > 1 && width > 0) {
            std::sort(order.caller.begin() + static_cast<std::ptrdiff_t>(e),
                      order.caller.begin() + static_cast<std::ptrdiff_t>(end), less);
        }
        e = end;
    }
}

/// The engine's numbers of nodes, as the caller's ascend.
void number_nodes(bool all_nodes, EdgeOrder& order) noexcept {
    std::size_t n = 0;
    for (std::size_t i = 0; i < order.rank.size(); ++i) {
        const bool has_edges = order.first_in[i + 1] > 0 || order.first_out[i + 1] > 0;
        order.rank[i] = has_edges || all_nodes ? static_cast<std::int32_t>(n) : -1;
        if (order.rank[i] >= 0) order.nodes[n++] = static_cast<std::int32_t>(i);
    }
    order.nodes = order.nodes.first(n);
}

/// Moves counts of the caller's nodes to their places in the engine's order, and adds them up.
void number_counts(const EdgeOrder& order, std::span<std::int32_t>& first) noexcept {
    for (std::size_t k = 0; k < order.nodes.size(); ++k) {
        first[k + 1] = first[static_cast<std::size_t>(order.nodes[k]) + 1];
    }
    first = first.first(order.nodes.size() + 1);
    add_up(first);
}

}  // namespace

// Two counting sorts, by source and then, stable, by target.
bool sort_edges(const EdgeClassifierInput& input, bool all_nodes, EdgeOrder& order) noexcept {
    const std::size_t n = input.edges.size();
    const auto n_nodes = static_cast<std::uint64_t>(input.n_nodes);
    std::fill(order.first_in.begin(), order.first_in.end(), 0);
    std::fill(order.first_out.begin(), order.first_out.end(), 0);
    for (std::size_t e = 0; e < n; ++e) {
        const auto source = static_cast<std::uint64_t>(input.edges.source[e]);
        const auto target = static_cast<std::uint64_t>(input.edges.target[e]);
        if (source >= n_nodes || target >= n_nodes) return false;
        ++order.first_in[target + 1];
        ++order.first_out[source + 1];
    }
    number_nodes(all_nodes, order);
    number_counts(order, order.first_in);
    number_counts(order, order.first_out);
    const auto rank = [&](std::int64_t node) { return order.rank[static_cast<std::size_t>(node)]; };
    // The firsts move on as places are given away, and are moved back behind.
    const auto place = [](std::span<std::int32_t> first, std::int32_t node) {
        return static_cast<std::size_t>(first[static_cast<std::size_t>(node)]++);
    };
    const auto move_back = [](std::span<std::int32_t> first) {
        for (std::size_t i = first.size(); i > 1; --i) first[i - 1] = first[i - 2];
        first[0] = 0;
    };
    for (std::size_t e = 0; e < n; ++e) {
        order.edges_out[place(order.first_out, rank(input.edges.source[e]))] = static_cast<std::int32_t>(e);
    }
    move_back(order.first_out);
    for (std::size_t k = 0; k < n; ++k) {
        const auto e = static_cast<std::size_t>(order.edges_out[k]);
        order.caller[place(order.first_in, rank(input.edges.target[e]))] = static_cast<std::int32_t>(e);
    }
    move_back(order.first_in);
    for (std::size_t k = 0; k < n; ++k) {
        const auto e = static_cast<std::size_t>(order.caller[k]);
        order.source[k] = rank(input.edges.source[e]);
        order.target[k] = rank(input.edges.target[e]);
    }
    sort_equal_edges(input, order);
    for (std::size_t k = 0; k < n; ++k) {
        const std::size_t p = place(order.first_out, order.source[k]);
        order.edges_out[p] = static_cast<std::int32_t>(k);
        order.source_out[p] = order.source[k];
        order.target_out[p] = order.target[k];
    }
    move_back(order.first_out);
    return true;
}

}  // namespace rheinfall::gnn
