#include <gtest/gtest.h>

#include <algorithm>

#include "quantized_compare.hpp"

using namespace rheinfall;
using namespace rheinfall::quantized;
using namespace rheinfall::quantized::testing;

namespace {

/// Inputs as a trigger has them: offset and shift of each, then a dense layer, of any widths.
Graph random_scaled(std::uint64_t seed) {
    GraphBuilder b(seed);
    const std::int64_t n = b.uniform(1, 100);
    const int width = static_cast<int>(b.uniform(6, 24));
    const FixedType type = fixed(width, width / 2);
    int v = b.input({n}, type);
    if (b.uniform(0, 3) != 0) {
        const FixedType t = fixed(8, width / 2);
        const int c = b.add(Constant{b.tensor(t, {n})}, {}, t, {n});
        v = b.add(Binary{BinaryKind::subtract}, {v, c}, type, {n});
    }
    if (b.uniform(0, 3) != 0) {
        Shift s;
        const std::int64_t least = b.uniform(-1, 4);
        for (std::int64_t k = 0; k < n; ++k) s.shift.push_back(static_cast<std::int32_t>(b.uniform(least, 8)));
        v = b.add(s, {v}, type, {n});
    }
    const FixedType w = fixed(static_cast<int>(b.uniform(2, 10)), 2);
    const int fraction = type.fraction() + w.fraction();
    const int bits = static_cast<int>(b.uniform(12, 31));
    v = b.dense(v, static_cast<int>(b.uniform(1, 40)), w, fixed(8, 2), fixed(bits, bits - fraction),
                ufixed(10, 6, Rounding::rnd_conv, Overflow::sat));
    b.output(v);
    return std::move(b.graph);
}

TEST(QuantizedPlan, ScaledInputs) {
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
        compare(random_scaled(seed), seed, 70, false);
        if (HasFailure()) return;
    }
    for (std::uint64_t seed = 0; seed < 20; ++seed) compare_arrays(random_scaled(seed), seed, 70);
}

TEST(QuantizedPlan, ArraysOfAnyType) {
    compare_arrays(jet_graph(5), 6, 150);
    compare_arrays(jet_graph(5, fixed(12, 6)), 7, 150);
    compare_arrays(axol1tl_v4_graph(5), 8, 150);
    compare_arrays(axol1tl_v5_graph(5), 9, 150);
}

TEST(QuantizedPlan, JetTagger) {
    compare(jet_graph(1), 2, 300, true);
    compare(jet_graph(3, fixed(16, 6)), 4, 150, true);
}

TEST(QuantizedPlan, Axol1tlV4) {
    compare(axol1tl_v4_graph(1), 2, 300, true);
}

TEST(QuantizedPlan, Axol1tlV5) {
    compare(axol1tl_v5_graph(1), 2, 300, true);
}

