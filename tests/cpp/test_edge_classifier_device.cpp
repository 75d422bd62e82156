// The chain of kernels of a graph network: every body run on the host, against the engine of the CPU, bit for bit; the
// same on a GPU where there is one.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <random>
#include <rheinfall/core/cuda_device.hpp>
#include <rheinfall/gnn/edge_classifier_cuda.hpp>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/file.hpp"
#include "gnn/device_steps.hpp"
#include "gnn/edge_classifier_device.hpp"
#include "gnn/ir_reader.hpp"
#include "gnn_files.hpp"
#include "host_executor.hpp"
#include "source_files.hpp"
#include "tracking/detail/device_arena.hpp"

#if defined(RHEINFALL_WITH_CUDA)
#include "core/device_buffer.hpp"
#endif

namespace {

using namespace rheinfall;

struct Event {
    std::size_t n_nodes = 0;
    std::vector<float> nodes, features;
    std::vector<std::int64_t> source, target;

    [[nodiscard]] EdgeClassifierInput input() const { return {n_nodes, nodes, {source, target}, features}; }
    [[nodiscard]] std::size_t size() const { return source.size(); }
};

/// A random graph; every seventh node has no edges, every ninth edge is there twice.
Event make_event(const EdgeClassifier& network, std::size_t n_nodes, std::size_t n_edges, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    Event event;
    event.n_nodes = n_nodes;
    const auto fill = [&](std::vector<float>& values, std::size_t n) {
        values.resize(n);
        for (float& x : values) x = normal(random);
    };
    fill(event.nodes, n_nodes * network.n_node_features());
    fill(event.features, n_edges * network.n_edge_features());
    const auto node = [&] {
        auto i = static_cast<std::int64_t>(random() % n_nodes);
        return i % 7 == 3 ? i - 1 : i;
    };
    for (std::size_t e = 0; e < n_edges; ++e) {
        event.source.push_back(e % 9 == 8 ? event.source[e - 1] : node());
        event.target.push_back(e % 9 == 8 ? event.target[e - 1] : node());
    }
    return event;
}

struct Result {
    std::vector<float> out;
    Status status = Status::ok;
};

Result on_cpu(const EdgeClassifier& network, const Event& event, EdgeOutput output) {
    Workspace workspace;
    workspace.reserve(network.workspace_size({event.n_nodes, event.size()}));
    Result result{std::vector<float>(event.size(), -7.0F)};
    result.status = network.run(workspace, event.input(), output, result.out);
    return result;
}

/// @p event may have room for more nodes and edges than the words say.
Result by_bodies(std::span<const std::byte> bytes, const Event& event, EdgeOutput output, HostExecutor on,
                 const std::uint32_t* n_nodes = nullptr, const std::size_t* n_edges = nullptr) {
    const gnn::DeviceNetwork network = gnn::flatten(gnn::make_plan(gnn::read_graph(bytes, "test"), "test"));
    rheinfall::detail::MeasuringArena measure;
    static_cast<void>(gnn::take_device_event(measure, network, event.n_nodes, event.size()));
    Workspace workspace;
    workspace.reserve(measure.bytes());
    rheinfall::detail::WorkspaceArena arena(workspace);
    gnn::DeviceEvent g = gnn::take_device_event(arena, network, event.n_nodes, event.size());
    EXPECT_FALSE(workspace.overflowed());
    Result result{std::vector<float>(event.size(), -7.0F)};
    gnn::check_device_call(network, event.input(), result.out, &result.status);
    gnn::set_caller(g, {event.input(), n_nodes, n_edges}, output, result.out, &result.status);
    g.arrays_in = network.arrays.data();
    g.buffers = network.buffers.data();
    gnn::run_device_network(on, network, network.instructions.data(), g);
    return result;
}

void expect_equal(const Result& got, const Result& expected) {
    EXPECT_EQ(got.status, expected.status);
    ASSERT_EQ(got.out.size(), expected.out.size());
    for (std::size_t e = 0; e < got.out.size(); ++e) {
        ASSERT_EQ(std::bit_cast<std::uint32_t>(got.out[e]), std::bit_cast<std::uint32_t>(expected.out[e])) << e;
    }
}

void expect_equal_on_gpu(std::span<const std::byte> bytes, const Event& event, EdgeOutput output,
                         const Result& expected);

/// Bodies in their order and shuffled, logits and scores, against the CPU.
void compare(std::span<const std::byte> bytes, std::size_t n_nodes, std::size_t n_edges, unsigned seed) {
    const EdgeClassifier network = EdgeClassifier::parse(bytes, "test");
    const Event event = make_event(network, n_nodes, n_edges, seed);
    for (const EdgeOutput output : {EdgeOutput::logits, EdgeOutput::scores}) {
        const Result expected = on_cpu(network, event, output);
        expect_equal(by_bodies(bytes, event, output, HostExecutor()), expected);
        expect_equal(by_bodies(bytes, event, output, HostExecutor(seed)), expected);
        expect_equal_on_gpu(bytes, event, output, expected);
        EXPECT_EQ(expected.status, Status::ok);
        if (n_edges > 1 && output == EdgeOutput::logits) {
            EXPECT_NE(*std::ranges::min_element(expected.out), *std::ranges::max_element(expected.out));
        }
    }
}

/// Every operation and every way of writing it, in one network whose numbers stay tame.
std::vector<std::byte> every_operation(unsigned seed, int h) {
    GnnFile f(seed);
    const std::string wide = std::to_string(h);
    const auto s = [](int i) { return std::to_string(i); };
    const int nodes = f.add(R"("op": "input", "kind": "node", "width": 3)");
    const int edges = f.add(R"("op": "input", "kind": "edge", "width": 2)");
    const auto gather = [&](int x, const char* end) {
        return f.add(R"("op": "gather", "inputs": [)" + s(x) + R"(], "end": ")" + end + "\"");
    };
    const auto reduce = [&](int x, const char* how, const char* end, const char* more = "") {
        return f.add(R"("op": "reduce", "inputs": [)" + s(x) + R"(], "how": ")" + how + R"(", "end": ")" + end + "\"" +
                     more);
    };
    const auto norm = [&](int x, const char* op, const char* more, int width) {
        return f.add(R"("op": ")" + std::string(op) + R"(", "inputs": [)" + s(x) + R"(], "epsilon": 0.1)" + more,
                     {{"scale", width}, {"shift", width}});
    };
    int x = f.unary("relu", norm(f.linear(s(nodes), 3, h, true), "layer_norm", "", h));
    for (const char* op : {"sigmoid", "tanh", "softplus", "abs", "erf", "square", "exp"})
        x = f.unary("tanh", f.unary(op, x));
    x = f.unary("leaky_relu", x, R"(, "alpha": 0.2)");
    x = f.unary("elu", x, R"(, "alpha": 0.7)");
    x = f.unary("clip", x, R"(, "low": -0.5, "high": 0.75)");
    x = norm(x, "batch_norm", "", h);
    int e = f.linear(s(gather(x, "source")) + ", " + s(gather(x, "target")) + ", " + s(edges), 2 * h + 2, h, true);
    e = f.unary("relu", norm(e, "batch_norm", "", h));
    const int weighted = f.binary("mul", e, f.unary("sigmoid", f.linear(s(e), h, 1, true)));
    std::string parts = s(x);
    for (const char* end : {"source", "target"}) {
        parts += ", " + s(reduce(e, "add", end)) + ", " + s(reduce(weighted, "mean", end)) + ", " +
                 s(reduce(weighted, "add", end)) + ", " + s(reduce(e, "mean", end)) + ", " +
                 s(reduce(weighted, "max", end, R"(, "initial": -0.25)")) + ", " +
                 s(reduce(e, "min", end, R"(, "initial": 0.25)"));
    }
    int y = f.linear(parts, 13 * h, h, false);
    y = f.binary("add", f.unary("tanh", y), x);
    const int degree = f.add(R"("op": "degree", "end": "target")");
    y = f.binary("sub", y, f.unary("sqrt", degree));
    y = f.binary("max", y, f.add(R"("op": "slice", "inputs": [)" + s(x) + R"(], "start": 1, "stop": 2)"));
    y = f.binary("add", y, f.unary("event_mean", e));
    y = f.binary("min", y, f.unary("event_sum", x));
    for (const char* op : {"row_mean", "row_sum", "row_max"}) y = f.unary("tanh", f.binary("add", y, f.unary(op, y)));
    const int positive = f.add(R"("op": "affine", "inputs": [)" + s(f.unary("square", y)) + "]", {{"scale", h}});
    y = f.binary("div", y, f.unary("exp", positive));
    y = f.binary("mul", f.unary("reciprocal", f.unary("exp", y)), f.unary("log", f.unary("exp", y)));
    y = f.add(R"("op": "concat", "inputs": [)" + s(y) + ", " + s(nodes) + "]");
    return f.bytes(f.linear(s(gather(y, "target")) + ", " + s(gather(y, "source")) + ", " + s(e), 3 * h + 6, 1, true));
}

