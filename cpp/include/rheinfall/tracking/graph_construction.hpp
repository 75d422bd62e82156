#pragma once

#include <cstddef>
#include <cstdint>
#include <rheinfall/core/execution.hpp>
#include <rheinfall/core/export.hpp>
#include <rheinfall/core/status.hpp>
#include <rheinfall/core/views.hpp>
#include <rheinfall/core/workspace.hpp>
#include <rheinfall/tracking/module_map.hpp>
#include <span>

namespace rheinfall {

/// The largest event that a workspace is made for.
struct GraphLimits {
    std::size_t n_hits;      ///< at most 2^31 - 1
    std::size_t n_doublets;  ///< hit pairs within their doublet's limits, before triplets: 5 to 20 for each edge; at
                             ///< most 2^31 - 1
};

/// Where the edges go: both spans have the same size, the capacity.
struct EdgesBuffer {
    std::span<std::int64_t> source;
    std::span<std::int64_t> target;
};

struct GraphResult {
    Status status = Status::ok;
    std::size_t n_edges = 0;            ///< edges written, or edges needed where that exceeds the capacity
    std::size_t n_doublets = 0;         ///< hit pairs within their doublet's limits, or how many are needed
    std::size_t n_unknown_modules = 0;  ///< hits on modules that the map does not know
    std::size_t n_not_finite = 0;       ///< hits with a NaN or infinite coordinate
};

/// Bytes of workspace that `build_graph` needs for @p map and events within @p limits on up to @p n_threads threads.
RHEINFALL_API std::size_t graph_workspace_size(const ModuleMap& map, const GraphLimits& limits,
                                               std::size_t n_threads = 1);

/// Builds the graph of one event: the hit pairs that pass a doublet of @p map and, with another such pair that shares a
/// hit, one of its triplets.
///
/// Edges index the hits as given, run from the inner to the outer hit of their doublet, and are sorted by (source,
/// target) without duplicates; which edges there are depends neither on the order of the hits nor on the number of
/// threads. Hits on unknown modules and hits that are not finite stay isolated. With `Status::capacity_exceeded`
/// nothing is written and the counts needed are in the result; `n_edges` is then known only if `n_doublets` fitted, and
/// is 0 otherwise. Whether an event fits does not depend on the number of threads.
RHEINFALL_API GraphResult build_graph(const ModuleMap& map, const HitsView& hits, const GraphLimits& limits,
                                      EdgesBuffer edges, Workspace& workspace,
                                      const ParallelFor& parallel_for = {}) noexcept;

}  // namespace rheinfall
