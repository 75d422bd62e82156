#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "quantized/plan.hpp"
#include "quantized_graphs.hpp"

/// Plans of every instruction set and size of batch, against the exact executor.
namespace rheinfall::quantized::testing {

inline std::vector<Isa> isas() {
    std::vector<Isa> all{Isa::portable};
    for (const Isa isa : {Isa::avx2, Isa::avx512})
        if (find_kernels(isa) != nullptr) all.push_back(isa);
    return all;
}

struct Workspace64 {
    explicit Workspace64(std::size_t bytes)
        : data(static_cast<std::byte*>(::operator new(bytes + 64, std::align_val_t{64}))) {
        // Whatever lay there before must not matter.
        std::memset(data, 0xa5, bytes);
    }
    ~Workspace64() { ::operator delete(data, std::align_val_t{64}); }
    std::byte* data;
};

/// Events of the graph by its plan for every instruction set and size of batch, against the exact executor.
inline void compare(const Graph& graph, std::uint64_t seed, std::size_t n_events, bool must_lower) {
    const Ranges ranges = prove_ranges(graph);
    GraphBuilder random(seed);
    std::size_t n_in = 0, n_out = 0;
    for (const Input& input : graph.inputs) n_in += n_elements(input.shape);
    for (const Output& output : graph.outputs) n_out += n_elements(graph.shape(output.value));
    std::vector<std::int64_t> events;
    for (std::size_t e = 0; e < n_events; ++e)
        for (const Input& input : graph.inputs)
            for (std::size_t i = 0; i < n_elements(input.shape); ++i) events.push_back(random.held(input.type));
    const std::vector<std::int32_t> narrow(events.begin(), events.end());
    std::vector<std::int64_t> expected;
    for (std::size_t e = 0; e < n_events; ++e) {
        const auto one = run_exactly(graph, ranges, events.data() + e * n_in);
        expected.insert(expected.end(), one.begin(), one.end());
    }
    for (const Isa isa : isas()) {
        std::string why;
        const auto plan = make_plan(graph, ranges, isa, &why);
        if (plan == nullptr) {
            EXPECT_FALSE(must_lower) << why;
            return;
        }
        ASSERT_EQ(plan->n_inputs, n_in);
        ASSERT_EQ(plan->n_outputs, n_out);
        for (const std::size_t batch : {std::size_t{1}, std::size_t{8}, std::size_t{17}, std::size_t{64}, n_events}) {
            const Workspace64 workspace(plan_workspace_size(*plan, batch));
            std::vector<std::int64_t> got(n_events * n_out);
            for (std::size_t e = 0; e < n_events; e += batch) {
                const std::size_t n = std::min(batch, n_events - e);
                const Status status = run_plan(*plan, {narrow.data() + e * n_in, ElementType::int32},
                                               {got.data() + e * n_out, ElementType::int64}, n, workspace.data);
                ASSERT_EQ(status, Status::ok);
            }
            for (std::size_t i = 0; i < got.size(); ++i)
                ASSERT_EQ(got[i], expected[i]) << "isa " << static_cast<int>(isa) << ", batch " << batch << ", event "
                                               << i / n_out << ", output " << i % n_out << ", seed " << seed;
        }
    }
}

template <class T>
void append(std::vector<std::byte>& to, std::int64_t x) {
    const T t = static_cast<T>(x);
    const auto* p = reinterpret_cast<const std::byte*>(&t);
    to.insert(to.end(), p, p + sizeof t);
}

/// Whole types of arrays, beyond what the input holds: batches of any size, and single events, give the same values and
/// the worst status of the same events.
inline void compare_arrays(const Graph& graph, std::uint64_t seed, std::size_t n_events) {
    const Ranges ranges = prove_ranges(graph);
    GraphBuilder random(seed);
    const FixedType type = graph.inputs[0].type;
    std::size_t n_in = 0, n_out = 0;
    for (const Input& input : graph.inputs) n_in += n_elements(input.shape);
    for (const Output& output : graph.outputs) n_out += n_elements(graph.shape(output.value));
    constexpr ElementType types[] = {ElementType::int8,   ElementType::int16, ElementType::int32,  ElementType::uint8,
                                     ElementType::uint16, ElementType::int64, ElementType::float32};
    for (const ElementType element : types) {
        std::vector<std::byte> events;
        std::size_t width = 0;
        for (std::size_t i = 0; i < n_events * n_in; ++i) {
            // One event in 64 lies outside, if the array's type can.
            const bool outside = i / n_in % 64 == 5 && i % 3 == 0;
            const std::int64_t x = outside ? random.uniform(-(1 << 30), 1 << 30) : random.held(type);
            const std::size_t before = events.size();
            switch (element) {
                case ElementType::int8: append<std::int8_t>(events, x); break;
                case ElementType::int16: append<std::int16_t>(events, x); break;
                case ElementType::int32: append<std::int32_t>(events, x); break;
                case ElementType::uint8: append<std::uint8_t>(events, x); break;
                case ElementType::uint16: append<std::uint16_t>(events, x); break;
                case ElementType::int64: append<std::int64_t>(events, x); break;
                default: append<float>(events, x); break;
            }
            width = events.size() - before;
        }
        for (const Isa isa : isas()) {
            const auto plan = make_plan(graph, ranges, isa, nullptr);
            ASSERT_NE(plan, nullptr);
            std::vector<std::int64_t> expected;
            Status worst_one = Status::ok;
            for (const std::size_t batch : {std::size_t{1}, std::size_t{21}, std::size_t{64}, n_events}) {
                const Workspace64 workspace(plan_workspace_size(*plan, batch));
                std::vector<std::int64_t> got(n_events * n_out);
                Status worst_seen = Status::ok;
                for (std::size_t e = 0; e < n_events; e += batch) {
                    const std::size_t n = std::min(batch, n_events - e);
                    // A copy of its own, so that a tool sees what is read behind it.
                    const std::vector<std::byte> in(
                        events.begin() + static_cast<std::ptrdiff_t>(e * n_in * width),
                        events.begin() + static_cast<std::ptrdiff_t>((e + n) * n_in * width));
                    const Status status = run_plan(*plan, {in.data(), element},
                                                   {got.data() + e * n_out, ElementType::int64}, n, workspace.data);
                    if (status != Status::ok) worst_seen = status;
                }
                if (batch == 1) {
                    expected = got;
                    worst_one = worst_seen;
                }
                EXPECT_EQ(worst_seen, worst_one);
                ASSERT_EQ(got, expected) << "isa " << static_cast<int>(isa) << ", batch " << batch << ", array type "
                                         << static_cast<int>(element) << ", seed " << seed;
            }
        }
    }
}

inline constexpr Rounding roundings[] = {Rounding::trn,      Rounding::trn_zero,    Rounding::rnd,
                                         Rounding::rnd_zero, Rounding::rnd_min_inf, Rounding::rnd_inf,
                                         Rounding::rnd_conv};
inline constexpr Overflow overflows[] = {Overflow::wrap, Overflow::sat, Overflow::sat_zero, Overflow::sat_sym};

inline FixedType any_type(GraphBuilder& b, int widest) {
    const int width = static_cast<int>(b.uniform(1, widest));
    const bool is_signed = b.uniform(0, 1) != 0;
    return {width, static_cast<int>(b.uniform(-2, width + 2)), is_signed, roundings[b.uniform(0, 6)],
            overflows[b.uniform(0, 3)]};
}

}  // namespace rheinfall::quantized::testing
