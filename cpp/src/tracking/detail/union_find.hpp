#pragma once

#include <numeric>
#include <utility>

#include "tracking/detail/edge_rows.hpp"

namespace rheinfall::detail {

/// The root of @p v, halving the path on the way.
inline Index find_root(std::span<Index> parent, Index v) noexcept {
    while (parent[v] != v) {
        parent[v] = parent[parent[v]];
        v = parent[v];
    }
    return v;
}

/// Hooks the larger root to the smaller, so that a root is the smallest hit of its component whatever the order of
/// edges.
inline void unite(std::span<Index> parent, Index a, Index b) noexcept {
    a = find_root(parent, a);
    b = find_root(parent, b);
    if (a > b) std::swap(a, b);
    parent[b] = a;
}

/// Labels each hit with the smallest hit of its connected component.
inline void label_components(const EdgeList& edges, std::span<Index> label) noexcept {
    std::iota(label.begin(), label.end(), 0U);
    for (std::size_t e = 0; e < edges.size; ++e) unite(label, edges.source[e], edges.target[e]);
    for (Index& v : label) v = label[v];  // parents are smaller, so they are final already
}

}  // namespace rheinfall::detail
