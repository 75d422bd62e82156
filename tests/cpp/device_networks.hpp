#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <random>
#include <rheinfall/gnn/edge_classifier.hpp>
#include <span>
#include <string>
#include <vector>

#include "gnn/device_steps.hpp"
#include "gnn/edge_classifier_device.hpp"
#include "gnn/ir_reader.hpp"
#include "gnn_files.hpp"
#include "host_executor.hpp"
#include "tracking/detail/device_arena.hpp"

#if defined(RHEINFALL_WITH_CUDA)
#include <rheinfall/gnn/edge_classifier_cuda.hpp>

#include "core/device_buffer.hpp"
#endif

/// Graph networks by the bodies of their kernels, run on the host.
namespace device_networks {

using namespace rheinfall;

struct Event {
    std::size_t n_nodes = 0;
    std::vector<float> nodes, features;
    std::vector<std::int64_t> source, target;

    [[nodiscard]] EdgeClassifierInput input() const { return {n_nodes, nodes, {source, target}, features}; }
    [[nodiscard]] std::size_t size() const { return source.size(); }
};

/// A random graph; every seventh node has no edges, every ninth edge is there twice.
inline Event make_event(const EdgeClassifier& network, std::size_t n_nodes, std::size_t n_edges, unsigned seed) {
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

inline Result on_cpu(const EdgeClassifier& network, const Event& event, EdgeOutput output) {
    Workspace workspace;
    workspace.reserve(network.workspace_size({event.n_nodes, event.size()}));
    Result result{std::vector<float>(event.size(), -7.0F)};
    result.status = network.run(workspace, event.input(), output, result.out);
    return result;
}

inline gnn::DeviceNetwork device_network(std::span<const std::byte> bytes,
                                         GnnPrecision precision = GnnPrecision::fp32) {
    return gnn::flatten(gnn::make_plan(gnn::read_graph(bytes, "test"), "test", gnn::device_plan_options(precision)));
}

/// @p event may have room for more nodes and edges than the words say.
inline Result by_bodies(const gnn::DeviceNetwork& network, const Event& event, EdgeOutput output, HostExecutor on,
                        const std::uint32_t* n_nodes = nullptr, const std::size_t* n_edges = nullptr) {
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

#if defined(RHEINFALL_WITH_CUDA)

template <class T>
DeviceBuffer<T> uploaded(const std::vector<T>& values) {
    DeviceBuffer<T> buffer(values.size());
    buffer.copy_from(values, nullptr);
    return buffer;
}

inline Result on_gpu(const DeviceEdgeClassifier& network, const Event& event, EdgeOutput output) {
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
    return {out.to_host(nullptr), status.to_host(nullptr)[0]};
}

#endif

inline void expect_equal(const Result& got, const Result& expected) {
    EXPECT_EQ(got.status, expected.status);
    ASSERT_EQ(got.out.size(), expected.out.size());
    for (std::size_t e = 0; e < got.out.size(); ++e) {
        ASSERT_EQ(std::bit_cast<std::uint32_t>(got.out[e]), std::bit_cast<std::uint32_t>(expected.out[e])) << e;
    }
}

/// Every operation and every way of writing it, in one network whose numbers stay tame.
inline std::vector<std::byte> every_operation(unsigned seed, int h) {
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

}  // namespace device_networks
