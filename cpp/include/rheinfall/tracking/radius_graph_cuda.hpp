#pragma once

#include <cstddef>
#include <cstdint>
#include <rheinfall/core/device.hpp>
#include <rheinfall/core/export.hpp>
#include <rheinfall/core/status.hpp>
#include <rheinfall/core/workspace.hpp>
#include <rheinfall/tracking/radius_graph.hpp>
#include <span>

namespace rheinfall {

/// What the CUDA `build_radius_graph` leaves on the device.
struct RadiusGraphResult {
    Status status = Status::ok;
    std::size_t n_edges = 0;      ///< edges written, or edges needed where that exceeds the capacity
    std::size_t n_truncated = 0;  ///< points that lost neighbours to the cap
};

/// Bytes of device memory that the CUDA `build_radius_graph` needs for @p n_points points and @p edge_capacity edges
/// (at most 2^31 - 2 of either, else std::invalid_argument); with a cap it grows by 12 bytes for each point and
/// neighbour. Asks CUB on the current device: CudaError if there is none.
RHEINFALL_API std::size_t radius_graph_workspace_size(const RadiusGraphPlan& plan, std::size_t n_points,
                                                      std::size_t dimension, std::size_t edge_capacity);

/// `build_radius_graph` on the current CUDA device, in the order of @p stream: the same edges, counts and statuses as
/// on the CPU. All views, @p result and the memory of @p workspace lie on the device. Nearest neighbours: an infinite
/// radius together with a cap.
///
/// Returns at once: neither allocates nor waits, and may be captured into a CUDA graph, which replays on other points
/// in the same array. Several events may be in flight, each with its workspace and buffers.
///
/// @p source and @p target, of the same size, are used as scratch: what lies behind the last edge is not defined, nor
/// is anything with `Status::capacity_exceeded`; the result then says how many edges there are.
///
/// Throws std::invalid_argument for a wrong plan or shape, a missing pointer or a workspace that is too small;
/// CudaError if a launch fails.
RHEINFALL_API void build_radius_graph(CudaStream stream, const RadiusGraphPlan& plan, Workspace& workspace,
                                      const PointsView& points, std::span<std::int64_t> counts,
                                      std::span<std::int64_t> source, std::span<std::int64_t> target,
                                      RadiusGraphResult* result);

}  // namespace rheinfall
