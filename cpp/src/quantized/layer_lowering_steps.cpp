#include "quantized/layer_lowering_steps.hpp"

#include <algorithm>
#include <bit>
#include <limits>

#include "quantized/detail/fixed_point.hpp"

namespace rheinfall::quantized {

using detail::LayerConstants;
using detail::LayerOp;
using detail::LayerStep;
using detail::LayerSum;
using detail::LayerWindow;

namespace {

bool fits_lane(const Interval& x) noexcept {
    return x.lo >= std::numeric_limits<std::int32_t>::min() && x.hi <= std::numeric_limits<std::int32_t>::max();
}

LayerWindow image(const Shape& in, const Shape& out) noexcept {
    LayerWindow w;
    w.height = in.size() == 3 ? static_cast<std::int32_t>(in[0]) : 1;
    w.width = static_cast<std::int32_t>(in[in.size() - 2]);
    w.depth = static_cast<std::int32_t>(in.back());
    w.n_columns = static_cast<std::int32_t>(out[out.size() - 2]);
    w.n_out = static_cast<std::int32_t>(out.back());
    return w;
}

}  // namespace

/// The accumulator before the first product.
LayerConstants LayerLowering::keep_bias(const std::optional<Tensor>& bias, const FixedType& accum) {
    std::vector<std::int64_t> stored;
    if (bias) {
        for (const std::int64_t b : bias->data)
            stored.push_back(detail::convert<Int128>(b, bias->type.fraction(), accum));
    }
    return keep(stored, accum.fraction());
}

void LayerLowering::set_sum(LayerStep& step) const {
    const auto& proof = ranges_.layers[layer_].accumulator;
    const bool is_plain = proof && proof->is_plain_sum();
    const bool fits = is_plain && fits_lane(proof->products) && !step.a.is_long;
    const bool is_narrow = fits && fits_lane(ranges_.value(graph_.layers[layer_].inputs[0]).all);
    step.sum = is_narrow                               ? LayerSum::narrow
               : step.accum.overflow == Overflow::wrap ? LayerSum::wrapping
                                                       : LayerSum::ordered;
}

void LayerLowering::fill(LayerStep& step, const Constant& op) {
    std::vector<std::int64_t> stored;
    stored.reserve(op.value.data.size());
    for (const std::int64_t q : op.value.data)
        stored.push_back(detail::convert<Int128>(q, op.value.type.fraction(), step.result));
    step.op = LayerOp::constant;
    step.a = keep(stored, step.result.fraction());
}

void LayerLowering::fill(LayerStep& step, const Quantize& /*op*/) {
    step.op = LayerOp::copy;
}

void LayerLowering::fill(LayerStep& step, const Reshape& /*op*/) {
    step.op = LayerOp::copy;
}

void LayerLowering::fill(LayerStep& step, const Transpose& op) {
    const Shape& in = graph_.shape(graph_.layers[layer_].inputs[0]);
    const Shape& out = graph_.layers[layer_].shape;
    std::vector<std::int64_t> index;
    for (std::int64_t i = 0; i < step.n; ++i) {
        std::int64_t rest = i, from = 0;
        for (std::size_t axis = out.size(); axis-- > 0;) {
            std::int64_t stride = 1;  // of x along this axis of the result
            for (auto k = static_cast<std::size_t>(op.perm[axis]) + 1; k < in.size(); ++k) stride *= in[k];
            from += rest % out[axis] * stride;
            rest /= out[axis];
        }
        index.push_back(from);
    }
    step.op = LayerOp::copy;
    step.a = keep(index, 0);
}

/// One step per input.
void LayerLowering::fill(LayerStep& step, const Concatenate& op) {
    const auto tail = [&](const Shape& shape) {
        std::int64_t n = 1;
        for (auto k = static_cast<std::size_t>(op.axis); k < shape.size(); ++k) n *= shape[k];
        return static_cast<std::int32_t>(n);
    };
    step.op = LayerOp::copy;
    step.row = tail(graph_.layers[layer_].shape);
    for (const int input : graph_.layers[layer_].inputs) {
        step.x = operand(input);
        step.n = step.x.n;
        step.part = tail(graph_.shape(input));
        code_.steps.push_back(step);
        step.out += step.part;
    }
}

void LayerLowering::fill(LayerStep& step, const Gather& op) {
    step.op = LayerOp::copy;
    step.a = keep(op.index, 0);
}

void LayerLowering::fill(LayerStep& step, const Dense& op) {
    step.op = LayerOp::sums;
    step.accum = op.accum;
    step.window.depth = step.window.group_depth = static_cast<std::int32_t>(op.weight.shape[0]);
    step.window.n_out = step.window.group_size = static_cast<std::int32_t>(op.weight.shape[1]);
    step.window.width = step.window.n_columns = step.n / step.window.n_out;
    step.a = keep(op.weight);
    step.b = keep_bias(op.bias, op.accum);
    const std::vector<std::int64_t> order(op.order.begin(), op.order.end());
    step.c = keep(order, 0);
    set_sum(step);
}

void LayerLowering::fill(LayerStep& step, const Conv& op) {
    step.op = LayerOp::sums;
    step.accum = op.accum;
    step.window = image(graph_.shape(graph_.layers[layer_].inputs[0]), graph_.layers[layer_].shape);
    for (std::size_t axis = 0; axis < 2; ++axis) {
        step.window.kernel[axis] = static_cast<std::int32_t>(op.weight.shape[axis]);
        step.window.strides[axis] = op.strides[axis];
        step.window.padding[axis] = op.padding[2 * axis];
        step.window.dilations[axis] = op.dilations[axis];
    }
    step.window.group_depth = static_cast<std::int32_t>(op.weight.shape[2]);
    step.window.group_size = step.window.n_out / op.groups;
    step.a = keep(op.weight);
    step.b = keep_bias(op.bias, op.accum);
    set_sum(step);
}

void LayerLowering::fill(LayerStep& step, const Pool& op) {
    step.op = op.kind == PoolKind::max ? LayerOp::max_pool : LayerOp::average_pool;
    step.accum = op.accum;
    step.window = image(graph_.shape(graph_.layers[layer_].inputs[0]), graph_.layers[layer_].shape);
    for (std::size_t axis = 0; axis < 2; ++axis) {
        step.window.kernel[axis] = op.kernel[axis];
        step.window.strides[axis] = op.strides[axis];
        step.window.padding[axis] = op.padding[2 * axis];
    }
    step.window.n_averaged = op.count_padding ? op.kernel[0] * op.kernel[1] : 0;
}

void LayerLowering::fill(LayerStep& step, const Affine& op) {
    step.op = LayerOp::affine;
    step.a = keep(op.scale);
    step.b = keep(op.bias);
}

void LayerLowering::fill(LayerStep& step, const Relu& op) {
    step.op = LayerOp::relu;
    step.has_maximum = op.maximum.has_value();
    step.maximum = op.maximum.value_or(0);
}

void LayerLowering::fill(LayerStep& step, const LeakyRelu& op) {
    step.op = LayerOp::leaky_relu;
    step.a = keep(op.alpha);
}

void LayerLowering::fill(LayerStep& step, const ThresholdedRelu& op) {
    step.op = LayerOp::thresholded_relu;
    step.a = keep(op.theta);
}

void LayerLowering::fill(LayerStep& step, const HardSigmoid& op) {
    step.op = LayerOp::hard_sigmoid;
    step.a = keep(op.slope);
    step.b = keep(op.shift);
    step.is_tanh = op.is_tanh;
}

void LayerLowering::fill(LayerStep& step, const Threshold& op) {
    step.op = LayerOp::threshold;
    step.slice = static_cast<std::int32_t>(op.thresholds.shape[1]);
    step.a = keep(op.thresholds);
    step.b = keep(op.values, 0);
}

void LayerLowering::fill(LayerStep& step, const Table& op) {
    step.op = LayerOp::table;
    step.mode = static_cast<std::int32_t>(op.bypass);
    step.by_bits = op.index.by_bits;
    step.index_shift = op.index.by_bits ? op.index.bits : op.index.shift;
    step.multiply = op.index.multiply;
    step.offset = op.index.offset;
    step.a = keep(op.table);
    if (op.bypass_multiply) step.b = keep(*op.bypass_multiply);
    if (op.table_multiply) step.c = keep(*op.table_multiply);
}

void LayerLowering::fill(LayerStep& step, const Softmax& op) {
    switch (op.kind) {
        case SoftmaxKind::latency: step.op = LayerOp::softmax_latency; break;
        case SoftmaxKind::stable: step.op = LayerOp::softmax_stable; break;
        case SoftmaxKind::legacy: step.op = LayerOp::softmax_legacy; break;
    }
    step.slice = static_cast<std::int32_t>(op.axis_size);
    step.accum = op.accum;
    step.norm = op.norm;
    step.inv_input = op.inv_input;
    step.a = keep(op.exp_table);
    step.b = keep(op.inv_table);
    step.index_shift = std::countr_zero(op.exp_table.data.size());
    step.inverse_bits = std::countr_zero(op.inv_table.data.size());
}

void LayerLowering::fill(LayerStep& step, const Argmax& /*op*/) {
    step.op = LayerOp::argmax;
    step.slice = static_cast<std::int32_t>(graph_.layers[layer_].shape.back());
    step.maximum = detail::convert<Int128>(1, 0, step.result);
}

void LayerLowering::fill(LayerStep& step, const Binary& op) {
    step.op = LayerOp::binary;
    step.mode = static_cast<std::int32_t>(op.kind);
}

void LayerLowering::fill(LayerStep& step, const Dot& op) {
    step.op = LayerOp::dot;
    step.accum = op.accum;
}

void LayerLowering::fill(LayerStep& step, const SumOfSquares& op) {
    step.op = LayerOp::dot;
    step.accum = op.accum;
}

void LayerLowering::fill(LayerStep& step, const Sum& op) {
    step.op = LayerOp::sum;
    step.accum = op.accum;
}

void LayerLowering::fill(LayerStep& step, const Shift& op) {
    step.op = LayerOp::shift;
    const std::vector<std::int64_t> shifts(op.shift.begin(), op.shift.end());
    step.a = keep(shifts, 0);
}

void LayerLowering::fill(LayerStep& step, const Rescale& op) {
    step.op = LayerOp::rescale;
    step.mode = static_cast<std::int32_t>(op.round);
    step.a = keep(op.multiplier, 0);
    step.b = keep(op.addend, 0);
    step.c = keep(op.divisor, 0);
    step.has_minimum = op.minimum.has_value();
    step.has_maximum = op.maximum.has_value();
    step.minimum = op.minimum.value_or(0);
    step.maximum = op.maximum.value_or(0);
}

}  // namespace rheinfall::quantized
