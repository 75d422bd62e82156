#pragma once

#include <rheinfall/tracking/edge_features_cuda.hpp>

#include "tracking/detail/device_features.hpp"

namespace rheinfall::detail {

/// Throws std::invalid_argument if the device cannot number so many hits or edges.
void check_device_edge_limits(std::size_t n_hits, std::size_t n_edges);

/// Throws std::invalid_argument for a wrong call of the CUDA `prune_edges`.
void check_device_pruning(const HitsView& hits, const DeviceEdges& edges, const PruneCuts& cuts,
                          const EdgesBuffer& left, const ContinuationChi2& out, const PruneResult* result);

/// Writes to @p g what the caller gave.
void set_device_pruner(DevicePruner& g, const HitsView& hits, const DeviceEdges& edges, const PruneCuts& cuts,
                       const EdgesBuffer& left, const ContinuationChi2& out, PruneResult* result) noexcept;

/// Throws std::invalid_argument for a wrong call of the CUDA `graph_features`.
void check_device_features(const DeviceHits& hits, const DeviceEdges& edges, const ContinuationChi2& chi2,
                           std::span<float> node_rows, std::span<float> edge_rows);

/// All but the array of points.
DeviceFeatures device_features(const DeviceHits& hits, const DeviceEdges& edges, const ContinuationChi2& chi2,
                               std::span<float> node_rows, std::span<float> edge_rows) noexcept;

}  // namespace rheinfall::detail
