#include "quantized/exact_operations.hpp"

/// affine, relu, leaky_relu, thresholded_relu, hard_sigmoid, hard_tanh, argmax, and the operations of two inputs.
namespace rheinfall::quantized {
namespace {

using detail::combine;
using detail::convert;
using detail::greater;
using detail::multiply;
using detail::widen;

/// Element i of a constant as an exact number.
template <class Int>
Exact<Int> constant(const Tensor& tensor, std::size_t i = 0) noexcept {
    return {cyclic<Int>(tensor, i), tensor.type.fraction()};
}

}  // namespace

template <class Int>
void execute(const Affine& op, const ExactArgs& a) noexcept {
    for_each_element<Int>(a, [&](Exact<Int> x, std::size_t i) {
        return add(multiply(x, constant<Int>(op.scale, i)), constant<Int>(op.bias, i));
    });
}

template <class Int>
void execute(const Relu& op, const ExactArgs& a) noexcept {
    for_each_element<Int>(a, [&](Exact<Int> x, std::size_t) {
        if (x.v <= 0) return Exact<Int>{0, x.fraction};
        return op.maximum && x.v > *op.maximum ? Exact<Int>{static_cast<Int>(*op.maximum), x.fraction} : x;
    });
}

template <class Int>
void execute(const LeakyRelu& op, const ExactArgs& a) noexcept {
    for_each_element<Int>(
        a, [&](Exact<Int> x, std::size_t i) { return x.v > 0 ? x : multiply(x, constant<Int>(op.alpha, i)); });
}

template <class Int>
void execute(const ThresholdedRelu& op, const ExactArgs& a) noexcept {
    for_each_element<Int>(a, [&](Exact<Int> x, std::size_t) {
        return greater(x, constant<Int>(op.theta)) ? x : Exact<Int>{0, x.fraction};
    });
}

template <class Int>
void execute(const HardSigmoid& op, const ExactArgs& a) noexcept {
    for_each_element<Int>(a, [&](Exact<Int> x, std::size_t) {
        return detail::hard_sigmoid(x, constant<Int>(op.slope), constant<Int>(op.shift), op.is_tanh);
    });
}

template <class Int>
void execute(const Argmax& /*op*/, const ExactArgs& a) noexcept {
    const auto n = static_cast<std::size_t>(a.shape().back());
    const std::size_t n_rows = n_elements(a.shape()) / n;
    const std::int64_t one = convert(Int{1}, 0, a.layer.result);
    for (std::size_t row = 0; row < n_rows; ++row) {
        const std::int64_t* x = a.inputs[0] + row * n;
        std::size_t first = 0;
        for (std::size_t i = 1; i < n; ++i) {
            if (widen<Int>(x[i], a.type()) > widen<Int>(x[first], a.type())) first = i;
        }
        for (std::size_t i = 0; i < n; ++i) a.output[row * n + i] = i == first ? one : 0;
    }
}

template <class Int>
void execute(const Binary& op, const ExactArgs& a) noexcept {
    const std::size_t n = n_elements(a.layer.shape);
    const std::size_t n_x = n_elements(a.shape(0));
    const std::size_t n_y = n_elements(a.shape(1));
    for (std::size_t i = 0; i < n; ++i) {
        const Exact<Int> x{widen<Int>(a.inputs[0][i % n_x], a.type(0)), a.type(0).fraction()};
        const Exact<Int> y{widen<Int>(a.inputs[1][i % n_y], a.type(1)), a.type(1).fraction()};
        const Exact<Int> z = combine(op.kind, x, y);
        a.output[i] = convert(z.v, z.fraction, a.layer.result);
    }
}

RHEINFALL_INSTANTIATE(Affine);
RHEINFALL_INSTANTIATE(Relu);
RHEINFALL_INSTANTIATE(LeakyRelu);
RHEINFALL_INSTANTIATE(ThresholdedRelu);
RHEINFALL_INSTANTIATE(HardSigmoid);
RHEINFALL_INSTANTIATE(Argmax);
RHEINFALL_INSTANTIATE(Binary);

}  // namespace rheinfall::quantized
