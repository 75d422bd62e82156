#include "quantized/ir_reader.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <unordered_map>

#include "quantized/layer_reader.hpp"
#include "rheinfall/quantized/model.hpp"

namespace rheinfall::quantized {
namespace {

constexpr std::size_t max_layers = 1'000'000;
constexpr std::int64_t max_total = std::int64_t{1} << 24;  // elements of all values of an event together

class Reader {
public:
    explicit Reader(std::string_view file) : file_(file.empty() ? std::string_view("document") : file) {}

    Graph read(Json document) {
        Fields fields(document, Where(file_));
        check_version(fields);
        if (fields.has("name")) graph_.name = fields.text("name");
        if (fields.has("source")) graph_.source = fields.text("source");
        read_inputs(fields);
        read_layers(fields);
        read_outputs(fields);
        read_traps(fields);
        fields.finish();
        return std::move(graph_);
    }

private:
    static void check_version(Fields& fields) {
        const std::string format = fields.text("format");
        if (format != "rheinfall.quantized") {
            fields.fail("format", "expected 'rheinfall.quantized', got '" + shorten(format) + "'");
        }
        const std::int64_t version = fields.integer("version", 1, INT64_MAX);
        if (version != 1) {
            fields.fail("version", "expected 1: version " + std::to_string(version) + " needs a newer release");
        }
    }

    /// A list of objects and texts; an empty list is one of integers to Json.
    static Json::Array& list(Fields& fields, std::string_view key) {
        Json& json = fields.get(key);
        if (const auto* integers = json.as<Json::Integers>(); integers != nullptr && integers->empty()) {
            json = Json(Json::Array{});
        }
        auto* array = json.as<Json::Array>();
        if (array == nullptr) fields.fail(key, "expected a list of objects, got " + json.describe());
        return *array;
    }

    void define(const Fields& fields, const std::string& name) {
        if (name.empty()) fields.fail("name", "expected a text that is not empty");
        if (!values_.emplace(name, graph_.n_values()).second) {
            fields.fail("name", quoted(name) + " is taken by an input or a layer before");
        }
    }

    void count(const Fields& fields, const Shape& shape) {
        total_ += count_elements(shape);
        if (total_ > max_total)
            fields.fail("shape", "expected at most 2^24 elements in all values of the graph together");
    }

    [[nodiscard]] int find(const Fields& fields, std::string_view field, const std::string& name) const {
        const auto found = values_.find(name);
        if (found == values_.end()) {
            fields.fail(field, quoted(name) + " is no input and no layer before this one");
        }
        return found->second;
    }

    void read_inputs(Fields& document) {
        auto& inputs = list(document, "inputs");
        for (std::size_t i = 0; i < inputs.size(); ++i) {
            Fields fields(inputs[i], {file_, "inputs", i});
            Input input;
            input.name = fields.text("name");
            input.shape = fields.shape("shape");
            input.type = fields.type("type");
            if (fields.has("scale") || fields.has("zero_point")) {
                input.real = read_scale(fields, input.type, input.shape.back());
            }
            fields.finish();
            define(fields, input.name);
            count(fields, input.shape);
            graph_.inputs.push_back(std::move(input));
        }
        document.check(!inputs.empty(), "inputs", "expected at least one");
    }

    static RealScale read_scale(Fields& fields, const FixedType& type, std::int64_t channels) {
        RealScale real;
        real.scale = factors(fields, "scale", channels);
        for (const double scale : real.scale) {
            // As float32 too, in which inputs are divided.
            const bool fits = scale > 0 && std::isfinite(static_cast<float>(scale)) && static_cast<float>(scale) > 0;
            fields.check(fits, "scale", "expected positive numbers in the range of float32");
        }
        if (type.fraction() != 0) fields.fail("scale", "expected an integer type (ap_int or ap_uint) beside a scale");
        constexpr std::int64_t limit = std::int64_t{1} << 53;
        if (fields.has("zero_point")) real.zero_point = fields.integer("zero_point", -limit, limit);
        return real;
    }

    /// One number, or one per element of the last axis.
    static std::vector<double> factors(Fields& fields, std::string_view key, std::int64_t channels) {
        auto numbers = fields.numbers(key);
        if (numbers.size() != 1 && static_cast<std::int64_t>(numbers.size()) != channels) {
            fields.fail(
                key, "expected 1 or " + std::to_string(channels) + " numbers, got " + std::to_string(numbers.size()));
        }
        return numbers;
    }

