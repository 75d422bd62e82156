#include "quantized_compare.hpp"

using namespace rheinfall;
using namespace rheinfall::quantized;
using namespace rheinfall::quantized::testing;

namespace {

/// Conversions one behind the other, of every rounding and overflow, up to the width of a lane: the plan makes few
/// stages of them.
Graph random_conversions(std::uint64_t seed) {
    GraphBuilder b(seed);
    int v = b.input({b.uniform(1, 20)}, any_type(b, 16));
    const std::int64_t n_layers = b.uniform(2, 6);
    for (std::int64_t i = 0; i < n_layers; ++i) {
        FixedType type = any_type(b, b.uniform(0, 2) == 0 ? 32 : 12);
        if (b.uniform(0, 5) == 0) type.width = 32;
        if (b.uniform(0, 2) == 0) type.overflow = Overflow::sat;
        v = b.uniform(0, 1) != 0 ? b.add(Quantize{}, {v}, type, b.graph.shape(v)) : b.relu(v, type);
    }
    b.output(v);
    return b.graph;
}

/// One event of one element through @p graph, by every executor.
void expect_value(const Graph& graph, std::int32_t x, std::int64_t expected) {
    for (const Isa isa : isas()) {
        const auto plan = make_plan(graph, prove_ranges(graph), isa);
        ASSERT_NE(plan, nullptr);
        const Workspace64 workspace(plan_workspace_size(*plan, 1));
        std::int64_t got = 0;
        ASSERT_EQ(run_plan(*plan, {&x, ElementType::int32}, {&got, ElementType::int64}, 1, workspace.data), Status::ok);
        EXPECT_EQ(got, expected) << "isa " << static_cast<int>(isa);
    }
}

}  // namespace

TEST(QuantizedPlan, Conversions) {
    for (std::uint64_t seed = 0; seed < 3000; ++seed) {
        compare(random_conversions(seed), seed, 40, false);
        if (HasFatalFailure()) return;
    }
}

/// What saturation leaves, 511/2^9, rounds up to 8, beyond the largest of the next type.
TEST(QuantizedPlan, SaturationBehindARoundedClamp) {
    GraphBuilder b(1);
    int v = b.input({1}, fixed(7, 3));
    v = b.add(Quantize{}, {v}, fixed(10, 1, Rounding::trn, Overflow::sat), {1});
    b.output(b.relu(v, ufixed(3, 0, Rounding::rnd_zero, Overflow::sat)));
    expect_value(b.graph, 63, 7);
}

/// 32767 · 2^-4 loses its upper bits in 8 integer bits, and they stay lost.
TEST(QuantizedPlan, WrapsAtTheWidthOfALane) {
    GraphBuilder b(1);
    int v = b.input({1}, fixed(16, 12));
    v = b.add(Quantize{}, {v}, fixed(32, 8), {1});
    b.output(b.add(Quantize{}, {v}, fixed(8, 8), {1}));
    expect_value(b.graph, 32767, -1);
}

/// SAT_SYM takes one value less than two's complement has: -4 - 4 is -7 there.
TEST(QuantizedPlan, SoftmaxSumsThatSaturateSymmetrically) {
    GraphBuilder b(1);
    Softmax s;
    s.kind = SoftmaxKind::latency;
    s.axis_size = 2;
    s.accum = fixed(4, 4, Rounding::trn, Overflow::sat_sym);
    s.inv_input = fixed(4, 4, Rounding::trn, Overflow::sat);
    s.exp_table = {fixed(4, 4), {2}, {-4, 1}};
    s.inv_table = {fixed(8, 4), {16}, {}};
    for (std::int64_t i = 0; i < 16; ++i) s.inv_table.data.push_back(3 + i);
    b.output(b.add(std::move(s), {b.input({2}, fixed(2, 2))}, fixed(16, 10), {2}));
    compare(b.graph, 1, 40, false);
}
