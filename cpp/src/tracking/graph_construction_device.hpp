#pragma once

#include <cstdint>
#include <rheinfall/tracking/graph_construction_cuda.hpp>
#include <vector>

#include "tracking/detail/device_graph.hpp"

namespace rheinfall::detail {

/// Doublets of inner module m are [first[m], first[m + 1]).
std::vector<std::uint32_t> first_doublets(const ModuleMap& map);

/// Throws std::invalid_argument if the device cannot number so many hits or doublets.
void check_device_graph_limits(const GraphLimits& limits);

/// Throws std::invalid_argument for a wrong call of the CUDA `build_graph`.
void check_device_graph(const DeviceHits& hits, const GraphLimits& limits, const EdgesBuffer& edges,
                        const GraphResult* result);

/// Sets what is the caller's.
void set_device_graph(DeviceGraph& g, const DeviceHits& hits, const EdgesBuffer& edges, GraphResult* result) noexcept;

}  // namespace rheinfall::detail
