#pragma once

#include <cstddef>
#include <rheinfall/core/device.hpp>
#include <rheinfall/core/export.hpp>
#include <rheinfall/core/views.hpp>
#include <rheinfall/core/workspace.hpp>
#include <rheinfall/tracking/edge_features.hpp>
#include <rheinfall/tracking/graph_construction_cuda.hpp>
#include <span>

namespace rheinfall {

/// The edges of one event in device memory.
struct DeviceEdges {
    EdgesView arrays;  ///< sorted by source; may be longer than what is in use
    /// Null: all edges. Else a device address of their number, `GraphResult::n_edges` for example, so that the host
    /// need not know it.
    const std::size_t* n_edges = nullptr;
};

/// Bytes of device memory that the CUDA `prune_edges` needs for events of up to so many hits and edges, each at most
/// 2^31 - 2, else std::invalid_argument. Asks CUB on the current device: CudaError if there is none.
RHEINFALL_API std::size_t prune_edges_device_workspace_size(std::size_t n_hits, std::size_t n_edges);

/// `prune_edges` on the current CUDA device, in the order of @p stream: the same edges, chi2 and statuses, but the
/// edges left go to @p left, and @p out is theirs; both have room for as many as @p edges. All views, @p result and the
/// memory of @p workspace lie on the device. An infinite chi2_max keeps all edges, so that this is `triplet_chi2`, too.
///
/// Returns at once: neither allocates nor waits, and may be captured into a CUDA graph. Several events may be in
/// flight, each with its workspace, buffers and result. With more edges than @p edges holds nothing is written, the
/// status is `capacity_exceeded`, and `result->n_edges` says how many there are.
///
/// Throws std::invalid_argument for sizes that do not agree, a missing result, a workspace that is too small, and cuts
/// with quadruplets, which have no device version; CudaError if a launch fails.
RHEINFALL_API void prune_edges(CudaStream stream, const HitsView& hits, const DeviceEdges& edges,
                               const TripletModel& model, const PruneCuts& cuts, EdgesBuffer left, ContinuationChi2 out,
                               Workspace& workspace, PruneResult* result);

/// `node_features` and `edge_features` on the current CUDA device, in the order of @p stream: the same bits. Rows of
/// nodes behind `hits.n_hits` are zeros, rows behind the last edge stay as they are; an empty span is not asked for.
/// The workspace is that of the CPU, `edge_features_workspace_size`, in device memory.
///
/// Returns at once, as `prune_edges`. Throws std::invalid_argument for sizes that do not agree or a workspace that is
/// too small; CudaError if a launch fails.
RHEINFALL_API void graph_features(CudaStream stream, const DeviceHits& hits, const DeviceEdges& edges,
                                  const ContinuationChi2& chi2, std::span<float> node_rows, std::span<float> edge_rows,
                                  Workspace& workspace);

}  // namespace rheinfall
