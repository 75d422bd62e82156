#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

#include "quantized/plan.hpp"
#include "quantized_graphs.hpp"

using namespace rheinfall;
using namespace rheinfall::quantized;
using namespace rheinfall::quantized::testing;

namespace {

/// Dense layers of any width behind each other, as a trigger has them: inputs of 4 to 24 bits with or without offset
/// and shift, ReLUs that another layer may read too, and at the end nothing, a merge, or the sum of squares.
Graph random_trigger(std::uint64_t seed) {
    GraphBuilder b(seed);
    const std::int64_t n = b.uniform(1, 66);
    const int width = static_cast<int>(b.uniform(4, 24));
    const FixedType in = fixed(width, static_cast<int>(b.uniform(1, width)));
    int v = b.input({n}, in);
    if (b.uniform(0, 2) == 0) {
        const FixedType t = fixed(width, in.integer);
        const int c = b.add(Constant{b.tensor(t, {n})}, {}, t, {n});
        v = b.add(Binary{BinaryKind::subtract}, {v, c}, in, {n});
    }
    if (b.uniform(0, 2) == 0) {
        Shift s;
        for (std::int64_t k = 0; k < n; ++k) s.shift.push_back(static_cast<std::int32_t>(b.uniform(-1, 12)));
        v = b.add(s, {v}, in, {n});
    }
    int middle = -1;
    // Networks of layers of one size, rounded to bytes, whose values a merge reads once more.
    const bool residual = b.uniform(0, 2) == 0;
    const int size = static_cast<int>(b.uniform(1, 20));
    for (std::int64_t i = b.uniform(1, 5); i > 0; --i) {
        const FixedType w = fixed(static_cast<int>(b.uniform(2, b.uniform(0, 4) == 0 ? 11 : 8)), 2);
        const int fraction = b.graph.type(v).fraction() + w.fraction();
        const int bits = static_cast<int>(b.uniform(12, 31));
        const FixedType sums = fixed(bits, bits - fraction);
        const int n_out = residual ? size : static_cast<int>(b.uniform(1, b.uniform(0, 1) == 0 ? 16 : 66));
        const Rounding rounding =
            residual
                ? Rounding::rnd_conv
                : b.pick({Rounding::rnd_conv, Rounding::trn, Rounding::rnd, Rounding::rnd_zero, Rounding::rnd_min_inf});
        v = b.dense(v, n_out, w, fixed(8, 2), sums, sums);
        if (b.uniform(0, 4) == 0) continue;
        const int act = residual && b.uniform(0, 3) != 0 ? 8 : static_cast<int>(b.uniform(4, 14));
        v = b.relu(v, ufixed(act, act / 2, rounding, Overflow::sat));
        if (b.uniform(0, 1) == 0) middle = v;
    }
    const FixedType end = fixed(12, 6, Rounding::rnd_conv, Overflow::sat);
    if (middle >= 0 && middle != v && b.graph.shape(middle) == b.graph.shape(v)) {
        const auto kind = b.pick({BinaryKind::add, BinaryKind::subtract, BinaryKind::multiply, BinaryKind::maximum});
        v = b.add(Binary{kind}, b.uniform(0, 1) == 0 ? std::vector{v, middle} : std::vector{middle, v}, end,
                  b.graph.shape(v));
    }
    const FixedType score = b.uniform(0, 1) == 0 ? ufixed(18, 14) : fixed(21, 15);
    if (b.uniform(0, 2) == 0) v = b.add(SumOfSquares{score}, {v}, score, {1});
    b.output(v);
    return std::move(b.graph);
}

/// What follows the input in a chain of batch 1.
struct Tally {
    int inputs = 0;     ///< chains that read the input
    int cut = 0;        ///< of these, inputs cut into bytes
    int complete = 0;   ///< of these, nothing comes behind the chain
    int in_memory = 0;  ///< chains that begin behind another step
    int listed = 0;     ///< layers of few weights
};

void count(const Plan& plan, Tally& tally) {
    if (plan.inputs.size() == 1 && plan.inputs.front().one.chain != nullptr) {
        ++tally.inputs;
        tally.cut += plan.inputs.front().one.chain->planes != nullptr;
        tally.complete += plan.one.empty();
    }
    for (const Step& step : plan.one) tally.in_memory += step.links != nullptr;
    for (const StepNote& note : plan.notes) tally.listed += note.kernel.find("in batch 1") != std::string::npos;
}

TEST(QuantizedChains, GiveWhatTheExactExecutorGives) {
    Tally tally;
    const bool has_chains = find_kernels(Isa::best)->links != nullptr;
    for (std::uint64_t seed = 0; seed < 800; ++seed) {
        const Graph graph = seed % 2 == 0 ? random_trigger(seed / 2) : pruned(random_trigger(seed / 2), seed);
        const Ranges ranges = prove_ranges(graph);
        const auto plan = make_plan(graph, ranges, Isa::best);
        if (plan == nullptr) continue;
        count(*plan, tally);
        GraphBuilder random(seed);
        std::vector<std::byte> memory(plan_workspace_size(*plan, 1) + 64);
        void* aligned = memory.data();
        std::size_t space = memory.size();
        std::align(64, space - 64, aligned, space);
        std::memset(aligned, 0xa5, space);
        for (int e = 0; e < 40; ++e) {
            std::vector<std::int64_t> event;
            for (std::size_t i = 0; i < plan->n_inputs; ++i) event.push_back(random.stored(graph.inputs[0].type));
            const std::vector<std::int32_t> narrow(event.begin(), event.end());
            std::vector<std::int64_t> got(plan->n_outputs);
            const Status status = run_plan(*plan, {narrow.data(), ElementType::int32}, {got.data(), ElementType::int64},
                                           1, static_cast<std::byte*>(aligned));
            ASSERT_EQ(status, Status::ok);
            ASSERT_EQ(got, run_exactly(graph, ranges, event.data())) << "seed " << seed << ", event " << e;
        }
    }
    if (!has_chains) GTEST_SKIP() << "this machine's kernels have no chains; results were compared all the same";
    EXPECT_GT(tally.inputs, 100);
    EXPECT_GT(tally.cut, 30);
    EXPECT_GT(tally.complete, 50);
    EXPECT_GT(tally.in_memory, 10);
    EXPECT_GT(tally.listed, 50);
}

}  // namespace
