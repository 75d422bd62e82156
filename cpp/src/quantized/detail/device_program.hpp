#pragma once

#include <cstdint>

#include "rheinfall/quantized/fixed_point.hpp"

/// A network as the CUDA kernels run it: plain numbers, copied to the device as they are. Constants lie in one pool of
/// 32-bit words, and offsets into it take the place of pointers.
namespace rheinfall::quantized::detail {

inline constexpr int max_device_layers = 12;
inline constexpr int mma_events = 16;  ///< rows of a tensor-core tile
inline constexpr int mma_outputs = 8;  ///< columns
inline constexpr int mma_inputs = 32;  ///< depth, in bytes

/// One step of an epilogue: quantized::Stage (plan_step.hpp) with offsets instead of pointers. Rounding, shift and
/// limits of a stage that has none are such that they change nothing, so that they need no branch; the flags are looked
/// at for the rest alone.
struct DeviceStage {
    std::uint32_t flags = 0;
    std::int32_t left_shift = 0;
    std::int32_t c0 = 0;
    std::int32_t c1 = 0;
    std::int32_t c2 = 0;
    std::int32_t shift = 0;
    std::int32_t lo = 0;
    std::int32_t hi = 0;
    std::int32_t logical_shift = 0;
    std::int32_t rare_lo = 0;  ///< of threshold and zero_outside
    std::int32_t rare_hi = 0;
    std::int32_t a = 0;
    std::int32_t b = 0;
    std::int32_t c = 0;
};

/// Stages `first` to `first + n - 1` of the pool.
struct DeviceChain {
    std::int32_t first = 0;
    std::int32_t n = 0;
};

/// A dense layer on bytes. An activation x is read as x - offset, which fits `x_limbs` bytes; its bytes but the highest
/// have 128 subtracted (their upper bit flipped), so that every byte is signed. A weight is the sum of its `w_limbs`
/// signed bytes, the k-th times 256^k. What offset and 128s add to the sums is taken off by the bias.
struct DeviceLayer {
    std::int32_t n_in = 0;
    std::int32_t n_out = 0;
    std::int32_t k_tiles = 0;  ///< of 32 inputs
    std::int32_t n_tiles = 0;  ///< of 8 outputs
    std::int32_t x_limbs = 1;
    std::int32_t w_limbs = 1;
    std::int32_t x_offset = 0;
    std::uint32_t x_mask = 0;  ///< the bits that are flipped
    std::int32_t bias = 0;     ///< 8 · n_tiles words
    std::int32_t weights = 0;  ///< for dot products of four: [limb][group of 4 inputs][8 · n_tiles]
    std::int32_t tiles = 0;    ///< for tensor cores: [limb][k tile][n tile][lane][2]
    DeviceChain chain;
    bool is_saved = false;  ///< the result is kept for the merge
};

enum class DeviceMerge : std::int32_t { none, add, subtract, subtract_from, multiply, maximum, minimum };
enum class DeviceReduction : std::int32_t { none, sum, sum_of_squares };

struct DeviceProgram {
    std::int32_t n_inputs = 0;
    std::int32_t n_outputs = 0;
    FixedType input_type;
    FixedType output_type;
    std::int32_t input_lo = 0;  ///< what the input's type holds
    std::int32_t input_hi = 0;
    DeviceChain input_chain;
    bool input_is_saved = false;
    std::int32_t n_layers = 0;
    DeviceLayer layers[max_device_layers];
    /// (current << shift_x) op (saved << shift_y), element by element
    DeviceMerge merge = DeviceMerge::none;
    std::int32_t shift_x = 0;
    std::int32_t shift_y = 0;
    DeviceChain merge_chain;
    DeviceReduction reduction = DeviceReduction::none;
    DeviceChain product_chain;  ///< of each summand
    DeviceChain sum_chain;
    bool is_argmax = false;  ///< the output is `hot` at the first largest value, `cold` elsewhere
    std::int32_t hot = 0;
    std::int32_t cold = 0;
    std::int32_t n_merged = 0;     ///< elements before the reduction
    std::int32_t max_values = 0;   ///< most elements of a value
    std::int32_t max_encoded = 0;  ///< most 32-bit words of a layer's input, all limbs
    std::int32_t max_k_tiles = 0;  ///< 0: some shape is too large for the tensor-core kernel
    std::int32_t max_n_tiles = 0;
    std::int32_t max_x_limbs = 0;
    std::int32_t n_pool = 0;  ///< words
};

}  // namespace rheinfall::quantized::detail
