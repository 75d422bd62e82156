#pragma once

#include <cstddef>
#include <cstdint>

#include "quantized/ir.hpp"
#include "rheinfall/core/status.hpp"
#include "rheinfall/quantized/model.hpp"

/// Where a network meets its caller's arrays: integers in and out as stored, real values by the binary point or by a
/// scale. Nothing here allocates or throws.
namespace rheinfall::quantized {

/// x, finite, as a stored value of a type: exact, whatever its magnitude.
[[nodiscard]] std::int64_t convert_real(double x, const FixedType& type) noexcept;

/// Elements [first, first + n) of an array as stored values of an input, of which they are elements 0 ... n - 1.
/// Returns ok, not_finite (which counts as 0) or out_of_range (an integer; the type's overflow is applied).
Status read_input(const Input& input, ConstArray in, std::size_t first, std::size_t n, std::int64_t* stored) noexcept;

/// The stored values of an output as elements [first, first + n) of an array whose type fits.
void write_output(const FixedType& type, const Output& output, std::size_t n_channels, const std::int64_t* stored,
                  std::size_t n, MutableArray out, std::size_t first) noexcept;

/// True if integers of this element type hold every value of @p type; floats hold all (rounded, where they are short).
[[nodiscard]] bool holds(ElementType element, const FixedType& type) noexcept;

}  // namespace rheinfall::quantized
