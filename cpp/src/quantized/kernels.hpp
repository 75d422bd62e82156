#pragma once

#include "quantized/plan_step.hpp"

/// @file
/// The kernels of one instruction set, as a table. The same source (kernels_body.hpp) is compiled once per set, over
/// its own vector of 32-bit lanes; make_plan picks functions by shape, so that no choice is left for the event loop.
namespace rheinfall::quantized {

inline constexpr int n_element_types = 10;
inline constexpr int int32_element = 2;
inline constexpr int max_dense_vectors = 4;
inline constexpr int max_direct_vectors = 2;  ///< of outputs, of links that take values as they are
/// Batch 1 reads groups of inputs in multiples of this.
inline constexpr int dense_unroll = 4;

/// Reads one event's integers of one input. Returns true if one lies outside the input's type; the caller then
/// converts that event the slow way.
struct InputStep {
    Step step;
    std::uint32_t first = 0;  ///< element of the event
    std::int32_t smallest = 0;
    std::int32_t largest = 0;
    const ChainInput* chain = nullptr;  ///< what reads the input runs the dense layers behind it
};
using InputFunction = bool (*)(const InputStep&, const void* event, std::byte* workspace) noexcept;

/// How the events of a tile become groups at once, for inputs whose stages come down to an addition and two shifts:
/// t = (x + add) << left has the value, or its high bits, in its upper half, as a 16-bit number to be shifted `right`.
/// Where no stage is left, bytes and 16-bit values move as they are, plus an offset.
struct TilePack;
/// Reads n_events rows `event_bytes` apart. True if one lies outside the input's type; nothing of use is written then.
using PackFunction = bool (*)(const TilePack&, const std::byte* events, std::size_t n_events, std::size_t event_bytes,
                              std::byte* tile) noexcept;
struct TilePack {
    PackFunction run[n_element_types] = {};  ///< null: by the input kernel and a transposition, or as int32
    std::uint32_t n_elements = 0;
    std::uint32_t n_groups = 0;  ///< with the rests
    std::int32_t smallest = 0;
    std::int32_t largest = 0;
    std::int32_t offset = 0;
    const std::int32_t* add = nullptr;  ///< per element, padded to pack_columns
    const std::int32_t* left = nullptr;
    const std::uint16_t* right = nullptr;
    /// Rests: 32 at a time, each the lower half of a t, shifted: which of 64 halves of the first 32 elements, and of
    /// the others, for the lanes of a mask.
    struct Rests {
        std::uint16_t first[32];
        std::uint16_t second[32];
        std::uint16_t right[32];
        std::uint32_t first_mask;
        std::uint32_t second_mask;
    };
    const Rests* rests = nullptr;
    std::uint32_t n_rests = 0;  ///< elements
};
inline constexpr int pack_columns = 64;

using OutputFunction = void (*)(const std::byte* values, std::size_t n, void* to) noexcept;

inline constexpr int n_link_epilogues = 4;

/// Index of an epilogue among those of links.
constexpr std::size_t link_epilogue(Epilogue e) noexcept {
    switch (e) {
        case Epilogue::wrap_even_clamp: return 1;
        case Epilogue::even_u8: return 2;
        case Epilogue::wrap_even_u8: return 3;
        default: return 0;
    }
}

/// Kernels of chains of dense layers. [Lanes] is u8 or s16, [epilogue] is even_clamp, wrap_even_clamp, even_u8 or
/// wrap_even_u8.
struct LinkKernels {
    LinkFunction link[2][5][max_dense_vectors + 1][n_link_epilogues] = {};  ///< [Lanes][dwords of a quarter][vectors]
    LinkFunction direct[5][max_direct_vectors + 1][n_link_epilogues] = {};  ///< [two pairs of shorts][vectors]
    LinkFunction listed[2][max_dense_vectors + 1][n_link_epilogues] = {};   ///< few weights; of bytes: with VBMI only
    StepFunction head[2][max_dense_vectors + 1][n_link_epilogues] = {};     ///< first link, input in memory
    PlanesFunction planes[max_dense_vectors + 1][n_link_epilogues] = {};    ///< first link, input cut into bytes
    LinkFunction merge[5] = {};                                             ///< [Merge], of one vector of values
    LinkFunction squares[2] = {};  ///< the same, the last link; [wraps without a sign]
    InputFunction input[max_dense_vectors + 1][n_element_types] = {};  ///< [vectors of inputs][ElementType]
};

struct Kernels {
    int lanes = 0;        ///< 32-bit lanes of a vector
    bool wide = false;    ///< has kernels for special epilogues, and splits inputs of more than 16 bits
    bool dot_u8 = false;  ///< u8 × s8 products without saturation
    StepFunction dense[3][n_epilogues][max_dense_vectors + 1] = {};  ///< [Lanes][Epilogue][vectors of outputs]
    StepFunction dense_tile[3][n_epilogues] = {};
    StepFunction sparse_tile[3][n_epilogues] = {};  ///< weights are lists of SparseGroup
    const LinkKernels* links = nullptr;             ///< null: each dense layer is a step of its own
    StepFunction ordered = nullptr;                 ///< dense, with conversions of each product and sum
    StepFunction ordered_tile = nullptr;
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
    /// For TilePack::run, of 16-bit and of byte lanes; `plain` where an input has no stages.
    PackFunction pack_shifted[n_element_types] = {};
    PackFunction pack_plain[3][n_element_types] = {};  ///< [Lanes][ElementType]
    /// Transposes tile_events rows of n_groups dwords, `stride` bytes apart, to [group][event].
    void (*transpose)(const std::byte* rows, std::size_t stride, std::size_t n_groups,
                      std::byte* tile) noexcept = nullptr;
};

/// The tables; a machine may lack what avx2 and avx512 need (see find_kernels in plan.hpp). Empty off x86-64.
const Kernels& portable_kernels() noexcept;
const Kernels& avx2_kernels() noexcept;
const Kernels& avx512_kernels() noexcept;

}  // namespace rheinfall::quantized
