#pragma once

#include <string_view>
#include <vector>

#include "gnn/plan_levels.hpp"

/// @file
/// Linear operations in bf16: which, and their weights.
///
/// Inputs and weights are rounded to bf16, to nearest even, products are exact, and sums are taken in float32: for each
/// pair of inputs (2p, 2p + 1), first the product of the odd one and then that of the even one is added, each by a
/// fused multiply-add; behind an odd number of inputs stands a zero times zero. That is what VDPBF16PS does, save that
/// it takes subnormal numbers for zero: here none comes up, since inputs below 2^-63, weights below 2^-47 and biases
/// below 2^-101 count as zero, whereupon every partial sum is a multiple of 2^-124.
namespace rheinfall::gnn {

/// Inputs of an operation with the zero that makes them even.
constexpr int even(int width) noexcept {
    return width + width % 2;
}

/// By operation: linear operations of edges. What an edge's first operation takes from its nodes is done once for a
/// node and stays float32: states hold positions, of which an edge needs differences far below a bf16's last bit.
/// Throws std::runtime_error, naming @p file, where there are none, and for weights beyond bf16.
std::vector<bool> find_bf16(const Levels& levels, std::string_view file);

/// Rows [first, first + in) of a matrix [in][out], rounded, in blocks of output_block outputs; rows in the order in
/// which they are added.
std::vector<float> pack_bf16(const std::vector<float>& weight, int first, int in, int out);
/// The same as pairs of bf16 in place of a float32, the even input's in its lower half, for VDPBF16PS.
std::vector<float> pack_bf16_pairs(const std::vector<float>& weight, int first, int in, int out);
/// The same pairs for tensor cores, in the order of mma_fragments.hpp. Behind the inputs stands -0 for those that fill
/// up 16, which times a zero leaves every sum as it is.
std::vector<float> pack_bf16_fragments(const std::vector<float>& weight, int first, int in, int out);
/// With what counts as zero.
std::vector<float> bf16_bias(std::vector<float> bias);

}  // namespace rheinfall::gnn
