#include "quantized/exact_operations.hpp"

/// dense, conv, dot, sum_of_squares, sum: additions in order, each with its conversions.
namespace rheinfall::quantized {
namespace {

using detail::convert;
using detail::widen;

/// The accumulator before the first product.
std::int64_t start(const std::optional<Tensor>& bias, std::size_t o, const FixedType& accum) noexcept {
    return bias ? convert(bias->data[o], bias->type.fraction(), accum) : 0;
}

/// a = a + (x·w → accum) → accum.
template <class Int>
std::int64_t add_product(std::int64_t a, Int x, Int w, int fraction, const FixedType& accum) noexcept {
    return accumulate<Int>(a, convert(x * w, fraction, accum), accum);
}

/// All output channels at one position of the kernel.
template <class Int>
struct Patch {
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
        const int fraction = type.fraction() + op.weight.type.fraction();
        std::int64_t sum = start(op.bias, o, op.accum);
        std::size_t w = o;  // of weight[kr][kc][c][o]
        for (std::int64_t kr = 0; kr < kernel[0]; ++kr) {
            const std::int64_t y = row * op.strides[0] + kr * op.dilations[0] - op.padding[0];
            for (std::int64_t kc = 0; kc < kernel[1]; ++kc) {
                const std::int64_t x = column * op.strides[1] + kc * op.dilations[1] - op.padding[2];
                const bool inside = y >= 0 && y < height && x >= 0 && x < width;
                const auto pixel = inside ? static_cast<std::size_t>((y * width + x) * in.back()) : 0;
                for (std::size_t c = 0; c < depth; ++c, w += n_out) {
                    // Adding a product of 0 changes nothing: a sum is always a result of a conversion to its own type.
                    if (!inside) continue;
                    const Int value = widen<Int>(a.inputs[0][pixel + group * depth + c], type);
                    sum = add_product(sum, value, static_cast<Int>(op.weight.data[w]), fraction, op.accum);
                }
            }
        }
        return sum;
    }
};

template <class Int, class Summand>
void sum_up(const ExactArgs& a, const FixedType& accum, Summand summand) noexcept {
    const std::size_t n = n_elements(a.shape());
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum = summand(sum, widen<Int>(a.inputs[0][i], a.type()), i);
    a.output[0] = convert(widen<Int>(sum, accum), accum.fraction(), a.layer.result);
}

}  // namespace

template <class Int>
void execute(const Dense& op, const ExactArgs& a) noexcept {
    const auto n_in = static_cast<std::size_t>(op.weight.shape[0]);
    const auto n_out = static_cast<std::size_t>(op.weight.shape[1]);
    const FixedType& type = a.type();
    const int fraction = type.fraction() + op.weight.type.fraction();
    const std::size_t n_rows = n_elements(a.shape()) / n_in;
    for (std::size_t row = 0; row < n_rows; ++row) {
        const std::int64_t* x = a.inputs[0] + row * n_in;
        for (std::size_t o = 0; o < n_out; ++o) {
            std::int64_t sum = start(op.bias, o, op.accum);
            for (std::size_t k = 0; k < n_in; ++k) {
                const std::size_t i = op.order.empty() ? k : static_cast<std::size_t>(op.order[k]);
                const Int w = static_cast<Int>(op.weight.data[i * n_out + o]);
                sum = add_product(sum, widen<Int>(x[i], type), w, fraction, op.accum);
            }
            a.output[row * n_out + o] = convert(widen<Int>(sum, op.accum), op.accum.fraction(), a.layer.result);
        }
    }
}

template <class Int>
void execute(const Conv& op, const ExactArgs& a) noexcept {
    const Shape& out = a.layer.shape;
    const std::int64_t n_rows = out.size() == 3 ? out[0] : 1;
    const std::int64_t n_columns = out[out.size() - 2];
    for (std::int64_t row = 0; row < n_rows; ++row) {
        for (std::int64_t column = 0; column < n_columns; ++column) {
            Patch<Int>{op, a}.run(row, column, a.output + (row * n_columns + column) * out.back());
        }
    }
}

template <class Int>
void execute(const Dot& op, const ExactArgs& a) noexcept {
    const int fraction = a.type(0).fraction() + a.type(1).fraction();
    sum_up<Int>(a, op.accum, [&](std::int64_t sum, Int x, std::size_t i) {
        return add_product(sum, x, widen<Int>(a.inputs[1][i], a.type(1)), fraction, op.accum);
    });
}

template <class Int>
void execute(const SumOfSquares& op, const ExactArgs& a) noexcept {
    sum_up<Int>(a, op.accum, [&](std::int64_t sum, Int x, std::size_t) {
        return add_product(sum, x, x, 2 * a.type().fraction(), op.accum);
    });
}

template <class Int>
void execute(const Sum& op, const ExactArgs& a) noexcept {
    sum_up<Int>(a, op.accum, [&](std::int64_t sum, Int x, std::size_t) {
        const Exact<Int> y =
            add(Exact<Int>{widen<Int>(sum, op.accum), op.accum.fraction()}, Exact<Int>{x, a.type().fraction()});
        return convert(y.v, y.fraction, op.accum);
    });
}

RHEINFALL_INSTANTIATE(Dense);
RHEINFALL_INSTANTIATE(Conv);
RHEINFALL_INSTANTIATE(Dot);
RHEINFALL_INSTANTIATE(SumOfSquares);
RHEINFALL_INSTANTIATE(Sum);

}  // namespace rheinfall::quantized
