#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "rheinfall/quantized/fixed_point.hpp"

/// The intermediate form in memory: docs/quantized_format.md defines each operation. Everything is validated when a
/// document is read (ir_reader.cpp), so that whatever holds a Graph may rely on shapes, ranges and order.
namespace rheinfall::quantized {

using Shape = std::vector<std::int64_t>;  // without the batch

struct Tensor {
    FixedType type;
    Shape shape;
    std::vector<std::int64_t> data;  // stored integers, row-major; an ap_uint<64> above 2^63 - 1 is refused
};

struct Constant {
    Tensor value;
};
struct Quantize {};
struct Reshape {};
struct Transpose {
    std::vector<int> perm;
};
struct Concatenate {
    int axis = 0;
};
struct Gather {
    std::vector<std::int64_t> index;  // -1: zero
};
struct Dense {
    Tensor weight;  // [n_in, n_out]
    std::optional<Tensor> bias;
    FixedType accum;
    std::vector<std::int32_t> order;  // empty: 0, 1, ...
};
struct Conv {       // one or two spatial axes; a 1D one has height 1
    Tensor weight;  // [kh, kw, c_in / groups, c_out]
    std::optional<Tensor> bias;
    FixedType accum;
    std::array<int, 2> strides{1, 1};
    std::array<int, 4> padding{};  // top, bottom, left, right
    std::array<int, 2> dilations{1, 1};
    int groups = 1;
};
enum class PoolKind : std::uint8_t { max, average };
struct Pool {
    PoolKind kind = PoolKind::max;
    std::array<int, 2> kernel{1, 1};
    std::array<int, 2> strides{1, 1};
    std::array<int, 4> padding{};
    FixedType accum;
    bool count_padding = false;
};
struct Affine {
    Tensor scale;
    Tensor bias;
};
struct Relu {
    std::optional<std::int64_t> maximum;  // in x's grid
};
struct LeakyRelu {
    Tensor alpha;
};
struct ThresholdedRelu {
    Tensor theta;
};
struct HardSigmoid {
    Tensor slope;
    Tensor shift;
    bool is_tanh = false;
};
struct Threshold {
    Tensor thresholds;  // [c, k] or [1, k]
    std::vector<std::int64_t> values;
};
struct TableIndex {
    bool by_bits = false;
    int bits = 0;
    std::int64_t multiply = 1;
    int shift = 0;
    std::int64_t offset = 0;
};
enum class TableBypass : std::uint8_t { none, nonnegative, positive };
struct Table {
    TableIndex index;
    Tensor table;
    TableBypass bypass = TableBypass::none;
    std::optional<Tensor> bypass_multiply;
    std::optional<Tensor> table_multiply;
};
enum class SoftmaxKind : std::uint8_t { latency, stable, legacy };
struct Softmax {
    SoftmaxKind kind = SoftmaxKind::stable;
    Tensor exp_table;
    Tensor inv_table;
    FixedType accum;
    FixedType inv_input;
    FixedType norm;
    std::int64_t axis_size = 0;
};
struct Argmax {};
enum class BinaryKind : std::uint8_t { add, subtract, multiply, maximum, minimum, average };
struct Binary {
    BinaryKind kind = BinaryKind::add;
};
struct Dot {
    FixedType accum;
};
struct SumOfSquares {
    FixedType accum;
};
struct Sum {
    FixedType accum;
};
struct Shift {
    std::vector<std::int32_t> shift;
};
enum class RationalRounding : std::uint8_t { trn, trn_zero, rnd, rnd_zero, rnd_min_inf, rnd_inf, rnd_conv, ceil, up };
struct Rescale {
    std::vector<std::int64_t> multiplier;
    std::vector<std::int64_t> addend;
    std::vector<std::int64_t> divisor;
    RationalRounding round = RationalRounding::rnd_conv;
    std::optional<std::int64_t> minimum;
    std::optional<std::int64_t> maximum;
};

using Operation = std::variant<Constant, Quantize, Reshape, Transpose, Concatenate, Gather, Dense, Conv, Pool, Affine,
                               Relu, LeakyRelu, ThresholdedRelu, HardSigmoid, Threshold, Table, Softmax, Argmax, Binary,
                               Dot, SumOfSquares, Sum, Shift, Rescale>;

/// How stored integers and real values meet at the boundary; without a scale by the binary point alone.
struct RealScale {
    std::vector<double> scale;  // one, or one per element of the last axis
    std::int64_t zero_point = 0;
    std::vector<double> offset;  // outputs only: empty, one, or one per element of the last axis; added last
};

struct Input {
    std::string name;
    Shape shape;
    FixedType type;
    std::optional<RealScale> real;
};

struct Layer {
    std::string name;
    Operation operation;
    std::vector<int> inputs;  // values: 0 .. inputs - 1 are the graph's inputs, then one per layer, in order
    FixedType result;
    Shape shape;
};

struct Output {
    int value = 0;
    std::optional<RealScale> real;
};

struct Graph {
    std::string name;
    std::string source;
    std::vector<Input> inputs;
    std::vector<Layer> layers;
    std::vector<Output> outputs;
    std::vector<std::string> traps;

    [[nodiscard]] int n_values() const noexcept { return static_cast<int>(inputs.size() + layers.size()); }
    [[nodiscard]] const Shape& shape(int value) const noexcept {
        const auto n = static_cast<int>(inputs.size());
        return value < n ? inputs[static_cast<std::size_t>(value)].shape
                         : layers[static_cast<std::size_t>(value - n)].shape;
    }
    [[nodiscard]] const std::string& value_name(int value) const noexcept {
        const auto n = static_cast<int>(inputs.size());
        return value < n ? inputs[static_cast<std::size_t>(value)].name
                         : layers[static_cast<std::size_t>(value - n)].name;
    }
    [[nodiscard]] const FixedType& type(int value) const noexcept {
        const auto n = static_cast<int>(inputs.size());
        return value < n ? inputs[static_cast<std::size_t>(value)].type
                         : layers[static_cast<std::size_t>(value - n)].result;
    }
};

}  // namespace rheinfall::quantized
