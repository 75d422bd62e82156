#pragma once

#include <cstddef>
#include <rheinfall/tracking/radius_graph_cuda.hpp>

#include "tracking/detail/device_radius.hpp"

namespace rheinfall::detail {

/// Writes to @p s what follows from plan and shape: sizes, bounds, flags.
void set_device_plan(const RadiusGraphPlan& plan, std::size_t n_points, std::size_t dimension, DeviceRadius& s);

/// Throws std::invalid_argument if plan or shape is wrong, or the device cannot number so many points or edges.
void check_device_radius_limits(const RadiusGraphPlan& plan, std::size_t n_points, std::size_t dimension,
                                std::size_t edge_capacity);

/// Throws std::invalid_argument for a wrong call of the CUDA `build_radius_graph`.
void check_device_radius(const RadiusGraphPlan& plan, const PointsView& points, std::span<const std::int64_t> counts,
                         std::span<const std::int64_t> source, std::span<const std::int64_t> target,
                         const RadiusGraphResult* result);

}  // namespace rheinfall::detail
