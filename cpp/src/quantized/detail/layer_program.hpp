#pragma once

#include <cstdint>

#include "quantized/ir.hpp"
#include "rheinfall/quantized/fixed_point.hpp"

/// Any network as the CUDA kernel `layers` runs it: one step per layer, each of whose values is computed on its own
/// from the values before it. Plain numbers, copied to the device as they are; constants lie in one pool of 32-bit
/// words.
namespace rheinfall::quantized::detail {

enum class LayerOp : std::int32_t {
    copy,  ///< of x, or of x[index] (a; below 0: zero)
    constant,
    sums,  ///< dense and convolution
    dot,
    sum,
    max_pool,
    average_pool,
    affine,
    relu,
    leaky_relu,
    thresholded_relu,
    hard_sigmoid,
    threshold,
    table,
    softmax_latency,
    softmax_stable,
    softmax_legacy,
    argmax,
    binary,
    shift,
    rescale,
};

/// Integers of the pool, which lie as two words each, the low one first, if some do not fit one.
struct LayerConstants {
    std::int32_t first = 0;
    std::int32_t n = 0;
    std::int32_t fraction = 0;
    bool is_long = false;
};

/// A value before this step: its first place among the event's values.
struct LayerOperand {
    std::int32_t first = 0;
    std::int32_t n = 0;
    FixedType type;
};

/// Kernel or window over an image [height][width][depth]; a dense layer is a kernel of one pixel over its rows.
struct LayerWindow {
    std::int32_t height = 1;
    std::int32_t width = 1;
    std::int32_t depth = 1;
    std::int32_t n_columns = 1;  ///< of the result
    std::int32_t kernel[2] = {1, 1};
    std::int32_t strides[2] = {1, 1};
    std::int32_t padding[2] = {0, 0};  ///< top, left
    std::int32_t dilations[2] = {1, 1};
    std::int32_t n_out = 1;        ///< channels of the result
    std::int32_t group_depth = 1;  ///< channels that an output reads
    std::int32_t group_size = 1;   ///< outputs that read the same channels
    std::int32_t n_averaged = 0;   ///< pixels to divide by; 0: those that are there
};

/// How sums are added up. All give the bits of `ordered`, where they are chosen.
enum class LayerSum : std::int32_t {
    ordered,   ///< product by product, sum by sum
    wrapping,  ///< modulo 2^64, each product rounded
    narrow,    ///< exact products and their sums fit 32 bits
};

struct LayerStep {
    LayerOp op = LayerOp::copy;
    bool is_wide = false;  ///< intermediates of 128 bits
    bool has_minimum = false;
    bool has_maximum = false;
    bool is_tanh = false;
    bool by_bits = false;   ///< of a table's index
    std::int32_t n = 0;     ///< values to compute
    std::int32_t out = 0;   ///< place of the result's first value
    std::int32_t part = 0;  ///< value i goes to place out + i / part · row + i % part
    std::int32_t row = 0;
    LayerOperand x;
    LayerOperand y;
    FixedType accum;
    FixedType result;
    LayerWindow window;
    LayerSum sum = LayerSum::ordered;
    std::int32_t mode = 0;   ///< BinaryKind, RationalRounding, TableBypass
    std::int32_t slice = 1;  ///< elements of a softmax's or argmax's slice; thresholds of a channel
    LayerConstants
        a;  ///< index, weight, scale, alpha, theta, slope, thresholds, table, exponentials, shifts, multipliers
    LayerConstants b;  ///< bias, shift, values, bypass_multiply, inverses, addends
    LayerConstants c;  ///< order, table_multiply, divisors
    FixedType norm;    ///< of a softmax
    FixedType inv_input;
    std::int64_t minimum = 0;
    std::int64_t maximum = 0;
    std::int64_t multiply = 1;  ///< of a table's index
    std::int64_t offset = 0;
    std::int32_t index_shift = 0;   ///< or the bits of the index; of a softmax's exponentials
    std::int32_t inverse_bits = 0;  ///< of the index of a softmax's inverses
};

/// An input or output: its place among the event's values and in the event's row, and how real values meet it.
struct LayerPort {
    std::int32_t first = 0;
    std::int32_t n = 0;
    std::int32_t row_first = 0;
    std::int32_t n_channels = 1;
    FixedType type;
    bool has_scale = false;
    LayerConstants scale;  ///< doubles, by their bits
    LayerConstants shift;  ///< what is added to a real output, likewise; may be empty
    std::int64_t zero_point = 0;
};

struct LayerProgram {
    const LayerStep* steps = nullptr;
    const LayerPort* inputs = nullptr;
    const LayerPort* outputs = nullptr;
    const std::int32_t* pool = nullptr;
    std::int32_t n_steps = 0;
    std::int32_t n_inputs = 0;  ///< ports
    std::int32_t n_outputs = 0;
    std::int32_t n_in = 0;  ///< elements of a row
    std::int32_t n_out = 0;
    std::int32_t n_values = 0;      ///< places that an event needs
    std::int32_t n_lanes = 1;       ///< values that are worth computing at the same time
    std::int32_t packed_width = 0;  ///< bits of a packed input; 0: inputs cannot be packed
    bool is_wide = false;           ///< places of 64 bits, not 32
};

}  // namespace rheinfall::quantized::detail
