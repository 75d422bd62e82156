#pragma once

#include <cstddef>
#include <cstdint>
#include <rheinfall/core/device.hpp>
#include <rheinfall/core/export.hpp>
#include <rheinfall/core/status.hpp>
#include <rheinfall/core/workspace.hpp>
#include <rheinfall/tracking/track_building.hpp>
#include <span>

namespace rheinfall {

/// A scored graph in device memory.
struct DeviceScoredGraph {
    ScoredGraph graph;  ///< edges and scores may be longer than what is in use
    /// Null: all edges. Else a device address of their number, `GraphResult::n_edges` for example, so that the host
    /// need not know it; with more than there is room for, the status is `capacity_exceeded`.
    const std::size_t* n_edges = nullptr;
    /// Null: all of `graph.n_nodes`. Else a device address of their number, `DeviceHits::n_hits` for example; nodes
    /// behind them are in no track, and have the label -1.
    const std::uint32_t* n_nodes = nullptr;
};

/// What the CUDA `build_tracks` leaves on the device; the numbers as in `TracksBuffers`.
struct TracksResult {
    Status status = Status::ok;
    std::size_t n_tracks = 0;
    std::size_t n_hits = 0;
};

/// Where the CUDA `build_tracks` writes, all in device memory; `offsets`, `hits` and `labels` as in `TracksBuffers`.
struct DeviceTracks {
    std::span<std::int64_t> offsets;
    std::span<std::int64_t> hits;
    std::span<std::int64_t> labels;  ///< n_nodes values, or empty if not wanted
    TracksResult* result = nullptr;
};

/// Bytes of device memory that the CUDA `build_tracks` needs for events within @p limits (at most 2^31 - 2 nodes and
/// edges, else std::invalid_argument), with hits or without. Asks CUB on the current device: CudaError if there is
/// none.
RHEINFALL_API std::size_t track_building_workspace_size(const TrackBuildingPlan& plan,
                                                        const TrackBuildingLimits& limits, bool has_hits);

/// `build_tracks` on the current CUDA device, in the order of @p stream: the same tracks, labels and statuses as on the
/// CPU, by any method. The spans of @p on_device, of @p tracks and the memory of @p workspace lie on the device.
///
/// Returns at once: neither allocates nor waits, and may be captured into a CUDA graph, which replays on other scores
/// in the same arrays. Several events may be in flight, each with its workspace and buffers.
///
/// Throws std::invalid_argument for a wrong plan or shape, a missing pointer or a workspace that is too small;
/// CudaError if a launch fails. Does not check that indices of edges are in range: they must be.
RHEINFALL_API void build_tracks(CudaStream stream, const TrackBuildingPlan& plan, Workspace& workspace,
                                const DeviceScoredGraph& on_device, const DeviceTracks& tracks);

}  // namespace rheinfall
