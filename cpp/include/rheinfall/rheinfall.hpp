#pragma once

/// @file
/// Everything public, for C++. None of these headers needs CUDA, Python or any other package.

#include <rheinfall/core/device.hpp>
#include <rheinfall/core/execution.hpp>
#include <rheinfall/core/status.hpp>
#include <rheinfall/core/version.hpp>
#include <rheinfall/core/views.hpp>
#include <rheinfall/core/workspace.hpp>
#include <rheinfall/tracking/bucket_by_module.hpp>
#include <rheinfall/tracking/radius_graph.hpp>
#include <rheinfall/tracking/track_building.hpp>
