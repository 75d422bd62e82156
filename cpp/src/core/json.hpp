#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace rheinfall::detail {

/// The text is no JSON, or larger than any document of ours: the reason, and where.
class JsonError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// A value of a JSON text. Lists of integers, which make up nearly all of a model, take 8 bytes an element.
class Json {
public:
    using Integers = std::vector<std::int64_t>;
    using Array = std::vector<Json>;  ///< any list but one of integers alone; an empty list is one of integers
    using Object = std::vector<std::pair<std::string, Json>>;  ///< in the order of the text, keys unique
    struct Null {};

    Json() = default;
    template <class T>
    explicit Json(T value) : value_(std::move(value)) {}

    /// The value if it is of that type, else nullptr. Integers beyond 64 bits are doubles.
    template <class T>
    [[nodiscard]] const T* as() const noexcept {
        return std::get_if<T>(&value_);
    }
    template <class T>
    [[nodiscard]] T* as() noexcept {
        return std::get_if<T>(&value_);
    }

    /// What it is, for messages: "a list", "the text 'abc'", "the number 1.5".
    [[nodiscard]] std::string describe() const;

private:
    std::variant<Null, bool, std::int64_t, double, std::string, Integers, Array, Object> value_;
};

/// How large a text may be made of; each bound is checked before memory is taken for it.
struct JsonLimits {
    std::size_t depth = 16;
    std::size_t values = 1U << 21U;                ///< all but integers in lists of integers
    std::size_t integers = std::size_t{1} << 27U;  ///< in lists of integers
    std::size_t keys = 64;                         ///< of one object
};

/// @p text for a message: at most about @p n bytes, no UTF-8 sequence cut in two.
std::string shorten(std::string_view text, std::size_t n = 64);
/// The same between ' and '.
std::string quoted(std::string_view text);

/// Reads one JSON value, nothing after it; throws JsonError.
Json parse_json(std::string_view text, const JsonLimits& limits = {});

}  // namespace rheinfall::detail
