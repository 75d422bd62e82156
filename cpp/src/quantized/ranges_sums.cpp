#include <algorithm>
#include <bit>

#include "quantized/detail/fixed_point.hpp"
#include "quantized/exact_operations.hpp"
#include "quantized/range_prover.hpp"

/// The proof of dense, conv, pool, dot, sum_of_squares, sum and softmax.
namespace rheinfall::quantized {
namespace {

/// The start of an accumulator: the converted bias, or 0.
Interval start(const std::optional<Tensor>& bias, std::size_t o, const FixedType& accum) noexcept {
    if (!bias) return {};
    const std::int64_t v = detail::convert(Int128{bias->data[o]}, bias->type.fraction(), accum);
    const Int128 wide = detail::widen<Int128>(v, accum);
    return {wide, wide};
}

Bounds scale(BitCount& bits, const Interval& x, std::int64_t w, int fraction) {
    return {bits.multiply(x, {w, w}), fraction};
}

Interval square(BitCount& bits, const Interval& x) {
    const Interval all = bits.multiply(x, x);
    const bool through_zero = x.lo <= 0 && x.hi >= 0;
    return {through_zero ? Int128{0} : std::min(x.lo * x.lo, x.hi * x.hi), all.hi};
}

int trailing_zeros(std::int64_t w) noexcept {
    return std::countr_zero(static_cast<std::uint64_t>(w));
}

}  // namespace

std::vector<Interval> LayerProver::channel_hulls() const {
    const std::vector<Interval>& all = x().elements;
    const auto n_channels = static_cast<std::size_t>(shape().back());
    if (all.size() <= n_channels) return all;
    std::vector<Interval> hulls(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(n_channels));
    for (std::size_t i = n_channels; i < all.size(); ++i) hulls[i % n_channels] = hull(hulls[i % n_channels], all[i]);
    return hulls;
}

void LayerProver::operator()(const Dense& op) {
    const auto n_in = static_cast<std::size_t>(op.weight.shape[0]);
    const auto n_out = static_cast<std::size_t>(op.weight.shape[1]);
    const std::vector<Interval> in = channel_hulls();
    const int fraction = type().fraction() + op.weight.type.fraction();
    store_sums(n_out, op.accum, [&](std::size_t o) {
        SumProver sum(*range_.accumulator, bits_, start(op.bias, o, op.accum));
        for (std::size_t i = 0; i < n_in; ++i) {
            const std::int64_t w = op.weight.data[i * n_out + o];
            if (w != 0) sum.add(scale(bits_, in[i % in.size()], w, fraction), trailing_zeros(w));
        }
        return sum.finish();
    });
}

void LayerProver::operator()(const Conv& op) {
    const Shape& kernel = op.weight.shape;
    const auto n_out = static_cast<std::size_t>(kernel[3]);
    const auto depth = static_cast<std::size_t>(kernel[2]);
    const std::vector<Interval> in = channel_hulls();
    const bool is_padded = std::ranges::any_of(op.padding, [](int pixels) { return pixels != 0; });
    const int fraction = type().fraction() + op.weight.type.fraction();
    store_sums(n_out, op.accum, [&](std::size_t o) {
        SumProver sum(*range_.accumulator, bits_, start(op.bias, o, op.accum));
        const std::size_t first = o / (n_out / static_cast<std::size_t>(op.groups)) * depth;
        for (std::size_t k = 0; k < op.weight.data.size() / n_out; ++k) {
            const std::int64_t w = op.weight.data[k * n_out + o];
            Interval x = in[(first + k % depth) % in.size()];
            if (is_padded) x = hull(x, {});
            if (w != 0) sum.add(scale(bits_, x, w, fraction), trailing_zeros(w));
        }
        return sum.finish();
    });
}

void LayerProver::operator()(const Pool& op) {
    const std::vector<Interval> in = channel_hulls();
    const int fraction = type().fraction();
    if (op.kind == PoolKind::max) {
        store_converted(in.size(), [&](std::size_t c) {
            const Conversion x = convert_interval({in[c], fraction}, op.accum);
            bits_.compare({in[c], fraction}, {x.result, op.accum.fraction()});
            return Choice{{x.result, op.accum.fraction()}};
        });
        return;
    }
    const std::int64_t n_pixels = std::int64_t{op.kernel[0]} * op.kernel[1];
    const bool is_padded = std::ranges::any_of(op.padding, [](int pixels) { return pixels != 0; });
    bits_.note({0, n_pixels});
    store_sums(in.size(), op.accum, [&](std::size_t c) {
        SumProver sum(*range_.accumulator, bits_, {});
        sum.add_before_conversion({in[c], fraction}, n_pixels);
        sum.finish();
        const Interval pixel = convert_interval({in[c], fraction}, op.accum).result;
        const AccumulatorRange& found = *range_.accumulator;
        // A mean lies among its pixels, unless the sum was not exact; pixels of the padding count as 0.
        if (found.products_round || found.products_overflow || found.sums_overflow) return converted_range(op.accum);
        return is_padded && op.count_padding ? hull(pixel, {}) : pixel;
    });
}

void LayerProver::operator()(const Dot& op) {
    const std::size_t n = n_elements(shape());
    store_sums(1, op.accum, [&](std::size_t) {
        SumProver sum(*range_.accumulator, bits_, {});
        for (std::size_t i = 0; i < n; ++i) sum.add(bits_.multiply(bounds(i, 0), bounds(i, 1)));
        return sum.finish();
    });
}

void LayerProver::operator()(const SumOfSquares& op) {
    const std::size_t n = n_elements(shape());
    store_sums(1, op.accum, [&](std::size_t) {
        SumProver sum(*range_.accumulator, bits_, {});
        for (std::size_t i = 0; i < n; ++i) sum.add({square(bits_, bounds(i).x), 2 * type().fraction()});
        return sum.finish();
    });
}

void LayerProver::operator()(const Sum& op) {
    const std::size_t n = n_elements(shape());
    store_sums(1, op.accum, [&](std::size_t) {
        SumProver sum(*range_.accumulator, bits_, {});
        for (std::size_t i = 0; i < n; ++i) sum.add_before_conversion(bounds(i), 1);
        return sum.finish();
    });
}

void LayerProver::operator()(const Softmax& op) {
    const auto bounds_of = [](const Tensor& table) {
        const auto [lo, hi] = std::ranges::minmax(table.data);
        return Bounds{{lo, hi}, table.type.fraction()};
    };
    const Bounds exponentials = bounds_of(op.exp_table);
    const Bounds inverses = bounds_of(op.inv_table);
    const Interval difference = bits_.add(x().all, {-x().all.hi, -x().all.lo});
    const bool is_legacy = op.kind == SoftmaxKind::legacy;
    range_.accumulator.emplace().type = op.accum;
    SumProver sum(*range_.accumulator, bits_, {});
    sum.add(exponentials, 0, op.axis_size);
    if (is_legacy) sum.add({{1, 1}, 0}, 0, op.axis_size);
    const Interval total = sum.finish();
    if (!is_legacy) {
        const Interval e = convert_interval(exponentials, op.accum).result;
        const Bounds product = bits_.multiply(Bounds{e, op.accum.fraction()}, inverses);
        return store_converted(1, [&](std::size_t) { return Choice{product}; });
    }
    const auto note_index = [&](const Interval& x, int fraction, const Tensor& table) {
        const auto n = static_cast<Int128>(table.data.size());
        bits_.add(bits_.multiply(bits_.align(x, std::min(fraction, 0), 0), {n, n}), {0, n});
    };
    note_index(difference, type().fraction() + 4, op.exp_table);
    note_index(total, op.accum.fraction() + 6, op.inv_table);
    store_converted(1, [&](std::size_t) { return Choice{inverses}; });
}

}  // namespace rheinfall::quantized
