#pragma once

#include <cstdint>
#include <rheinfall/quantized/forest.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// A forest in memory: docs/forest_format.md defines each field. Everything is validated when a document is read
/// (forest_reader.cpp), so that whatever holds a ForestModel may rely on indices, ranges and the absence of cycles.
namespace rheinfall::quantized {

/// A number of a NumberType: a stored integer, or a float32 or float64 (both held exactly by a double).
struct Number {
    std::int64_t integer = 0;
    double real = 0;
};

struct ForestNode {
    std::int32_t feature = -1;
    std::int32_t left = -1;  // -1: a leaf
    std::int32_t right = -1;
    bool missing_left = false;
    Number number;  // the threshold, or a leaf's value

    [[nodiscard]] bool is_leaf() const noexcept { return left < 0; }
};

struct ForestTree {
    std::int32_t tree_class = 0;
    std::int32_t depth = 0;  // 0: the root is a leaf
    std::vector<ForestNode> nodes;
};

struct ForestModel {
    enum class Normalisation : std::uint8_t { none, multiply, divide };

    std::string name;
    std::string source;
    std::int32_t n_features = 0;
    std::int32_t n_classes = 1;
    NumberType input;
    NumberType score;
    bool inclusive = true;  // x <= threshold goes left, else x < threshold
    std::vector<Number> initial;
    bool initial_last = false;
    bool sum_as_tree = false;
    Normalisation normalisation = Normalisation::none;
    Number factor;
    std::vector<ForestTree> trees;
    std::vector<std::string> traps;

    std::vector<std::vector<std::int32_t>> trees_of_class;  // indices into trees, in order
};

/// Reads and checks a document. Throws ModelError: "FILE: tree T: node N: field: reason".
ForestModel read_forest(std::string_view text, std::string_view file_name);

}  // namespace rheinfall::quantized
