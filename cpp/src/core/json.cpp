#include "core/json.hpp"

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>

namespace rheinfall::detail {
namespace {

/// Builds a Json from the events of nlohmann's parser, which is iterative: no text makes it recurse.
class Builder final : public nlohmann::json_sax<nlohmann::json> {
public:
    explicit Builder(const JsonLimits& limits) : limits_(limits) {}

    bool null() override { return add(Json(Json::Null{})); }
    bool boolean(bool value) override { return add(Json(value)); }
    bool number_integer(std::int64_t value) override { return integer(value); }
    bool number_unsigned(std::uint64_t value) override {
        if (value > static_cast<std::uint64_t>(INT64_MAX)) return add(Json(static_cast<double>(value)));
        return integer(static_cast<std::int64_t>(value));
    }
    bool number_float(double value, const std::string& /*text*/) override { return add(Json(value)); }
    bool string(std::string& value) override { return add(Json(std::move(value))); }
    bool binary(binary_t& /*value*/) override { return false; }

    bool start_object(std::size_t /*size*/) override { return open(Json(Json::Object{})); }
    bool end_object() override { return close(); }
    bool start_array(std::size_t /*size*/) override { return open(Json(Json::Integers{})); }
    bool end_array() override { return close(); }

    bool key(std::string& name) override {
        auto& object = *stack_.back().as<Json::Object>();
        if (object.size() >= limits_.keys) throw JsonError("an object has too many keys");
        for (const auto& [known, value] : object) {
            if (known == name) throw JsonError("the key '" + shorten(name) + "' stands twice in one object");
        }
        object.emplace_back(std::move(name), Json());
        return true;
    }

    bool parse_error(std::size_t /*position*/, const std::string& /*token*/,
                     const nlohmann::detail::exception& error) override {
        const std::string_view what = error.what();
        const std::size_t end = what.find("] ");  // of "[json.exception.parse_error.101] "
        std::string reason = shorten(what.substr(end == std::string_view::npos ? 0 : end + 2), 200);
        // It quotes the text, which need not be UTF-8, as messages must be.
        std::replace_if(
            reason.begin(), reason.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80U; }, '?');
        throw JsonError("no valid JSON: " + reason);
    }

    Json take() { return std::move(result_); }

private:
    bool integer(std::int64_t value) {
        if (!stack_.empty()) {
            if (auto* list = stack_.back().as<Json::Integers>()) {
                if (++n_integers_ > limits_.integers) throw JsonError("too many integers");
                list->push_back(value);
                return true;
            }
        }
        return add(Json(value));
    }

    bool add(Json value) {
        if (++n_values_ > limits_.values) throw JsonError("too many values");
        if (stack_.empty()) {
            result_ = std::move(value);
            return true;
        }
        Json& top = stack_.back();
        if (auto* object = top.as<Json::Object>()) {
            object->back().second = std::move(value);
            return true;
        }
        if (const auto* integers = top.as<Json::Integers>()) {  // no longer of integers alone
            n_values_ += integers->size();
            if (n_values_ > limits_.values) throw JsonError("too many values");
            Json::Array array;
            array.reserve(integers->size() + 1);
            for (const std::int64_t i : *integers) array.emplace_back(i);
            top = Json(std::move(array));
        }
        top.as<Json::Array>()->push_back(std::move(value));
        return true;
    }

    bool open(Json value) {
        if (stack_.size() >= limits_.depth) throw JsonError("lists and objects are nested too deeply");
        stack_.push_back(std::move(value));
        return true;
    }

    bool close() {
        Json value = std::move(stack_.back());
        stack_.pop_back();
        return add(std::move(value));
    }

    JsonLimits limits_;
    std::vector<Json> stack_;
    Json result_;
    std::size_t n_values_ = 0;
    std::size_t n_integers_ = 0;
};

}  // namespace

std::string shorten(std::string_view text, std::size_t n) {
    if (text.size() <= n) return std::string(text);
    while (n > 0 && (static_cast<unsigned char>(text[n]) & 0xC0U) == 0x80U) --n;
    return std::string(text.substr(0, n)) + "...";
}

std::string quoted(std::string_view text) {
    std::string result(1, '\'');
    result.append(shorten(text)).append(1, '\'');
    return result;
}

std::string Json::describe() const {
    if (const auto* b = as<bool>()) return *b ? "true" : "false";
    if (const auto* i = as<std::int64_t>()) return std::to_string(*i);
    if (const auto* x = as<double>()) {
        return "the number " + shorten(nlohmann::json(*x).dump());
    }
    if (const auto* text = as<std::string>()) {
        return "the text '" + shorten(*text) + "'";
    }
    if (as<Integers>() != nullptr || as<Array>() != nullptr) return "a list";
    return as<Object>() != nullptr ? "an object" : "null";
}

Json parse_json(std::string_view text, const JsonLimits& limits) {
    Builder builder(limits);
    nlohmann::json::sax_parse(text.data(), text.data() + text.size(), &builder);
    return builder.take();
}

}  // namespace rheinfall::detail
