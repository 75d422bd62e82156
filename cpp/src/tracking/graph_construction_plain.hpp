#pragma once

#include <rheinfall/tracking/graph_construction.hpp>

namespace rheinfall::detail {

/// Bytes of workspace that `build_graph_plain` needs.
std::size_t graph_workspace_size_plain(const ModuleMap& map, const GraphLimits& limits, std::size_t n_threads = 1);

/// `build_graph` in plain scalar code: the same edges, several times slower.
GraphResult build_graph_plain(const ModuleMap& map, const HitsView& hits, const GraphLimits& limits, EdgesBuffer edges,
                              Workspace& workspace, const ParallelFor& parallel_for = {}) noexcept;

}  // namespace rheinfall::detail
