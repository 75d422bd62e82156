#pragma once

#include <rheinfall/core/status.hpp>
#include <rheinfall/core/workspace.hpp>

#include "quantized/forest_plan.hpp"

namespace rheinfall::quantized {

/// Events through the fast kernels of a plan (which is not `exact`).
Status run_forest_plan(const ForestModel& model, const ForestPlan& plan, ConstArray in, MutableArray out,
                       std::size_t n_events, Workspace& workspace) noexcept;
std::size_t forest_plan_workspace_size(const ForestModel& model, const ForestPlan& plan, std::size_t n_events) noexcept;

/// Events one by one, as the definition says.
Status run_forest_exactly(const ForestModel& model, ConstArray in, MutableArray out, std::size_t n_events,
                          Workspace& workspace) noexcept;
std::size_t forest_exact_workspace_size(const ForestModel& model) noexcept;

}  // namespace rheinfall::quantized
