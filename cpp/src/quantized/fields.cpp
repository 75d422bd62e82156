#include "quantized/fields.hpp"

#include <cmath>
#include <stdexcept>

#include "quantized/detail/fixed_point.hpp"
#include "quantized/type_text.hpp"
#include "rheinfall/quantized/model.hpp"

namespace rheinfall::quantized {

std::int64_t count_elements(const Shape& shape) noexcept {
    std::int64_t n = 1;
    for (const std::int64_t extent : shape) {
        if (extent < 1 || extent > max_elements / n) return -1;
        n *= extent;
    }
    return n;
}

std::string to_text(const Shape& shape) {
    std::string text = "[";
    for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
    return text + "]";
}

std::string Where::text() const {
    std::string text(file);
    if (!layer.empty()) {
        text += ": layer '" + shorten(layer) + "' (" + shorten(op) + ")";
    } else if (!list.empty()) {
        text += ": " + std::string(list) + "[" + std::to_string(position) + "]";
    }
    if (!field.empty()) text += ": " + std::string(field);
    return text;
}

Fields::Fields(Json& json, Where where) : object_(json.as<Json::Object>()), where_(where) {
    if (object_ == nullptr) throw ModelError(where_.text() + ": expected an object, got " + json.describe());
}

void Fields::fail(std::string_view field, const std::string& reason) const {
    throw ModelError(where_.text() + ": " + shorten(field) + ": " + reason);
}

bool Fields::has(std::string_view key) const noexcept {
    for (const auto& [name, value] : *object_) {
        if (name == key) return true;
    }
    return false;
}

Json& Fields::get(std::string_view key) {
    for (std::size_t i = 0; i < object_->size(); ++i) {
        if ((*object_)[i].first != key) continue;
        used_ |= std::uint64_t{1} << i;
        return (*object_)[i].second;
    }
    fail(key, "missing");
}

void Fields::finish() const {
    for (std::size_t i = 0; i < object_->size(); ++i) {
        if ((used_ >> i & 1U) == 0) fail((*object_)[i].first, "unknown key");
    }
}

std::string Fields::text(std::string_view key) {
    Json& value = get(key);
    const auto* text = value.as<std::string>();
    if (text == nullptr) fail(key, "expected a text, got " + value.describe());
    return *text;
}

bool Fields::boolean(std::string_view key, bool otherwise) {
    if (!has(key)) return otherwise;
    Json& value = get(key);
    const auto* truth = value.as<bool>();
    if (truth == nullptr) fail(key, "expected true or false, got " + value.describe());
    return *truth;
}

std::int64_t Fields::integer(std::string_view key, std::int64_t low, std::int64_t high) {
    Json& value = get(key);
    const auto* i = value.as<std::int64_t>();
    if (i == nullptr || *i < low || *i > high) {
        fail(key, "expected an integer from " + std::to_string(low) + " to " + std::to_string(high) + ", got " +
                      value.describe());
    }
    return *i;
}

double Fields::number(std::string_view key) {
    Json& value = get(key);
    if (const auto* i = value.as<std::int64_t>()) return static_cast<double>(*i);
    const auto* x = value.as<double>();
    if (x == nullptr || !std::isfinite(*x)) fail(key, "expected a number, got " + value.describe());
    return *x;
}

std::vector<double> Fields::numbers(std::string_view key) {
    Json& value = get(key);
    std::vector<double> result;
    if (const auto* list = value.as<Json::Integers>()) {
        for (const std::int64_t i : *list) result.push_back(static_cast<double>(i));
        return result;
    }
    const auto* list = value.as<Json::Array>();
    if (list == nullptr) return {number(key)};
    for (const Json& element : *list) {
        const auto* i = element.as<std::int64_t>();
        const auto* x = element.as<double>();
        if (i == nullptr && x == nullptr) fail(key, "expected numbers, got " + element.describe());
        result.push_back(x != nullptr ? *x : static_cast<double>(*i));
    }
    return result;
}

std::vector<std::int64_t> Fields::integers(std::string_view key) {
    Json& value = get(key);
    auto* list = value.as<Json::Integers>();
    if (list == nullptr) {
        const auto* mixed = value.as<Json::Array>();
        if (mixed == nullptr) fail(key, "expected a list of integers, got " + value.describe());
        for (std::size_t i = 0; i < mixed->size(); ++i) {
            const Json& element = (*mixed)[i];
            if (element.as<std::int64_t>() == nullptr) {
                fail(std::string(key) + "[" + std::to_string(i) + "]",
                     "expected an integer below 2^63, got " + element.describe());
            }
        }
        fail(key, "expected a list of integers");
    }
    if (list->size() > static_cast<std::size_t>(max_elements)) fail(key, "expected at most 2^24 integers");
    return std::move(*list);
}

std::vector<int> Fields::small_integers(std::string_view key, std::size_t n, int low, int high, int otherwise) {
    if (!has(key)) return std::vector<int>(n, otherwise);
    const auto list = integers(key);
    if (list.size() != n) {
        fail(key, "expected " + std::to_string(n) + " integers, got " + std::to_string(list.size()));
    }
    std::vector<int> result;
    for (const std::int64_t i : list) {
        if (i < low || i > high) {
            fail(key, "expected integers from " + std::to_string(low) + " to " + std::to_string(high) + ", got " +
                          std::to_string(i));
        }
        result.push_back(static_cast<int>(i));
    }
    return result;
}

Shape Fields::shape(std::string_view key, std::size_t min_rank) {
    Shape shape = integers(key);
    if (shape.size() < min_rank || shape.size() > 8) {
        fail(key, "expected " + std::to_string(min_rank) + " to 8 dimensions, got " + std::to_string(shape.size()));
    }
    for (const std::int64_t extent : shape) {
        if (extent < 1) fail(key, "expected positive dimensions, got " + to_text(shape));
    }
    if (count_elements(shape) < 0) fail(key, "expected at most 2^24 elements, got " + to_text(shape));
    return shape;
}

FixedType Fields::type(std::string_view key) {
    try {
        return parse_type(text(key));
    } catch (const std::invalid_argument& error) {
        fail(key, error.what());
    }
}

Tensor Fields::tensor(std::string_view key) {
    Fields fields = object(key);
    Tensor tensor;
    tensor.type = fields.type("type");
    tensor.shape = fields.shape("shape", 0);
    tensor.data = fields.integers("data");
    fields.finish();
    const std::int64_t n = count_elements(tensor.shape);
    if (static_cast<std::int64_t>(tensor.data.size()) != n) {
        fields.fail("data", "expected " + std::to_string(n) + " integers for the shape " + to_text(tensor.shape) +
                                ", got " + std::to_string(tensor.data.size()));
    }
    const std::int64_t low = detail::smallest(tensor.type);
    const bool is_wide = !tensor.type.is_signed && tensor.type.width == 64;
    const std::int64_t high = is_wide ? INT64_MAX : static_cast<std::int64_t>(detail::largest(tensor.type));
    for (std::size_t i = 0; i < tensor.data.size(); ++i) {
        if (tensor.data[i] < low || tensor.data[i] > high) {
            fields.fail("data[" + std::to_string(i) + "]", "expected an integer from " + std::to_string(low) + " to " +
                                                               std::to_string(high) + " (" + to_text(tensor.type) +
                                                               "), got " + std::to_string(tensor.data[i]));
        }
    }
    return tensor;
}

Tensor Fields::single(std::string_view key) {
    Tensor value = tensor(key);
    if (value.data.size() != 1) fail(key, "expected a tensor of one value, got shape " + to_text(value.shape));
    return value;
}

Fields Fields::object(std::string_view key) {
    Where inner = where_;
    inner.field = key;  // keys that are asked for are literals
    return {get(key), inner};
}

}  // namespace rheinfall::quantized