/// Dense layers and everything elementwise between them, any types.
Graph random_chain(std::uint64_t seed) {
    GraphBuilder b(seed);
    int v = b.input({b.uniform(1, 70)}, any_type(b, static_cast<int>(b.uniform(4, 20))));
    const std::int64_t n_layers = b.uniform(1, 6);
    for (std::int64_t i = 0; i < n_layers; ++i) {
        const Shape shape = b.graph.shape(v);
        const std::int64_t n = shape.back();
        const FixedType result = any_type(b, b.uniform(0, 5) == 0 ? 28 : 16);
        switch (b.uniform(0, 10)) {
            case 0: v = b.relu(v, result); break;
            case 1:
                v = b.add(Affine{b.tensor(any_type(b, 6), {n}), b.tensor(any_type(b, 8), {n})}, {v}, result, shape);
                break;
            case 2: v = b.add(LeakyRelu{b.tensor(any_type(b, 4), {1})}, {v}, result, shape); break;
            case 3: v = b.add(ThresholdedRelu{b.tensor(any_type(b, 8), {1})}, {v}, result, shape); break;
            case 4: {
                Shift s;
                for (std::int64_t k = 0; k < n; ++k) s.shift.push_back(static_cast<std::int32_t>(b.uniform(-2, 8)));
                v = b.add(s, {v}, b.graph.type(v), shape);
                break;
            }
            case 5: {
                const FixedType t = any_type(b, 8);
                const int c = b.add(Constant{b.tensor(t, {n})}, {}, t, {n});
                const auto kind = b.pick({BinaryKind::add, BinaryKind::subtract, BinaryKind::multiply});
                v = b.add(Binary{kind}, b.uniform(0, 1) != 0 ? std::vector{v, c} : std::vector{c, v}, result, shape);
                break;
            }
            case 6: {
                const auto kind = b.pick({BinaryKind::add, BinaryKind::subtract, BinaryKind::multiply,
                                          BinaryKind::maximum, BinaryKind::minimum, BinaryKind::average});
                const int w = b.relu(v, any_type(b, 10));
                v = b.add(Binary{kind}, {v, w}, result, shape);
                break;
            }
            default: {
                const FixedType w = any_type(b, static_cast<int>(b.uniform(1, 12)));
                const int fraction = b.graph.type(v).fraction() + w.fraction();
                FixedType accum{static_cast<int>(b.uniform(8, 34)), 0, true, Rounding::trn, Overflow::wrap};
                accum.integer = accum.width - fraction - static_cast<int>(b.uniform(-1, 2));
                v = b.dense(v, static_cast<int>(b.uniform(1, 70)), w, any_type(b, 8), accum, result);
            }
        }
    }
    // Layers without a kernel in between, and squares of any width.
    if (b.uniform(0, 7) == 0) v = b.add(Argmax{}, {v}, any_type(b, 8), b.graph.shape(v));
    if (b.uniform(0, 3) == 0) v = b.add(SumOfSquares{any_type(b, 30)}, {v}, any_type(b, 16), {1});
    b.output(v);
    return std::move(b.graph);
}

FixedType accumulator(GraphBuilder& b, int v, const FixedType& w) {
    const int fraction = b.graph.type(v).fraction() + w.fraction();
    FixedType accum{static_cast<int>(b.uniform(8, 34)), 0, true, Rounding::trn, Overflow::wrap};
    accum.integer = accum.width - fraction - static_cast<int>(b.uniform(-1, 1));
    return accum;
}

/// Pixels along one axis of the result; 0 if the kernel does not fit.
std::int64_t extent(std::int64_t n, std::int64_t padding, std::int64_t kernel, std::int64_t stride) {
    return n + padding < kernel ? 0 : (n + padding - kernel) / stride + 1;
}

int random_conv(GraphBuilder& b, int v) {
    const Shape in = b.graph.shape(v);
    const bool is_image = in.size() == 3;
    const std::int64_t height = is_image ? in[0] : 1;
    const std::int64_t width = in[in.size() - 2];
    const std::int64_t depth = in.back();
    Conv c;
    const std::int64_t kernel[2] = {is_image ? b.uniform(1, 4) : 1, b.uniform(1, 4)};
    for (std::size_t axis = is_image ? 0 : 1; axis < 2; ++axis) {
        c.strides[axis] = static_cast<int>(b.uniform(1, 3));
        c.dilations[axis] = static_cast<int>(b.uniform(1, 2));
        for (std::size_t side = 0; side < 2; ++side)
            if (b.uniform(0, 1) != 0) c.padding[2 * axis + side] = static_cast<int>(b.uniform(0, kernel[axis] - 1));
    }
    const std::int64_t rows =
        extent(height, c.padding[0] + c.padding[1], (kernel[0] - 1) * c.dilations[0] + 1, c.strides[0]);
    const std::int64_t columns =
        extent(width, c.padding[2] + c.padding[3], (kernel[1] - 1) * c.dilations[1] + 1, c.strides[1]);
    if (rows < 1 || columns < 1) return v;
    c.groups = static_cast<int>(b.uniform(0, 3) == 0 ? depth : depth % 2 == 0 && b.uniform(0, 3) == 0 ? 2 : 1);
    const std::int64_t n_out = c.groups * b.uniform(1, c.groups > 2 ? 2 : b.uniform(0, 5) == 0 ? 70 : 12);
    const FixedType w = any_type(b, static_cast<int>(b.uniform(1, 12)));
    c.weight = b.tensor(w, {kernel[0], kernel[1], depth / c.groups, n_out});
    if (b.uniform(0, 3) != 0) c.bias = b.tensor(any_type(b, 8), {n_out});
    c.accum = accumulator(b, v, w);
    const Shape out = is_image ? Shape{rows, columns, n_out} : Shape{columns, n_out};
    return b.add(std::move(c), {v}, any_type(b, b.uniform(0, 5) == 0 ? 28 : 16), out);
}

