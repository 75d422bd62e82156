#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "quantized/detail/fixed_point.hpp"
#include "quantized/exact_cpu.hpp"
#include "quantized/exact_operations.hpp"
#include "quantized/ir.hpp"
#include "quantized/ranges.hpp"

/// Graphs for tests and benchmarks of quantized plans, from a seed, and the exact executor to compare with.
namespace rheinfall::quantized::testing {

class GraphBuilder {
public:
    explicit GraphBuilder(std::uint64_t seed) : random_(seed) {}

    std::int64_t uniform(std::int64_t lo, std::int64_t hi) {
        return std::uniform_int_distribution<std::int64_t>(lo, hi)(random_);
    }
    template <class T>
    T pick(std::initializer_list<T> from) {
        return from.begin()[uniform(0, static_cast<std::int64_t>(from.size()) - 1)];
    }
    Tensor tensor(const FixedType& type, Shape shape) {
        Tensor t{type, std::move(shape), {}};
        std::int64_t n = 1;
        for (const std::int64_t k : t.shape) n *= k;
        for (std::int64_t i = 0; i < n; ++i) t.data.push_back(stored(type));
        return t;
    }
    std::int64_t stored(const FixedType& type) {
        const std::int64_t lo = detail::smallest(type);
        const auto hi = static_cast<std::int64_t>(detail::largest(type));
        // Limits and zero more often than chance has it.
        switch (uniform(0, 15)) {
            case 0: return lo;
            case 1: return hi;
            case 2: return 0;
            default: return uniform(lo, hi);
        }
    }
    /// A stored integer that a conversion to @p type can give: SAT_SYM never gives the smallest.
    std::int64_t held(const FixedType& type) {
        return detail::convert<std::int64_t>(stored(type), type.fraction(), type);
    }
    int input(Shape shape, FixedType type) {
        graph.inputs.push_back(
            {std::string("x").append(std::to_string(graph.inputs.size())), std::move(shape), type, {}});
        return static_cast<int>(graph.inputs.size()) - 1;
    }
    int add(Operation operation, std::vector<int> inputs, FixedType result, Shape shape) {
        graph.layers.push_back({std::string("layer").append(std::to_string(graph.layers.size())), std::move(operation),
                                std::move(inputs), result, std::move(shape)});
        return graph.n_values() - 1;
    }
    int dense(int x, int n_out, FixedType weight, FixedType bias, FixedType accum, FixedType result) {
        Shape shape = graph.shape(x);
        Dense d{tensor(weight, {shape.back(), n_out}), tensor(bias, {n_out}), accum, {}};
        for (std::int64_t& w : d.weight.data)
            if (uniform(0, 9) == 0) w = 0;
        shape.back() = n_out;
        return add(std::move(d), {x}, result, std::move(shape));
    }
    int relu(int x, FixedType result) { return add(Relu{}, {x}, result, graph.shape(x)); }
    void output(int value) { graph.outputs.push_back({value, {}}); }

