#pragma once

/// @file
/// The graph of one event by the CPU, for programs that compare a device with it.

#include <algorithm>
#include <cstdint>
#include <rheinfall/tracking/graph_construction.hpp>
#include <vector>

namespace bench {

/// The edges, with as much room as they take.
struct CpuGraph {
    rheinfall::GraphResult result;
    std::vector<std::int64_t> source, target;

    CpuGraph(const rheinfall::ModuleMap& map, const rheinfall::HitsView& hits) {
        rheinfall::GraphLimits limits{hits.size(), 0};
        do {
            limits.n_doublets = std::max(limits.n_doublets, result.n_doublets);
            source.resize(std::max(source.size(), result.n_edges));
            target.resize(source.size());
            rheinfall::Workspace workspace;
            workspace.reserve(rheinfall::graph_workspace_size(map, limits));
            result = rheinfall::build_graph(map, hits, limits, {source, target}, workspace);
        } while (result.status == rheinfall::Status::capacity_exceeded);
    }
};

}  // namespace bench
