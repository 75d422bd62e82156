#include "quantized_compare.hpp"

using namespace rheinfall;
using namespace rheinfall::quantized;
using namespace rheinfall::quantized::testing;

namespace {

/// A table of any kind, as sigmoid, tanh, elu and selu have them.
int random_table(GraphBuilder& b, int v) {
    Table t;
    const FixedType in = b.graph.type(v);
    t.index.by_bits = b.uniform(0, 1) != 0;
    std::int64_t n = b.uniform(1, 300);
    if (t.index.by_bits) {
        t.index.bits = static_cast<int>(b.uniform(0, std::min(in.width, 8)));
        n = std::int64_t{1} << t.index.bits;
    } else {
        t.index.multiply = b.uniform(1, 2000);
        t.index.shift = static_cast<int>(b.uniform(0, 12));
        t.index.offset = b.uniform(0, n);
    }
    t.table = b.tensor(any_type(b, 16), {n});
    if (!t.index.by_bits && b.uniform(0, 2) == 0) {
        t.bypass = b.pick({TableBypass::nonnegative, TableBypass::positive});
        t.bypass_multiply = b.tensor(any_type(b, 6), {1});
        t.table_multiply = b.tensor(any_type(b, 6), {1});
    }
    return b.add(std::move(t), {v}, any_type(b, 12), b.graph.shape(v));
}

/// Two values side by side, along any axis, of types of their own.
int random_concatenation(GraphBuilder& b, int v) {
    Shape shape = b.graph.shape(v);
    const int w = b.relu(v, any_type(b, 9));
    Concatenate c;
    c.axis = static_cast<int>(b.uniform(0, static_cast<std::int64_t>(shape.size()) - 1));
    const bool thrice = b.uniform(0, 3) == 0;
    shape[static_cast<std::size_t>(c.axis)] *= thrice ? 3 : 2;
    return b.add(c, thrice ? std::vector{w, v, w} : std::vector{v, w}, any_type(b, 12), shape);
}

int random_average(GraphBuilder& b, int v) {
    const Shape in = b.graph.shape(v);
    if (in.size() < 2 || in[in.size() - 2] < 2) return v;
    Pool p;
    p.kind = PoolKind::average;
    const std::int64_t width = in[in.size() - 2];
    p.kernel[1] = static_cast<int>(b.uniform(1, std::min<std::int64_t>(4, width)));
    p.strides[1] = static_cast<int>(b.uniform(1, 2));
    p.count_padding = b.uniform(0, 1) != 0;
    if (p.count_padding) p.padding[2] = static_cast<int>(b.uniform(0, p.kernel[1] - 1));
    const FixedType x = b.graph.type(v);
    p.accum = x;
    p.accum.width += static_cast<int>(b.uniform(0, 5));
    p.accum.integer += static_cast<int>(b.uniform(0, 3));
    const std::int64_t columns = (width + p.padding[2] - p.kernel[1]) / p.strides[1] + 1;
    Shape out = in;
    out[out.size() - 2] = columns;
    if (in.size() == 3) out[0] = in[0];
    return b.add(p, {v}, b.uniform(0, 1) != 0 ? p.accum : any_type(b, 12), out);
}

/// Softmax of the last axis, stable or of low latency, any types.
int random_softmax(GraphBuilder& b, int v) {
    const auto positive = [&](int width) {
        const int w = static_cast<int>(b.uniform(4, width));
        return ufixed(w, static_cast<int>(b.uniform(1, w)), b.pick({Rounding::trn, Rounding::rnd_conv}),
                      b.pick({Overflow::sat, Overflow::wrap}));
    };
    Softmax s;
    s.kind = b.pick({SoftmaxKind::stable, SoftmaxKind::stable, SoftmaxKind::latency, SoftmaxKind::legacy});
    const FixedType in = b.graph.type(v);
    s.norm = positive(12);
    s.inv_input = b.uniform(0, 1) != 0 ? positive(14) : any_type(b, 14);
    s.accum = fixed(static_cast<int>(b.uniform(14, 20)), static_cast<int>(b.uniform(8, 12)));
    if (b.uniform(0, 3) == 0) {  // sums near its limits
        const int width = static_cast<int>(b.uniform(3, 7));
        s.accum = fixed(width, width, Rounding::trn, overflows[b.uniform(0, 3)]);
    }
    const auto entries = [&](const FixedType& of) { return std::int64_t{1} << b.uniform(0, std::min(of.width, 9)); };
    s.exp_table = b.tensor(b.uniform(0, 3) == 0 ? any_type(b, 4) : positive(12),
                           {entries(s.kind == SoftmaxKind::latency ? in : s.norm)});
    s.inv_table = b.tensor(positive(12), {entries(s.inv_input)});
    s.axis_size = b.graph.shape(v).back();
    return b.add(std::move(s), {v}, any_type(b, 14), b.graph.shape(v));
}

Graph random_lookups(std::uint64_t seed) {
    GraphBuilder b(seed);
    Shape shape{b.uniform(1, 20)};
    if (b.uniform(0, 1) != 0) shape.insert(shape.begin(), b.uniform(1, 6));
    int v = b.input(shape, any_type(b, static_cast<int>(b.uniform(2, 14))));
    const std::int64_t n_layers = b.uniform(1, 5);
    for (std::int64_t i = 0; i < n_layers; ++i) {
        switch (b.uniform(0, 6)) {
            case 3: v = random_softmax(b, v); break;
            case 0: v = random_concatenation(b, v); break;
            case 1: v = random_average(b, v); break;
            case 2: {
                const FixedType w = any_type(b, 6);
                const int fraction = b.graph.type(v).fraction() + w.fraction();
                const FixedType accum{20, 20 - fraction, true, Rounding::trn, Overflow::wrap};
                v = b.dense(v, static_cast<int>(b.uniform(1, 70)), w, any_type(b, 8), accum, any_type(b, 12));
                break;
            }
            default: v = random_table(b, v);
        }
    }
    if (v == 0) v = random_table(b, v);
    b.output(v);
    return std::move(b.graph);
}

/// Dense layers of any accumulator, some near the width of a lane or over it, with an order of their own.
Graph random_ordered(std::uint64_t seed) {
    GraphBuilder b(seed);
    const bool is_wide = b.uniform(0, 3) == 0;
    const auto type = [&](std::int64_t least, std::int64_t most) {
        FixedType t = any_type(b, static_cast<int>(most));
        if (is_wide) t.width = static_cast<int>(b.uniform(least, most));
        return t;
    };
    Shape shape{b.uniform(1, 40)};
    if (b.uniform(0, 2) == 0) shape.insert(shape.begin(), b.uniform(1, 4));
    int v = b.input(shape, type(12, is_wide ? 22 : b.uniform(2, 14)));
    const std::int64_t n_layers = b.uniform(1, 3);
    for (std::int64_t i = 0; i < n_layers; ++i) {
        const FixedType w = type(6, is_wide ? 12 : 8);
        FixedType accum = type(26, is_wide ? 34 : b.uniform(6, 28));
        const int fraction = b.graph.type(v).fraction() + w.fraction();
        accum.integer = accum.width - fraction + static_cast<int>(b.uniform(-1, 6));
        Dense d{b.tensor(w, {b.graph.shape(v).back(), b.uniform(1, 70)}), {}, accum, {}};
        if (b.uniform(0, 1) != 0) d.bias = b.tensor(any_type(b, 8), {d.weight.shape[1]});
        if (b.uniform(0, 1) != 0)
            for (std::int64_t k = d.weight.shape[0]; k-- > 0;) d.order.push_back(static_cast<std::int32_t>(k));
        Shape out = b.graph.shape(v);
        out.back() = d.weight.shape[1];
        v = b.add(std::move(d), {v}, any_type(b, 12), out);
        if (b.uniform(0, 2) == 0) v = b.relu(v, any_type(b, 9));
    }
    b.output(v);
    return std::move(b.graph);
}

TEST(QuantizedPlan, SumsInOrder) {
    int ordered = 0, converted = 0, exact = 0;
    for (std::uint64_t seed = 0; seed < 300; ++seed) {
        const Graph graph = random_ordered(seed);
        compare(graph, seed, 70, false);
        if (HasFatalFailure()) return;
        const auto plan = make_plan(graph, prove_ranges(graph), Isa::portable);
        if (plan == nullptr) continue;
        for (const StepNote& note : plan->notes) {
            ordered += note.kernel.starts_with("dense in order");
            converted += note.kernel.starts_with("dense of converted products");
            exact += note.kernel.starts_with("exact");
        }
    }
    EXPECT_GT(ordered, 100);
    EXPECT_GT(converted, 50);
    EXPECT_GT(exact, 5);  // 32 bits do not hold all of them
    EXPECT_LT(exact, 100);
}

/// A sum that saturates on its way: 100 + 100 - 100 is 27 in eight bits, and 100 in the other order.
TEST(QuantizedPlan, SaturatingSumsKeepTheirOrder) {
    for (const bool reversed : {false, true}) {
        GraphBuilder b(1);
        const FixedType accum = fixed(8, 8, Rounding::trn, Overflow::sat);
        const int x = b.input({3}, fixed(8, 8));
        Dense d{{fixed(2, 2), {3, 1}, {1, 1, 1}}, {}, accum, {}};
        if (reversed) d.order = {2, 1, 0};
        b.output(b.add(std::move(d), {x}, accum, {1}));
        const std::int32_t event[] = {100, 100, -100};
        for (const Isa isa : isas()) {
            const auto plan = make_plan(b.graph, prove_ranges(b.graph), isa);
            ASSERT_NE(plan, nullptr);
            EXPECT_EQ(plan->notes.back().kernel, "dense in order s32 x s32");
            const Workspace64 workspace(plan_workspace_size(*plan, 1));
            std::int64_t got = 0;
            ASSERT_EQ(run_plan(*plan, {event, ElementType::int32}, {&got, ElementType::int64}, 1, workspace.data),
                      Status::ok);
            EXPECT_EQ(got, reversed ? 100 : 27);
        }
    }
}

TEST(QuantizedPlan, LookupsAndConcatenations) {
    int joined = 0, averaged = 0, exact = 0, tables = 0, softmax = 0;
    for (std::uint64_t seed = 0; seed < 400; ++seed) {
        const Graph graph = random_lookups(seed);
        compare(graph, seed, 70, false);
        if (HasFatalFailure()) return;
        const auto plan = make_plan(graph, prove_ranges(graph), Isa::portable);
        if (plan == nullptr) continue;
        for (const Layer& layer : graph.layers) tables += std::holds_alternative<Table>(layer.operation);
        for (const StepNote& note : plan->notes) {
            joined += note.kernel == "concatenation";
            averaged += note.kernel == "mean of pixels";
            softmax += note.kernel == "softmax";
            exact += note.kernel.starts_with("exact");
        }
    }
    EXPECT_GT(joined, 150);
    EXPECT_GT(averaged, 20);
    EXPECT_GT(tables, 300);
    EXPECT_GT(softmax, 40);
    EXPECT_LT(exact, 140);
}

}  // namespace
