#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <rheinfall/core/status.hpp>
#include <type_traits>

#include "quantized/detail/fixed_point.hpp"
#include "quantized/forest_model.hpp"

/// Inputs of any element type in the forest's input type, and scores in any element type.
namespace rheinfall::quantized {

/// A finite double as a stored value: its significand is an integer, so the conversion is exact.
[[nodiscard]] inline std::int64_t convert_real(double x, const FixedType& type) noexcept {
    int exponent = 0;
    const double significand = std::frexp(x, &exponent);  // x = significand · 2^exponent, |significand| in [0.5, 1)
    const auto integer = static_cast<std::int64_t>(std::ldexp(significand, 53));
    return detail::convert(integer, 53 - exponent, type);
}

/// One input for a fixed type: the stored value.
template <class E>
[[nodiscard]] std::int64_t to_stored(E x, const FixedType& type, Status& status) noexcept {
    if constexpr (std::is_floating_point_v<E>) {
        if (!std::isfinite(x)) {
            status = worst(status, Status::not_finite);
            return 0;
        }
        return convert_real(static_cast<double>(x), type);
    } else {
        const Int128 wide{x};  // NOLINT(bugprone-signed-char-misuse): an int8 is a number
        const std::int64_t stored = detail::convert(wide, type.fraction(), type);
        if (detail::widen<Int128>(stored, type) != wide) status = worst(status, Status::out_of_range);
        return stored;
    }
}

/// One input for a float type, as the double that holds it.
template <class E>
[[nodiscard]] double to_real(E x, NumberType::Kind kind) noexcept {
    // Rounded once: an int64 goes to float32 without a stop at double.
    return kind == NumberType::Kind::float32 ? static_cast<double>(static_cast<float>(x)) : static_cast<double>(x);
}

/// Calls `body(E{})` with the C++ type of @p type.
template <class Body>
auto with_element_type(ElementType type, Body&& body) noexcept {
    switch (type) {
        case ElementType::int8: return body(std::int8_t{});
        case ElementType::int16: return body(std::int16_t{});
        case ElementType::int32: return body(std::int32_t{});
        case ElementType::int64: return body(std::int64_t{});
        case ElementType::uint8: return body(std::uint8_t{});
        case ElementType::uint16: return body(std::uint16_t{});
        case ElementType::uint32: return body(std::uint32_t{});
        case ElementType::uint64: return body(std::uint64_t{});
        case ElementType::float32: return body(float{});
        case ElementType::float64: break;
    }
    return body(double{});
}

}  // namespace rheinfall::quantized
