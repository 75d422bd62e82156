#pragma once

#include <rheinfall/gnn/edge_classifier_cuda.hpp>
#include <span>

#include "gnn/device_event.hpp"

namespace rheinfall::gnn {

/// How a plan for a device is made.
PlanOptions device_plan_options(GnnPrecision precision) noexcept;

/// Throws std::invalid_argument beyond 2^31 - 49 nodes or edges.
void check_device_limits(const EdgeClassifierLimits& limits);

/// Throws std::invalid_argument for sizes that do not agree, or a missing status.
void check_device_call(const DeviceNetwork& network, const EdgeClassifierInput& input, std::span<const float> out,
                       const Status* status);

/// Writes what the caller gave to @p g.
void set_caller(DeviceEvent& g, const DeviceEdgeClassifierInput& on_device, EdgeOutput output, std::span<float> out,
                Status* status) noexcept;

}  // namespace rheinfall::gnn
