#pragma once

/// @file
/// What `layer_merge` does to clusters. Host and device run the same.

#include <numeric>
#include <utility>

#include "tracking/detail/track_scratch.hpp"
#include "tracking/detail/union_find.hpp"

namespace rheinfall::detail {

/// The bits of a module id that name volume and layer; 28 of them.
RHEINFALL_HOST_DEVICE inline Index layer_of(std::uint64_t module_id) noexcept {
    return static_cast<Index>(module_id >> 36U);
}

RHEINFALL_HOST_DEVICE inline bool has_more_bits(std::uint64_t bits, std::size_t n) noexcept {
    for (; bits != 0 && n > 0; --n) bits &= bits - 1;  // the lowest goes
    return bits != 0;
}

/// Joins the ends of the sure edges, and leaves the others that still join two clusters.
RHEINFALL_HOST_DEVICE inline void merge_sure(float sure, TrackScratch& s) noexcept {
    std::iota(s.root.begin(), s.root.end(), 0U);
    s.edges.for_each([&](Index source, Index target, float score) {
        if (score > sure) unite(s.root, source, target);
    });
    for (Index& v : s.root) v = s.root[v];  // parents are smaller, so they are final already
    s.edges.keep_if([&](Index source, Index target, float) { return s.root[source] != s.root[target]; });
}

/// Merges along @p edges, in their order, the clusters of `s.root` whose `s.layers` allow it.
RHEINFALL_HOST_DEVICE inline void merge_by_layers(const EdgeList& edges, std::size_t shared_layers,
                                                  TrackScratch& s) noexcept {
    edges.for_each([&](Index source, Index target, float) {
        Index a = find_root(s.root, source);
        Index b = find_root(s.root, target);
        if (a == b) return;
        if (has_more_bits(s.layers[a] & s.layers[b], shared_layers)) return;
        if (a > b) std::swap(a, b);
        s.root[b] = a;
        s.layers[a] |= s.layers[b];
    });
    for (Index& v : s.root) v = s.root[v];
}

}  // namespace rheinfall::detail
