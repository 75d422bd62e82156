#include <algorithm>
#include <bit>
#include <variant>

#include "quantized/detail/fixed_point.hpp"
#include "quantized/exact_operations.hpp"
#include "quantized/range_prover.hpp"

/// The proof of each operation but the sums: intervals in, intervals out, element by element where it pays.
namespace rheinfall::quantized {
namespace {

Interval at(const Tensor& tensor, std::size_t i) noexcept {
    const auto v = static_cast<Int128>(cyclic<Int128>(tensor, i));
    return {v, v};
}

Bounds constant(const Tensor& tensor, std::size_t i = 0) noexcept {
    return {at(tensor, i), tensor.type.fraction()};
}

Bounds all_of(const Tensor& tensor) noexcept {
    const auto [lo, hi] = std::ranges::minmax(tensor.data);
    return {{lo, hi}, tensor.type.fraction()};
}

Bounds negative(const Bounds& x) noexcept {
    return {{-x.x.hi, -x.x.lo}, x.fraction};
}

constexpr Bounds one{{1, 1}, 0};

}  // namespace

LayerRange LayerProver::prove() {
    for (std::size_t i = 0; i < layer_.inputs.size(); ++i) bits_.note(x(i).all);
    std::visit(*this, layer_.operation);
    range_.work_bits = bits_.bits();
    return std::move(range_);
}

std::size_t LayerProver::n_outputs() const noexcept {
    return n_elements(layer_.shape);
}

Interval LayerProver::finish(const Bounds& exact) {
    bits_.note(exact.x);
    if (!has_unconverted_) {
        has_unconverted_ = true;
        unconverted_fraction_ = exact.fraction;
        range_.unconverted = exact.x;
    } else if (exact.fraction == unconverted_fraction_) {
        range_.unconverted = hull(range_.unconverted, exact.x);
    }
    const Conversion conversion = convert_interval(exact, layer_.result);
    range_.result_rounds |= conversion.rounds;
    range_.result_overflows |= conversion.overflows;
    return conversion.result;
}

void LayerProver::operator()(const Constant& op) {
    store_converted(op.value.data.size(), [&](std::size_t i) { return Choice{constant(op.value, i)}; });
}

void LayerProver::operator()(const Quantize& /*op*/) {
    store_each(1, [](const Bounds& b, std::size_t) { return Choice{b}; });
}

void LayerProver::operator()(const Reshape& /*op*/) {
    // What holds for one element of the old last axis need not for one of the new.
    const std::size_t size = x().elements.size();
    const bool moves = size != 1 && shape().back() != layer_.shape.back();
    store_converted(moves ? n_outputs() : size, [&](std::size_t i) { return Choice{bounds(i)}; });
}

void LayerProver::operator()(const Transpose& op) {
    if (x().elements.size() == 1) return (*this)(Quantize{});
    const Shape& in = shape();
    store_converted(n_outputs(), [&](std::size_t i) {
        std::size_t rest = i;
        std::size_t from = 0;
        for (std::size_t axis = in.size(); axis-- > 0;) {
            const auto extent = static_cast<std::size_t>(layer_.shape[axis]);
            std::size_t stride = 1;
            for (std::size_t k = static_cast<std::size_t>(op.perm[axis]) + 1; k < in.size(); ++k) {
                stride *= static_cast<std::size_t>(in[k]);
            }
            from += rest % extent * stride;
            rest /= extent;
        }
        return Choice{bounds(from)};
    });
}

void LayerProver::operator()(const Concatenate& op) {
    const std::size_t row = n_elements(Extents(layer_.shape).subspan(static_cast<std::size_t>(op.axis)));
    store_converted(n_outputs(), [&](std::size_t i) {
        std::size_t column = i % row;
        for (std::size_t input = 0;; ++input) {
            const std::size_t part = n_elements(Extents(shape(input)).subspan(static_cast<std::size_t>(op.axis)));
            if (column < part) return Choice{bounds(i / row * part + column, input)};
            column -= part;
        }
    });
}

void LayerProver::operator()(const Gather& op) {
    store_converted(n_outputs(), [&](std::size_t i) {
        if (op.index[i] < 0) return Choice{{{0, 0}, type().fraction()}};
        return Choice{bounds(static_cast<std::size_t>(op.index[i]))};
    });
}

void LayerProver::operator()(const Affine& op) {
    store_each(std::max(op.scale.data.size(), op.bias.data.size()), [&](const Bounds& b, std::size_t i) {
        return Choice{bits_.add(bits_.multiply(b, constant(op.scale, i)), constant(op.bias, i))};
    });
}

void LayerProver::operator()(const Relu& op) {
    if (op.maximum) bits_.note({0, *op.maximum});
    store_each(1, [&](Bounds b, std::size_t) {
        const Int128 limit = op.maximum ? Int128{*op.maximum} : b.x.hi;
        b.x = {std::min(std::max<Int128>(b.x.lo, 0), std::max<Int128>(limit, 0)),
               std::min(std::max<Int128>(b.x.hi, 0), std::max<Int128>(limit, 0))};
        return Choice{b};
    });
}

void LayerProver::operator()(const LeakyRelu& op) {
    store_each(op.alpha.data.size(), [&](Bounds b, std::size_t i) {
        Bounds below = b;
        below.x = {std::min<Int128>(b.x.lo, 0), std::min<Int128>(b.x.hi, 0)};
        const bool may_be_below = b.x.lo <= 0;
        const bool may_be_above = b.x.hi > 0;
        b.x.lo = std::max<Int128>(b.x.lo, 1);
        if (!may_be_below) return Choice{b};
        const Bounds scaled = bits_.multiply(below, constant(op.alpha, i));
        return may_be_above ? Choice{scaled, true, b} : Choice{scaled};
    });
}

void LayerProver::operator()(const ThresholdedRelu& op) {
    store_each(1, [&](Bounds b, std::size_t) {
        bits_.compare(b, constant(op.theta));
        b.x = hull(b.x, {});
        return Choice{b};
    });
}

void LayerProver::operator()(const HardSigmoid& op) {
    store_each(1, [&](const Bounds& b, std::size_t) {
        const Bounds y = bits_.add(bits_.multiply(b, constant(op.slope)), constant(op.shift));
        bits_.compare(y, one);
        const int fraction = std::max(y.fraction, 0);
        const Int128 unit = bits_.align({1, 1}, 0, fraction).hi;
        Interval clamped = bits_.align(y.x, y.fraction, fraction);
        clamped = {std::clamp<Int128>(clamped.lo, 0, unit), std::clamp<Int128>(clamped.hi, 0, unit)};
        if (!op.is_tanh) return Choice{{clamped, fraction}};
        bits_.note({-unit, 2 * unit});
        return Choice{{{2 * clamped.lo - unit, 2 * clamped.hi - unit}, fraction}};
    });
}

void LayerProver::operator()(const Argmax& /*op*/) {
    store_converted(1, [](std::size_t) { return Choice{{{0, 1}, 0}}; });
}

void LayerProver::operator()(const Binary& op) {
    const std::size_t n_x = x(0).elements.size();
    const std::size_t n_y = x(1).elements.size();
    const std::size_t longer = std::max(n_x, n_y);
    const std::size_t size = longer % std::min(n_x, n_y) == 0 ? longer : n_outputs();
    store_converted(size, [&](std::size_t i) {
        const Bounds a = bounds(i, 0);
        const Bounds b = bounds(i, 1);
        switch (op.kind) {
            case BinaryKind::add: return Choice{bits_.add(a, b)};
            case BinaryKind::subtract: bits_.note(negative(b).x); return Choice{bits_.add(a, negative(b))};
            case BinaryKind::multiply: return Choice{bits_.multiply(a, b)};
            case BinaryKind::average: {
                const Bounds sum = bits_.add(a, b);
                return Choice{{sum.x, sum.fraction + 1}};
            }
            case BinaryKind::maximum:
            case BinaryKind::minimum: break;
        }
        bits_.compare(a, b);
        if (a.fraction != b.fraction) return Choice{a, true, b};
        const bool is_max = op.kind == BinaryKind::maximum;
        const auto pick = [&](Int128 u, Int128 v) { return is_max ? std::max(u, v) : std::min(u, v); };
        return Choice{{{pick(a.x.lo, b.x.lo), pick(a.x.hi, b.x.hi)}, a.fraction}};
    });
}

void LayerProver::operator()(const Shift& op) {
    FixedType wrapped = type();
    wrapped.overflow = Overflow::wrap;
    store_each(op.shift.size(), [&](const Bounds& b, std::size_t i) {
        const int k = op.shift[i % op.shift.size()];
        if (k > 0) return Choice{{{detail::shift_right(b.x.lo, k), detail::shift_right(b.x.hi, k)}, b.fraction}};
        return Choice{{convert_interval({b.x, b.fraction + k}, wrapped).result, b.fraction}};
    });
}

void LayerProver::operator()(const Rescale& op) {
    FixedType overflow = layer_.result;
    if (op.minimum || op.maximum) overflow.overflow = Overflow::sat;
    const int grid = layer_.result.fraction();
    const std::size_t n = std::max({op.multiplier.size(), op.addend.size(), op.divisor.size()});
    store(std::max(x().elements.size(), n), [&](std::size_t i) {
        const auto factor = [&](const std::vector<std::int64_t>& list) {
            const Int128 v = list[i % list.size()];
            return Interval{v, v};
        };
        const Interval v = bits_.add(bits_.multiply(bounds(i).x, factor(op.multiplier)), factor(op.addend));
        const Int128 d = bits_.note(factor(op.divisor)).lo;
        const auto floor = [&](Int128 q) { return q / d - (q % d < 0 ? 1 : 0); };
        Interval y = bits_.note({floor(v.lo), floor(v.hi) + (d == 1 ? 0 : 1)});
        range_.result_rounds |= d != 1;
        if (op.minimum) y = {std::max<Int128>(y.lo, *op.minimum), std::max<Int128>(y.hi, *op.minimum)};
        if (op.maximum) y = {std::min<Int128>(y.lo, *op.maximum), std::min<Int128>(y.hi, *op.maximum)};
        range_.unconverted = has_unconverted_ ? hull(range_.unconverted, y) : y;
        has_unconverted_ = true;
        const Conversion conversion = convert_interval({y, grid}, overflow);
        range_.result_overflows |= conversion.overflows;
        return conversion.result;
    });
}

void LayerProver::operator()(const Threshold& op) {
    bits_.compare({x().all, type().fraction()}, all_of(op.thresholds));
    const auto values = std::ranges::minmax(op.values);
    range_.unconverted = {values.min, values.max};
    store(1, [&](std::size_t) { return range_.unconverted; });
}

void LayerProver::operator()(const Table& op) {
    Bounds y = all_of(op.table);
    if (op.table_multiply) y = bits_.multiply(y, constant(*op.table_multiply));
    if (!op.index.by_bits) {
        const Interval factor{op.index.multiply, op.index.multiply};
        bits_.add(bits_.multiply(x().all, factor), {op.index.offset, op.index.offset});
        bits_.note({-1, static_cast<Int128>(op.table.data.size())});
    }
    if (op.bypass == TableBypass::none) return store_converted(1, [&](std::size_t) { return Choice{y}; });
    store_each(1, [&](Bounds b, std::size_t) {
        if (b.x.hi < 0) return Choice{y};
        b.x.lo = std::max<Int128>(b.x.lo, 0);
        return Choice{y, true, bits_.multiply(b, constant(*op.bypass_multiply))};
    });
}

}  // namespace rheinfall::quantized
