#pragma once

/// @file
/// Everything public, for C++. None of these headers needs CUDA, Python or any other package.

#include <rheinfall/core/build_info.hpp>
#include <rheinfall/core/cuda_device.hpp>
#include <rheinfall/core/device.hpp>
#include <rheinfall/core/execution.hpp>
#include <rheinfall/core/status.hpp>
#include <rheinfall/core/version.hpp>
#include <rheinfall/core/views.hpp>
#include <rheinfall/core/workspace.hpp>
#include <rheinfall/gnn/edge_classifier.hpp>
#include <rheinfall/gnn/edge_classifier_cuda.hpp>
#include <rheinfall/quantized/fixed_point.hpp>
#include <rheinfall/quantized/forest.hpp>
#include <rheinfall/quantized/model.hpp>
#include <rheinfall/quantized/network.hpp>
#include <rheinfall/quantized/network_cuda.hpp>
#include <rheinfall/tracking/bucket_by_module.hpp>
#include <rheinfall/tracking/edge_features.hpp>
#include <rheinfall/tracking/edge_features_cuda.hpp>
#include <rheinfall/tracking/edge_scorer.hpp>
#include <rheinfall/tracking/graph_construction.hpp>
#include <rheinfall/tracking/graph_construction_cuda.hpp>
#include <rheinfall/tracking/module_map.hpp>
#include <rheinfall/tracking/module_map_builder.hpp>
#include <rheinfall/tracking/radius_graph.hpp>
#include <rheinfall/tracking/radius_graph_cuda.hpp>
#include <rheinfall/tracking/track_building.hpp>
#include <rheinfall/tracking/track_building_cuda.hpp>
#include <rheinfall/tracking/track_finder.hpp>
#include <rheinfall/tracking/track_finder_cuda.hpp>
#include <rheinfall/tracking/track_fit.hpp>
