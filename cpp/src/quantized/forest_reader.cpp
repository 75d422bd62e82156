#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "quantized/detail/fixed_point.hpp"
#include "quantized/fields.hpp"
#include "quantized/forest_model.hpp"

namespace rheinfall::quantized {
namespace {

constexpr std::int32_t max_depth = 1024;
constexpr std::int64_t max_count = 1 << 24;

/// A list of numbers, whether JSON made integers or doubles of them.
struct List {
    const Json::Integers* integers = nullptr;
    const Json::Array* values = nullptr;

    [[nodiscard]] std::size_t size() const noexcept { return integers != nullptr ? integers->size() : values->size(); }
};

List list(Fields& fields, std::string_view key) {
    const Json& json = fields.get(key);
    const List found{json.as<Json::Integers>(), json.as<Json::Array>()};
    if (found.integers == nullptr && found.values == nullptr)
        fields.fail(key, "expected a list, got " + json.describe());
    return found;
}

/// A place whose name is put together only when it is complained about.
class Place {
public:
    Place(const Fields& fields, std::string_view field, std::int64_t node = -1)
        : fields_(fields), field_(field), node_(node) {}

    [[noreturn]] void fail(const std::string& reason) const {
        fields_.fail(field_, node_ < 0 ? reason : "node " + std::to_string(node_) + ": " + reason);
    }

private:
    const Fields& fields_;
    std::string_view field_;
    std::int64_t node_;
};

Number fixed_number(std::int64_t q, const FixedType& type, bool within, const Place& place) {
    // An ap_uint<64> above 2^63 - 1 has no place in a document, so 64 bits cannot be too many for a positive q.
    const bool above = type.width < 64 && q > static_cast<std::int64_t>(detail::largest(type));
    if (within && (q < detail::smallest(type) || above))
        place.fail(std::to_string(q) + " lies outside the type's range");
    return {q, 0};
}

Number float_number(double real, NumberType::Kind kind, const Place& place) {
    if (!std::isfinite(real)) place.fail("expected a finite number");
    if (kind == NumberType::Kind::float32) {
        const bool fits = std::fabs(real) <= static_cast<double>(std::numeric_limits<float>::max());
        if (!fits || static_cast<double>(static_cast<float>(real)) != real) {
            place.fail(std::to_string(real) + " is no float32");
        }
    }
    return {0, real};
}

/// Number i of a list, of a type; @p within: a fixed one lies inside the type's range.
Number number(const List& list, std::size_t i, const NumberType& type, bool within, const Place& place) {
    const bool is_fixed = type.kind == NumberType::Kind::fixed;
    const auto* integer = list.integers != nullptr ? &(*list.integers)[i] : (*list.values)[i].as<std::int64_t>();
    if (integer != nullptr) {
        return is_fixed ? fixed_number(*integer, type.fixed, within, place)
                        : float_number(static_cast<double>(*integer), type.kind, place);
    }
    const auto* real = (*list.values)[i].as<double>();
    if (real == nullptr || is_fixed) {
        place.fail(std::string(is_fixed ? "expected an integer" : "expected a number") + ", got " +
                   (*list.values)[i].describe());
    }
    return float_number(*real, type.kind, place);
}

NumberType number_type(Fields& fields, std::string_view key) {
    const std::string* name = fields.get(key).as<std::string>();
    if (name != nullptr && *name == "float32") return {NumberType::Kind::float32, {}};
    if (name != nullptr && *name == "float64") return {NumberType::Kind::float64, {}};
    return {NumberType::Kind::fixed, fields.type(key)};
}

/// True for the second of two words.
bool second_word(Fields& fields, std::string_view key, std::string_view first, std::string_view second) {
    const std::string word = fields.text(key);
    if (word != first && word != second) {
        fields.fail(
            key, "expected '" + std::string(first) + "' or '" + std::string(second) + "', got '" + shorten(word) + "'");
    }
    return word == second;
}

/// Follows the children from the root: each node but the root is the child of one node. The depth of the tree.
std::int32_t check_shape(const ForestTree& tree, const Fields& fields) {
    std::vector<std::int32_t> depth(tree.nodes.size(), -1);
    std::vector<std::int32_t> todo = {0};
    depth[0] = 0;
    std::int32_t deepest = 0;
    std::size_t reached = 1;
    while (!todo.empty()) {
        const auto at = static_cast<std::size_t>(todo.back());
        const ForestNode& node = tree.nodes[at];
        todo.pop_back();
        deepest = std::max(deepest, depth[at]);
        if (node.is_leaf()) continue;
        for (const auto& [child, name] : {std::pair{node.left, "left"}, std::pair{node.right, "right"}}) {
            const auto c = static_cast<std::size_t>(child);
            const Place here(fields, name, static_cast<std::int64_t>(at));
            if (depth[at] >= max_depth) here.fail("deeper than " + std::to_string(max_depth));
            if (c >= tree.nodes.size()) {
                here.fail("child " + std::to_string(child) + " of " + std::to_string(tree.nodes.size()) + " nodes");
            }
            if (depth[c] >= 0) here.fail("child " + std::to_string(child) + " is reached twice");
            depth[c] = depth[at] + 1;
            todo.push_back(child);
            ++reached;
        }
    }
    if (reached != tree.nodes.size()) {
        fields.fail("left, right",
                    std::to_string(tree.nodes.size() - reached) + " nodes cannot be reached from node 0");
    }
    return deepest;
}

/// The lists of a tree.
struct Columns {
    List threshold;
    List value;
    Json::Integers feature, left, right, missing;
};

ForestNode read_node(const Columns& tree, std::size_t i, const ForestModel& model, const Fields& fields) {
    const auto at = static_cast<std::int64_t>(i);
    const auto n = static_cast<std::int64_t>(tree.feature.size());
    ForestNode node;
    const bool is_leaf = tree.left[i] == -1;
    for (const auto& [child, name] : {std::pair{tree.left[i], "left"}, std::pair{tree.right[i], "right"}}) {
        if ((child == -1) != is_leaf) Place(fields, name, at).fail("a node has two children, or a leaf none");
        if (child < -1 || child >= n) {
            Place(fields, name, at).fail("child " + std::to_string(child) + " of " + std::to_string(n) + " nodes");
        }
    }
    const std::int64_t feature = tree.feature[i];
    if (is_leaf ? feature != -1 : feature < 0 || feature >= model.n_features) {
        const std::string of = " of " + std::to_string(model.n_features) + " features";
        Place(fields, "feature", at).fail(std::to_string(feature) + (is_leaf ? ": expected -1 in a leaf" : of));
    }
    node.left = static_cast<std::int32_t>(tree.left[i]);
    node.right = static_cast<std::int32_t>(tree.right[i]);
    node.feature = static_cast<std::int32_t>(feature);
    node.number = is_leaf ? number(tree.value, i, model.score, true, Place(fields, "value", at))
                          : number(tree.threshold, i, model.input, false, Place(fields, "threshold", at));
    if (!tree.missing.empty()) {
        if (tree.missing[i] != 0 && tree.missing[i] != 1) Place(fields, "missing_left", at).fail("expected 0 or 1");
        node.missing_left = tree.missing[i] == 1;
    }
    return node;
}

ForestTree read_tree(Json& json, const ForestModel& model, const std::string& where) {
    Fields fields(json, Where(where));
    ForestTree tree;
    tree.tree_class = static_cast<std::int32_t>(fields.integer("class", 0, model.n_classes - 1));
    Columns columns{list(fields, "threshold"), list(fields, "value"),    fields.integers("feature"),
                    fields.integers("left"),   fields.integers("right"), {}};
    if (fields.has("missing_left")) columns.missing = fields.integers("missing_left");
    const std::size_t n = columns.feature.size();
    fields.check(n > 0 && n <= static_cast<std::size_t>(max_count), "feature", "expected 1 to 2^24 nodes");
    const auto same = [&](std::string_view key, std::size_t size) {
        fields.check(size == n, key, std::to_string(size) + " entries for " + std::to_string(n) + " nodes");
    };
    same("threshold", columns.threshold.size());
    same("value", columns.value.size());
    same("left", columns.left.size());
    same("right", columns.right.size());
    if (fields.has("missing_left")) same("missing_left", columns.missing.size());
    fields.finish();
    tree.nodes.reserve(n);
    for (std::size_t i = 0; i < n; ++i) tree.nodes.push_back(read_node(columns, i, model, fields));
    tree.depth = check_shape(tree, fields);
    return tree;
}

void read_normalisation(Fields fields, ForestModel& model) {
    const bool divides = fields.has("divide");
    const char* key = divides ? "divide" : "multiply";
    model.normalisation = divides ? ForestModel::Normalisation::divide : ForestModel::Normalisation::multiply;
    Json::Array one;
    one.push_back(std::move(fields.get(key)));
    model.factor = number({nullptr, &one}, 0, model.score, true, Place(fields, key));
    fields.check(!divides || model.score.kind != NumberType::Kind::fixed, key, "only floats are divided");
    fields.check(!divides || model.factor.real != 0.0, key, "expected another number than 0");
    fields.finish();
}

void read_head(Fields& fields, ForestModel& model) {
    const std::string format = fields.text("format");
    fields.check(format == "rheinfall.forest", "format", "expected 'rheinfall.forest', got '" + shorten(format) + "'");
    const std::int64_t version = fields.integer("version", 0, 1 << 30);
    fields.check(version == 1, "version", std::to_string(version) + ": this release reads version 1");
    if (fields.has("name")) model.name = fields.text("name");
    if (fields.has("source")) model.source = fields.text("source");
    model.n_features = static_cast<std::int32_t>(fields.integer("n_features", 1, max_count));
    model.n_classes = static_cast<std::int32_t>(fields.integer("n_classes", 1, max_count));
    model.input = number_type(fields, "input");
    model.score = number_type(fields, "score");
    model.inclusive = second_word(fields, "comparison", "<", "<=");
    model.initial_last = second_word(fields, "initial_added", "first", "last");
    model.sum_as_tree = second_word(fields, "sum", "sequential", "tree");
    const List initial = list(fields, "initial");
    fields.check(initial.size() == static_cast<std::size_t>(model.n_classes), "initial",
                 std::to_string(initial.size()) + " numbers for " + std::to_string(model.n_classes) + " classes");
    for (std::size_t c = 0; c < initial.size(); ++c) {
        model.initial.push_back(number(initial, c, model.score, true, Place(fields, "initial")));
    }
    if (fields.has("normalisation")) read_normalisation(fields.object("normalisation"), model);
}

void read_traps(Fields& fields, ForestModel& model) {
    if (!fields.has("traps")) return;
    const List traps = list(fields, "traps");
    for (std::size_t i = 0; i < traps.size(); ++i) {
        const auto* trap = traps.values != nullptr ? (*traps.values)[i].as<std::string>() : nullptr;
        if (trap == nullptr) fields.fail("traps", "expected texts");
        model.traps.push_back(*trap);
    }
}

}  // namespace

ForestModel read_forest(std::string_view document, std::string_view file_name) {
    const std::string file = file_name.empty() ? "forest" : std::string(file_name);
    try {
        Json json = parse_json(document);
        Fields fields(json, Where(file));
        ForestModel model;
        read_head(fields, model);
        read_traps(fields, model);
        model.trees_of_class.resize(static_cast<std::size_t>(model.n_classes));
        Json& trees = fields.get("trees");
        if (auto* list = trees.as<Json::Array>()) {
            for (std::size_t i = 0; i < list->size(); ++i) {
                model.trees.push_back(read_tree((*list)[i], model, file + ": tree " + std::to_string(i)));
                const auto tree_class = static_cast<std::size_t>(model.trees.back().tree_class);
                model.trees_of_class[tree_class].push_back(static_cast<std::int32_t>(i));
            }
        } else if (const auto* none = trees.as<Json::Integers>(); none == nullptr || !none->empty()) {
            fields.fail("trees", "expected a list of objects");
        }
        fields.finish();
        return model;
    } catch (const JsonError& error) {
        throw ModelError(file + ": " + error.what());
    }
}

}  // namespace rheinfall::quantized
