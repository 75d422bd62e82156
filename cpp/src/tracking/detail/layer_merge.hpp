#pragma once

/// @file
/// What `layer_merge` does to clusters. Host and device run the same.

#include <numeric>
#include <rheinfall/tracking/track_building.hpp>
#include <utility>

#include "tracking/detail/track_scratch.hpp"
#include "tracking/detail/union_find.hpp"

namespace rheinfall::detail {

/// A weak edge needs a cluster with hits on more layers than this: one that would be a track by itself.
constexpr std::size_t layers_of_a_stub = 2;

/// The bits of a module id that name volume and layer; 28 of them.
RHEINFALL_HOST_DEVICE inline Index layer_of(std::uint64_t module_id) noexcept {
    return static_cast<Index>(module_id >> 36U);
}

RHEINFALL_HOST_DEVICE inline bool has_more_bits(std::uint64_t bits, std::size_t n) noexcept {
    if (n >= 64) return false;
    for (; n > 0; --n) bits &= bits - 1;  // the lowest goes; without asking for it, since that cannot be foreseen
    return bits != 0;
}

/// Whether an edge with @p score is weak and neither of its clusters, with these layers, is more than a stub.
RHEINFALL_HOST_DEVICE inline bool is_too_weak(float score, std::uint64_t layers_a, std::uint64_t layers_b,
                                              const TrackBuildingPlan& plan) noexcept {
    return score <= plan.weak && !has_more_bits(layers_a, layers_of_a_stub) &&
           !has_more_bits(layers_b, layers_of_a_stub);
}

/// Joins the ends of the sure edges, and leaves the others that still join two clusters.
RHEINFALL_HOST_DEVICE inline void merge_sure(float sure, TrackScratch& s) noexcept {
    std::iota(s.root.begin(), s.root.end(), 0U);
    s.edges.for_each([&](Index source, Index target, float score) {
        if (score > sure) unite(s.root, source, target);
    });
    flatten(s.root);
    s.edges.keep_if([&](Index source, Index target, float) { return s.root[source] != s.root[target]; });
}

/// Merges the clusters at the ends of an edge if the rules allow it.
RHEINFALL_HOST_DEVICE inline void merge_along(Index source, Index target, float score, const TrackBuildingPlan& plan,
                                              TrackScratch& s) noexcept {
    Index a = find_root(s.root, source);
    Index b = find_root(s.root, target);
    if (a == b) return;
    if (has_more_bits(s.layers[a] & s.layers[b], plan.shared_layers)) return;
    if (is_too_weak(score, s.layers[a], s.layers[b], plan)) return;
    if (a > b) std::swap(a, b);
    s.root[b] = a;
    s.layers[a] |= s.layers[b];
}

/// Merges along @p edges, in their order, the clusters of `s.root` whose `s.layers` allow it.
RHEINFALL_HOST_DEVICE inline void merge_by_layers(const EdgeList& edges, const TrackBuildingPlan& plan,
                                                  TrackScratch& s) noexcept {
    edges.for_each([&](Index source, Index target, float score) { merge_along(source, target, score, plan, s); });
    flatten(s.root);
}

}  // namespace rheinfall::detail
