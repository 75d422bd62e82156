#include <algorithm>
#include <array>
#include <cmath>

#include "quantized/layer_reader.hpp"

/// affine, relu, leaky_relu, thresholded_relu, hard_sigmoid, hard_tanh, argmax, and the operations of two inputs.
namespace rheinfall::quantized {
namespace {

Operation read_affine(const LayerReader& r) {
    Affine affine;
    affine.scale = r.per_channel("scale", false);
    affine.bias = r.per_channel("bias", false);
    return affine;
}

Operation read_relu(const LayerReader& r) {
    Relu relu;
    if (!r.fields.has("maximum")) return relu;
    const double maximum = r.fields.number("maximum");
    const double stored = std::ldexp(maximum, r.type().fraction());
    if (stored != std::floor(stored)) {
        r.fields.fail("maximum", "expected a multiple of the input's 2^" + std::to_string(-r.type().fraction()));
    }
    if (maximum < 0 || stored >= 0x1p63) r.fields.fail("maximum", "expected 0 to 2^63 of the input's integers");
    relu.maximum = static_cast<std::int64_t>(stored);
    return relu;
}

Operation read_hard_sigmoid(const LayerReader& r, bool is_tanh) {
    HardSigmoid sigmoid;
    sigmoid.slope = r.fields.single("slope");
    sigmoid.shift = r.fields.single("shift");
    sigmoid.is_tanh = is_tanh;
    return sigmoid;
}

Operation read_binary(const LayerReader& r, BinaryKind kind) {
    const bool first_is_longer = r.size(0) >= r.size(1);
    const std::int64_t longer = std::max(r.size(0), r.size(1));
    if (longer % std::min(r.size(0), r.size(1)) != 0) {
        r.fields.fail("inputs", "expected sizes of which one divides the other, got shapes " + to_text(r.shape(0)) +
                                    " and " + to_text(r.shape(1)));
    }
    r.set_shape(r.shape(first_is_longer ? 0 : 1));
    return Binary{kind};
}

constexpr std::array<std::string_view, 6> binary_names = {"add",     "subtract", "multiply",
                                                          "maximum", "minimum",  "average"};

}  // namespace

std::optional<Operation> read_elementwise(const LayerReader& r, std::string_view op) {
    const auto* binary = std::ranges::find(binary_names, op);
    if (binary != binary_names.end()) return read_binary(r, static_cast<BinaryKind>(binary - binary_names.begin()));
    r.set_shape(r.layer.inputs.empty() ? Shape{1} : r.shape());
    if (op == "affine") return read_affine(r);
    if (op == "relu") return read_relu(r);
    if (op == "leaky_relu") return LeakyRelu{r.per_channel("alpha", true)};
    if (op == "thresholded_relu") return ThresholdedRelu{r.fields.single("theta")};
    if (op == "hard_sigmoid") return read_hard_sigmoid(r, false);
    if (op == "hard_tanh") return read_hard_sigmoid(r, true);
    if (op == "argmax") return Argmax{};
    return std::nullopt;
}

}  // namespace rheinfall::quantized
