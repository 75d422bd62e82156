#include <algorithm>
#include <bit>
#include <limits>

#include "quantized/detail/fixed_point.hpp"
#include "quantized/plan_chain.hpp"

/// Requantization in 32-bit lanes: floor((v·m + n) / 2^k) of a multiplier and an addend for each element, and the
/// number of thresholds that a value has reached.
namespace rheinfall::quantized {
namespace {

constexpr Int128 lane_min = std::numeric_limits<std::int32_t>::min();
constexpr Int128 lane_max = std::numeric_limits<std::int32_t>::max();

constexpr bool in_lane(const Interval& x) noexcept {
    return x.lo >= lane_min && x.hi <= lane_max;
}

std::int64_t at(const std::vector<std::int64_t>& values, std::size_t i) noexcept {
    return values[i % values.size()];
}

/// The products x·m, x in [range.lo, range.hi].
Interval products(const Interval& range, std::int64_t m) noexcept {
    const Int128 a = range.lo * m;
    const Int128 b = range.hi * m;
    return {std::min(a, b), std::max(a, b)};
}

struct Bounds {
    Interval product;  ///< v·m
    Interval sum;      ///< v·m + n
    Int128 largest_multiplier = 0;
};

Bounds bounds(const Rescale& op, const Interval& range) {
    Bounds b{{0, 0}, {0, 0}, 0};
    for (std::size_t i = 0; i < std::max(op.multiplier.size(), op.addend.size()); ++i) {
        const std::int64_t m = at(op.multiplier, i);
        const Int128 n = at(op.addend, i);
        const Interval p = products(range, m);
        if (i == 0) b = {p, {p.lo + n, p.hi + n}, 0};
        b.product = {std::min(b.product.lo, p.lo), std::max(b.product.hi, p.hi)};
        b.sum = {std::min(b.sum.lo, p.lo + n), std::max(b.sum.hi, p.hi + n)};
        b.largest_multiplier = std::max(b.largest_multiplier, m < 0 ? -Int128{m} : Int128{m});
    }
    return b;
}

}  // namespace

/// v·m + n in one lane, then the shift.
void Chain::rescale_in_lane(const Rescale& op, int k) {
    Stage& s = open();
    s.flags = Stage::multiply_each | Stage::add_each;
    s.a = expand(op.multiplier);
    s.b = expand(op.addend);
    if (k > 0) s.flags |= Stage::right;
    s.shift = k;
}

/// With v = h·2^s + l and n = c·2^s + b, floor((v·m + n) / 2^k) is floor((h·m + c + floor((l·m + b) / 2^s)) / 2^(k-s)).
void Chain::rescale_in_halves(const Rescale& op, int k, int split) {
    const std::size_t padded = n_ + lane_padding;
    auto* addends = block_->take<std::int32_t>(2 * padded);
    const std::int64_t mask = (std::int64_t{1} << split) - 1;
    for (std::size_t i = 0; i < n_; ++i) {
        const std::int64_t n = at(op.addend, i);
        addends[i] = static_cast<std::int32_t>(n & mask);
        addends[padded + i] = static_cast<std::int32_t>(n >> split);
    }
    Stage& s = open();
    s.flags = stage_rescale;
    s.a = expand(op.multiplier);
    s.b = addends;
    s.hi = static_cast<std::int32_t>(padded);
    s.left_shift = split;
    s.shift = k - split;
}

bool Chain::add_rescale(const Rescale& op, const FixedType& from, const FixedType& result) {
    const auto divisor = static_cast<std::uint64_t>(op.divisor.front());
    const bool one_divisor =
        std::all_of(op.divisor.begin(), op.divisor.end(), [&](std::int64_t d) { return d == op.divisor.front(); });
    if (!one_divisor || !std::has_single_bit(divisor) || fraction_ != from.fraction()) return false;
    const int k = std::countr_zero(divisor);
    if (k > 0 && op.round != RationalRounding::trn) return false;
    const std::size_t count = std::max(op.multiplier.size(), op.addend.size());
    if (count > n_ || n_ % op.multiplier.size() != 0 || n_ % op.addend.size() != 0 || !in_lane(range_)) return false;
    const Bounds b = bounds(op, range_);
    if (in_lane(b.product) && in_lane(b.sum) && k <= 31) {
        rescale_in_lane(op, k);
    } else {
        int split = 1;
        const auto fits_split = [&](int s) {
            const Int128 unit = Int128{1} << s;
            const Interval high{detail::shift_right(b.sum.lo, s), detail::shift_right(b.sum.hi, s)};
            return b.largest_multiplier * unit + unit <= lane_max && k - s <= 31 && in_lane(high);
        };
        while (split < 30 && split < k && !fits_split(split)) ++split;
        if (split >= k || !fits_split(split)) return fail("a multiplier needs more than 32-bit lanes"), true;
        for (const std::int64_t n : op.addend)
            if (n >> split < lane_min || n >> split > lane_max) return fail("an addend needs more than 32 bits"), true;
        rescale_in_halves(op, k, split);
    }
    range_ = {detail::shift_right(b.sum.lo, k), detail::shift_right(b.sum.hi, k)};
    before_clamp_ = range_;
    clamp(op.minimum ? Int128{*op.minimum} : lane_min, op.maximum ? Int128{*op.maximum} : lane_max);
    fraction_ = result.fraction();
    if (range_.lo < detail::smallest(result) || range_.hi > detail::largest(result)) return false;
    return true;
}

bool Chain::add_threshold(const Threshold& op, const FixedType& result) {
    const auto k = static_cast<std::size_t>(op.thresholds.shape.back());
    const auto n_channels = static_cast<std::size_t>(op.thresholds.shape.front());
    if (k > 16 || fraction_ != op.thresholds.type.fraction() || n_ % n_channels != 0 || !in_lane(range_)) return false;
    const std::int64_t step = op.values.at(1) - op.values.at(0);
    for (std::size_t j = 1; j < op.values.size(); ++j)
        if (op.values[j] - op.values[j - 1] != step) return false;
    const auto [lowest, highest] = std::minmax(op.values.front(), op.values.back());
    if (lowest < lane_min / 2 || highest > lane_max / 2) return false;
    const std::size_t padded = n_ + lane_padding;
    auto* thresholds = block_->take<std::int32_t>(k * padded);
    for (std::size_t i = 0; i < n_; ++i)
        for (std::size_t j = 0; j < k; ++j) {
            const Int128 t = op.thresholds.data[i % n_channels * k + j];
            // One that all values have reached may lie at the lowest; one that none has, must lie above the range.
            if (t > lane_max) return fail("a threshold needs more than 32 bits"), true;
            thresholds[j * padded + i] = static_cast<std::int32_t>(std::max(t, lane_min));
        }
    Stage& s = open();
    s.flags = stage_count;
    s.a = thresholds;
    s.shift = static_cast<std::int32_t>(padded);
    s.left_shift = static_cast<std::int32_t>(k);
    s.lo = static_cast<std::int32_t>(op.values.front());
    s.hi = static_cast<std::int32_t>(step);
    range_ = {lowest, highest};
    before_clamp_ = range_;
    fraction_ = result.fraction();
    return true;
}

}  // namespace rheinfall::quantized
