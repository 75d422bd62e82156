#pragma once

#include <numeric>
#include <span>

#include "tracking/detail/edge_rows.hpp"

namespace rheinfall::detail {

/// The root of @p v, halving the path on the way.
RHEINFALL_HOST_DEVICE inline Index find_root(std::span<Index> parent, Index v) noexcept {
    while (parent[v] != v) {
        parent[v] = parent[parent[v]];
        v = parent[v];
    }
    return v;
}

/// Joins the components of @p a and @p b. Both paths to the roots are climbed at once, always at the end whose parent
/// is larger, and each hit that is left is hooked to the smaller parent on the way (Rem's algorithm with splicing:
/// Patwary, Blair, Manne, SEA 2010). A parent is never larger than its child, so that a root is the smallest hit of its
/// component whatever the order of edges.
RHEINFALL_HOST_DEVICE inline void unite(std::span<Index> parent, Index a, Index b) noexcept {
    Index parent_a = parent[a];
    Index parent_b = parent[b];
    while (parent_a != parent_b) {
        if (parent_a > parent_b) {
            parent[a] = parent_b;
            if (parent_a == a) return;
            a = parent_a;
            parent_a = parent[a];
        } else {
            parent[b] = parent_a;
            if (parent_b == b) return;
            b = parent_b;
            parent_b = parent[b];
        }
    }
}

/// Labels each hit with the smallest hit of its connected component. @p edges: a list or rows.
template <class Edges>
RHEINFALL_HOST_DEVICE void label_components(const Edges& edges, std::span<Index> label) noexcept {
    std::iota(label.begin(), label.end(), 0U);
    edges.for_each([label](Index source, Index target, float) { unite(label, source, target); });
    for (Index& v : label) v = label[v];  // parents are smaller, so they are final already
}

}  // namespace rheinfall::detail