    Graph graph;

private:
    std::mt19937_64 random_;
};

/// Calls function(weight, accumulator) for each layer of products with constants.
template <class Function>
void for_each_sum(Graph& graph, Function function) {
    for (Layer& layer : graph.layers) {
        if (auto* dense = std::get_if<Dense>(&layer.operation)) function(dense->weight, dense->accum);
        if (auto* conv = std::get_if<Conv>(&layer.operation)) function(conv->weight, conv->accum);
    }
}

/// Makes weights zero: some at random, those of whole inputs and of whole outputs; or all of a layer.
inline Graph pruned(Graph graph, std::uint64_t seed) {
    GraphBuilder random(seed);
    for_each_sum(graph, [&](Tensor& weight, const FixedType&) {
        const auto n_out = static_cast<std::size_t>(weight.shape.back());
        const std::int64_t zeros = random.pick<std::int64_t>({0, 50, 75, 90, 97, 100});
        std::vector<bool> dead(weight.data.size() / n_out + n_out);
        for (std::size_t k = 0; k < dead.size(); ++k) dead[k] = random.uniform(0, 7) == 0;
        for (std::size_t i = 0; i < weight.data.size(); ++i)
            if (random.uniform(0, 99) < zeros || dead[i % n_out] || dead[n_out + i / n_out]) weight.data[i] = 0;
    });
    return graph;
}

/// Makes accumulators saturate, and round now and then: then the order of the additions counts.
inline Graph saturated(Graph graph, std::uint64_t seed) {
    GraphBuilder random(seed);
    for_each_sum(graph, [&](const Tensor&, FixedType& accum) {
        accum.overflow = random.pick({Overflow::sat, Overflow::sat, Overflow::sat_sym, Overflow::sat_zero});
        accum.rounding = random.pick({Rounding::trn, Rounding::rnd, Rounding::rnd_conv, Rounding::rnd_zero});
        const int cut = std::max(0, accum.width - static_cast<int>(random.uniform(6, 20)));
        accum.width -= cut;
        if (random.uniform(0, 2) != 0) accum.integer -= cut;  // else the fraction is cut
    });
    for (Layer& layer : graph.layers)
        if (auto* dense = std::get_if<Dense>(&layer.operation); dense != nullptr && random.uniform(0, 1) != 0)
            for (auto i = static_cast<std::int32_t>(dense->weight.shape[0]); i-- > 0;)
                dense->order.insert(
                    dense->order.begin() + random.uniform(0, static_cast<std::int64_t>(dense->order.size())), i);
    return graph;
}

/// Every layer by the exact executor: the outputs of one event, as stored integers.
inline std::vector<std::int64_t> run_exactly(const Graph& graph, const Ranges& ranges, const std::int64_t* event) {
    std::vector<std::vector<std::int64_t>> values;
    for (const Input& input : graph.inputs) {
        values.emplace_back(event, event + n_elements(input.shape));
        event += n_elements(input.shape);
    }
    for (std::size_t i = 0; i < graph.layers.size(); ++i) {
        const Layer& layer = graph.layers[i];
        std::vector<const std::int64_t*> in;
        for (const int v : layer.inputs) in.push_back(values[static_cast<std::size_t>(v)].data());
        std::vector<std::int64_t> out(n_elements(layer.shape)), scratch(exact_scratch_size(layer));
        run_layer_exact({graph, layer, in.data(), out.data(), scratch.data()}, needs_wide(ranges.layers[i].work_bits));
        values.push_back(std::move(out));
    }
    std::vector<std::int64_t> result;
    for (const Output& output : graph.outputs) {
        const auto& v = values[static_cast<std::size_t>(output.value)];
        result.insert(result.end(), v.begin(), v.end());
    }
    return result;
}

constexpr FixedType fixed(int width, int integer, Rounding q = Rounding::trn, Overflow o = Overflow::wrap) {
    return {width, integer, true, q, o};
}
constexpr FixedType ufixed(int width, int integer, Rounding q = Rounding::trn, Overflow o = Overflow::wrap) {
    return {width, integer, false, q, o};
}

/// jet tagger: 16-64-32-32-5, 8-bit weights and activations, accumulators that hold every sum.
inline Graph jet_graph(std::uint64_t seed, FixedType input = fixed(8, 4, Rounding::rnd_conv, Overflow::sat)) {
    GraphBuilder b(seed);
    b.graph.name = "jet";
    const FixedType act = ufixed(8, 4, Rounding::rnd_conv, Overflow::sat);
    int v = b.input({16}, input);
    for (const int n : {64, 32, 32}) {
        const int fraction = b.graph.type(v).fraction() + 7;
        v = b.dense(v, n, fixed(8, 1), fixed(8, 1), fixed(fraction + 14, 14), fixed(18, 8));
        v = b.relu(v, act);
    }
    b.output(b.dense(v, 5, fixed(8, 1), fixed(8, 1), fixed(25, 14), fixed(16, 8)));
    return std::move(b.graph);
}

/// AXOL1TL v4: 57-28-15-8 from ap_fixed<18,13>, offset and shift as its scales have them (a shift of -1 too), 10-bit
/// activations, the sum of squares.
inline Graph axol1tl_v4_graph(std::uint64_t seed) {
    GraphBuilder b(seed);
    b.graph.name = "axol1tl_v4";
    const FixedType in = fixed(18, 13);
    const FixedType act = ufixed(10, 6, Rounding::rnd_conv, Overflow::sat);
    int v = b.input({57}, in);
    const int offset = b.add(Constant{b.tensor(fixed(10, 10), {57})}, {}, fixed(10, 10), {57});
    v = b.add(Binary{BinaryKind::subtract}, {v, offset}, in, {57});
    Shift shift;
    for (int i = 0; i < 57; ++i)
        shift.shift.push_back(static_cast<std::int32_t>(i % 3 == 0 ? b.uniform(-1, 3) : i % 3 == 1 ? 5 : 6));
    v = b.add(shift, {v}, in, {57});
    for (const int n : {28, 15}) {
        v = b.dense(v, n, fixed(8, 2), fixed(8, 2), fixed(30, 19), fixed(24, 13));
        v = b.relu(v, act);
    }
    v = b.dense(v, 8, fixed(8, 2), fixed(8, 2), fixed(30, 19), fixed(10, 6, Rounding::rnd_conv, Overflow::sat));
    b.output(b.add(SumOfSquares{ufixed(18, 14)}, {v}, ufixed(18, 14), {1}));
    return std::move(b.graph);
}

/// AXOL1TL v5: 57-29-10-9-6-4-6-9-10 from ap_fixed<14,6,RND_CONV,SAT>, weights of 4 and 5 bits, subtract, dot.
inline Graph axol1tl_v5_graph(std::uint64_t seed) {
    GraphBuilder b(seed);
    b.graph.name = "axol1tl_v5";
    const FixedType act = ufixed(10, 6, Rounding::rnd_conv, Overflow::sat);
    int v = b.input({57}, fixed(14, 6, Rounding::rnd_conv, Overflow::sat));
    int first = -1;
    int layer = 0;
    for (const int n : {29, 10, 9, 6, 4, 6, 9, 10}) {
        const FixedType w = fixed(layer % 2 == 0 ? 5 : 4, 2);
        const int width = layer == 0 ? 21 : 16 + layer % 3;
        const int fraction = (layer == 0 ? 8 : 4) + w.fraction();
        v = b.dense(v, n, w, fixed(8, 3), fixed(width, width - fraction), fixed(width, width - fraction));
        if (layer < 7) v = b.relu(v, act);
        if (layer == 1) first = v;
        ++layer;
    }
    const FixedType difference = fixed(12, 7, Rounding::trn, Overflow::wrap);
    v = b.add(Binary{BinaryKind::subtract}, {v, first}, difference, {10});
    b.output(b.add(Dot{fixed(24, 14)}, {v, v}, fixed(20, 14), {1}));
    return std::move(b.graph);
}

}  // namespace rheinfall::quantized::testing
