#pragma once

#include "quantized/plan_step.hpp"

/// @file
/// The kernels of one instruction set, as a table. The same source (kernels_body.hpp) is compiled once per set, over
/// its own vector of 32-bit lanes; make_plan picks functions by shape, so that no choice is left for the event loop.
namespace rheinfall::quantized {

inline constexpr int n_element_types = 10;
inline constexpr int int32_element = 2;
inline constexpr int max_dense_vectors = 4;
/// Batch 1 reads groups of inputs in multiples of this.
inline constexpr int dense_unroll = 4;

/// Reads one event's integers of one input. Returns true if one lies outside the input's type; the caller then
/// converts that event the slow way.
struct InputStep {
    Step step;
    std::uint32_t first = 0;  ///< element of the event
    std::int32_t smallest = 0;
    std::int32_t largest = 0;
};
using InputFunction = bool (*)(const InputStep&, const void* event, std::byte* workspace) noexcept;

using OutputFunction = void (*)(const std::byte* values, std::size_t n, void* to) noexcept;

struct Kernels {
    int lanes = 0;        ///< 32-bit lanes of a vector
    bool wide = false;    ///< has kernels for special epilogues, and splits inputs of more than 16 bits
    bool dot_u8 = false;  ///< u8 × s8 products without saturation
    StepFunction dense[3][n_epilogues][max_dense_vectors + 1] = {};  ///< [Lanes][Epilogue][vectors of outputs]
    StepFunction dense_rows[3][max_dense_vectors + 1] = {};          ///< several rows, or taps of a convolution
    StepFunction dense_tile[3][n_epilogues] = {};
    StepFunction dense_chain = nullptr;  ///< null: each layer of a chain is a step of its own
    StepFunction map = nullptr;
    StepFunction map_tile = nullptr;
    StepFunction merge = nullptr;
    StepFunction merge_tile = nullptr;
    StepFunction reduce = nullptr;  ///< dot product, sum of squares, sum
    StepFunction reduce_tile = nullptr;
    StepFunction reduce_wide = nullptr;  ///< products of more than 32 bits
    StepFunction reduce_wide_tile = nullptr;
    InputFunction input[n_element_types] = {};    ///< [ElementType]; null: number by number, then as int32
    OutputFunction output[n_element_types] = {};  ///< narrow n stored values to the caller's integers
    /// Transposes tile_events rows of n_groups dwords, `stride` bytes apart, to [group][event].
    void (*transpose)(const std::byte* rows, std::size_t stride, std::size_t n_groups,
                      std::byte* tile) noexcept = nullptr;
};

/// The tables; a machine may lack what avx2 and avx512 need (see find_kernels in plan.hpp). Empty off x86-64.
const Kernels& portable_kernels() noexcept;
const Kernels& avx2_kernels() noexcept;
const Kernels& avx512_kernels() noexcept;

}  // namespace rheinfall::quantized
