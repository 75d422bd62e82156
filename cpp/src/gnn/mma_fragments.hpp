#pragma once

#include <bit>
#include <cstdint>

#include "gnn/kernels.hpp"
#include "tracking/detail/host_device.hpp"

/// @file
/// Which lane of a warp holds which element of a product on tensor cores, `mma.sync.aligned.m16n8k16.row.col` for bf16
/// with sums in float32 (PTX ISA, "Matrix fragments for mma.m16n8k16"), and how weights are packed for it.
///
/// A register of inputs or weights holds two bf16 side by side, of inputs 2p and 2p + 1, the even one in its lower
/// half.
namespace rheinfall::gnn::mma {

inline constexpr int lanes = 32;
inline constexpr int rows = 16;
inline constexpr int outputs = 8;
inline constexpr int pairs = 8;  ///< of inputs

/// Row and pair of inputs of register @p i (of 4) of the inputs.
RHEINFALL_HOST_DEVICE constexpr int input_row(int lane, int i) {
    return lane / 4 + i % 2 * 8;
}
RHEINFALL_HOST_DEVICE constexpr int input_pair(int lane, int i) {
    return lane % 4 + i / 2 * 4;
}
/// Pair of inputs, and output, of register @p i (of 2) of the weights.
RHEINFALL_HOST_DEVICE constexpr int weight_pair(int lane, int i) {
    return lane % 4 + i * 4;
}
RHEINFALL_HOST_DEVICE constexpr int weight_output(int lane) {
    return lane / 4;
}
/// Row and output of sum @p i (of 4).
RHEINFALL_HOST_DEVICE constexpr int sum_row(int lane, int i) {
    return lane / 4 + i / 2 * 8;
}
RHEINFALL_HOST_DEVICE constexpr int sum_output(int lane, int i) {
    return lane % 4 * 2 + i % 2;
}

// --- blocks ---------------------------------------------------------------------------------------------------------

/// A linear operation's outputs are computed in blocks of 4 tiles of 8, the last in 2 where that is enough.
inline constexpr int block_outputs = 32;

RHEINFALL_HOST_DEVICE constexpr int block_tiles(int outputs_left) {
    return outputs_left > block_outputs / 2 ? 4 : 2;
}
/// Which output of a block is number @p n of tile @p tile: those of a lane lie side by side, so that its sums, [output]
/// [row] in shared memory, lie in other banks than those of all other lanes.
RHEINFALL_HOST_DEVICE constexpr int block_output(int n_tiles, int tile, int n) {
    return n / 2 * 2 * n_tiles + 2 * tile + n % 2;
}
RHEINFALL_HOST_DEVICE constexpr int input_tiles(int in) {
    return (in + 2 * pairs - 1) / (2 * pairs);
}
/// Words of a block's weights for 16 inputs: [two tiles][lane][tile of the two][register].
RHEINFALL_HOST_DEVICE constexpr int block_words(int n_tiles) {
    return n_tiles * 2 * lanes;
}
/// Words of all weights: [block][16 inputs][block_words].
constexpr std::int64_t packed_words(int in, int out) {
    const int rest = out % block_outputs;
    const int tiles = out / block_outputs * 4 + (rest == 0 ? 0 : block_tiles(rest));
    return std::int64_t{input_tiles(in)} * block_words(tiles);
}

// --- rounding -------------------------------------------------------------------------------------------------------

/// An input in bf16, as the CPU rounds it (bf16.hpp).
RHEINFALL_HOST_DEVICE inline std::uint32_t rounded(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    const std::uint32_t magnitude = bits & 0x7fffffffU;
    if (magnitude > 0x7f800000U) return bits >> 16U | 0x40U;
    if (magnitude < std::bit_cast<std::uint32_t>(least_bf16_input)) return 0;
    return (bits + 0x7fffU + (bits >> 16U & 1U)) >> 16U;
}
RHEINFALL_HOST_DEVICE inline std::uint32_t rounded_pair(float even, float odd) {
    return rounded(even) | rounded(odd) << 16U;
}

}  // namespace rheinfall::gnn::mma