class DeviceNetworkTest : public testing::TestWithParam<int> {};

TEST_P(DeviceNetworkTest, EveryOperationHasTheBitsOfTheCpu) {
    const auto seed = static_cast<unsigned>(GetParam());
    const std::vector<std::byte> bytes = every_operation(seed, GetParam());
    // Around the sizes of tiles and of chunks, and a single edge.
    compare(bytes, 1, 1, seed);
    compare(bytes, 5, 48, seed);
    compare(bytes, 49, 97, seed);
    compare(bytes, 800, 1700, seed);
}

TEST(DeviceNetwork, TheTestsHaveEveryInstruction) {
    const std::vector<std::byte> bytes = every_operation(1, 8);
    const gnn::DeviceNetwork network = gnn::flatten(gnn::make_plan(gnn::read_graph(bytes, "test"), "test"));
    std::set<gnn::Code> codes;
    for (const gnn::Instruction& i : network.instructions) codes.insert(i.code);
    EXPECT_EQ(codes.size(), static_cast<std::size_t>(gnn::Code::output) + 1);
}

INSTANTIATE_TEST_SUITE_P(Widths, DeviceNetworkTest, testing::Values(2, 5, 8, 17, 33));

TEST(DeviceNetwork, TheShippedNetworksHaveTheBitsOfTheCpu) {
    for (const char* name : {"trackml", "demo"}) {
        const std::filesystem::path path = std::filesystem::path(shipped_bundle(name)) / "edge_classifier.rfgnn";
        if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
        const auto file = rheinfall::detail::map_file(path.string());
        compare(file->view(), 700, 1500, 3);
    }
}

