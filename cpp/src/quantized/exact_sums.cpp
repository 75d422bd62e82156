#include "quantized/exact_operations.hpp"

/// dense, conv, dot, sum_of_squares, sum: additions in order, each with its conversions.
namespace rheinfall::quantized {
namespace {

using detail::convert;
using detail::OrderedSum;
using detail::widen;
using detail::WrappingSum;

/// The accumulator before the first product.
std::int64_t start(const std::optional<Tensor>& bias, std::size_t o, const FixedType& accum) noexcept {
    return bias ? convert(bias->data[o], bias->type.fraction(), accum) : 0;
}

/// All output channels at one position of the kernel.
template <class Sum>
struct Patch {
    using Int = typename Sum::Int;
    const Conv& op;
    const ExactArgs& a;

    void run(std::int64_t row, std::int64_t column, std::int64_t* out) const noexcept {
        const auto n_out = static_cast<std::size_t>(op.weight.shape[3]);
        for (std::size_t o = 0; o < n_out; ++o) {
            const std::int64_t sum = run_channel(row, column, o);
            out[o] = convert(widen<Int>(sum, op.accum), op.accum.fraction(), a.layer.result);
        }
    }

private:
    [[nodiscard]] std::int64_t run_channel(std::int64_t row, std::int64_t column, std::size_t o) const noexcept {
        const Shape& in = a.shape();
        const std::int64_t height = in.size() == 3 ? in[0] : 1;
        const std::int64_t width = in[in.size() - 2];
        const Shape& kernel = op.weight.shape;
        const auto n_out = static_cast<std::size_t>(kernel[3]);
        const auto group = o / (n_out / static_cast<std::size_t>(op.groups));
        const auto depth = static_cast<std::size_t>(kernel[2]);
        const FixedType& type = a.type();
        Sum sum(start(op.bias, o, op.accum), type.fraction() + op.weight.type.fraction(), op.accum);
        for (std::int64_t kr = 0; kr < kernel[0]; ++kr) {
            const std::int64_t y = row * op.strides[0] + kr * op.dilations[0] - op.padding[0];
            for (std::int64_t kc = 0; kc < kernel[1]; ++kc) {
                const std::int64_t x = column * op.strides[1] + kc * op.dilations[1] - op.padding[2];
                // Padding adds products of 0, which change nothing: a sum is always a value of its own type.
                if (y < 0 || y >= height || x < 0 || x >= width) continue;
                const std::int64_t* pixel = a.inputs[0] + (y * width + x) * in.back();
                const std::int64_t* w = &op.weight.data[static_cast<std::size_t>(kr * kernel[1] + kc) * depth * n_out];
                for (std::size_t c = 0; c < depth; ++c) {
                    sum.add(widen<Int>(pixel[group * depth + c], type), static_cast<Int>(w[c * n_out + o]));
                }
            }
        }
        return sum.stored();
    }
};

template <class Sum>
void run_conv(const Conv& op, const ExactArgs& a) noexcept {
    const Shape& out = a.layer.shape;
    const std::int64_t n_rows = out.size() == 3 ? out[0] : 1;
    const std::int64_t n_columns = out[out.size() - 2];
    for (std::int64_t row = 0; row < n_rows; ++row) {
        for (std::int64_t column = 0; column < n_columns; ++column) {
            Patch<Sum>{op, a}.run(row, column, a.output + (row * n_columns + column) * out.back());
        }
    }
}

template <class Sum>
void run_dense(const Dense& op, const ExactArgs& a) noexcept {
    using Int = typename Sum::Int;
    const auto n_in = static_cast<std::size_t>(op.weight.shape[0]);
    const auto n_out = static_cast<std::size_t>(op.weight.shape[1]);
    const FixedType& type = a.type();
    const std::size_t n_rows = n_elements(a.shape()) / n_in;
    for (std::size_t row = 0; row < n_rows; ++row) {
        const std::int64_t* x = a.inputs[0] + row * n_in;
        for (std::size_t o = 0; o < n_out; ++o) {
            Sum sum(start(op.bias, o, op.accum), type.fraction() + op.weight.type.fraction(), op.accum);
            for (std::size_t k = 0; k < n_in; ++k) {
                const std::size_t i = op.order.empty() ? k : static_cast<std::size_t>(op.order[k]);
                sum.add(widen<Int>(x[i], type), static_cast<Int>(op.weight.data[i * n_out + o]));
            }
            a.output[row * n_out + o] =
                convert(widen<Int>(sum.stored(), op.accum), op.accum.fraction(), a.layer.result);
        }
    }
}

}  // namespace

template <class Int>
void execute(const Dense& op, const ExactArgs& a) noexcept {
    if (op.accum.overflow == Overflow::wrap) {
        run_dense<WrappingSum<Int>>(op, a);
    } else {
        run_dense<OrderedSum<Int>>(op, a);
    }
}

template <class Int>
void execute(const Conv& op, const ExactArgs& a) noexcept {
    if (op.accum.overflow == Overflow::wrap) {
        run_conv<WrappingSum<Int>>(op, a);
    } else {
        run_conv<OrderedSum<Int>>(op, a);
    }
}

template <class Int>
void execute(const Dot& op, const ExactArgs& a) noexcept {
    OrderedSum<Int> sum(0, a.type(0).fraction() + a.type(1).fraction(), op.accum);
    const std::size_t n = n_elements(a.shape());
    for (std::size_t i = 0; i < n; ++i) {
        sum.add(widen<Int>(a.inputs[0][i], a.type(0)), widen<Int>(a.inputs[1][i], a.type(1)));
    }
    a.output[0] = convert(widen<Int>(sum.stored(), op.accum), op.accum.fraction(), a.layer.result);
}

template <class Int>
void execute(const SumOfSquares& op, const ExactArgs& a) noexcept {
    OrderedSum<Int> sum(0, 2 * a.type().fraction(), op.accum);
    const std::size_t n = n_elements(a.shape());
    for (std::size_t i = 0; i < n; ++i) {
        const Int x = widen<Int>(a.inputs[0][i], a.type());
        sum.add(x, x);
    }
    a.output[0] = convert(widen<Int>(sum.stored(), op.accum), op.accum.fraction(), a.layer.result);
}

template <class Int>
void execute(const Sum& op, const ExactArgs& a) noexcept {
    const std::size_t n = n_elements(a.shape());
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const Exact<Int> y = add(Exact<Int>{widen<Int>(sum, op.accum), op.accum.fraction()},
                                 Exact<Int>{widen<Int>(a.inputs[0][i], a.type()), a.type().fraction()});
        sum = convert(y.v, y.fraction, op.accum);
    }
    a.output[0] = convert(widen<Int>(sum, op.accum), op.accum.fraction(), a.layer.result);
}

RHEINFALL_INSTANTIATE(Dense);
RHEINFALL_INSTANTIATE(Conv);
RHEINFALL_INSTANTIATE(Dot);
RHEINFALL_INSTANTIATE(SumOfSquares);
RHEINFALL_INSTANTIATE(Sum);

}  // namespace rheinfall::quantized
