// The chain of kernels of the CUDA graph construction: every body run on the host, against the CPU; the same on a GPU
// where there is one.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <random>
#include <rheinfall/tracking/graph_construction_cuda.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "graph_events.hpp"
#include "host_executor.hpp"
#include "tracking/detail/device_graph_steps.hpp"
#include "tracking/graph_construction_device.hpp"
#include "tracking/graph_construction_plain.hpp"

#if defined(RHEINFALL_WITH_CUDA)
#include "core/device_buffer.hpp"
#endif

namespace {

using namespace graph_events;
using rheinfall::GraphLimits;
using rheinfall::GraphResult;
using rheinfall::Status;
using rheinfall::Workspace;
namespace detail = rheinfall::detail;

constexpr std::int64_t untouched = -7;

struct Graph {
    GraphResult result;
    std::vector<std::int64_t> source, target;

    /// Fails the test unless status, counts and edges are equal bit for bit.
    void expect_equal(const Graph& other) const {
        EXPECT_EQ(result.status, other.result.status);
        EXPECT_EQ(result.n_edges, other.result.n_edges);
        EXPECT_EQ(result.n_doublets, other.result.n_doublets);
        EXPECT_EQ(result.n_unknown_modules, other.result.n_unknown_modules);
        EXPECT_EQ(result.n_not_finite, other.result.n_not_finite);
        EXPECT_EQ(source, other.source);
        EXPECT_EQ(target, other.target);
    }
};

struct Room {
    std::size_t n_doublets = 400000;
    std::size_t n_edges = 400000;
};

Graph build_on_cpu(const ModuleMap& map, const Event& event, const Room& room = {}) {
    Graph graph{{}, std::vector(room.n_edges, untouched), std::vector(room.n_edges, untouched)};
    const GraphLimits limits{event.size(), room.n_doublets};
    Workspace workspace;
    workspace.reserve(detail::graph_workspace_size_plain(map, limits));
    graph.result = detail::build_graph_plain(map, event.view(), limits, {graph.source, graph.target}, workspace);
    return graph;
}

/// Runs the bodies on @p on, over arrays of the size that the device would take. @p n_given: as `DeviceHits::n_hits`.
Graph build_like_device(HostExecutor on, const ModuleMap& map, const Event& event, const Room& room = {},
                        const std::uint32_t* n_given = nullptr) {
    Graph graph{{}, std::vector(room.n_edges, untouched), std::vector(room.n_edges, untouched)};
    const std::vector<std::uint32_t> first = detail::first_doublets(map);
    const detail::DeviceMapView view{map.modules().data(),         first.data(),
                                     map.doublet_outer().data(),   map.doublet_limits().data(),
                                     map.triplet_offsets().data(), map.triplet_outer().data(),
                                     map.triplet_codes().data(),   static_cast<std::uint32_t>(map.n_modules()),
                                     map.bend_convention(),        map.doublets_only()};
    detail::MeasuringArena meter;
    static_cast<void>(detail::take_device_graph(meter, view, event.size(), room.n_doublets));
    Workspace workspace;
    workspace.reserve(meter.bytes());
    detail::WorkspaceArena arena(workspace);
    detail::DeviceGraph g = detail::take_device_graph(arena, view, event.size(), room.n_doublets);
    EXPECT_FALSE(workspace.overflowed());
    g.x = event.x.data();
    g.y = event.y.data();
    g.z = event.z.data();
    g.module_id = event.module_id.data();
    g.n_hits_given = n_given;
    g.edge_capacity = room.n_edges;
    g.edge_source = graph.source.data();
    g.edge_target = graph.target.data();
    g.result = &graph.result;
    detail::build_device_graph(on, g);
    return graph;
}

/// The hits of @p event in another order.
Event shuffled(const Event& event, unsigned seed) {
    std::vector<std::size_t> order(event.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::mt19937 random(seed);
    std::ranges::shuffle(order, random);
    Event out;
    for (const std::size_t i : order) out.add(event.module_id[i], event.x[i], event.y[i], event.z[i]);
    return out;
}

struct Sample {
    std::string name;
    ModuleMap map;
    Event event;
};

/// From a hit or two a module to hundreds, unknown modules, hits that are not finite, one hit and none.
std::vector<Sample> samples() {
    std::vector<Sample> all;
    struct Case {
        std::uint64_t n_modules, reach;
        std::size_t n_hits;
    };
    for (const auto& [n_modules, reach, n_hits] : {Case{30, 3, 300}, {8, 3, 900}, {60, 40, 300}, {90, 80, 250}}) {
        for (unsigned seed = 0; seed < 4; ++seed) {
            Event event = event_around(n_hits, n_modules, seed);
            all.push_back({std::to_string(n_modules) + " modules, seed " + std::to_string(seed),
                           random_map(n_modules, reach, seed), event});
        }
    }
    Event bad = random_event(500, 3);  // module 6 is unknown to the map
    bad.x[3] = std::numeric_limits<float>::quiet_NaN();
    bad.z[7] = std::numeric_limits<float>::infinity();
    bad.y[100] = -std::numeric_limits<float>::infinity();
    all.push_back({"unknown modules, not finite", chain_map(), bad});
    Event strange;  // overflowing, denormal and equal coordinates
    for (int i = 0; i < 60; ++i) {
        const float scale = i % 4 == 0 ? 3e38F : i % 4 == 1 ? 1e-42F : 0.0F;
        strange.add(1 + static_cast<std::uint64_t>(i % 5), scale, -scale, scale);
    }
    all.push_back({"strange coordinates", chain_map(), strange});
    Event one;
    one.add(1, 30, 0, 0);
    all.push_back({"one hit", chain_map(), one});
    all.push_back({"one hit, empty map", ModuleMap(), one});
    all.push_back({"no hit", chain_map(), Event{}});
    all.push_back({"no hit, empty map", ModuleMap(), Event{}});
    const ModuleMap itself =  // a doublet of a module with itself, whose hits are no pairs of their own
        ModuleMap::from_doublets({{{1, 1}, any_pair}, {{1, 2}, any_pair}, {{4, 2}, any_pair}}, Bend::angle);
    all.push_back({"doublets only", itself, random_event(150, 4)});
    all.push_back({"slopes of the transverse plane",
                   ModuleMap::from_triplets({{{1, 2, 3}, 1, {any_pair, any_pair, any, {-0.3F, 0.2F}}},
                                             {{2, 1, 2}, 1, {any_pair, any_pair, {-0.1F, 0.1F}, any}}},
                                            Bend::slope_difference),
                   random_event(300, 5)});
    return all;
}

TEST(DeviceGraph, BodiesInAnyOrderGiveTheEdgesOfTheCpu) {
    std::size_t n_edges = 0;
    for (const Sample& sample : samples()) {
        SCOPED_TRACE(sample.name);
        for (const Event& event : {sample.event, shuffled(sample.event, 1)}) {
            const Graph expected = build_on_cpu(sample.map, event);
            build_like_device(HostExecutor(), sample.map, event).expect_equal(expected);
            build_like_device(HostExecutor(7), sample.map, event).expect_equal(expected);
            n_edges += expected.result.n_edges;
        }
    }
    EXPECT_GT(n_edges, 10000U);
}

TEST(DeviceGraph, ExactRoomFitsAndOneLessSaysWhatIsNeeded) {
    for (const Sample& sample : samples()) {
        SCOPED_TRACE(sample.name);
        const GraphResult needed = build_on_cpu(sample.map, sample.event).result;
        const Room exact{needed.n_doublets, needed.n_edges};
        const auto compare = [&](const Room& room) {
            const Graph graph = build_like_device(HostExecutor(), sample.map, sample.event, room);
            graph.expect_equal(build_on_cpu(sample.map, sample.event, room));
            return graph.result.status;
        };
        EXPECT_EQ(compare(exact), needed.status);
        if (needed.n_doublets > 0) {
            EXPECT_EQ(compare({needed.n_doublets - 1, exact.n_edges}), Status::capacity_exceeded);
        }
        if (needed.n_edges > 0) {
            EXPECT_EQ(compare({exact.n_doublets, needed.n_edges - 1}), Status::capacity_exceeded);
        }
    }
}

TEST(DeviceGraph, TheNumberOfHitsMayLieOnTheDevice) {
    const ModuleMap map = chain_map();
    Event event = random_event(200, 9);
    for (const std::uint32_t n : {0U, 1U, 150U, 200U}) {
        Event front;
        for (std::uint32_t i = 0; i < n; ++i) front.add(event.module_id[i], event.x[i], event.y[i], event.z[i]);
        build_like_device(HostExecutor(), map, event, {}, &n).expect_equal(build_on_cpu(map, front));
    }
    const std::uint32_t too_many = 201;
    EXPECT_EQ(build_like_device(HostExecutor(), map, event, {}, &too_many).result.status, Status::capacity_exceeded);
}

TEST(DeviceGraph, SortsInPlaceWhateverTheOrder) {
    std::mt19937 random(3);
    for (const std::size_t n : {0U, 1U, 2U, 31U, 32U, 33U, 34U, 500U}) {
        std::vector<std::int64_t> row(n);
        for (auto& v : row) v = static_cast<std::int64_t>(random() % (n + 1));
        auto expected = row;
        std::ranges::sort(expected);
        detail::sort_in_place(row.data(), n);
        EXPECT_EQ(row, expected);
        detail::sort_in_place(row.data(), n);
        EXPECT_EQ(row, expected);
        std::ranges::reverse(row);
        detail::sort_in_place(row.data(), n);
        EXPECT_EQ(row, expected);
    }
}

std::string refusal(const rheinfall::DeviceHits& hits, const GraphLimits& limits, const rheinfall::EdgesBuffer& edges,
                    const GraphResult* result) {
    try {
        detail::check_device_graph(hits, limits, edges, result);
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return "accepted";
}

TEST(DeviceGraph, RefusesWrongCalls) {
    const Event event = random_event(3, 1);
    std::vector<std::int64_t> edges(4);
    const rheinfall::EdgesBuffer buffer{edges, edges};
    const GraphResult result;
    const rheinfall::DeviceHits hits{event.view()};
    EXPECT_EQ(refusal(hits, {3, 10}, buffer, &result), "accepted");
    EXPECT_EQ(refusal(hits, {2, 10}, buffer, &result), "hits: expected at most 2, got 3");
    EXPECT_EQ(refusal(hits, {3, 10}, buffer, nullptr), "result: expected a device address, got nullptr");
    EXPECT_EQ(refusal(hits, {3, 10}, {edges, {}}, &result), "edges.target: expected 4 values, got 0");
    EXPECT_EQ(refusal(hits, {3, std::size_t{1} << 31}, buffer, &result),
              "limits.n_doublets: expected at most 2147483647, got 2147483648");
    EXPECT_EQ(refusal(hits, {std::size_t{1} << 29, 10}, buffer, &result),
              "limits.n_hits: expected at most 536870911, got 536870912");
    auto shorter = hits;
    shorter.arrays.y = shorter.arrays.y.first(2);
    EXPECT_EQ(refusal(shorter, {3, 10}, buffer, &result), "hits.y: expected 3 values, got 2");
}

#if defined(RHEINFALL_WITH_CUDA)

/// An event in flight: everything that it needs on the device.
struct DeviceEvent {
    Workspace workspace{rheinfall::device_memory()};
    rheinfall::DeviceBuffer<float> x, y, z;
    rheinfall::DeviceBuffer<std::uint64_t> module_id;
    rheinfall::DeviceBuffer<std::int64_t> source, target;
    rheinfall::DeviceBuffer<GraphResult> result;
    GraphLimits limits;
    cudaStream_t stream = nullptr;

    DeviceEvent(const rheinfall::DeviceModuleMap& map, const Event& event, const Room& room)
        : x(event.size()),
          y(event.size()),
          z(event.size()),
          module_id(event.size()),
          source(room.n_edges),
          target(room.n_edges),
          result(1),
          limits{event.size(), room.n_doublets} {
        RHEINFALL_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
        workspace.reserve(rheinfall::graph_workspace_size(map, limits));
        x.copy_from(event.x, stream);
        y.copy_from(event.y, stream);
        z.copy_from(event.z, stream);
        module_id.copy_from(event.module_id, stream);
        source.copy_from(std::vector(room.n_edges, untouched), stream);
        target.copy_from(std::vector(room.n_edges, untouched), stream);
        RHEINFALL_CUDA_CHECK(cudaStreamSynchronize(stream));
    }
    ~DeviceEvent() { static_cast<void>(cudaStreamDestroy(stream)); }
    DeviceEvent(const DeviceEvent&) = delete;
    DeviceEvent& operator=(const DeviceEvent&) = delete;

    void run(const rheinfall::DeviceModuleMap& map) {
        rheinfall::build_graph(stream, map, {{x.span(), y.span(), z.span(), module_id.span()}}, limits,
                               {source.span(), target.span()}, workspace, result.span().data());
    }
    [[nodiscard]] Graph graph() const {
        return {result.to_host(stream)[0], source.to_host(stream), target.to_host(stream)};
    }
};

TEST(DeviceGraph, CudaGivesTheEdgesOfTheCpu) {
    if (!rheinfall::cuda_available()) GTEST_SKIP() << "no CUDA device";
    for (const Sample& sample : samples()) {
        SCOPED_TRACE(sample.name);
        const rheinfall::DeviceModuleMap map(sample.map);
        const GraphResult needed = build_on_cpu(sample.map, sample.event).result;
        for (const Room& room : {Room{}, Room{needed.n_doublets, needed.n_edges}, Room{needed.n_doublets / 2, 10}}) {
            DeviceEvent event(map, sample.event, room);
            event.run(map);
            event.graph().expect_equal(build_on_cpu(sample.map, sample.event, room));
        }
    }
}

TEST(DeviceGraph, CudaGraphsReplayAndEventsOverlap) {
    if (!rheinfall::cuda_available()) GTEST_SKIP() << "no CUDA device";
    const ModuleMap host_map = random_map(30, 3, 2);
    const rheinfall::DeviceModuleMap map(host_map);
    const Event first = event_around(300, 30, 2);
    const Event second = event_around(300, 30, 4);
    DeviceEvent a(map, first, {});
    DeviceEvent b(map, second, {});
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t ready = nullptr;
    RHEINFALL_CUDA_CHECK(cudaStreamBeginCapture(a.stream, cudaStreamCaptureModeThreadLocal));
    a.run(map);
    RHEINFALL_CUDA_CHECK(cudaStreamEndCapture(a.stream, &graph));
    RHEINFALL_CUDA_CHECK(cudaGraphInstantiate(&ready, graph, 0));
    for (int i = 0; i < 20; ++i) {
        RHEINFALL_CUDA_CHECK(cudaGraphLaunch(ready, a.stream));
        b.run(map);
    }
    a.graph().expect_equal(build_on_cpu(host_map, first));
    b.graph().expect_equal(build_on_cpu(host_map, second));
    a.x.copy_from(second.x, a.stream);
    a.y.copy_from(second.y, a.stream);
    a.z.copy_from(second.z, a.stream);
    a.module_id.copy_from(second.module_id, a.stream);
    a.source.copy_from(std::vector(a.source.span().size(), untouched), a.stream);
    a.target.copy_from(std::vector(a.target.span().size(), untouched), a.stream);
    RHEINFALL_CUDA_CHECK(cudaGraphLaunch(ready, a.stream));
    a.graph().expect_equal(build_on_cpu(host_map, second));
    RHEINFALL_CUDA_CHECK(cudaGraphExecDestroy(ready));
    RHEINFALL_CUDA_CHECK(cudaGraphDestroy(graph));
}

TEST(DeviceGraph, CudaRefusesWithoutADevice) {
    if (rheinfall::cuda_available()) return;
    EXPECT_THROW(rheinfall::DeviceModuleMap{chain_map()}, rheinfall::CudaError);
}

#else

TEST(DeviceGraph, RefusesWithoutCuda) {
    EXPECT_THROW(rheinfall::DeviceModuleMap{chain_map()}, rheinfall::CudaError);
}

#endif

}  // namespace