int random_pool(GraphBuilder& b, int v) {
    const Shape in = b.graph.shape(v);
    const bool is_image = in.size() == 3;
    Pool p;
    p.kind = b.uniform(0, 3) == 0 ? PoolKind::average : PoolKind::max;
    for (std::size_t axis = is_image ? 0 : 1; axis < 2; ++axis) {
        p.kernel[axis] = static_cast<int>(b.uniform(1, 3));
        p.strides[axis] = static_cast<int>(b.uniform(1, 3));
        for (std::size_t side = 0; side < 2; ++side)
            p.padding[2 * axis + side] = static_cast<int>(b.uniform(0, p.kernel[axis] - 1));
    }
    const std::int64_t rows = is_image ? extent(in[0], p.padding[0] + p.padding[1], p.kernel[0], p.strides[0]) : 1;
    const std::int64_t columns = extent(in[in.size() - 2], p.padding[2] + p.padding[3], p.kernel[1], p.strides[1]);
    if (rows < 1 || columns < 1) return v;
    p.accum = b.uniform(0, 2) == 0 ? any_type(b, 12) : b.graph.type(v);
    const FixedType result = b.uniform(0, 1) != 0 ? p.accum : any_type(b, 12);
    return b.add(p, {v}, result, is_image ? Shape{rows, columns, in.back()} : Shape{columns, in.back()});
}

/// A transposition, or elements from anywhere, some of them zero.
int random_move(GraphBuilder& b, int v) {
    const Shape in = b.graph.shape(v);
    const FixedType result = b.uniform(0, 1) != 0 ? b.graph.type(v) : any_type(b, 12);
    if (b.uniform(0, 1) != 0) {
        Transpose t;
        for (std::size_t i = 0; i < in.size(); ++i) t.perm.push_back(static_cast<int>(i));
        for (std::size_t i = in.size(); i-- > 1;)
            std::swap(t.perm[i], t.perm[static_cast<std::size_t>(b.uniform(0, static_cast<std::int64_t>(i)))]);
        Shape out;
        for (const int axis : t.perm) out.push_back(in[static_cast<std::size_t>(axis)]);
        return b.add(t, {v}, result, out);
    }
    Shape out = in;
    out[0] = b.uniform(1, 6);
    Gather g;
    for (std::size_t i = 0; i < n_elements(out); ++i)
        g.index.push_back(b.uniform(-1, static_cast<std::int64_t>(n_elements(in)) - 1));
    return b.add(g, {v}, result, out);
}

/// Convolutions of one and two axes, any strides, dilations, padding and groups, with pools and moves between, and
/// dense layers behind them.
Graph random_convolutions(std::uint64_t seed) {
    GraphBuilder b(seed);
    const bool is_image = b.uniform(0, 2) != 0;
    Shape shape{b.uniform(1, 9), b.uniform(1, 6)};
    if (is_image) shape.insert(shape.begin(), b.uniform(1, 9));
    int v = b.input(shape, any_type(b, static_cast<int>(b.uniform(4, 20))));
    const std::int64_t n_layers = b.uniform(1, 4);
    for (std::int64_t i = 0; i < n_layers; ++i) {
        const FixedType result = any_type(b, 10);
        switch (b.uniform(0, 7)) {
            case 0: v = b.relu(v, result); break;
            case 1: v = random_pool(b, v); break;
            case 2: v = random_move(b, v); break;
            case 3: {
                const FixedType w = any_type(b, 8);
                v = b.dense(v, static_cast<int>(b.uniform(1, 9)), w, any_type(b, 8), accumulator(b, v, w), result);
                break;
            }
            default: v = random_conv(b, v);
        }
    }
    if (b.uniform(0, 1) != 0) {
        const auto n = static_cast<std::int64_t>(n_elements(b.graph.shape(v)));
        v = b.add(Reshape{}, {v}, b.graph.type(v), {n});
        const FixedType w = any_type(b, 6);
        v = b.dense(v, static_cast<int>(b.uniform(1, 20)), w, any_type(b, 8), accumulator(b, v, w), any_type(b, 12));
    }
    if (v == 0) v = b.relu(v, any_type(b, 8));
    b.output(v);
    return std::move(b.graph);
}

