#pragma once

#include <cstddef>
#include <cstdint>
#include <rheinfall/core/execution.hpp>
#include <rheinfall/core/workspace.hpp>
#include <span>

#include "tracking/edge_features_work.hpp"

namespace rheinfall::detail {

/// Memory to find the quadruplets of one event. Without room for triplets they can be counted.
struct QuadrupletScratch {
    TripletList triplets;
    std::span<std::uint32_t> offsets;                     ///< of triplets by inner edge
    std::span<std::uint8_t> before_missing, before_onto;  ///< hits that such edges leave
    std::span<std::uint8_t> follows, precedes;            ///< see `TripletMarks`
    std::span<std::uint64_t> missing, from, onto;         ///< bits of edges

    static std::size_t size(std::size_t n_hits, std::size_t n_edges, std::size_t n_triplets) noexcept;
    QuadrupletScratch(std::size_t n_hits, std::size_t n_edges, std::size_t n_triplets, Workspace& workspace) noexcept;
};

/// Marks the edges of each quadruplet with a chi2 below `cuts.quadruplet_chi2_max` that has an edge without a mark in
/// @p marks or in @p other. Returns how many triplets that takes: more than `cuts.n_triplets`, and nothing is marked.
std::size_t mark_quadruplets(const EdgeSteps& steps, const SegmentWork& work, const HitRecord* hits,
                             const TripletModel& model, const PruneCuts& cuts, const QuadrupletScratch& scratch,
                             std::span<std::uint8_t> marks, std::span<const std::uint8_t> other,
                             const ParallelFor& parallel_for) noexcept;

}  // namespace rheinfall::detail
