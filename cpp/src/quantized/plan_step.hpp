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

/// One step of an epilogue on 32-bit lanes, in the order of the fields: each is done if its flag is set. Rounding for
/// all seven modes is add, or add and one of the two masked terms, then a shift:
///     v = (v + c0 + ((v >> s1) & c1) + ((v >> 31) & c2)) >> shift
struct Stage {
    enum Flag : std::uint32_t {
        multiply_each = 1u << 0,  ///< v *= a[element]
        add_each = 1u << 1,       ///< v += b[element]
        leaky_each = 1u << 2,     ///< v = v > 0 ? v << left : v * a[element]
        shift_each = 1u << 3,     ///< v = (v << a[element]) >> b[element]
        left = 1u << 4,           ///< v <<= left_shift
        round_add = 1u << 5,      ///< + c0
        round_odd = 1u << 6,      ///< + ((v >> s1) & c1)
        round_sign = 1u << 7,     ///< + ((v >> 31) & c2)
        right = 1u << 8,          ///< v >>= shift (arithmetic)
        right_logical = 1u << 9,  ///< v >>= shift (logical)
        at_least = 1u << 10,      ///< max(v, lo)
        at_most = 1u << 11,       ///< min(v, hi)
        zero_outside = 1u << 12,  ///< 0 unless lo <= v <= hi
        threshold = 1u << 13,     ///< 0 unless v > lo
        rounds = round_add | round_odd | round_sign,
        rare = multiply_each | add_each | leaky_each | shift_each | left | right_logical | zero_outside | threshold,
    };
    std::uint32_t flags = 0;
    std::int32_t left_shift = 0;
    std::int32_t c0 = 0;
    std::int32_t s1 = 0;
    std::int32_t c1 = 0;
    std::int32_t c2 = 0;
    std::int32_t shift = 0;
    std::int32_t lo = 0;
    std::int32_t hi = 0;
    const std::int32_t* a = nullptr;  ///< one per element of the row, padded to whole vectors
    const std::int32_t* b = nullptr;
};

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
};

struct Step;
using StepFunction = void (*)(const Step&, std::byte* workspace) noexcept;

/// One fused step of a plan.
struct Step {
    StepFunction run = nullptr;
    const Stage* stages = nullptr;
    std::uint32_t n_stages = 0;
    std::uint32_t n_groups = 0;  ///< groups of input elements of a dot product
    std::uint32_t n_out = 0;     ///< elements of an output row that this step computes
    std::uint32_t n_rows = 1;
    Place in;
    Place in2;
    Place out;
    const std::byte* weights = nullptr;
    const std::int32_t* bias = nullptr;
    const std::uint32_t* taps = nullptr;  ///< convolution: [row][tap] byte offsets in the workspace
    std::uint32_t n_taps = 1;
    std::uint32_t operation = 0;  ///< of a merge or a reduction
    std::int32_t shift_x = 0;     ///< left shifts that bring two operands to one grid
    std::int32_t shift_y = 0;
};

}  // namespace rheinfall::quantized
