#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "rheinfall/quantized/fixed_point.hpp"

namespace rheinfall::quantized {

/// Reads "ap_fixed<16,6,RND,SAT>" and the like, AP_ before a mode and blanks allowed. Throws std::invalid_argument
/// with the reason.
FixedType parse_type(std::string_view text);

/// The type's name as documents write it, modes only where they are not TRN and WRAP.
std::string to_text(const FixedType& type);

/// A rounding of `rescale`, or nothing where the name is unknown: TRN, ..., RND_CONV are 0 to 6, CEIL 7, UP 8.
std::optional<int> parse_rounding(std::string_view name) noexcept;

}  // namespace rheinfall::quantized
