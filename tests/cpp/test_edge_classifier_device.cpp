// The chain of kernels of a graph network: every body run on the host, against the engine of the CPU, bit for bit; the
// same on a GPU where there is one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <rheinfall/core/cuda_device.hpp>
#include <rheinfall/gnn/edge_classifier_cuda.hpp>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/file.hpp"
#include "device_networks.hpp"
#include "source_files.hpp"

namespace {

using namespace device_networks;

void expect_equal_on_gpu(std::span<const std::byte> bytes, const Event& event, EdgeOutput output,
                         const Result& expected);

/// Bodies in their order and shuffled, logits and scores, against the CPU.
void compare(std::span<const std::byte> bytes, std::size_t n_nodes, std::size_t n_edges, unsigned seed) {
    const EdgeClassifier network = EdgeClassifier::parse(bytes, "test");
    const Event event = make_event(network, n_nodes, n_edges, seed);
    for (const EdgeOutput output : {EdgeOutput::logits, EdgeOutput::scores}) {
        const Result expected = on_cpu(network, event, output);
        expect_equal(by_bodies(device_network(bytes), event, output, HostExecutor()), expected);
        expect_equal(by_bodies(device_network(bytes), event, output, HostExecutor(seed)), expected);
        expect_equal_on_gpu(bytes, event, output, expected);
        EXPECT_EQ(expected.status, Status::ok);
        if (n_edges > 1 && output == EdgeOutput::logits) {
            EXPECT_NE(*std::ranges::min_element(expected.out), *std::ranges::max_element(expected.out));
        }
    }
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
    const gnn::DeviceNetwork network = device_network(bytes);
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
    const Result expected = by_bodies(device_network(bytes), event, EdgeOutput::logits, HostExecutor());
    Event reversed = event;
    const std::size_t n = event.size();
    for (std::size_t e = 0; e < n; ++e) {
        reversed.source[e] = event.source[n - 1 - e];
        reversed.target[e] = event.target[n - 1 - e];
        for (std::size_t k = 0; k < 2; ++k) reversed.features[2 * e + k] = event.features[2 * (n - 1 - e) + k];
    }
    Result got = by_bodies(device_network(bytes), reversed, EdgeOutput::logits, HostExecutor(4));
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
            expect_equal(by_bodies(device_network(bytes), roomy, EdgeOutput::logits, HostExecutor(seed), &n_nodes,
                                   &room.n_edges),
                         expected);
        }
        const std::size_t many_edges = expected.out.size() + 1;
        const auto many_nodes = static_cast<std::uint32_t>(roomy.n_nodes + 1);
        std::ranges::fill(expected.out, -7.0F);
        expected.status = Status::capacity_exceeded;
        const auto over = [&](const std::uint32_t* nodes, const std::size_t* edges) {
            return by_bodies(device_network(bytes), roomy, EdgeOutput::logits, HostExecutor(), nodes, edges);
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
    expect_equal(by_bodies(device_network(bytes), event, EdgeOutput::logits, HostExecutor()),
                 on_cpu(network, event, EdgeOutput::logits));
}

TEST(DeviceNetwork, SaysWhatIsWrongWithAnEvent) {
    const std::vector<std::byte> bytes = every_operation(3, 4);
    const EdgeClassifier network = EdgeClassifier::parse(bytes, "test");
    const Event good = make_event(network, 50, 120, 7);
    const auto same = [&](const Event& event) {
        expect_equal(by_bodies(device_network(bytes), event, EdgeOutput::logits, HostExecutor(9)),
                     on_cpu(network, event, EdgeOutput::logits));
        return by_bodies(device_network(bytes), event, EdgeOutput::logits, HostExecutor()).status;
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
    EXPECT_THROW(by_bodies(device_network(bytes), wrong, EdgeOutput::logits, HostExecutor()), std::invalid_argument);
    Event none = good;
    none.source.clear();
    none.target.clear();
    none.features.clear();
    EXPECT_EQ(same(none), Status::empty);
}

#if defined(RHEINFALL_WITH_CUDA)

void expect_equal_on_gpu(std::span<const std::byte> bytes, const Event& event, EdgeOutput output,
                         const Result& expected) {
    if (cuda_available()) expect_equal(on_gpu(DeviceEdgeClassifier::parse(bytes, "test"), event, output), expected);
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
