#pragma once

#include <cstddef>
#include <cstdint>

#include "quantized/detail/fixed_point.hpp"
#include "quantized/ir.hpp"

/// The arithmetic of the operations as docs/quantized_format.md words it, number by number: the same functions for the
/// exact executor and for CUDA. Int has the bits that the proof of ranges found.
namespace rheinfall::quantized::detail {

/// v with more fraction bits: @p to >= @p from. The proof of ranges has checked that it fits; what needs a shift by all
/// bits and fits is 0.
template <class Int>
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr Int align(Int v, int from, int to) noexcept {
    const int shift = to - from;
    return shift >= 0 && shift < bits_of<Int> ? v << shift : Int{0};
}

/// A number of fraction bits with its integer: what an operation yields before its conversion.
template <class Int>
struct Exact {
    Int v;
    int fraction;
};

template <class Int>
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr Exact<Int> add(Exact<Int> x, Exact<Int> y) noexcept {
    const int f = x.fraction > y.fraction ? x.fraction : y.fraction;
    return {align(x.v, x.fraction, f) + align(y.v, y.fraction, f), f};
}

template <class Int>
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr Exact<Int> multiply(Exact<Int> x, Exact<Int> y) noexcept {
    return {x.v * y.v, x.fraction + y.fraction};
}

template <class Int>
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr bool greater(Exact<Int> x, Exact<Int> y) noexcept {
    const int f = x.fraction > y.fraction ? x.fraction : y.fraction;
    return align(x.v, x.fraction, f) > align(y.v, y.fraction, f);
}

template <class Int>
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr Exact<Int> combine(BinaryKind kind, Exact<Int> x, Exact<Int> y) noexcept {
    switch (kind) {
        case BinaryKind::add: return add(x, y);
        case BinaryKind::subtract: return add(x, Exact<Int>{-y.v, y.fraction});
        case BinaryKind::multiply: return multiply(x, y);
        case BinaryKind::maximum: return greater(x, y) ? x : y;
        case BinaryKind::minimum: return greater(y, x) ? x : y;
        case BinaryKind::average: {
            const Exact<Int> sum = add(x, y);
            return {sum.v, sum.fraction + 1};
        }
    }
    return x;
}

/// min(max(2·[x·slope + shift to 0 ... 1] - 1)), or without the doubling.
template <class Int>
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr Exact<Int> hard_sigmoid(Exact<Int> x, Exact<Int> slope, Exact<Int> shift,
                                                                      bool is_tanh) noexcept {
    const Exact<Int> one{1, 0};
    Exact<Int> y = add(multiply(x, slope), shift);
    if (y.v < 0) y = {0, 0};
    if (greater(y, one)) y = one;
    return is_tanh ? add(Exact<Int>{y.v * 2, y.fraction}, Exact<Int>{-1, 0}) : y;
}

/// x / 2^k in its own type: an exact left shift wraps.
template <class Int>
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr Int shift_in_type(Int x, int k, FixedType type) noexcept {
    type.overflow = Overflow::wrap;
    return widen<Int>(k > 0 ? fit(shift_right(x, k), 0, type) : fit(x, -k, type), type);
}

/// a = (a + v) → accum, both in accum's grid, a as stored.
template <class Int>
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr std::int64_t accumulate(std::int64_t a, std::int64_t stored,
                                                                      const FixedType& accum) noexcept {
    const Int sum = widen<Int>(a, accum) + widen<Int>(stored, accum);
    return convert(sum, accum.fraction(), accum);
}

/// a = a + (x·w → accum) → accum, as the format says it.
template <class Integer>
class OrderedSum {
public:
    using Int = Integer;
    RHEINFALL_HOST_DEVICE constexpr OrderedSum(std::int64_t first, int fraction, const FixedType& accum) noexcept
        : sum_(first), fraction_(fraction), accum_(accum) {}
    RHEINFALL_HOST_DEVICE constexpr void add(Int x, Int w) noexcept {
        sum_ = accumulate<Int>(sum_, convert(x * w, fraction_, accum_), accum_);
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE constexpr std::int64_t stored() const noexcept { return sum_; }

private:
    std::int64_t sum_;
    int fraction_;
    FixedType accum_;
};

/// The same where the accumulator wraps: arithmetic modulo 2^W, so that only the rounding of each product is left to do
/// in the loop, and one wrap at the end.
template <class Integer>
class WrappingSum {
public:
    using Int = Integer;
    RHEINFALL_HOST_DEVICE constexpr WrappingSum(std::int64_t first, int fraction, const FixedType& accum) noexcept
        : sum_(static_cast<std::uint64_t>(first)), shift_(fraction - accum.fraction()), accum_(accum) {}
    RHEINFALL_HOST_DEVICE constexpr void add(Int x, Int w) noexcept {
        const Int product = x * w;
        if (shift_ > 0) {
            sum_ += static_cast<std::uint64_t>(round_shift(product, shift_, accum_.rounding));
        } else if (shift_ > -64) {
            sum_ += static_cast<std::uint64_t>(product) << -shift_;
        }
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE constexpr std::int64_t stored() const noexcept { return wrap(sum_, accum_); }

private:
    std::uint64_t sum_;
    int shift_;
    FixedType accum_;
};

/// numerator / divisor (> 0) rounded to an integer.
template <class Int>
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr Int divide(Int numerator, Int divisor,
                                                         RationalRounding rounding) noexcept {
    Int floor = numerator / divisor;
    Int rest = numerator % divisor;
    if (rest < 0) {
        --floor;
        rest += divisor;
    }
    const Int other = divisor - rest;  // compared with rest instead of doubling it: the divisor may take all bits
    const bool above = rest > other;
    const bool tie = rest == other;
    bool up = false;
    switch (rounding) {
        case RationalRounding::trn: break;
        case RationalRounding::trn_zero: up = numerator < 0 && rest != 0; break;
        case RationalRounding::rnd: up = above || tie; break;
        case RationalRounding::rnd_zero: up = above || (tie && numerator < 0); break;
        case RationalRounding::rnd_min_inf: up = above; break;
        case RationalRounding::rnd_inf: up = above || (tie && numerator >= 0); break;
        case RationalRounding::rnd_conv: up = above || (tie && (floor & 1) != 0); break;
        case RationalRounding::ceil: up = rest != 0; break;
        case RationalRounding::up: up = rest != 0 && numerator >= 0; break;
    }
    return up ? floor + 1 : floor;
}

/// v·multiply / 2^shift towards zero; v·multiply is an intermediate that the proof of ranges knows.
template <class Int>
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr Int scale_towards_zero(Int v, Int multiply, int shift) noexcept {
    const Int product = v * multiply;
    const Int floor = shift_right(product, shift);
    return product < 0 && align(floor, 0, shift) != product ? floor + 1 : floor;
}

template <class Int>
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr std::size_t clamp_index(Int index, std::size_t n) noexcept {
    const Int last = static_cast<Int>(n) - 1;
    return static_cast<std::size_t>(index < 0 ? Int{0} : index > last ? last : index);
}

/// The top @p bits of a stored value's W, as an unsigned number.
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr std::size_t top_bits(std::int64_t stored, const FixedType& type,
                                                                   int bits) noexcept {
    const std::uint64_t pattern = static_cast<std::uint64_t>(stored) & (~std::uint64_t{0} >> (64 - type.width));
    // NOLINTNEXTLINE(clang-analyzer-core.BitwiseShift): at most W bits, as the reader made sure
    return static_cast<std::size_t>(pattern >> (type.width - bits));
}

/// clamp(trunc(x·n / 2^span) + offset) into a table of n values, x with @p fraction fraction bits.
template <class Int>
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr std::size_t real_index(Int x, int fraction, std::size_t n, int span,
                                                                     std::size_t offset) noexcept {
    const int shift = fraction + span;
    const Int aligned = shift < 0 ? align(x, shift, 0) : x;
    const Int index = scale_towards_zero(aligned, static_cast<Int>(n), shift < 0 ? 0 : shift);
    return clamp_index(index + static_cast<Int>(offset), n);
}

/// Pixels under a window along one axis of an image, the end excluded, without what lies in the padding.
struct WindowSpan {
    std::int64_t begin;
    std::int64_t end;

    RHEINFALL_HOST_DEVICE static constexpr WindowSpan inside(std::int64_t position, int stride, int kernel, int padding,
                                                             std::int64_t extent) noexcept {
        const std::int64_t begin = position * stride - padding;
        const std::int64_t end = begin + kernel;
        return {begin < 0 ? 0 : begin, end > extent ? extent : end};
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE constexpr std::int64_t size() const noexcept { return end - begin; }
};

}  // namespace rheinfall::quantized::detail
