#include "quantized/summary.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <type_traits>
#include <variant>

#include "quantized/exact_operations.hpp"
#include "quantized/type_text.hpp"

namespace rheinfall::quantized {
namespace {

std::string to_text(Int128 v) {
    std::string digits;
    auto magnitude = v < 0 ? UInt128{0} - static_cast<UInt128>(v) : static_cast<UInt128>(v);
    do {
        digits += static_cast<char>('0' + static_cast<int>(magnitude % 10));
        magnitude /= 10;
    } while (magnitude != 0);
    if (v < 0) digits += '-';
    std::ranges::reverse(digits);
    return digits;
}

constexpr std::array<std::string_view, std::variant_size_v<Operation>> op_names = {
    "constant", "quantize", "reshape", "transpose",  "concatenate",      "gather",       "dense",     "conv2d",
    "pool",     "affine",   "relu",    "leaky_relu", "thresholded_relu", "hard_sigmoid", "threshold", "table",
    "softmax",  "argmax",   "",        "dot",        "sum_of_squares",   "sum",          "shift",     "rescale"};
constexpr std::array<std::string_view, 6> binary_names = {"add",     "subtract", "multiply",
                                                          "maximum", "minimum",  "average"};

std::string_view op_name(const Graph& graph, const Layer& layer) {
    if (const auto* binary = std::get_if<Binary>(&layer.operation)) {
        return binary_names[static_cast<std::size_t>(binary->kind)];
    }
    if (std::holds_alternative<Conv>(layer.operation) && graph.shape(layer.inputs[0]).size() == 2) return "conv1d";
    const auto* sigmoid = std::get_if<HardSigmoid>(&layer.operation);
    if (sigmoid != nullptr && sigmoid->is_tanh) return "hard_tanh";
    return op_names[layer.operation.index()];
}

/// Calls function(tensor) for each tensor of an operation.
template <class Function>
void for_each_tensor(const Operation& operation, Function function) {
    const auto optional = [&](const std::optional<Tensor>& tensor) {
        if (tensor) function(*tensor);
    };
    std::visit(
        [&]<class Op>(const Op& op) {
            if constexpr (std::is_same_v<Op, Constant>) function(op.value);
            if constexpr (std::is_same_v<Op, Dense> || std::is_same_v<Op, Conv>) {
                function(op.weight);
                optional(op.bias);
            }
            if constexpr (std::is_same_v<Op, Affine>) {
                function(op.scale);
                function(op.bias);
            }
            if constexpr (std::is_same_v<Op, LeakyRelu>) function(op.alpha);
            if constexpr (std::is_same_v<Op, ThresholdedRelu>) function(op.theta);
            if constexpr (std::is_same_v<Op, HardSigmoid>) {
                function(op.slope);
                function(op.shift);
            }
            if constexpr (std::is_same_v<Op, Threshold>) function(op.thresholds);
            if constexpr (std::is_same_v<Op, Table>) function(op.table);
            if constexpr (std::is_same_v<Op, Softmax>) {
                function(op.exp_table);
                function(op.inv_table);
            }
        },
        operation);
}

std::int64_t count_macs(const Graph& graph, const Layer& layer) {
    const auto size = [&](const Shape& shape) { return static_cast<std::int64_t>(n_elements(shape)); };
    if (const auto* dense = std::get_if<Dense>(&layer.operation)) return size(layer.shape) * dense->weight.shape[0];
    if (const auto* conv = std::get_if<Conv>(&layer.operation)) {
        const Shape& kernel = conv->weight.shape;
        return size(layer.shape) * kernel[0] * kernel[1] * kernel[2];
    }
    const bool is_dot = std::holds_alternative<Dot>(layer.operation);
    if (is_dot || std::holds_alternative<SumOfSquares>(layer.operation)) return size(graph.shape(layer.inputs[0]));
    return std::holds_alternative<Affine>(layer.operation) ? size(layer.shape) : 0;
}

LayerSummary::Accumulator summarize(const AccumulatorRange& range) {
    LayerSummary::Accumulator summary;
    summary.type = to_text(range.type);
    summary.lowest = to_text(range.sums.lo);
    summary.highest = to_text(range.sums.hi);
    summary.bits = signed_bits(range.sums);
    summary.product_bits = signed_bits(range.products);
    summary.products_round = range.products_round;
    summary.products_overflow = range.products_overflow;
    summary.sums_overflow = range.sums_overflow;
    summary.order_matters = range.order_matters;
    summary.is_plain_sum = range.is_plain_sum();
    return summary;
}

}  // namespace

std::vector<LayerSummary> summarize(const Graph& graph, const Ranges& ranges) {
    std::vector<LayerSummary> summaries;
    summaries.reserve(graph.layers.size());
    for (std::size_t i = 0; i < graph.layers.size(); ++i) {
        const Layer& layer = graph.layers[i];
        const LayerRange& range = ranges.layers[i];
        LayerSummary s;
        s.name = layer.name;
        s.op = op_name(graph, layer);
        for (const int input : layer.inputs) s.inputs.push_back(graph.value_name(input));
        s.shape = layer.shape;
        s.type = to_text(layer.result);
        s.lowest = to_text(range.result.all.lo);
        s.highest = to_text(range.result.all.hi);
        s.macs = count_macs(graph, layer);
        for_each_tensor(layer.operation, [&](const Tensor& tensor) {
            const auto n = static_cast<std::int64_t>(tensor.data.size());
            s.weights += n;
            s.nonzeros += n - std::ranges::count(tensor.data, 0);
            s.bits += n * tensor.type.width;
        });
        s.work_bits = range.work_bits;
        s.result_rounds = range.result_rounds;
        s.result_overflows = range.result_overflows;
        if (range.accumulator) s.accumulator = summarize(*range.accumulator);
        summaries.push_back(std::move(s));
    }
    return summaries;
}

}  // namespace rheinfall::quantized
