#pragma once

#include <cstdint>

namespace rheinfall::quantized {

/// What happens to fraction bits that the target type lacks: the seven modes of ap_fixed, by their names.
enum class Rounding : std::uint8_t { trn, trn_zero, rnd, rnd_zero, rnd_min_inf, rnd_inf, rnd_conv };

/// What happens to values outside the target type's range: the four modes of ap_fixed, by their names.
enum class Overflow : std::uint8_t { wrap, sat, sat_zero, sat_sym };

/// An integer of `width` bits (1 to 64) with a binary point: a stored q means q / 2^fraction(). The modes say how a
/// value is converted *to* this type; they are no property of the values stored.
struct FixedType {
    int width = 16;
    int integer = 16;  ///< bits before the binary point, the sign included; may be negative or above width
    bool is_signed = true;
    Rounding rounding = Rounding::trn;
    Overflow overflow = Overflow::wrap;

    [[nodiscard]] constexpr int fraction() const noexcept { return width - integer; }
    friend constexpr bool operator==(const FixedType&, const FixedType&) = default;
};

}  // namespace rheinfall::quantized