    void read_layers(Fields& document) {
        auto& layers = list(document, "layers");
        document.check(layers.size() <= max_layers, "layers", "expected at most 10^6");
        graph_.layers.reserve(layers.size());
        for (std::size_t i = 0; i < layers.size(); ++i) read_layer(layers[i], i);
    }

    void read_layer(Json& json, std::size_t position) {
        Fields unnamed(json, {file_, "layers", position});
        Layer layer;
        layer.name = unnamed.text("name");
        const std::string op = unnamed.text("op");
        if (layer.name.empty()) unnamed.fail("name", "expected a text that is not empty");
        Fields fields(json, Where::layer_of(file_, layer.name, op));
        fields.get("name");
        fields.get("op");
        layer.inputs = read_layer_inputs(fields, op);
        layer.result = fields.type("result");
        const LayerReader reader{fields, graph_, layer};
        auto operation = read_move(reader, op);
        if (!operation) operation = read_sum(reader, op);
        if (!operation) operation = read_elementwise(reader, op);
        if (!operation) operation = read_table(reader, op);
        if (!operation) fields.fail("op", "unknown operation '" + shorten(op) + "'");
        layer.operation = std::move(*operation);
        fields.finish();
        count(fields, layer.shape);
        define(fields, layer.name);
        graph_.layers.push_back(std::move(layer));
    }

    std::vector<int> read_layer_inputs(Fields& fields, std::string_view op) {
        std::vector<int> inputs;
        constexpr std::array<std::string_view, 7> binary = {"add",     "subtract", "multiply", "maximum",
                                                            "minimum", "average",  "dot"};
        const bool is_constant = op == "constant";
        if (!is_constant || fields.has("inputs")) {
            for (const Json& name : list(fields, "inputs")) {
                const auto* text = name.as<std::string>();
                if (text == nullptr) fields.fail("inputs", "expected names, got " + name.describe());
                inputs.push_back(find(fields, "inputs", *text));
            }
        }
        if (op == "concatenate") {
            fields.check(!inputs.empty(), "inputs", "expected at least one name");
            return inputs;
        }
        const std::size_t expected = is_constant ? 0 : std::ranges::find(binary, op) != binary.end() ? 2 : 1;
        if (inputs.size() != expected) {
            fields.fail("inputs",
                        "expected " + std::to_string(expected) + " names, got " + std::to_string(inputs.size()));
        }
        return inputs;
    }

    void read_outputs(Fields& document) {
        auto& outputs = list(document, "outputs");
        document.check(!outputs.empty(), "outputs", "expected at least one");
        std::int64_t total = 0;
        for (std::size_t i = 0; i < outputs.size(); ++i) {
            graph_.outputs.push_back(read_output(document, outputs[i], i));
            total += count_elements(graph_.shape(graph_.outputs.back().value));
            document.check(total <= max_total, "outputs", "expected at most 2^24 elements together");
        }
    }

    [[nodiscard]] Output read_output(const Fields& document, Json& json, std::size_t position) const {
        Output output;
        if (const auto* name = json.as<std::string>()) {
            output.value = find(document, "outputs[" + std::to_string(position) + "]", *name);
            return output;
        }
        Fields fields(json, {file_, "outputs", position});
        output.value = find(fields, "name", fields.text("name"));
        const FixedType& type = graph_.type(output.value);
        const std::int64_t channels = graph_.shape(output.value).back();
        if (fields.has("scale") || fields.has("zero_point")) output.real = read_scale(fields, type, channels);
        if (fields.has("offset")) {
            if (!output.real) output.real = RealScale{{std::ldexp(1.0, -type.fraction())}, 0, {}};
            output.real->offset = factors(fields, "offset", channels);
            for (const double offset : output.real->offset) {
                fields.check(std::isfinite(offset), "offset", "expected finite numbers");
            }
        }
        fields.finish();
        return output;
    }

    void read_traps(Fields& document) {
        if (!document.has("traps")) return;
        for (const Json& trap : list(document, "traps")) {
            const auto* text = trap.as<std::string>();
            if (text == nullptr) document.fail("traps", "expected texts, got " + trap.describe());
            graph_.traps.push_back(*text);
        }
    }

    std::string file_;
    Graph graph_;
    std::unordered_map<std::string, int> values_;
    std::int64_t total_ = 0;
};

}  // namespace

Graph read_graph(std::string_view text, std::string_view file) {
    try {
        return Reader(file).read(parse_json(text));
    } catch (const JsonError& error) {
        throw ModelError(std::string(file.empty() ? "document" : file) + ": " + error.what());
    }
}

}  // namespace rheinfall::quantized
