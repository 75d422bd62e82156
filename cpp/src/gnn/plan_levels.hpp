#pragma once

#include <vector>

#include "gnn/ir.hpp"

namespace rheinfall::gnn {

/// Where a reduction reads: rows of an edge's value, or of the value of the node at one of its ends, times a factor.
struct ReduceSource {
    int rows = -1;  ///< operation
    bool gathered = false;
    End end = End::source;
    int factor = -1;  ///< operation, or -1
};

/// Which stage each operation belongs to. Stages are ordered by level, and within a level: event, nodes, edges.
struct Levels {
    explicit Levels(const Graph& graph);

    const Graph& graph;
    std::vector<std::vector<int>> users;
    std::vector<int> level;
    std::vector<ReduceSource> reduces;  ///< by operation
    std::vector<bool> dead;             ///< computed by nobody: products that reductions make themselves
    std::vector<bool> stored;           ///< kept in memory
    std::vector<bool> as_rows;          ///< there, as rows

    [[nodiscard]] const Operation& at(int i) const { return graph.operations[static_cast<std::size_t>(i)]; }
    [[nodiscard]] int level_of(int i) const { return level[static_cast<std::size_t>(i)]; }
    /// Loaded in each stage that reads it: inputs and gathers.
    [[nodiscard]] bool on_demand(int i) const { return at(i).op == Op::input || at(i).op == Op::gather; }
    [[nodiscard]] bool same_stage(int i, int j) const { return at(i).kind == at(j).kind && level_of(i) == level_of(j); }

private:
    void rise();
    void sink();
    void find_sources();
    void find_stored();
    void store(int i, bool rows);
    [[nodiscard]] bool is_kept_anyway(int i, int but_for) const;
};

/// The graph with each batch norm as statistics of the event and their use.
Graph expand_batch_norms(Graph graph);

/// True for operations whose value is a sum over all rows of their input.
constexpr bool is_statistic(Op op) noexcept {
    return op == Op::batch_statistics || op == Op::event_mean || op == Op::event_sum;
}

}  // namespace rheinfall::gnn
