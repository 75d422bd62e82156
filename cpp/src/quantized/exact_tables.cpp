#include <algorithm>
#include <bit>

#include "quantized/exact_operations.hpp"

/// threshold, table, softmax.
namespace rheinfall::quantized {
namespace {

using detail::clamp_index;
using detail::convert;
using detail::greater;
using detail::real_index;
using detail::scale_towards_zero;
using detail::top_bits;
using detail::widen;

/// The entry of a table of 2^b values under the top b bits.
template <class Int>
Exact<Int> look_up(const Tensor& table, std::int64_t stored, const FixedType& type) noexcept {
    const int bits = std::countr_zero(table.data.size());
    return {static_cast<Int>(table.data[top_bits(stored, type, bits)]), table.type.fraction()};
}

/// Sum of e[0..n) that splits at the largest power of two below n; each addition → accum.
template <class Int>
// NOLINTNEXTLINE(misc-no-recursion): as deep as the logarithm of n
std::int64_t tree_sum(const std::int64_t* e, std::size_t n, const FixedType& accum) noexcept {
    if (n == 1) return e[0];
    const std::size_t split = std::bit_floor(n - 1);
    return accumulate<Int>(tree_sum<Int>(e, split, accum), tree_sum<Int>(e + split, n - split, accum), accum);
}

/// softmax_latency and softmax_stable of one slice; the latter reads the exponentials of (largest - x) → norm.
template <class Int>
void run_softmax(const Softmax& op, const ExactArgs& a, const std::int64_t* x, std::int64_t* out) noexcept {
    const auto n = static_cast<std::size_t>(op.axis_size);
    const FixedType& type = a.type();
    Int largest = widen<Int>(x[0], type);
    for (std::size_t i = 1; i < n; ++i) largest = std::max(largest, widen<Int>(x[i], type));
    std::int64_t* e = a.scratch;
    for (std::size_t i = 0; i < n; ++i) {
        Exact<Int> entry{};
        if (op.kind == SoftmaxKind::latency) {
            entry = look_up<Int>(op.exp_table, x[i], type);
        } else {
            const std::int64_t d = convert(largest - widen<Int>(x[i], type), type.fraction(), op.norm);
            entry = look_up<Int>(op.exp_table, d, op.norm);
        }
        e[i] = convert(entry.v, entry.fraction, op.accum);
    }
    const std::int64_t sum = tree_sum<Int>(e, n, op.accum);
    const std::int64_t s = convert(widen<Int>(sum, op.accum), op.accum.fraction(), op.inv_input);
    const Exact<Int> inverse = look_up<Int>(op.inv_table, s, op.inv_input);
    for (std::size_t i = 0; i < n; ++i) {
        const Int product = widen<Int>(e[i], op.accum) * inverse.v;
        out[i] = convert(product, op.accum.fraction() + inverse.fraction, a.layer.result);
    }
}

template <class Int>
void run_legacy_softmax(const Softmax& op, const ExactArgs& a, const std::int64_t* x, std::int64_t* out) noexcept {
    const auto n = static_cast<std::size_t>(op.axis_size);
    const std::size_t n_exp = op.exp_table.data.size();
    const std::size_t n_inv = op.inv_table.data.size();
    const FixedType& type = a.type();
    for (std::size_t i = 0; i < n; ++i) {
        std::int64_t sum = 0;
        for (std::size_t j = 0; j < n; ++j) {
            const Int difference = widen<Int>(x[j], type) - widen<Int>(x[i], type);
            const std::size_t index = real_index(difference, type.fraction(), n_exp, 4, n_exp / 2);
            const std::int64_t e =
                j == i ? convert(Int{1}, 0, op.accum)
                       : convert(static_cast<Int>(op.exp_table.data[index]), op.exp_table.type.fraction(), op.accum);
            sum = accumulate<Int>(sum, e, op.accum);
        }
        const std::size_t index = real_index(widen<Int>(sum, op.accum), op.accum.fraction(), n_inv, 6, 0);
        out[i] = convert(static_cast<Int>(op.inv_table.data[index]), op.inv_table.type.fraction(), a.layer.result);
    }
}

}  // namespace

template <class Int>
void execute(const Threshold& op, const ExactArgs& a) noexcept {
    const std::size_t n = n_elements(a.layer.shape);
    const auto k = static_cast<std::size_t>(op.thresholds.shape[1]);
    const std::size_t n_rows = op.thresholds.data.size() / k;
    const int fraction = op.thresholds.type.fraction();
    for (std::size_t i = 0; i < n; ++i) {
        const Exact<Int> x{widen<Int>(a.inputs[0][i], a.type()), a.type().fraction()};
        const auto row = op.thresholds.data.begin() + static_cast<std::ptrdiff_t>(i % n_rows * k);
        const auto reached = std::partition_point(row, row + static_cast<std::ptrdiff_t>(k), [&](std::int64_t t) {
            return !greater(Exact<Int>{static_cast<Int>(t), fraction}, x);
        });
        a.output[i] = op.values[static_cast<std::size_t>(reached - row)];
    }
}

template <class Int>
void execute(const Table& op, const ExactArgs& a) noexcept {
    const std::size_t n = op.table.data.size();
    const auto single = [](const Tensor& tensor) {
        return Exact<Int>{static_cast<Int>(tensor.data[0]), tensor.type.fraction()};
    };
    for_each_element<Int>(a, [&](Exact<Int> x, std::size_t i) {
        const bool bypass =
            op.bypass == TableBypass::nonnegative ? x.v >= 0 : op.bypass == TableBypass::positive && x.v > 0;
        if (bypass) {
            const Exact<Int> factor = single(*op.bypass_multiply);
            return Exact<Int>{x.v * factor.v, x.fraction + factor.fraction};
        }
        const std::size_t index =
            op.index.by_bits
                ? top_bits(a.inputs[0][i], a.type(), op.index.bits)
                : clamp_index(scale_towards_zero(x.v, static_cast<Int>(op.index.multiply), op.index.shift) +
                                  static_cast<Int>(op.index.offset),
                              n);
        const Exact<Int> y{static_cast<Int>(op.table.data[index]), op.table.type.fraction()};
        if (!op.table_multiply) return y;
        const Exact<Int> factor = single(*op.table_multiply);
        return Exact<Int>{y.v * factor.v, y.fraction + factor.fraction};
    });
}

template <class Int>
void execute(const Softmax& op, const ExactArgs& a) noexcept {
    const auto n = static_cast<std::size_t>(op.axis_size);
    const std::size_t size = n_elements(a.shape());
    for (std::size_t slice = 0; slice < size; slice += n) {
        if (op.kind == SoftmaxKind::legacy) {
            run_legacy_softmax<Int>(op, a, a.inputs[0] + slice, a.output + slice);
        } else {
            run_softmax<Int>(op, a, a.inputs[0] + slice, a.output + slice);
        }
    }
}

RHEINFALL_INSTANTIATE(Threshold);
RHEINFALL_INSTANTIATE(Table);
RHEINFALL_INSTANTIATE(Softmax);

}  // namespace rheinfall::quantized
