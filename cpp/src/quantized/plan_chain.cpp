#include "quantized/plan_chain.hpp"

#include <algorithm>
#include <limits>

#include "quantized/detail/fixed_point.hpp"

namespace rheinfall::quantized {
namespace {

constexpr Int128 lane_min = std::numeric_limits<std::int32_t>::min();
constexpr Int128 lane_max = std::numeric_limits<std::int32_t>::max();

constexpr std::int32_t lane(Int128 x) noexcept {
    return static_cast<std::int32_t>(x);
}

/// round(v / 2^shift), as a type of that rounding would.
Int128 rounded(Int128 v, int shift, Rounding rounding) noexcept {
    return detail::round_shift(v, shift, rounding);
}

/// floor(v · 2^shift)
Int128 shifted(Int128 v, int shift) noexcept {
    return shift >= 0 ? v * (Int128{1} << shift) : detail::shift_right(v, -shift);
}

}  // namespace

bool Chain::fits(const Interval& x) {
    const bool ok = x.lo >= lane_min && x.hi <= lane_max;
    if (!ok) fail("a value needs more than 32 bits");
    return ok;
}

Stage& Chain::open() {
    before_clamp_ = range_;
    return stages_.emplace_back();
}

const std::int32_t* Chain::expand(const std::vector<std::int64_t>& values) {
    if (values.size() > n_ || (n_rows_ > 1 && n_ % values.size() != 0)) fail("parameters that differ from row to row");
    auto* p = block_->take<std::int32_t>(n_ + lane_padding);
    for (std::size_t i = 0; i < n_; ++i) {
        const std::int64_t x = values[i % values.size()];
        if (x < lane_min || x > lane_max) fail("a parameter needs more than 32 bits");
        p[i] = static_cast<std::int32_t>(x);
    }
    return p;
}

void Chain::shift_left(int n) {
    if (n == 0) return;
    if (n > 31) return fail("a shift by more than 31 bits");
    Stage& s = open();
    s.flags = Stage::left;
    s.left_shift = n;
    range_ = {shifted(range_.lo, n), shifted(range_.hi, n)};
    before_clamp_ = range_;
    fraction_ += n;
    fits(range_);
}

void Chain::lift(int n, const std::vector<std::int64_t>& bias) {
    Stage& s = open();
    s.flags = Stage::left | Stage::add_each;
    s.left_shift = n;
    std::vector<std::int64_t> low;
    low.reserve(bias.size());
    for (const std::int64_t b : bias) low.push_back(static_cast<std::int32_t>(static_cast<std::uint32_t>(b)));
    s.b = expand(low);
}

/// Merged into the stage before where that only shifted and clamped: floor(floor(v / A) + h) / B) is
/// floor((v + A·h) / (A·B)), and rounding is monotone, so that clamps move behind it.
void Chain::round_right(int shift, Rounding rounding) {
    if (shift > 31) return fail("a shift by more than 31 bits");
    int cut = 0;
    std::uint32_t clamped = 0;
    Int128 lo = 0;
    Int128 hi = 0;
    const Interval after{rounded(range_.lo, shift, rounding), rounded(range_.hi, shift, rounding)};
    if (!stages_.empty()) {
        const Stage last = stages_.back();
        const std::uint32_t moves = last.flags & ~Stage::clamps;
        const bool was_right = (moves & ~Stage::right) == 0 && last.shift + shift <= 31;
        const bool was_left = moves == Stage::left && last.left_shift < shift;
        if (was_right || was_left) {
            clamped = last.flags & Stage::clamps;
            lo = rounded(last.lo, shift, rounding);
            hi = rounded(last.hi, shift, rounding);
            stages_.pop_back();
        }
        if (was_right) cut = last.shift;
        if (was_left) {
            // Nothing is cut off before the net shift: the low bits of what was shifted are zero.
            shift -= last.left_shift;
            fraction_ -= last.left_shift;
            before_clamp_ = {shifted(before_clamp_.lo, -last.left_shift), shifted(before_clamp_.hi, -last.left_shift)};
        }
        if (!was_right && !was_left) before_clamp_ = range_;
    } else {
        before_clamp_ = range_;
    }
    Stage& s = stages_.emplace_back();
    const std::int64_t unit = std::int64_t{1} << cut;  // one of the grid that is rounded, in that of v
    const std::int64_t half = (std::int64_t{1} << (shift - 1)) * unit;
    std::int64_t c0 = 0;
    switch (rounding) {
        case Rounding::trn: break;
        case Rounding::trn_zero: s.c2 = lane(2 * Int128{half} - unit); break;
        case Rounding::rnd: c0 = half; break;
        case Rounding::rnd_min_inf: c0 = half - unit; break;
        case Rounding::rnd_zero:
            c0 = half - unit;
            s.c2 = lane(unit);
            break;
        case Rounding::rnd_inf:
            c0 = half;
            s.c2 = lane(-Int128{unit});
            break;
        case Rounding::rnd_conv:
            c0 = half;
            s.flags |= Stage::to_even;
            s.c1 = lane(2 * Int128{half} - unit);
            break;
    }
    s.c0 = lane(c0);
    if (c0 != 0) s.flags |= Stage::add;
    if (s.c2 != 0) s.flags |= Stage::add_sign;
    s.flags |= Stage::right | clamped;
    s.shift = cut + shift;
    s.lo = lane(lo);
    s.hi = lane(hi);
    // What is shifted is at most v + half + unit, with v in its own grid; the clamps did not act on it yet.
    const Int128 top = Int128{2} * half;
    fits({before_clamp_.lo * unit - top, (before_clamp_.hi + 1) * unit + top});
    before_clamp_ = {rounded(before_clamp_.lo, shift, rounding), rounded(before_clamp_.hi, shift, rounding)};
    range_ = after;
    fraction_ -= shift;
}

void Chain::clamp(Int128 lo, Int128 hi) {
    const bool below = range_.lo < lo;
    const bool above = range_.hi > hi;
    if (!below && !above) return;
    // Some are done alone, and two use the same fields.
    constexpr std::uint32_t others =
        stage_rescale | stage_count | stage_lookup | Stage::zero_outside | Stage::threshold;
    if (stages_.empty() || (stages_.back().flags & others) != 0) open();
    Stage& s = stages_.back();
    const Int128 old_lo = (s.flags & Stage::at_least) != 0 ? Int128{s.lo} : lane_min;
    const Int128 old_hi = (s.flags & Stage::at_most) != 0 ? Int128{s.hi} : lane_max;
    if (below) s.flags |= Stage::at_least;
    if (above) s.flags |= Stage::at_most;
    // Limits of a flag that is not set do no harm; those of one that is are clamped by the new ones.
    s.lo = lane(std::clamp(std::clamp(old_lo, lo, hi), lane_min, lane_max));
    s.hi = lane(std::clamp(std::clamp(old_hi, lo, hi), lane_min, lane_max));
    range_ = {std::clamp(range_.lo, lo, hi), std::clamp(range_.hi, lo, hi)};
}

void Chain::wrap(int width, bool is_signed, Interval result) {
    if (width > 32 || (width == 32 && !is_signed)) return fail("a value that wraps at more than 31 bits");
    if (width < 1) return fail("a value that wraps at less than one bit");
    if (width < 32) {
        const int spare = 32 - width;
        int cut = 0;
        if (!stages_.empty() && stages_.back().flags == Stage::right && stages_.back().shift <= spare) {
            cut = stages_.back().shift;
            stages_.pop_back();
        }
        Stage& s = stages_.emplace_back();
        s.flags = Stage::left | (is_signed ? Stage::right : Stage::right_logical);
        s.left_shift = spare - cut;
        s.shift = spare;
    } else if (!stages_.empty() && stages_.back().flags == Stage::left) {
        // The shift is the wrap: what it shifts out must not come back when shifts are merged.
        stages_.back().flags |= Stage::right;
    }
    range_ = result;
    before_clamp_ = range_;
}

void Chain::convert(const FixedType& type, bool overflows, Interval result) {
    const int shift = fraction_ - type.fraction();
    if (shift > 0) {
        round_right(shift, type.rounding);
    } else if (shift < 0 && overflows && type.overflow == Overflow::wrap && -shift < 32) {
        // Bits above the lane are lost to the wrap anyway.
        Stage& s = open();
        s.flags = Stage::left;
        s.left_shift = -shift;
        fraction_ -= shift;
    } else {
        shift_left(-shift);
    }
    if (!overflows) {
        range_ = {std::max(range_.lo, result.lo), std::min(range_.hi, result.hi)};
        return;
    }
    const Int128 max = detail::largest(type);
    const Int128 min = detail::smallest(type);
    switch (type.overflow) {
        case Overflow::wrap: return wrap(type.width, type.is_signed, result);
        case Overflow::sat: clamp(min, max); break;
        case Overflow::sat_sym: clamp(type.is_signed && type.width > 1 ? -max : min, max); break;
        case Overflow::sat_zero: {
            Stage& s = open();
            s.flags = Stage::zero_outside;
            s.lo = lane(std::max(min, lane_min));
            s.hi = lane(std::min(max, lane_max));
            range_ = result;
            before_clamp_ = range_;
            break;
        }
    }
    fits(range_);
}

void Chain::add_constants(const std::vector<std::int64_t>& values, Interval result) {
    if (std::all_of(values.begin(), values.end(), [](std::int64_t x) { return x == 0; })) return;
    Stage& s = open();
    s.flags = Stage::add_each;
    s.b = expand(values);
    range_ = result;
    before_clamp_ = range_;
    fits(range_);
}

void Chain::multiply(const Tensor& factors, bool leaky) {
    const auto [lo, hi] = std::minmax_element(factors.data.begin(), factors.data.end());
    const int fraction = factors.type.fraction();
    Interval next{range_.lo, range_.hi};
    bool first = true;
    for (const Int128 x : {range_.lo, range_.hi})
        for (const Int128 f : {Int128{*lo}, Int128{*hi}}) {
            next = first ? Interval{x * f, x * f} : Interval{std::min(next.lo, x * f), std::max(next.hi, x * f)};
            first = false;
        }
    Stage& s = open();
    s.flags = leaky ? Stage::leaky_each : Stage::multiply_each;
    s.a = expand(factors.data);
    if (leaky) {
        if (fraction < 0 || fraction > 30) return fail("a slope without fraction bits");
        s.left_shift = fraction;
        next = {std::min(next.lo, Int128{0}), std::max({next.hi, shifted(range_.hi, fraction), Int128{0}})};
    }
    range_ = next;
    before_clamp_ = range_;
    fraction_ += fraction;
    fits(range_);
}

void Chain::add_tensor(const Tensor& addends, int sign) {
    const int shift = fraction_ - addends.type.fraction();
    if (shift < 0) shift_left(-shift);
    std::vector<std::int64_t> values;
    values.reserve(addends.data.size());
    Interval next{0, 0};
    bool first = true;
    for (const std::int64_t x : addends.data) {
        const Int128 v = shifted(Int128{x} * sign, std::max(shift, 0));
        if (v < lane_min || v > lane_max) return fail("a parameter needs more than 32 bits");
        values.push_back(static_cast<std::int64_t>(v));
        next = first ? Interval{v, v} : Interval{std::min(next.lo, v), std::max(next.hi, v)};
        first = false;
    }
    add_constants(values, {range_.lo + next.lo, range_.hi + next.hi});
}

bool Chain::add_layer(const Layer& layer, const LayerRange& proof, const FixedType& from, const Tensor* constant,
                      bool constant_first) {
    const Operation& operation = layer.operation;
    const Int128 one = Int128{1} << 40;
    if (const auto* rescale = std::get_if<Rescale>(&operation)) return add_rescale(*rescale, from, layer.result);
    if (const auto* steps = std::get_if<Threshold>(&operation)) return add_threshold(*steps, layer.result);
    if (const auto* relu = std::get_if<Relu>(&operation)) {
        clamp(0, relu->maximum ? Int128{*relu->maximum} : one);
    } else if (const auto* leaky = std::get_if<LeakyRelu>(&operation)) {
        multiply(leaky->alpha, true);
    } else if (const auto* affine = std::get_if<Affine>(&operation)) {
        multiply(affine->scale, false);
        add_tensor(affine->bias, 1);
    } else if (const auto* cut = std::get_if<ThresholdedRelu>(&operation)) {
        const Int128 theta = shifted(cut->theta.data.at(0), fraction_ - cut->theta.type.fraction());
        Stage& s = open();
        s.flags = Stage::threshold;
        s.lo = lane(std::clamp(theta, lane_min, lane_max));
        range_ = {std::min(range_.lo, Int128{0}), std::max(range_.hi, Int128{0})};
        before_clamp_ = range_;
    } else if (const auto* hard = std::get_if<HardSigmoid>(&operation)) {
        multiply(hard->slope, false);
        add_tensor(hard->shift, 1);
        if (fraction_ < 0) shift_left(-fraction_);
        if (fraction_ > 29) return fail("a slope with too many fraction bits"), true;
        clamp(0, Int128{1} << fraction_);
        if (hard->is_tanh) {
            // 2y - 1, by one bit more and the addition of -1
            shift_left(1);
            --fraction_;
            const std::int64_t minus_one = -(std::int64_t{1} << fraction_);
            add_constants({minus_one}, {range_.lo + minus_one, range_.hi + minus_one});
        }
    } else if (const auto* shift = std::get_if<Shift>(&operation)) {
        std::vector<std::int64_t> left, right;
        for (const std::int32_t k : shift->shift) {
            const int spare = std::max(32 - from.width, 0);
            if (k < 0 && (from.width > 32 || -k + spare > 31 || !from.is_signed)) return fail("a left shift"), true;
            left.push_back(k < 0 ? -k + spare : 0);
            right.push_back(k < 0 ? spare : std::min(k, 31));
        }
        // Behind a wrap, that goes into the same pair of shifts; behind an addition, into the same stage.
        const auto after_wrap = !stages_.empty() ? stages_.back() : Stage{};
        if (after_wrap.flags == (Stage::left | Stage::right) && after_wrap.left_shift == after_wrap.shift &&
            after_wrap.shift == 32 - from.width) {
            stages_.pop_back();
            for (std::size_t i = 0; i < left.size(); ++i) {
                if (left[i] != 0) continue;  // wraps already
                left[i] = after_wrap.shift;
                right[i] = std::min<std::int64_t>(right[i] + after_wrap.shift, 31);
            }
        }
        const bool joins = !stages_.empty() && stages_.back().flags == Stage::add_each;
        Stage& s = joins ? stages_.back() : open();
        s.flags |= Stage::shift_each;
        s.a = expand(left);
        s.c = expand(right);
        range_ = proof.unconverted;
        before_clamp_ = range_;
        fits(range_);
    } else if (const auto* binary = std::get_if<Binary>(&operation); binary != nullptr && constant != nullptr) {
        switch (binary->kind) {
            case BinaryKind::add: add_tensor(*constant, 1); break;
            case BinaryKind::subtract:
                if (constant_first) {
                    multiply({FixedType{2, 2}, {1}, {-1}}, false);
                    add_tensor(*constant, 1);
                } else {
                    add_tensor(*constant, -1);
                }
                break;
            case BinaryKind::multiply: multiply(*constant, false); break;
            default: return false;
        }
    } else if (!std::holds_alternative<Quantize>(operation) && !std::holds_alternative<Reshape>(operation)) {
        return false;
    }
    convert(layer.result, proof.result_overflows, proof.result.all);
    return true;
}

}  // namespace rheinfall::quantized
