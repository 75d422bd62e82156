// The chain of kernels of pruning and features: every body run on the host, against the plain functions of the CPU, bit
// for bit; the same on a GPU where there is one.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <rheinfall/core/cuda_device.hpp>
#include <rheinfall/tracking/edge_features_cuda.hpp>
#include <rheinfall/tracking/track_finder.hpp>
#include <stdexcept>
#include <vector>

#include "host_executor.hpp"
#include "tracking/detail/device_features_steps.hpp"
#include "tracking/edge_features_device.hpp"
#include "tracking/edge_features_plain.hpp"

#if defined(RHEINFALL_WITH_CUDA)
#include "core/device_buffer.hpp"
#endif

namespace {

using namespace rheinfall;

constexpr float untouched = -7.0F;

/// Hits on eight cylinders, most of them along straight lines, and edges between neighbours and between any.
struct Event {
    std::vector<float> x = {}, y = {}, z = {};
    std::vector<std::uint64_t> module_id = {};
    std::vector<std::int64_t> source = {}, target = {};
    TripletModel model = default_triplet_model();

    Event(std::size_t n_hits, std::size_t n_edges, unsigned seed, bool strange) {
        std::mt19937 random(seed);
        const auto below = [&random](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
        const auto noise = [&] { return static_cast<float>(below(1000)) * 1e-3F; };
        for (std::size_t v = 0; v < model.resolution_by_volume.size(); ++v) {
            model.resolution_by_volume[v].rphi = 0.03F + 1e-3F * static_cast<float>(v);
        }
        const float bad[] = {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity(), 1e30F};
        for (std::size_t i = 0; i < n_hits; ++i) {
            const float r = 40.0F * static_cast<float>(1 + i % 8);
            const float phi = 0.37F * static_cast<float>(i / 8) + 2e-4F * noise();
            x.push_back(r * std::cos(phi));
            y.push_back(r * std::sin(phi));
            z.push_back(r * (static_cast<float>(i / 8 % 9) - 4.0F) + noise());
            module_id.push_back(std::uint64_t{below(256)} << 56U | below(100));
            if (below(30) == 0) x.back() = y.back() = 0;
            if (strange && below(10) == 0) (*std::vector{&x, &y, &z}[below(3)]).back() = bad[below(3)];
        }
        std::vector<std::pair<std::int64_t, std::int64_t>> edges;
        for (std::size_t i = 0; n_hits > 0 && i < n_edges; ++i) {
            const std::size_t a = below(n_hits);
            const std::size_t b = below(4) == 0 ? below(n_hits) : std::min(n_hits - 1, a + 1 + below(2));
            edges.emplace_back(a, b);
        }
        std::ranges::sort(edges);
        for (const auto& [a, b] : edges) {
            source.push_back(a);
            target.push_back(b);
        }
    }
    [[nodiscard]] HitsView hits() const { return {x, y, z, module_id}; }
    [[nodiscard]] EdgesView edges() const { return {source, target}; }
};

/// What pruning and the features of the edges left give.
struct Result {
    PruneResult pruned{};
    std::vector<std::int64_t> source, target;
    std::vector<float> chi2, nodes, rows;

