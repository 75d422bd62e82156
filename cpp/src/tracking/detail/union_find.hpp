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

/// Each hit gets the root of its component, if every parent is no larger than its child.
RHEINFALL_HOST_DEVICE inline void flatten(std::span<Index> parent) noexcept {
    for (Index& v : parent) v = parent[v];  // parents are smaller, so they are final already
}

/// Joins the hits along @p edges, a list, rows or pieces. Roots are the smallest hits of their components, but not all
/// paths to them are short. At first each hit is hooked to its smallest neighbour, without a branch, which leaves few
/// edges that still join two roots (M. Sutton, T. Ben-Nun, A. Barak, Afforest, IPDPS 2018, takes any neighbour).
template <class Edges>
RHEINFALL_HOST_DEVICE void unite_all(const Edges& edges, std::span<Index> parent) noexcept {
    std::iota(parent.begin(), parent.end(), 0U);
    edges.for_each([parent](Index source, Index target, float) {
        const Index larger = source > target ? source : target;
        const Index smaller = source > target ? target : source;
        parent[larger] = parent[larger] < smaller ? parent[larger] : smaller;
    });
    flatten(parent);
    edges.for_each([parent](Index source, Index target, float) {
        if (parent[source] != parent[target]) unite(parent, source, target);
    });
}

/// Labels each hit with the smallest hit of its connected component.
template <class Edges>
RHEINFALL_HOST_DEVICE void label_components(const Edges& edges, std::span<Index> label) noexcept {
    unite_all(edges, label);
    flatten(label);
}

}  // namespace rheinfall::detail
