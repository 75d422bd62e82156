#include "quantized/ranges.hpp"

#include <algorithm>
#include <string>
#include <variant>

#include "quantized/range_prover.hpp"
#include "rheinfall/quantized/model.hpp"

namespace rheinfall::quantized {
namespace {

constexpr Int128 huge = Int128{1} << 126;

Int128 add_up(Int128 a, Int128 b) noexcept {
    Int128 sum = 0;
    if (__builtin_add_overflow(a, b, &sum)) return b < 0 ? -huge : huge;
    return std::clamp(sum, -huge, huge);
}

void extend(Interval& sums, const Interval& x, std::int64_t n) noexcept {
    sums.lo = add_up(sums.lo, multiply_clamped(std::min<Int128>(x.lo, 0), n));
    sums.hi = add_up(sums.hi, multiply_clamped(std::max<Int128>(x.hi, 0), n));
}

}  // namespace

void SumProver::add(const Bounds& product, int zeros, std::int64_t n) {
    bits_.note(product.x);
    extend(products_, product.x, n);
    range_.products = hull(range_.products, products_);
    const Conversion conversion = convert_interval(product, range_.type, zeros);
    range_.products_round |= conversion.rounds;
    range_.products_overflow |= conversion.overflows;
    add_converted(conversion.result, n);
}

void SumProver::add_before_conversion(const Bounds& summand, std::int64_t n) {
    const FixedType& accum = range_.type;
    extend(products_, summand.x, n);
    range_.products = hull(range_.products, products_);
    const int fraction = std::max(summand.fraction, accum.fraction());
    bits_.add(bits_.align(converted_range(accum), accum.fraction(), fraction),
              bits_.align(summand.x, summand.fraction, fraction));
    FixedType unbounded = accum;  // rounding alone
    unbounded.overflow = Overflow::sat;
    const Conversion conversion = convert_interval(summand, unbounded);
    Interval x = conversion.result;
    if (conversion.rounds) {
        range_.products_round = true;
        // These add an integer before or after to the same effect; the others look at the sum's sign or last bit.
        const bool shifts_alike = accum.rounding == Rounding::trn || accum.rounding == Rounding::rnd ||
                                  accum.rounding == Rounding::rnd_min_inf;
        if (!shifts_alike) {
            range_.order_matters = true;
            x = {x.lo - 1, x.hi + 1};
        }
    }
    range_.products_overflow |= conversion.overflows;
    if (conversion.overflows) x = {-huge, huge};
    add_converted(x, n);
}

void SumProver::add_converted(const Interval& x, std::int64_t n) noexcept {
    extend(sums_, x, n);
    total_ = {add_up(total_.lo, multiply_clamped(x.lo, n)), add_up(total_.hi, multiply_clamped(x.hi, n))};
    largest_summand_ = hull(largest_summand_, x);
}

Interval SumProver::finish() {
    range_.sums = hull(range_.sums, sums_);
    const FixedType& accum = range_.type;
    const Interval possible = converted_range(accum);
    if (contains(possible, sums_)) {
        bits_.note(sums_);
        return total_;
    }
    range_.sums_overflow = true;
    bits_.note(possible);
    bits_.note({add_up(possible.lo, std::max(largest_summand_.lo, -huge / 2)),
                add_up(possible.hi, std::min(largest_summand_.hi, huge / 2))});
    if (accum.overflow == Overflow::wrap) return convert_interval({total_, accum.fraction()}, accum).result;
    range_.order_matters = true;
    return possible;
}

Ranges prove_ranges(const Graph& graph, std::string_view file) {
    Ranges ranges;
    for (const Input& input : graph.inputs) {
        const Interval x = converted_range(input.type);
        ranges.inputs.push_back({{x}, x});
    }
    ranges.layers.reserve(graph.layers.size());
    std::size_t budget = max_all_intervals;
    for (const Layer& layer : graph.layers) {
        try {
            ranges.layers.push_back(LayerProver(graph, ranges, layer, budget).prove());
        } catch (const BitCount::TooWide&) {
            throw ModelError(std::string(file.empty() ? "document" : file) + ": layer '" + layer.name +
                             "': an intermediate value may take more than 127 bits");
        }
        const std::size_t used = ranges.layers.back().result.elements.size();
        budget -= std::min(used, budget);
    }
    return ranges;
}

}  // namespace rheinfall::quantized