TEST(DeviceNetwork, EdgesInAnyOrderHaveTheSameBits) {
    const std::vector<std::byte> bytes = every_operation(1, 6);
    const EdgeClassifier network = EdgeClassifier::parse(bytes, "test");
    const Event event = make_event(network, 60, 300, 5);
    const Result expected = by_bodies(bytes, event, EdgeOutput::logits, HostExecutor());
    Event reversed = event;
    const std::size_t n = event.size();
    for (std::size_t e = 0; e < n; ++e) {
        reversed.source[e] = event.source[n - 1 - e];
        reversed.target[e] = event.target[n - 1 - e];
        for (std::size_t k = 0; k < 2; ++k) reversed.features[2 * e + k] = event.features[2 * (n - 1 - e) + k];
    }
    Result got = by_bodies(bytes, reversed, EdgeOutput::logits, HostExecutor(4));
    std::ranges::reverse(got.out);
    expect_equal(got, expected);
}

TEST(DeviceNetwork, LooksAtNoNodeOrEdgeBehindTheirNumbers) {
    const std::vector<std::byte> bytes = every_operation(4, 7);
    const EdgeClassifier network = EdgeClassifier::parse(bytes, "test");
    struct Room {
        std::size_t n_nodes, n_edges, more_nodes, more_edges;
    };
    // Also numbers of nodes whose next one needs a bit more, and room for chunks and tiles that nobody needs.
    for (const Room& room : {Room{5, 30, 1, 1}, Room{62, 97, 1, 50}, Room{63, 97, 1, 0}, Room{64, 48, 900, 2000},
                             Room{1, 1, 0, 100}, Room{40, 0, 3, 3}, Room{3, 60, 3000, 0}}) {
        SCOPED_TRACE(testing::Message() << room.n_nodes << " nodes, " << room.n_edges << " edges");
        const Event event = make_event(network, room.n_nodes, room.n_edges, 8);
        Result expected = on_cpu(network, event, EdgeOutput::logits);
        expected.out.resize(room.n_edges + room.more_edges, -7.0F);
        Event roomy = event;
        roomy.n_nodes += room.more_nodes;
        const float bad = std::numeric_limits<float>::quiet_NaN();
        roomy.nodes.resize(roomy.n_nodes * network.n_node_features(), bad);
        roomy.features.resize(expected.out.size() * network.n_edge_features(), bad);
        roomy.source.resize(expected.out.size(), 0);
        roomy.target.resize(expected.out.size(), -1);
        const auto n_nodes = static_cast<std::uint32_t>(room.n_nodes);
        for (const unsigned seed : {1U, 2U}) {
            expect_equal(by_bodies(bytes, roomy, EdgeOutput::logits, HostExecutor(seed), &n_nodes, &room.n_edges),
                         expected);
        }
        const std::size_t many_edges = expected.out.size() + 1;
        const auto many_nodes = static_cast<std::uint32_t>(roomy.n_nodes + 1);
        std::ranges::fill(expected.out, -7.0F);
        expected.status = Status::capacity_exceeded;
        const auto over = [&](const std::uint32_t* nodes, const std::size_t* edges) {
            return by_bodies(bytes, roomy, EdgeOutput::logits, HostExecutor(), nodes, edges);
        };
        expect_equal(over(&n_nodes, &many_edges), expected);
        expect_equal(over(&many_nodes, &room.n_edges), expected);
    }
}

