#include "quantized/type_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "core/json.hpp"

namespace rheinfall::quantized {
namespace {

constexpr std::array<std::string_view, 9> rounding_names = {"TRN",     "TRN_ZERO", "RND",  "RND_ZERO", "RND_MIN_INF",
                                                            "RND_INF", "RND_CONV", "CEIL", "UP"};
constexpr std::array<std::string_view, 4> overflow_names = {"WRAP", "SAT", "SAT_ZERO", "SAT_SYM"};

template <std::size_t n>
int find_name(const std::array<std::string_view, n>& names, std::string_view name) noexcept {
    const auto found = std::ranges::find(names, name);
    return found == names.end() ? -1 : static_cast<int>(found - names.begin());
}

[[noreturn]] void fail(std::string_view text, const std::string& reason) {
    throw std::invalid_argument("'" + rheinfall::detail::shorten(text) + "': " + reason);
}

int read_number(std::string_view text, std::string_view digits, int low, int high, const char* what) {
    int value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc{} || end != digits.data() + digits.size() || value < low || value > high) {
        fail(text, std::string(what) + ": expected " + std::to_string(low) + " to " + std::to_string(high));
    }
    return value;
}

template <std::size_t n>
int read_mode(std::string_view text, std::string_view mode, const std::array<std::string_view, n>& names,
              std::size_t n_names, const char* what) {
    if (mode.starts_with("AP_")) mode.remove_prefix(3);
    const int found = find_name(names, mode);
    if (found >= 0 && static_cast<std::size_t>(found) < n_names) return found;
    if (mode == "WRAP_SM") fail(text, "the overflow WRAP_SM (sign-magnitude wrap) is not supported");
    std::string known;
    for (std::size_t i = 0; i < n_names; ++i) known += (i == 0 ? "" : ", ") + std::string(names[i]);
    fail(text, std::string(what) + ": expected one of " + known);
}

std::vector<std::string_view> split(std::string_view text) {
    std::vector<std::string_view> parts;
    for (;;) {
        const std::size_t comma = text.find(',');
        parts.push_back(text.substr(0, comma));
        if (comma == std::string_view::npos || parts.size() > 5) return parts;
        text.remove_prefix(comma + 1);
    }
}

struct Family {
    std::string_view prefix;
    bool is_signed;
    bool is_fixed;
};
constexpr std::array<Family, 4> families = {
    {{"ap_fixed<", true, true}, {"ap_ufixed<", false, true}, {"ap_int<", true, false}, {"ap_uint<", false, false}}};

}  // namespace

FixedType parse_type(std::string_view text) {
    std::string packed;
    if (text.size() <= 128) std::ranges::copy_if(text, std::back_inserter(packed), [](char c) { return c != ' '; });
    const std::string_view all = packed;
    const auto* family = std::ranges::find_if(families, [&](const Family& f) { return all.starts_with(f.prefix); });
    if (family == families.end() || !all.ends_with('>')) {
        fail(text, "expected a type: ap_fixed<W,I>, ap_ufixed<W,I>, ap_int<W> or ap_uint<W>");
    }
    const auto parts = split(all.substr(family->prefix.size(), all.size() - family->prefix.size() - 1));
    const std::size_t n_numbers = family->is_fixed ? 2 : 1;
    if (parts.size() < n_numbers || parts.size() > n_numbers + 3) {
        fail(text, "expected " + std::string(family->is_fixed ? "W,I" : "W") + ", then at most rounding, overflow, 0");
    }
    FixedType type;
    type.is_signed = family->is_signed;
    type.width = read_number(text, parts[0], 1, 64, "width W in bits");
    type.integer = type.width;
    if (family->is_fixed) type.integer = read_number(text, parts[1], -128, 192, "bits I before the binary point");
    if (parts.size() > n_numbers) {
        type.rounding = static_cast<Rounding>(read_mode(text, parts[n_numbers], rounding_names, 7, "rounding"));
    }
    if (parts.size() > n_numbers + 1) {
        type.overflow = static_cast<Overflow>(read_mode(text, parts[n_numbers + 1], overflow_names, 4, "overflow"));
    }
    if (parts.size() > n_numbers + 2 && parts[n_numbers + 2] != "0") {
        fail(text, "saturated bits other than 0 are not supported");
    }
    return type;
}

std::string to_text(const FixedType& type) {
    std::ostringstream text;
    text << (type.is_signed ? "ap_" : "ap_u");
    if (type.width == type.integer) {
        text << "int<" << type.width;
    } else {
        text << "fixed<" << type.width << ',' << type.integer;
    }
    if (type.rounding != Rounding::trn || type.overflow != Overflow::wrap) {
        text << ',' << rounding_names[static_cast<std::size_t>(type.rounding)] << ','
             << overflow_names[static_cast<std::size_t>(type.overflow)];
    }
    text << '>';
    return text.str();
}

std::optional<int> parse_rounding(std::string_view name) noexcept {
    const int found = find_name(rounding_names, name);
    return found < 0 ? std::nullopt : std::optional<int>(found);
}

}  // namespace rheinfall::quantized
