#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.hpp"
#include "quantized/ir.hpp"

namespace rheinfall::quantized {

using rheinfall::detail::Json;
using rheinfall::detail::JsonError;
using rheinfall::detail::parse_json;
using rheinfall::detail::shorten;

/// Elements of a tensor or a value at most: bounds memory before it is taken.
inline constexpr std::int64_t max_elements = std::int64_t{1} << 24;

/// Elements of a shape, or -1 beyond max_elements.
[[nodiscard]] std::int64_t count_elements(const Shape& shape) noexcept;
/// "[2, 3]".
std::string to_text(const Shape& shape);

/// One object of a document, read key by key. Every error names where the object stands, the field and what was
/// expected; `finish` refuses keys that nobody asked for. Large lists are moved out, not copied.
class Fields {
public:
    /// @p where: file and layer, for messages. Refuses what is no object.
    Fields(Json& json, std::string where);

    [[noreturn]] void fail(std::string_view field, const std::string& reason) const;
    void check(bool holds, std::string_view field, const std::string& reason) const {
        if (!holds) fail(field, reason);
    }

    [[nodiscard]] bool has(std::string_view key) const noexcept;
    Json& get(std::string_view key);  ///< refuses a missing key

    std::string text(std::string_view key);
    bool boolean(std::string_view key, bool otherwise);
    std::int64_t integer(std::string_view key, std::int64_t low, std::int64_t high);
    double number(std::string_view key);
    /// One number, or a list of them.
    std::vector<double> numbers(std::string_view key);
    std::vector<std::int64_t> integers(std::string_view key);
    /// As many integers as @p n, each within limits; without the key, @p n times @p otherwise.
    std::vector<int> small_integers(std::string_view key, std::size_t n, int low, int high, int otherwise);
    Shape shape(std::string_view key, std::size_t min_rank = 1);
    FixedType type(std::string_view key);
    Tensor tensor(std::string_view key);
    Tensor single(std::string_view key);  ///< a tensor of one value
    Fields object(std::string_view key);

    void finish() const;
    [[nodiscard]] const std::string& where() const noexcept { return where_; }

private:
    Json::Object* object_;
    std::string where_;
    std::uint64_t used_ = 0;  // bit i: key i was asked for; an object has 64 keys at most
};

}  // namespace rheinfall::quantized
