#pragma once

#include <cstddef>
#include <cstdint>

#include "rheinfall/quantized/fixed_point.hpp"

namespace rheinfall::quantized {

/// Converts @p n real values to stored ones by vectors, exactly as `convert_real` does one by one. False, and nothing
/// is promised about @p stored, where a value is not finite or so large, or the type such, that it takes the general
/// way: the caller then starts again.
[[nodiscard]] bool read_floats(const float* from, std::size_t n, const FixedType& type, std::int64_t* stored) noexcept;
[[nodiscard]] bool read_floats(const double* from, std::size_t n, const FixedType& type, std::int64_t* stored) noexcept;

}  // namespace rheinfall::quantized