TEST(DeviceNetwork, ManyEqualEdgesAreSorted) {
    const std::vector<std::byte> bytes = every_operation(2, 4);
    const EdgeClassifier network = EdgeClassifier::parse(bytes, "test");
    Event event = make_event(network, 3, 400, 6);
    for (std::size_t e = 0; e < event.size(); ++e) {
        event.source[e] = 1;
        event.target[e] = e < 300 ? 2 : 0;
    }
    expect_equal(by_bodies(bytes, event, EdgeOutput::logits, HostExecutor()),
                 on_cpu(network, event, EdgeOutput::logits));
}

TEST(DeviceNetwork, SaysWhatIsWrongWithAnEvent) {
    const std::vector<std::byte> bytes = every_operation(3, 4);
    const EdgeClassifier network = EdgeClassifier::parse(bytes, "test");
    const Event good = make_event(network, 50, 120, 7);
    const auto same = [&](const Event& event) {
        expect_equal(by_bodies(bytes, event, EdgeOutput::logits, HostExecutor(9)),
                     on_cpu(network, event, EdgeOutput::logits));
        return by_bodies(bytes, event, EdgeOutput::logits, HostExecutor()).status;
    };
    EXPECT_EQ(same(good), Status::ok);
    for (const std::int64_t bad : {std::int64_t{50}, std::int64_t{-1}, std::numeric_limits<std::int64_t>::min()}) {
        Event event = good;
        event.target[3] = bad;
        EXPECT_EQ(same(event), Status::invalid_argument);
        event = good;
        event.source[3] = bad;
        EXPECT_EQ(same(event), Status::invalid_argument);
    }
    for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
        Event event = good;
        event.features[0] = bad;
        EXPECT_EQ(same(event), Status::not_finite);
    }
    Event wrong = good;
    wrong.features.pop_back();
    EXPECT_THROW(by_bodies(bytes, wrong, EdgeOutput::logits, HostExecutor()), std::invalid_argument);
    Event none = good;
    none.source.clear();
    none.target.clear();
    none.features.clear();
    EXPECT_EQ(same(none), Status::empty);
}

#if defined(RHEINFALL_WITH_CUDA)

template <class T>
DeviceBuffer<T> uploaded(const std::vector<T>& values) {
    DeviceBuffer<T> buffer(values.size());
    buffer.copy_from(values, nullptr);
    return buffer;
}

void expect_equal_on_gpu(std::span<const std::byte> bytes, const Event& event, EdgeOutput output,
                         const Result& expected) {
    if (!cuda_available()) return;
    const DeviceEdgeClassifier network = DeviceEdgeClassifier::parse(bytes, "test");
    DeviceMemory memory;
    Workspace workspace(&memory);
    workspace.reserve(network.workspace_size({event.n_nodes, event.size()}));
    const auto nodes = uploaded(event.nodes);
    const auto features = uploaded(event.features);
    const auto source = uploaded(event.source);
    const auto target = uploaded(event.target);
    const auto out = uploaded(std::vector<float>(event.size(), -7.0F));
    const DeviceBuffer<Status> status(1);
    const EdgeClassifierInput input{event.n_nodes, nodes.span(), {source.span(), target.span()}, features.span()};
    network.run(nullptr, workspace, {input}, output, out.span(), status.span().data());
    expect_equal({out.to_host(nullptr), status.to_host(nullptr)[0]}, expected);
}

TEST(DeviceNetwork, CudaRefusesWithoutADevice) {
    if (cuda_available()) return;
    EXPECT_THROW(DeviceEdgeClassifier::parse(every_operation(1, 4), "test"), CudaError);
}

#else

void expect_equal_on_gpu(std::span<const std::byte> /*bytes*/, const Event& /*event*/, EdgeOutput /*output*/,
                         const Result& /*expected*/) {}

TEST(DeviceNetwork, RefusesWithoutCuda) {
    EXPECT_THROW(DeviceEdgeClassifier::parse(every_operation(1, 4), "test"), CudaError);
}

#endif

}  // namespace
