#pragma once

#include <cstddef>
#include <cstdint>

/// @file
/// What the kernels of a plan read: plain structures with resolved pointers, filled once by plan_lowering.cpp. No
/// container and no inline function of the standard library comes in here, because the files that include it are
/// compiled for instruction sets that the rest of the program must not use.
namespace rheinfall::quantized {

/// How a value lies in memory. Batch 1: element after element. Tile (events in lanes): groups of four bytes, so 4, 2 or
/// 1 elements, and in a group event after event: [group][event][element of the group].
enum class Lanes : std::uint8_t { u8, s16, s32 };

constexpr int elements_per_group(Lanes lanes) noexcept {
    return lanes == Lanes::u8 ? 4 : lanes == Lanes::s16 ? 2 : 1;
}

/// Events of a tile, and the elements by which a batch-1 kernel may write past the end of a value.
inline constexpr int tile_events = 64;
inline constexpr int lane_padding = 64;
/// Elements of a row that one pass of an input kernel takes in: no more can be split in low and high parts.
inline constexpr int split_columns = 64;

/// One step of an epilogue on 32-bit lanes, in the order of the flags: each is done if its flag is set. Six roundings
/// are an addition and a shift, v = (v + c0 + ((v >> 31) & c2)) >> shift; RND_CONV is RND, and then the lowest bit is
/// cleared where v lay in the middle: where the bits c1 of v + c0 are zero.
struct Stage {
    enum Flag : std::uint32_t {
        multiply_each = 1u << 0,  ///< v *= a[element]
        leaky_each = 1u << 1,     ///< v = v > 0 ? v << left_shift : v * a[element]
        left = 1u << 2,           ///< v <<= left_shift
        add_each = 1u << 3,       ///< v += b[element]
        shift_each = 1u << 4,     ///< v = (v << a[element]) >> c[element]
        right_logical = 1u << 5,  ///< v >>= shift (logical)
        threshold = 1u << 6,      ///< 0 unless v > lo
        zero_outside = 1u << 7,   ///< 0 unless lo <= v <= hi
        add = 1u << 8,            ///< + c0
        add_sign = 1u << 9,       ///< + ((v >> 31) & c2), of the v before c0
        right = 1u << 10,         ///< v >>= shift (arithmetic)
        to_even = 1u << 11,       ///< see above; with right only
        at_least = 1u << 12,      ///< max(v, lo)
        at_most = 1u << 13,       ///< min(v, hi)
        rare = (1u << 8) - 1,
        clamps = at_least | at_most,
    };
    std::uint32_t flags = 0;
    std::int32_t left_shift = 0;
    std::int32_t c0 = 0;
    std::int32_t c1 = 0;
    std::int32_t c2 = 0;
    std::int32_t shift = 0;
    std::int32_t lo = 0;
    std::int32_t hi = 0;
    const std::int32_t* a = nullptr;  ///< one per element of the row, padded to whole vectors
    const std::int32_t* b = nullptr;
    const std::int32_t* c = nullptr;
    const std::int32_t* table = nullptr;
};

/// Epilogues that have kernels of their own; the others are interpreted stage by stage.
enum class Epilogue : std::uint8_t {
    any,
    shift_clamp,      ///< one stage: right, clamps
    even_clamp,       ///< one stage: right, to_even, clamps
    wrap_even_clamp,  ///< two: left and right; add, right, to_even, clamps
    even_u8,          ///< as even_clamp, to [0, 255]: the packing of bytes clamps
    wrap_even_u8,
};
inline constexpr int n_epilogues = 6;
constexpr bool packs_u8(Epilogue e) noexcept {
    return e == Epilogue::even_u8 || e == Epilogue::wrap_even_u8;
}
constexpr bool wraps_first(Epilogue e) noexcept {
    return e == Epilogue::wrap_even_clamp || e == Epilogue::wrap_even_u8;
}
/// Stages that are done after all flags of Stage, and alone.
/// With l = left_shift: v = ((v >> l)·a + b[hi + element] + (((v & (2^l - 1))·a + b[element]) >> l)) >> shift
inline constexpr std::uint32_t stage_rescale = 1u << 30;
/// v = lo + hi·(how many of the left_shift thresholds a[element], a[shift + element], ... v has reached)
inline constexpr std::uint32_t stage_count = 1u << 31;
/// v = table[v - lo], of hi + 1 entries; lanes of the padding may hold anything, and get some entry.
inline constexpr std::uint32_t stage_lookup = 1u << 29;

enum class Merge : std::uint8_t { add, subtract, multiply, maximum, minimum };

/// A value in the workspace; offsets are bytes from its begin.
struct Place {
    Lanes lanes = Lanes::s32;
    std::uint32_t one = 0;      ///< batch 1
    std::uint32_t tile = 0;     ///< tile of events
    std::uint32_t columns = 0;  ///< elements of a row (the last axis, or all)
    std::uint32_t stride = 0;   ///< bytes from row to row in batch 1: whole groups
    std::uint32_t rows = 1;
    /// Elements that need more than 16 bits, in s16 lanes: their low `low_bits` bits stay in place, the rest follows
    /// the row, in order, each vector of 16 beginning at an even place (wide_at, one per vector).
    std::int32_t low_bits = 0;
    const std::int32_t* low_mask = nullptr;    ///< per element: -1, or 2^low_bits - 1
    const std::uint16_t* wide_mask = nullptr;  ///< per 16 elements
    const std::uint32_t* wide_at = nullptr;    ///< per 16 elements: index of the first high part, in elements
    /// The same in a tile that a TilePack wrote (kernels.hpp): the high 16 bits of an element stay in place, and its
    /// lowest rest_bits[element], if any, are a byte behind the row, in groups of four of their own, in order.
    const std::int32_t* rest_bits = nullptr;
};

/// A group of weights of one output that are not all zero, and the group of inputs that it meets in a tile.
struct SparseGroup {
    std::uint32_t at = 0;  ///< bytes from the begin of the tile's row
    std::uint32_t weights = 0;
};

struct Step;
struct ExactStep;
struct CopyStep;
struct PoolStep;

namespace avx512 {
struct V;
}
struct DenseLink;
struct ChainInput;
using LinkFunction = void (*)(const DenseLink&, avx512::V image, std::byte* workspace) noexcept;
using PlanesFunction = void (*)(const DenseLink&, avx512::V, avx512::V, avx512::V, avx512::V,
                                std::byte* workspace) noexcept;

/// One layer of a chain whose values pass from layer to layer in a register (and to memory, off that path, where
/// something else reads them). The epilogue is v = (v << left) >> right if it wraps; then v = (v + c0 + ((v >>
/// odd_shift) & odd)) >> shift, where the last addend rounds ties to even without a test; then the clamps. Behind it
/// follow its biases and weights, and then the next link, all in the order in which they are read. A merge or reduction
/// behind dense layers is a link too, without weights.
struct alignas(64) DenseLink {
    LinkFunction run = nullptr;
    std::uint32_t bytes = 0;  ///< to the next link; 0: the last one
    std::uint32_t out = 0;    ///< bytes from the begin of the workspace
    std::uint32_t copy = 0;   ///< the same, of a second form of the values
    std::uint32_t in = 0;     ///< the same: room for inputs in planes; the other operand of a merge
    std::int32_t left = 0;
    std::int32_t right = 0;
    std::int32_t c0 = 0;
    std::int32_t odd_shift = 0;
    std::int32_t odd = 0;
    std::int32_t shift = 0;
    std::int32_t lo = 0;
    std::int32_t hi = 0;
    /// Of an image: those that hold inputs; of inputs in planes: groups of four elements; of few weights: how often
    /// each output picks inputs.
    std::uint8_t n_quarters = 0;
    std::uint8_t n_high = 0;  ///< groups of four elements of more than 16 bits
    Lanes next = Lanes::s16;  ///< what the next link wants
    Lanes out_lanes = Lanes::s32;
    Lanes copy_lanes = Lanes::s32;
    std::uint8_t n_stored = 0;  ///< forms of the values that are stored
    union {
        std::uint8_t n_lanes = 0;  ///< of a sum of squares
        bool is_second;            ///< of a merge: the values are the second operand
    };
};
static_assert(sizeof(DenseLink) == 64);

/// How a chain reads its events; behind it follows the first link.
struct alignas(64) ChainInput {
    const Stage* stages = nullptr;
    const std::int32_t* offset = nullptr;  ///< added at last; may be null
    PlanesFunction planes = nullptr;       ///< the first link, of inputs cut into bytes; null: takes an image
    std::uint32_t n_stages = 0;
    std::uint32_t first = 0;  ///< element of the event
    std::uint32_t n_in = 0;
    std::int32_t smallest = 0;
    std::int32_t largest = 0;
    Lanes image = Lanes::s16;
    bool scales = false;  ///< the first stage is an addition and a pair of shifts, each by element
};
using StepFunction = void (*)(const Step&, std::byte* workspace) noexcept;

/// One fused step of a plan.
struct Step {
    StepFunction run = nullptr;
    const Stage* stages = nullptr;
    std::uint32_t n_stages = 0;
    std::uint32_t n_groups = 0;       ///< groups of input elements of a dot product
    std::uint32_t n_quads = 0;        ///< of these, to be loaded four at a time
    std::uint32_t n_rest_groups = 0;  ///< of a tile: groups of bytes behind them
    std::uint32_t n_out = 0;          ///< elements of an output row that this step computes
    std::uint32_t n_rows = 1;
    Place in;
    Place in2;
    Place out;
    const std::byte* weights = nullptr;
    const std::int32_t* bias = nullptr;
    const std::uint32_t* taps = nullptr;  ///< ordered: inputs; of lists of weights: [output] how many, sparse: two each
    std::uint32_t n_product_stages = 0;   ///< of ordered sums: the first stages, done on each product
    std::uint32_t n_sum_stages = 0;       ///< the next ones, on each sum
    Epilogue epilogue = Epilogue::any;
    const ExactStep* exact = nullptr;
    const CopyStep* copy = nullptr;
    const PoolStep* pool = nullptr;
    StepFunction row = nullptr;        ///< does one row of a step of many
    const DenseLink* links = nullptr;  ///< of a chain of dense layers: the first
    Merge merge = Merge::add;
    std::uint32_t operation = 0;  ///< of a merge or a reduction
    std::int32_t shift_x = 0;     ///< left shifts that bring two operands to one grid
    std::int32_t shift_y = 0;
    std::uint32_t note = 0;  ///< of a dense layer: which of Plan::notes is about it
};

}  // namespace rheinfall::quantized
