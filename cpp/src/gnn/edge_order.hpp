#pragma once

#include <cstdint>
#include <rheinfall/gnn/edge_classifier.hpp>
#include <span>

namespace rheinfall::gnn {

/// The edges of a graph in the order that the engine works in: by (target, source), equal ones by their features.
struct EdgeOrder {
    std::span<std::int32_t> source, target;
    std::span<std::int32_t> caller;               ///< place in the caller's order
    std::span<std::int32_t> edges_out;            ///< edges by source, each node's in order
    std::span<std::int32_t> first_in, first_out;  ///< (n_nodes + 1)
};

/// Fills @p order; false, with nothing promised of it, if an edge leads to no node.
bool sort_edges(const EdgeClassifierInput& input, const EdgeOrder& order) noexcept;

}  // namespace rheinfall::gnn
