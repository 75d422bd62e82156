#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

/// @file
/// The intermediate form of a graph network: docs/gnn_format.md.
namespace rheinfall::gnn {

enum class Kind : std::uint8_t { event, node, edge };
enum class End : std::uint8_t { source, target };
enum class How : std::uint8_t { add, mean, max, min };

enum class Op : std::uint8_t {
    input,
    linear,
    affine,
    layer_norm,
    batch_norm,
    gather,
    reduce,
    degree,
    concat,
    slice,
    row_mean,
    row_sum,
    row_max,
    event_mean,
    event_sum,
    unary,
    binary,
    // Made by the planner of a batch norm:
    batch_statistics,  ///< value of the event: means, then scales
    event_affine,      ///< (x - mean) · scale + shift
};

enum class Unary : std::uint8_t {
    relu,
    leaky_relu,
    elu,
    sigmoid,
    tanh,
    softplus,
    exp,
    log,
    sqrt,
    abs,
    square,
    reciprocal,
    erf,
    clip,
};

enum class Binary : std::uint8_t { add, sub, mul, div, min, max };

constexpr std::array<const char*, 3> kind_names = {"event", "node", "edge"};
constexpr std::array<const char*, 4> how_names = {"add", "mean", "max", "min"};
constexpr std::array<const char*, 6> binary_names = {"add", "sub", "mul", "div", "min", "max"};
constexpr std::array<const char*, 14> unary_names = {"relu",     "leaky_relu", "elu", "sigmoid", "tanh",
                                                     "softplus", "exp",        "log", "sqrt",    "abs",
                                                     "square",   "reciprocal", "erf", "clip"};

struct Operation {
    Op op = Op::input;
    Kind kind = Kind::node;
    int width = 0;
    std::vector<int> inputs;
    Unary unary = Unary::relu;
    Binary binary = Binary::add;
    How how = How::add;
    End end = End::source;
    float a = 0;                ///< epsilon, alpha, low, initial value
    float b = 0;                ///< high
    int start = 0;              ///< of a slice
    bool centred = false;       ///< of a layer norm: rows have mean zero already
    std::vector<float> weight;  ///< [in][out]
    std::vector<float> bias;    ///< or empty
    std::vector<float> scale;   ///< one per column, or empty
    std::vector<float> shift;
    std::string name;
};

struct Graph {
    std::vector<Operation> operations;
    int output = 0;
    int n_node_features = 0;
    int n_edge_features = 0;
};

}  // namespace rheinfall::gnn