    explicit Result(std::size_t n_hits, std::size_t n_edges)
        : source(n_edges, -7),
          target(n_edges, -7),
          chi2(4 * n_edges, untouched),
          nodes(n_node_features * n_hits, untouched),
          rows(n_edge_features * n_edges, untouched) {}
    [[nodiscard]] ContinuationChi2 view() {
        const std::size_t n = source.size();
        const std::span<float> all(chi2);
        return {all.subspan(0, n), all.subspan(n, n), all.subspan(2 * n, n), all.subspan(3 * n, n)};
    }
    /// Leaves nothing behind the edges that are left, and one set of bits for what is not a number.
    void trim() {
        const std::size_t n = source.size();
        const std::size_t left = pruned.n_edges;
        std::vector<float> front;
        for (std::size_t row = 0; row < 4; ++row) {
            for (std::size_t e = 0; e < left; ++e) front.push_back(chi2[row * n + e]);
        }
        chi2 = front;
        source.resize(left);
        target.resize(left);
        rows.resize(n_edge_features * left);
        for (auto* values : {&chi2, &nodes, &rows}) {
            for (float& v : *values) v = std::isnan(v) ? std::numeric_limits<float>::quiet_NaN() : v;
        }
    }
    void expect_equal(const Result& other) const {
        EXPECT_EQ(pruned.status, other.pruned.status);
        EXPECT_EQ(pruned.n_edges, other.pruned.n_edges);
        EXPECT_EQ(source, other.source);
        EXPECT_EQ(target, other.target);
        const auto same = [](const std::vector<float>& a, const std::vector<float>& b) {
            return std::ranges::equal(a, b, [](float u, float v) {
                return std::bit_cast<std::uint32_t>(u) == std::bit_cast<std::uint32_t>(v);
            });
        };
        EXPECT_TRUE(same(chi2, other.chi2));
        EXPECT_TRUE(same(nodes, other.nodes));
        EXPECT_TRUE(same(rows, other.rows));
    }
};

Result on_cpu(const Event& event, float chi2_max) {
    Result result(event.x.size(), event.source.size());
    result.source = event.source;
    result.target = event.target;
    Workspace workspace;
    workspace.reserve(detail::triplet_chi2_workspace_size_plain(event.x.size(), event.source.size()));
    result.pruned = detail::prune_edges_plain(event.hits(), {result.source, result.target}, event.model, chi2_max,
                                              result.view(), workspace);
    detail::node_features_plain(event.hits(), result.nodes);
    const std::size_t n = result.pruned.n_edges;
    const EdgesView left{std::span(result.source).first(n), std::span(result.target).first(n)};
    detail::edge_features_plain(event.hits(), left, result.view(), result.rows);
    result.trim();
    return result;
}

/// @p event may have room for more hits and edges than the words say.
Result by_bodies(HostExecutor on, const Event& event, float chi2_max, const std::uint32_t* n_hits = nullptr,
                 const std::size_t* n_edges = nullptr) {
    Result result(event.x.size(), event.source.size());
    const DeviceEdges given{event.edges(), n_edges};
    const EdgesBuffer left{result.source, result.target};
    detail::check_device_pruning(event.hits(), given, {chi2_max}, left, result.view(), &result.pruned);
    detail::MeasuringArena measure;
    static_cast<void>(detail::take_device_pruner(measure, event.x.size(), event.source.size()));
    Workspace workspace;
    workspace.reserve(measure.bytes());
    detail::WorkspaceArena arena(workspace);
    detail::DevicePruner g = detail::take_device_pruner(arena, event.x.size(), event.source.size());
    EXPECT_FALSE(workspace.overflowed());
    detail::set_device_pruner(g, event.hits(), given, {chi2_max}, left, result.view(), &result.pruned);
    detail::prune_device_edges(on, event.model, g);
    const DeviceHits hits{event.hits(), n_hits};
    const DeviceEdges edges{{result.source, result.target}, &result.pruned.n_edges};
    detail::check_device_features(hits, edges, result.view(), result.nodes, result.rows);
    detail::DeviceFeatures f = detail::device_features(hits, edges, result.view(), result.nodes, result.rows);
    std::vector<detail::DevicePoint> points(event.x.size());
    f.points = points.data();
    detail::make_device_features(on, f);
    return result;
}

TEST(DevicePruning, BodiesHaveTheBitsOfTheCpu) {
    std::size_t n_dropped = 0;
    std::size_t n_left = 0;
    for (unsigned seed = 0; seed < 120; ++seed) {
        std::mt19937 random(seed);
        const std::size_t n_hits = random() % (seed % 3 == 0 ? 20 : 400);
        const Event event(n_hits, random() % 900, seed, seed % 4 == 3);
        for (const float chi2_max : {0.0F, 3.0F, 60.0F, 9999.0F, 1e4F, 2e4F, std::numeric_limits<float>::infinity()}) {
            SCOPED_TRACE(testing::Message() << "seed " << seed << ", chi2_max " << chi2_max);
            const Result expected = on_cpu(event, chi2_max);
            Result got = by_bodies(HostExecutor(seed), event, chi2_max);
            got.trim();
            got.expect_equal(expected);
            n_left += expected.pruned.n_edges;
            n_dropped += event.source.size() - expected.pruned.n_edges;
            if (testing::Test::HasFailure()) return;
        }
    }
    EXPECT_GT(n_left, 50000U);
    EXPECT_GT(n_dropped, 50000U);
}

TEST(DevicePruning, LooksAtNoHitOrEdgeBehindTheirNumbers) {
    for (unsigned seed = 0; seed < 20; ++seed) {
        const std::size_t n_hits = 62 + seed % 3;  // the next number may need a bit more
        const Event event(n_hits, seed == 0 ? 0 : 200, seed, seed % 2 == 1);
        Event roomy = event;
        for (auto* axis : {&roomy.x, &roomy.y, &roomy.z}) axis->resize(n_hits + seed, 5.0F);
        roomy.module_id.resize(n_hits + seed, 0);
        for (auto* ends : {&roomy.source, &roomy.target}) ends->resize(event.source.size() + 30, -1);
        const auto hits = static_cast<std::uint32_t>(n_hits);
        const std::size_t edges = event.source.size();
        Result expected = on_cpu(event, 60.0F);
        expected.nodes.resize(n_node_features * roomy.x.size(), 0.0F);
        Result got = by_bodies(HostExecutor(seed), roomy, 60.0F, &hits, &edges);
        EXPECT_EQ(got.source.back(), -7);
        EXPECT_EQ(got.rows.back(), untouched);
        got.trim();
        got.expect_equal(expected);

        const std::size_t many = roomy.source.size() + 1;
        const Result none = by_bodies(HostExecutor(seed), roomy, 60.0F, &hits, &many);
        EXPECT_EQ(none.pruned.status, Status::capacity_exceeded);
        EXPECT_EQ(none.pruned.n_edges, many);
        EXPECT_EQ(std::ranges::count(none.rows, untouched), static_cast<std::ptrdiff_t>(none.rows.size()));
        EXPECT_EQ(std::ranges::count(none.source, -7), static_cast<std::ptrdiff_t>(none.source.size()));
    }
}

TEST(DevicePruning, RefusesWrongCalls) {
    const Event event(20, 40, 1, false);
    Result r(20, 40);
    const EdgesBuffer left{r.source, r.target};
    const DeviceEdges edges{event.edges()};
    PruneResult word{};
    using detail::check_device_pruning;
    EXPECT_NO_THROW(check_device_pruning(event.hits(), edges, {1.0F}, left, r.view(), &word));
    EXPECT_THROW(check_device_pruning(event.hits(), edges, {1.0F}, left, r.view(), nullptr), std::invalid_argument);
    EXPECT_THROW(check_device_pruning(event.hits(), edges, {1.0F, 2.0F, 10}, left, r.view(), &word),
                 std::invalid_argument);
    EXPECT_THROW(
        check_device_pruning(event.hits(), edges, {1.0F}, {left.source, left.target.first(39)}, r.view(), &word),
        std::invalid_argument);
    EXPECT_THROW(check_device_pruning(event.hits(), edges, {1.0F}, left, {}, &word), std::invalid_argument);
    HitsView hits = event.hits();
    hits.module_id = hits.module_id.first(19);
    EXPECT_THROW(check_device_pruning(hits, edges, {1.0F}, left, r.view(), &word), std::invalid_argument);
    EXPECT_THROW(detail::check_device_edge_limits(1, std::size_t{1} << 31), std::invalid_argument);
    EXPECT_THROW(detail::check_device_features({event.hits()}, edges, r.view(), std::span(r.nodes).first(4), {}),
                 std::invalid_argument);
}

#if defined(RHEINFALL_WITH_CUDA)

template <class T>
DeviceBuffer<T> uploaded(const std::vector<T>& values) {
    DeviceBuffer<T> buffer(values.size());
    buffer.copy_from(values, nullptr);
    return buffer;
}

TEST(DevicePruning, CudaHasTheBitsOfTheCpu) {
    if (!cuda_available()) GTEST_SKIP() << "no CUDA device";
    const Event event(3000, 9000, 5, true);
    Result expected = on_cpu(event, 60.0F);
    Result got(event.x.size(), event.source.size());
    const auto x = uploaded(event.x), y = uploaded(event.y), z = uploaded(event.z);
    const auto module_id = uploaded(event.module_id);
    const auto source = uploaded(event.source), target = uploaded(event.target);
    const auto left_source = uploaded(got.source), left_target = uploaded(got.target);
    const auto chi2 = uploaded(got.chi2), nodes = uploaded(got.nodes), rows = uploaded(got.rows);
    const DeviceBuffer<PruneResult> pruned(1);
    const std::size_t n = event.source.size();
    const ContinuationChi2 values{chi2.span().first(n), chi2.span().subspan(n, n), chi2.span().subspan(2 * n, n),
                                  chi2.span().last(n)};
    Workspace workspace(device_memory());
    workspace.reserve(prune_edges_device_workspace_size(event.x.size(), n));
    const HitsView hits{x.span(), y.span(), z.span(), module_id.span()};
    prune_edges(nullptr, hits, {{source.span(), target.span()}}, event.model, {60.0F},
                {left_source.span(), left_target.span()}, values, workspace, pruned.span().data());
    graph_features(nullptr, {hits}, {{left_source.span(), left_target.span()}, &pruned.span().data()->n_edges}, values,
                   nodes.span(), rows.span(), workspace);
    got.pruned = pruned.to_host(nullptr)[0];
    got.source = left_source.to_host(nullptr);
    got.target = left_target.to_host(nullptr);
    got.chi2 = chi2.to_host(nullptr);
    got.nodes = nodes.to_host(nullptr);
    got.rows = rows.to_host(nullptr);
    got.trim();
    got.expect_equal(expected);
}

#else

TEST(DevicePruning, RefusesWithoutCuda) {
    EXPECT_THROW(static_cast<void>(prune_edges_device_workspace_size(1, 1)), CudaError);
}

#endif

}  // namespace
