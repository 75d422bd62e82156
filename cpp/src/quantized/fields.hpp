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
using rheinfall::detail::quoted;
using rheinfall::detail::shorten;

/// Elements of a tensor or a value at most: bounds memory before it is taken.
inline constexpr std::int64_t max_elements = std::int64_t{1} << 24;

/// Elements of a shape, or -1 beyond max_elements.
[[nodiscard]] std::int64_t count_elements(const Shape& shape) noexcept;
/// "[2, 3]".
std::string to_text(const Shape& shape);

/// Where an object stands in a document, spelled out only for an error: nothing here owns its text.
struct Where {
    explicit Where(std::string_view in_file) : file(in_file) {}
    Where(std::string_view in_file, std::string_view in_list, std::size_t at)
        : file(in_file), list(in_list), position(at) {}
    static Where layer_of(std::string_view file, std::string_view layer, std::string_view op) {
        Where where(file, {}, 0);
        where.layer = layer;
        where.op = op;
        return where;
    }

    std::string_view file;
    std::string_view list;  ///< "inputs" and the like, with the position in it; empty for the document itself
    std::size_t position = 0;
    std::string_view layer;  ///< instead of list and position, where the name is known
    std::string_view op;
    std::string_view field;  ///< of the object above, that holds this one

    [[nodiscard]] std::string text() const;
};

/// One object of a document, read key by key. Every error names where the object stands, the field and what was
/// expected; `finish` refuses keys that nobody asked for. Large lists are moved out, not copied.
class Fields {
public:
    /// Refuses what is no object.
    Fields(Json& json, Where where);

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

private:
    Json::Object* object_;
    Where where_;
    std::uint64_t used_ = 0;  // bit i: key i was asked for; an object has 64 keys at most
};

}  // namespace rheinfall::quantized
