#pragma once

#include <exception>

#include "quantized/ranges.hpp"

/// Arithmetic on intervals of integers, each bound exact; used by the proof of ranges.
namespace rheinfall::quantized {

/// An interval with its number of fraction bits.
struct Bounds {
    Interval x;
    int fraction = 0;
};

/// The operation's intermediates: how many bits they take. Every interval that the executor computes in its working
/// integer passes through here.
class BitCount {
public:
    /// Thrown where an intermediate may take more than 127 bits; the prover adds the layer's name.
    struct TooWide : std::exception {};

    Interval note(Interval x);
    [[nodiscard]] int bits() const noexcept { return bits_; }

    Interval add(const Interval& x, const Interval& y);
    Interval multiply(const Interval& x, const Interval& y);
    Interval align(const Interval& x, int from, int to);
    Bounds add(const Bounds& x, const Bounds& y);
    Bounds multiply(const Bounds& x, const Bounds& y);
    /// Notes both as they are compared: with equal fraction bits.
    void compare(const Bounds& x, const Bounds& y);

private:
    int bits_ = 1;
};

/// x·y, or ±2^126 where that is smaller in magnitude. (Not __builtin_mul_overflow: clang calls a function for 128 bits
/// that libgcc lacks.)
[[nodiscard]] Int128 multiply_clamped(Int128 x, Int128 y) noexcept;

[[nodiscard]] Interval hull(const Interval& x, const Interval& y) noexcept;
[[nodiscard]] Interval type_range(const FixedType& type) noexcept;
/// The same without the lowest value of a signed SAT_SYM (of two bits or more), which a conversion never gives.
[[nodiscard]] Interval converted_range(const FixedType& type) noexcept;
[[nodiscard]] inline bool contains(const Interval& outer, const Interval& inner) noexcept {
    return outer.lo <= inner.lo && inner.hi <= outer.hi;
}

struct Conversion {
    Interval result;
    bool rounds = false;
    bool overflows = false;
};

/// What converting any value of @p bounds to a type can give. @p zeros: low bits that are zero in every value.
[[nodiscard]] Conversion convert_interval(const Bounds& bounds, const FixedType& type, int zeros = 0) noexcept;

}  // namespace rheinfall::quantized
