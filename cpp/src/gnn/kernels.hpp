#pragma once

#include <cstddef>
#include <cstdint>

#include "gnn/ir.hpp"

/// @file
/// The instructions of a compiled graph network, and the kernels of one instruction set.
///
/// Rows (nodes or edges) are worked on in tiles of 48. A tile's values lie in scratch memory as [column][row]: each
/// lane of a vector is one row, so a row's result is the same sequence of operations whatever the width of the vectors,
/// the number of threads or its place among the tiles. Norms and activations need no sum over lanes.
namespace rheinfall::gnn {

inline constexpr int tile_rows = 48;
inline constexpr int output_block = 8;  ///< outputs of a linear operation that are packed together
/// What counts as zero where a linear operation is in bf16: see bf16.hpp.
inline constexpr float least_bf16_input = 0x1p-63f;
inline constexpr float least_bf16_weight = 0x1p-47f;
inline constexpr float least_bf16_bias = 0x1p-101f;
inline constexpr int statistic_lanes = 8;  ///< float64 sums of a column, one for each row number modulo this

enum class Code : std::uint8_t {
    load_tiles,  ///< array [tile][column][row] → out
    load_rows,   ///< rows of one or two arrays, chosen by an index → out
    load_event,  ///< a value of the event, the same in all rows → out
    reduce,      ///< rows of a node's edges, or of their other ends → out
    degree,      ///< number of a node's edges → out
    linear,      ///< in · weights (+ bias, or + out) (+ in2) → out
    unary,
    affine,        ///< in · scale + shift
    event_affine,  ///< (in - mean) · scale + shift; mean and scale: a value of the event
    binary,        ///< in, in2 → out; a width of 1 stands for all columns
    layer_norm,
    row_reduce,  ///< mean, sum or maximum over columns
    copy,
    store_tiles,
    store_rows,
    statistics,  ///< adds columns of in, and their squares, to the sums of this chunk of tiles
    output,      ///< column in → the caller's logits or scores
};

/// How a row of an array is chosen for row i of a domain.
enum class Index : std::uint8_t {
    self,
    source,
    target,
    caller,         ///< row i of an input: the caller's edge or node
    caller_source,  ///< of an input of nodes
    caller_target,
};

/// One step of a tile's program; places in scratch count columns of tile_rows floats.
struct Instruction {
    Code code = Code::copy;
    Unary unary = Unary::relu;
    Binary binary = Binary::add;
    How how = How::add;
    End end = End::source;
    Index index = Index::self;
    Index index2 = Index::self;
    bool relu = false;  ///< applied to the result
    bool centred = false;
    bool accumulate = false;  ///< of a linear operation: onto out
    bool bf16 = false;        ///< of a linear operation: inputs are rounded, weights packed accordingly
    std::int32_t in = -1;
    std::int32_t in2 = -1;  ///< -1: none
    std::int32_t out = -1;
    std::int32_t width = 0;  ///< columns of the result
    std::int32_t in_width = 0;
    std::int32_t in2_width = 0;  ///< of statistics: columns of the chunk's sums before these
    std::int32_t array = -1;
    std::int32_t array2 = -1;        ///< of load_rows: added; of reduce: one factor per edge
    const float* weights = nullptr;  ///< packed: blocks of output_block outputs, [in][output]
    const float* scale = nullptr;    ///< also the bias
    const float* shift = nullptr;
    float a = 0;
    float b = 0;
};

struct Program {
    const Instruction* instructions = nullptr;
    std::int32_t n = 0;
    Kind kind = Kind::node;
};

/// An array of an event: rows `stride` floats apart, or tiles of stride columns.
struct ArrayView {
    float* data = nullptr;
    std::int32_t stride = 0;
};

/// One graph in flight: nodes in the engine's order, edges by (target, source), and for each node those that leave it.
struct EventView {
    std::int32_t n_nodes = 0;
    std::int32_t n_edges = 0;
    const std::int32_t* source = nullptr;
    const std::int32_t* target = nullptr;
    const std::int32_t* caller = nullptr;     ///< place of each edge in the caller's order
    const std::int32_t* nodes = nullptr;      ///< number of each node in the caller's
    const std::int32_t* first_in = nullptr;   ///< (n_nodes + 1): edges that enter a node
    const std::int32_t* first_out = nullptr;  ///< (n_nodes + 1): those that leave it, in edges_out
    const std::int32_t* edges_out = nullptr;
    const ArrayView* arrays = nullptr;
    float* out = nullptr;
    bool scores = false;
    const std::int32_t* source_out = nullptr;  ///< of the edges in edges_out; tiles read them in their order
    const std::int32_t* target_out = nullptr;
};

/// What one thread owns.
struct TileScratch {
    float* columns = nullptr;      ///< of the program
    float* rows = nullptr;         ///< tile_rows rows of the widest reduction
    float* rounded = nullptr;      ///< columns of the widest linear operation in bf16
    double* statistics = nullptr;  ///< of this chunk: per column sums, then sums of squares, statistic_lanes each
    bool not_finite = false;       ///< set where an output is
};

struct Kernels {
    int lanes = 0;
    /// Runs a program on tiles [first, last).
    void (*run)(const Program&, const EventView&, std::int32_t first, std::int32_t last,
                TileScratch&) noexcept = nullptr;
};

const Kernels& portable_kernels() noexcept;
const Kernels& avx2_kernels() noexcept;  ///< `run` is null where the build has none
const Kernels& avx512_kernels() noexcept;
/// The same with AVX512-BF16, whose linear operations in bf16 take weights in pairs.
const Kernels& avx512_bf16_kernels() noexcept;

}  // namespace rheinfall::gnn
