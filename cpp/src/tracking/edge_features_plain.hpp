#pragma once

/// @file
/// The edge features as they are defined, edge by edge: the slow twin of `edge_features.hpp`, for tests and benchmarks.

#include <rheinfall/tracking/edge_features.hpp>

namespace rheinfall::detail {

std::size_t triplet_chi2_workspace_size_plain(std::size_t n_hits, std::size_t n_edges) noexcept;
Status triplet_chi2_plain(const HitsView& hits, const EdgesView& edges, const TripletModel& model,
                          const ContinuationChi2& out, Workspace& workspace) noexcept;
PruneResult prune_edges_plain(const HitsView& hits, const EdgesBuffer& edges, const TripletModel& model, float chi2_max,
                              const ContinuationChi2& out, Workspace& workspace) noexcept;
void node_features_plain(const HitsView& hits, std::span<float> out) noexcept;
void edge_features_plain(const HitsView& hits, const EdgesView& edges, const ContinuationChi2& chi2,
                         std::span<float> out) noexcept;

}  // namespace rheinfall::detail
