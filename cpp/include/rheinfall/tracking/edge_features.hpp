#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <rheinfall/core/execution.hpp>
#include <rheinfall/core/export.hpp>
#include <rheinfall/core/status.hpp>
#include <rheinfall/core/views.hpp>
#include <rheinfall/core/workspace.hpp>
#include <rheinfall/tracking/graph_construction.hpp>
#include <span>

namespace rheinfall {

inline constexpr std::size_t n_node_features = 4;  ///< r / 1000, phi / pi, z / 1000, eta

/// dr, dphi / pi, dz, deta, phi slope clamped to +-100, mean r times phi slope, all of the scaled node features (ACORN:
/// "standard" edge features); then log(1 + chi2) / 4 of the best and second-best continuation outward, and inward.
inline constexpr std::size_t n_edge_features = 10;

/// Standard deviations of a hit [mm]: along the azimuth, along z, along the radius.
struct HitResolution {
    float rphi;
    float z;
    float r;
};

/// What the triplet chi2 needs to know of the detector.
struct TripletModel {
    std::array<HitResolution, 256> resolution_by_volume;  ///< by the volume number, the top 8 bits of a module_id
    float field;                                          ///< [T], along z
    float layer_x0;      ///< thickness of a layer in radiation lengths, at perpendicular incidence
    float field_spread;  ///< relative change of the field from one segment to the next
    float min_chi2_pt;   ///< momentum above which multiple scattering is taken as constant [GeV]
};

/// chi2 of a continuation that does not exist.
inline constexpr float no_continuation = 1e4f;

/// How well each edge continues, one value per edge: the best and the second-best chi2 over the edges that leave its
/// target, and over those that enter its source; `no_continuation` at most.
struct ContinuationChi2 {
    std::span<float> out_best;
    std::span<float> out_second;
    std::span<float> in_best;
    std::span<float> in_second;
};

RHEINFALL_API std::size_t triplet_chi2_workspace_size(std::size_t n_hits, std::size_t n_edges) noexcept;

/// Computes the triplet chi2 of each edge: two edges that share a hit agree in the curvature of the circle through the
/// beam line and their hits, and in cot(theta) along it, within resolution and multiple scattering (G. R. Lynch and
/// O. I. Dahl, Nucl. Instrum. Meth. B58 (1991) 6, without the logarithm). Order-independent: minima only.
///
/// @p edges must be sorted by source, with indices into @p hits; the numbers of @p model must be above 0, its
/// field_spread at least 0. Status::capacity_exceeded if the workspace is too small.
RHEINFALL_API Status triplet_chi2(const HitsView& hits, const EdgesView& edges, const TripletModel& model,
                                  ContinuationChi2 out, Workspace& workspace,
                                  const ParallelFor& parallel_for = {}) noexcept;

/// Which edges stay.
struct PruneCuts {
    /// Those with a continuation on either side whose triplet chi2 is below this.
    float chi2_max;
    /// And those of a quadruplet whose chi2 is below this; 0: no quadruplet is looked at. A quadruplet is three edges
    /// in a row. Its chi2 (3 degrees of freedom) compares the curvatures of the circles through its first and through
    /// its last three hits, and cot(theta) along both, so that its particle need not come from the beam line.
    float quadruplet_chi2_max = 0.0f;
    /// Room for triplets whose cot(theta) agrees within quadruplet_chi2_max, at most 2^31 - 1. Only those count that
    /// may keep an edge: parts of quadruplets of which chi2_max would drop one.
    std::size_t n_triplets = 0;
};

struct PruneResult {
    Status status;               ///< `empty` if no edge is left
    std::size_t n_edges;         ///< edges left
    std::size_t n_triplets = 0;  ///< how many there are, or how many are needed
};

RHEINFALL_API std::size_t prune_edges_workspace_size(std::size_t n_hits, std::size_t n_edges,
                                                     std::size_t n_triplets = 0) noexcept;

/// Drops the edges that @p cuts do not keep, in place; the others stay in their order. @p out, one value for each edge
/// given, then holds the triplet chi2 of those left *within the pruned graph*, at the front.
///
/// Without quadruplets the same as `triplet_chi2`, a compaction and `triplet_chi2` again, of which the second needs no
/// hits. Requirements are those of `triplet_chi2`. Status::capacity_exceeded if the workspace is too small or there are
/// more triplets than room: all edges are there then.
RHEINFALL_API PruneResult prune_edges(const HitsView& hits, EdgesBuffer edges, const TripletModel& model,
                                      const PruneCuts& cuts, ContinuationChi2 out, Workspace& workspace,
                                      const ParallelFor& parallel_for = {}) noexcept;

/// Fills (n_hits, n_node_features) values, row by row; zeros for a hit that is not finite, since a network may take
/// means over all nodes.
RHEINFALL_API void node_features(const HitsView& hits, std::span<float> out,
                                 const ParallelFor& parallel_for = {}) noexcept;

RHEINFALL_API std::size_t edge_features_workspace_size(std::size_t n_hits) noexcept;

/// Fills (n_edges, n_edge_features) values, row by row. Status::capacity_exceeded if the workspace is too small.
RHEINFALL_API Status edge_features(const HitsView& hits, const EdgesView& edges, const ContinuationChi2& chi2,
                                   std::span<float> out, Workspace& workspace,
                                   const ParallelFor& parallel_for = {}) noexcept;

}  // namespace rheinfall
