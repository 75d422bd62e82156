#pragma once

/// @file
/// A graph network on a device, step by step, over an executor: that of CUDA, or one of the host in tests.

#include <algorithm>
#include <cstddef>

#include "gnn/device_event.hpp"

namespace rheinfall::gnn {

/// Takes the arrays of an event of up to so many nodes and edges; the caller sets what is its own.
template <class Arena>
DeviceEvent take_device_event(Arena& arena, const DeviceNetwork& network, std::size_t n_nodes, std::size_t n_edges) {
    DeviceEvent g{};
    g.n_nodes = static_cast<std::uint32_t>(n_nodes);
    g.n_edges = static_cast<std::uint32_t>(n_edges);
    while (g.node_bits < 31 && n_nodes >> static_cast<unsigned>(g.node_bits) > 0) ++g.node_bits;
    g.n_edge_features = network.n_edge_features;
    g.n_arrays = static_cast<std::int32_t>(network.arrays.size());
    g.n_buffers = static_cast<std::int32_t>(network.buffers.size());
    std::size_t n_values = 0;
    for (const DeviceBufferShape& b : network.buffers) n_values += buffer_floats(b, g.room(b.kind));
    std::size_t n_statistics = 0;
    std::size_t n_sums = 0;
    for (const DeviceStage& stage : network.stages) {
        const std::size_t rows = g.room(stage.kind);
        const auto columns = static_cast<std::size_t>(stage.statistic_columns);
        n_statistics = std::max(n_statistics, rows * columns);
        n_sums = std::max(n_sums, (rows + chunk_rows - 1) / chunk_rows * columns * 2 * statistic_lanes);
    }
    for (auto** place : {&g.key, &g.sorted_key}) *place = arena.template take<std::uint64_t>(n_edges);
    for (auto** place : {&g.index, &g.caller, &g.source, &g.sorted_source, &g.number, &g.edges_out}) {
        *place = arena.template take<std::uint32_t>(n_edges);
    }
    g.target = arena.template take<std::int32_t>(n_edges);
    for (auto** place : {&g.first_in, &g.first_out, &g.node}) *place = arena.template take<std::int32_t>(n_nodes + 1);
    g.arrays = arena.template take<ArrayView>(network.arrays.size());
    g.values = arena.template take<float>(n_values);
    g.statistics = arena.template take<float>(n_statistics);
    g.chunk_sums = arena.template take<double>(n_sums);
    g.invalid = arena.template take<std::uint32_t>(1);
    g.not_finite = arena.template take<std::uint32_t>(1);
    return g;
}

/// Puts the edges into the order of the sums.
template <class Executor>
void sort_device_edges(Executor& on, const DeviceEvent& g) {
    on.for_each(g.n_edges, MakeEdgeKey{g});
    on.sort_pairs(g.key, g.sorted_key, g.index, g.caller, g.n_edges, 2 * g.node_bits);
    if (g.n_edge_features > 0) on.for_each(g.n_edges, SortEqualEdges{g});
    on.for_each(g.n_edges, SplitEdgeKey{g});
    on.sort_pairs(g.source, g.sorted_source, g.number, g.edges_out, g.n_edges, g.node_bits);
    on.for_each(std::uint64_t{g.n_nodes} + 1, FindEdges{g});
}

/// Runs all steps on @p on, in grids of the room that there is; @p instructions: the network's, where the executor's
/// bodies can read them.
template <class Executor>
void run_device_network(Executor& on, const DeviceNetwork& network, const Instruction* instructions,
                        const DeviceEvent& g) {
    on.for_each(1, ClearStatus{g});
    if (g.n_edges > 0) {
        on.for_each(network.arrays.size(), PlaceArray{g});
        sort_device_edges(on, g);
        for (const DeviceStage& stage : network.stages) {
            const std::uint64_t rows = g.room(stage.kind);
            on.for_each_tile((rows + tile::rows - 1) / tile::rows, stage.tile_bytes,
                             RunTile{g, instructions + stage.first_instruction, stage.n_instructions, stage.kind,
                                     stage.exchange_words});
            const auto columns = static_cast<std::uint64_t>(stage.statistic_columns);
            const std::uint64_t chunks = (rows + chunk_rows - 1) / chunk_rows;
            on.for_each(chunks * columns * statistic_lanes, SumChunk{g, stage.kind, stage.statistic_columns});
            for (const DeviceStatistics& s : stage.statistics) {
                on.for_each(static_cast<std::uint64_t>(s.width), FinishColumn{g, s, stage.statistic_columns});
            }
        }
    }
    on.for_each(1, WriteStatus{g});
}

}  // namespace rheinfall::gnn