TEST(QuantizedPlan, RandomConvolutions) {
    int lowered = 0, moved = 0, pooled = 0;
    for (std::uint64_t seed = 0; seed < 400; ++seed) {
        const Graph graph = random_convolutions(seed);
        compare(graph, seed, 70, false);
        if (HasFatalFailure()) return;
        const auto plan = make_plan(graph, prove_ranges(graph), Isa::portable);
        if (plan == nullptr) continue;
        for (const StepNote& note : plan->notes) {
            lowered += note.kernel.starts_with("convolution");
            moved += note.kernel == "gather";
            pooled += note.kernel == "maximum of pixels";
        }
    }
    EXPECT_GT(lowered, 150);
    EXPECT_GT(moved, 50);
    EXPECT_GT(pooled, 30);
}

TEST(QuantizedPlan, RandomChains) {
    int lowered = 0;
    for (std::uint64_t seed = 0; seed < 300; ++seed) {
        const Graph graph = random_chain(seed);
        bool fits = true;
        for (const Layer& layer : graph.layers) fits = fits && layer.result.integer > -100;
        if (!fits) continue;
        compare(graph, seed, 130, false);
        if (HasFatalFailure()) return;
        lowered += make_plan(graph, prove_ranges(graph), Isa::portable) != nullptr;
    }
    EXPECT_GT(lowered, 150);
}

int count_notes(const Graph& graph, Isa isa, const char* what) {
    const auto plan = make_plan(graph, prove_ranges(graph), isa);
    if (plan == nullptr) return 0;
    return static_cast<int>(std::count_if(plan->notes.begin(), plan->notes.end(), [&](const StepNote& note) {
        return note.kernel.find(what) != std::string::npos;
    }));
}

TEST(QuantizedPlan, PrunedWeights) {
    int lists = 0;
    for (std::uint64_t seed = 0; seed < 120; ++seed) {
        for (const Graph& graph : {pruned(random_chain(seed + 1000), seed), pruned(random_convolutions(seed), seed),
                                   pruned(random_scaled(seed), seed)}) {
            compare(graph, seed, 70, false);
            if (HasFailure()) return;
            lists += count_notes(graph, Isa::portable, "in batches");
        }
    }
    for (std::uint64_t seed = 0; seed < 12; ++seed) {
        compare(pruned(jet_graph(seed), seed), seed, 130, true);
        compare(pruned(axol1tl_v4_graph(seed), seed), seed, 130, true);
        compare(pruned(axol1tl_v5_graph(seed), seed), seed, 130, true);
    }
    EXPECT_GT(lists, 100);
}

TEST(QuantizedPlan, OrderedSumsOfAnyLayer) {
    int dense = 0, convolutions = 0;
    for (std::uint64_t seed = 0; seed < 250; ++seed) {
        const Graph convolution = random_convolutions(seed + 500);
        for (const Graph& graph : {saturated(random_chain(seed + 2000), seed),
                                   saturated(seed % 2 == 0 ? convolution : pruned(convolution, seed), seed)}) {
            compare(graph, seed, 70, false);
            if (HasFailure()) return;
            dense += count_notes(graph, Isa::portable, "dense in order");
            convolutions += count_notes(graph, Isa::portable, "convolution in order");
        }
    }
    EXPECT_GT(dense, 30);
    EXPECT_GT(convolutions, 30);
}

}  // namespace
