#pragma once

#include <cstdint>
#include <rheinfall/gnn/edge_classifier.hpp>
#include <span>

namespace rheinfall::gnn {

/// Nodes and edges of a graph in the order that the engine works in. Edges lie by (target, source), equal ones by their
/// features, both in the caller's order of nodes.
struct EdgeOrder {
    std::span<std::int32_t> nodes;           ///< the caller's number of each node, for as many as there are
    std::span<std::int32_t> rank;            ///< (n_nodes): the engine's number of each of the caller's, -1: none
    std::span<std::int32_t> source, target;  ///< the engine's numbers
    std::span<std::int32_t> caller;          ///< place in the caller's order
    std::span<std::int32_t> edges_out;       ///< edges by source, each node's in order
    std::span<std::int32_t> source_out, target_out;  ///< their ends
    std::span<std::int32_t> first_in, first_out;     ///< (n_nodes + 1)
};

/// Fills @p order and cuts its spans of nodes to the nodes that it has: those with edges, or @p all_nodes. False, with
/// nothing promised of it, if an edge leads to no node.
bool sort_edges(const EdgeClassifierInput& input, bool all_nodes, EdgeOrder& order) noexcept;

}  // namespace rheinfall::gnn
