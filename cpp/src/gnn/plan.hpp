#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "gnn/ir.hpp"
#include "gnn/kernels.hpp"

/// @file
/// A graph network compiled to stages. A stage runs one program over the tiles of all nodes, of all edges, or over the
/// one row of the event; between two stages everything is in memory, within one everything stays in a tile's scratch.
namespace rheinfall::gnn {

inline constexpr int chunk_tiles = 16;  ///< tiles that one thread takes at once, and that statistics are summed over
/// Columns of a tile's scratch: 48 MiB for each thread, far beyond any cache.
inline constexpr int max_scratch_columns = 1 << 18;

/// A value in memory between stages.
struct Array {
    Kind kind = Kind::node;
    bool rows = false;    ///< rows of stride floats, else tiles
    bool caller = false;  ///< an input, which the caller owns
    int width = 0;
    int stride = 0;
    int first_stage = 0;  ///< that writes it
    int last_stage = 0;   ///< that reads it
    int buffer = -1;
    int operation = -1;
};

/// Memory that arrays which are not alive at once share.
struct Buffer {
    Kind kind = Kind::node;
    int stride = 0;
    int free_from = 0;  ///< stage
};

/// Sums of a stage that become a value of the event behind it.
struct Statistics {
    int first_column = 0;  ///< of the chunk's sums
    int width = 0;
    int array = -1;
    const Operation* operation = nullptr;  ///< batch_statistics, event_mean or event_sum
    Kind rows = Kind::node;
};

struct Stage {
    Kind kind = Kind::node;
    int level = 0;
    std::vector<Instruction> instructions;
    std::vector<std::string> names;  ///< of the operation that each instruction comes from
    std::vector<Statistics> statistics;
    int scratch_columns = 0;
    int reduce_width = 0;
    int statistic_columns = 0;

    [[nodiscard]] Program program() const {
        return {instructions.data(), static_cast<std::int32_t>(instructions.size()), kind};
    }
};

/// For whom weights in bf16 are packed.
enum class Bf16Weights : std::uint8_t {
    single,
    pairs,      ///< avx512_bf16_kernels
    fragments,  ///< tensor cores
};

struct PlanOptions {
    bool bf16 = false;  ///< linear operations of the edges' networks in bf16
    Bf16Weights weights = Bf16Weights::single;
};

struct Plan {
    Graph graph;
    std::vector<Stage> stages;
    std::vector<Array> arrays;
    std::vector<Buffer> buffers;
    std::deque<std::vector<float>> weights;  ///< packed; instructions point into them
    int scratch_columns = 0;
    int reduce_width = 0;
    int statistic_columns = 0;
    int rounded_columns = 0;  ///< of the widest linear operation in bf16
    PlanOptions options;
    std::vector<bool> bf16;  ///< by operation; empty: none
    bool all_nodes = false;  ///< nodes without edges count too: a sum over all nodes reads them
};

/// Throws std::runtime_error, naming @p file, where a stage needs more than max_scratch_columns, and for what bf16
/// cannot serve.
Plan make_plan(Graph graph, std::string_view file, PlanOptions options = {});

/// The plan as text, with operations and bytes for a graph of that size.
std::string explain(const Plan& plan, double n_nodes, double n_edges);
/// What a plan asks for: floating-point operations, and bytes to and from memory.
struct Work {
    double flops = 0;
    double bytes = 0;
    double bf16_flops = 0;  ///< of flops, those in bf16
};
Work count_work(const Plan& plan, double n_nodes, double n_edges) noexcept;
/// Floating-point operations of the plan's linear instructions.
double linear_flops(const Plan& plan, double n_nodes, double n_edges) noexcept;

}  // namespace rheinfall::gnn
