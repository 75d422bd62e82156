#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <rheinfall/adapters/std_threads.hpp>
#include <rheinfall/tracking/radius_graph.hpp>
#include <stdexcept>
#include <utility>
#include <vector>

#include "allocation_counter.hpp"
#include "core/instruction_sets.hpp"
#include "point_clouds.hpp"
#include "tracking/radius_graph_work.hpp"

namespace {

using namespace point_clouds;
using rheinfall::RadiusGraphPlan;
using rheinfall::Status;

std::pair<Status, Edges> build(const RadiusGraphPlan& plan, const Cloud& cloud,
                               const rheinfall::ParallelFor& threads = {}) {
    rheinfall::check_radius_graph(plan, cloud.view());
    rheinfall::Workspace workspace;
    workspace.reserve(rheinfall::radius_graph_workspace_size({cloud.size(), cloud.dimension, plan.max_neighbours}));
    std::vector<std::int64_t> counts(cloud.size());
    rheinfall::RadiusGraphBuffers none;
    build_radius_graph(plan, workspace, cloud.view(), counts, none, threads);
    const std::size_t n_edges = none.n_edges;
    std::vector<std::int64_t> source(n_edges);
    std::vector<std::int64_t> target(n_edges);
    rheinfall::RadiusGraphBuffers buffers{source, target};
    const Status status = build_radius_graph(plan, workspace, cloud.view(), counts, buffers, threads);
    EXPECT_EQ(buffers.n_edges, n_edges);
    Edges edges;
    for (std::size_t e = 0; e < n_edges; ++e) edges.emplace_back(source[e], target[e]);
    return {status, edges};
}

TEST(RadiusGraph, EqualsTheComparisonOfAllPairs) {
    for (const std::size_t dimension : {1u, 2u, 3u, 8u, 32u}) {
        const Cloud cloud = random_cloud(80, dimension, static_cast<unsigned>(dimension));
        for (const double radius : {0.0, 1.0, 2.5}) {
            for (const bool loop : {false, true}) {
                for (const std::size_t cap : {std::size_t{1}, std::size_t{4}, RadiusGraphPlan::no_cap}) {
                    const RadiusGraphPlan plan{radius, cap, loop, true};
                    EXPECT_EQ(build(plan, cloud).second, all_pairs(plan, cloud));
                }
                const RadiusGraphPlan pairs{radius, RadiusGraphPlan::no_cap, loop, false};
                EXPECT_EQ(build(pairs, cloud).second, all_pairs(pairs, cloud));
            }
        }
        const RadiusGraphPlan nearest{std::numeric_limits<double>::infinity(), 5, false, true};
        EXPECT_EQ(build(nearest, cloud).second, all_pairs(nearest, cloud));
    }
}

TEST(RadiusGraph, ThreadsDoNotMatter) {
    rheinfall::StdThreads threads(4);
    for (const std::size_t dimension : {4u, 8u}) {  // rows by point, and rows from pairs
        const Cloud cloud = random_cloud(3000, dimension, 11);
        for (const RadiusGraphPlan& plan : {RadiusGraphPlan{1.5}, RadiusGraphPlan{1.5, 3},
                                            RadiusGraphPlan{1.5, RadiusGraphPlan::no_cap, true, false}}) {
            EXPECT_EQ(build(plan, cloud, threads.parallel_for()).second, build(plan, cloud).second);
        }
    }
}

TEST(RadiusGraph, PointsThatAreNotFiniteAreNobodysNeighbours) {
    const float inf = std::numeric_limits<float>::infinity();
    const Cloud cloud{2, {0, 0, 0, std::numeric_limits<float>::quiet_NaN(), 1, 0, inf, inf, inf, inf}};
    for (const double radius : {2.0, static_cast<double>(inf)}) {
        for (const std::size_t cap : {std::size_t{3}, RadiusGraphPlan::no_cap}) {
            const auto [status, edges] = build({radius, cap, false, true}, cloud);
            EXPECT_EQ(status, Status::not_finite);
            EXPECT_EQ(edges, (Edges{{0, 2}, {2, 0}}));
        }
    }
}

TEST(RadiusGraph, NoPointsIsAStatus) {
    const auto [status, edges] = build({1.0}, Cloud{3, {}});
    EXPECT_EQ(status, Status::empty);
    EXPECT_TRUE(edges.empty());
}

TEST(RadiusGraph, CapacityOneTooSmall) {
    for (const std::size_t dimension : {1u, 8u}) {
        Cloud cloud{dimension, std::vector<float>(3 * dimension)};
        cloud.coordinates[dimension] = 1.0F;
        cloud.coordinates[2 * dimension] = 2.0F;
        const RadiusGraphPlan plan{1.0};
        rheinfall::Workspace workspace;
        workspace.reserve(rheinfall::radius_graph_workspace_size({3, dimension, 0}));
        std::vector<std::int64_t> counts(3);
        std::vector<std::int64_t> source(3);
        std::vector<std::int64_t> target(4);
        rheinfall::RadiusGraphBuffers edges{source, target};
        EXPECT_EQ(build_radius_graph(plan, workspace, cloud.view(), counts, edges), Status::capacity_exceeded);
        EXPECT_EQ(edges.n_edges, 4u);
        source.resize(4);
        edges = {source, target};
        EXPECT_EQ(build_radius_graph(plan, workspace, cloud.view(), counts, edges), Status::ok);
        EXPECT_EQ(counts, (std::vector<std::int64_t>{1, 2, 1}));
        EXPECT_EQ(source, (std::vector<std::int64_t>{0, 1, 1, 2}));
        EXPECT_EQ(target, (std::vector<std::int64_t>{1, 0, 2, 1}));
        rheinfall::Workspace small;
        EXPECT_EQ(build_radius_graph(plan, small, cloud.view(), counts, edges), Status::capacity_exceeded);
    }
}

TEST(RadiusGraph, AllocatesNothingInTheEventLoop) {
    const Cloud cloud = random_cloud(500, 5, 12);
    rheinfall::Workspace workspace;
    workspace.reserve(rheinfall::radius_graph_workspace_size({500, 5, 10}));
    std::vector<std::int64_t> counts(500);
    std::vector<std::int64_t> source(250000);
    std::vector<std::int64_t> target(250000);
    for (const std::size_t cap : {std::size_t{10}, RadiusGraphPlan::no_cap}) {
        const RadiusGraphPlan plan{1.5, cap, false, true};
        rheinfall::RadiusGraphBuffers edges{source, target};
        const AllocationCounter allocations;
        const Status built = build_radius_graph(plan, workspace, cloud.view(), counts, edges);
        EXPECT_EQ(allocations.count(), 0u);
        EXPECT_EQ(built, Status::ok);
        EXPECT_GT(edges.n_edges, 0u);
    }
}

/// The steps that this machine can run.
std::vector<const rheinfall::detail::RadiusSteps*> all_steps() {
    std::vector<const rheinfall::detail::RadiusSteps*> steps{&rheinfall::detail::radius_steps_portable()};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        steps.push_back(&rheinfall::detail::radius_steps_avx2());
    }
    if (rheinfall::detail::has_avx512()) {
        steps.push_back(&rheinfall::detail::radius_steps_avx512());
    }
#endif
    return steps;
}

Edges build_by(const rheinfall::detail::RadiusSteps& steps, const RadiusGraphPlan& plan, const Cloud& cloud) {
    rheinfall::Workspace workspace;
    workspace.reserve(rheinfall::radius_graph_workspace_size({cloud.size(), cloud.dimension, plan.max_neighbours}));
    std::vector<std::int64_t> counts(cloud.size());
    std::vector<std::uint64_t> first(cloud.size());
    rheinfall::NeighbourLists lists{counts, first, {}};
    find_neighbours(steps, plan, workspace, cloud.view(), lists, {});
    std::vector<std::uint32_t> targets(2 * lists.n_edges);
    lists = {counts, first, targets};
    EXPECT_EQ(find_neighbours(steps, plan, workspace, cloud.view(), lists, {}), Status::ok);
    std::vector<std::int64_t> source(lists.n_edges);
    std::vector<std::int64_t> target(lists.n_edges);
    rheinfall::RadiusGraphBuffers buffers{source, target};
    EXPECT_EQ(write_edges(steps, plan, lists, buffers, {}), Status::ok);
    Edges edges;
    for (std::size_t e = 0; e < buffers.n_edges; ++e) edges.emplace_back(source[e], target[e]);
    return edges;
}

TEST(RadiusGraph, EachInstructionSetEqualsTheComparisonOfAllPairs) {
    for (const auto* steps : all_steps()) {
        for (const std::size_t dimension : {1u, 3u, 8u, 31u}) {
            const Cloud cloud = random_cloud(400, dimension, static_cast<unsigned>(dimension));
            const double radius = std::sqrt(static_cast<double>(dimension));
            for (const RadiusGraphPlan& plan :
                 {RadiusGraphPlan{radius}, RadiusGraphPlan{radius, RadiusGraphPlan::no_cap, true, false},
                  RadiusGraphPlan{3 * radius, 7}, RadiusGraphPlan{std::numeric_limits<double>::infinity(), 40}}) {
                EXPECT_EQ(build_by(*steps, plan, cloud), all_pairs(plan, cloud));
            }
        }
    }
}

TEST(RadiusGraph, SortsRowsOfAnyLength) {
    std::mt19937 random(5);
    for (const auto* steps : all_steps()) {
        for (std::size_t n = 0; n <= 600; ++n) {
            std::vector<std::uint32_t> row(std::max(n, rheinfall::detail::RowScratch::sorted_in_place));
            for (std::uint32_t& x : row) x = static_cast<std::uint32_t>(random());
            std::vector<std::uint32_t> expected(row.begin(), row.begin() + static_cast<std::ptrdiff_t>(n));
            std::ranges::sort(expected);
            steps->sort(row.data(), n);
            row.resize(n);
            EXPECT_EQ(row, expected);
        }
    }
}

TEST(RadiusGraph, RowsLongerThanTheScratch) {
    // One point amid a sphere of clusters, which in 16 dimensions are farther from each other than from it.
    constexpr std::size_t n_clusters = 500;
    Cloud cloud{16, std::vector<float>(16 * 3001)};
    std::mt19937 random(6);
    std::normal_distribution<double> normal;
    for (std::size_t i = 1; i <= n_clusters; ++i) {
        double square = 0.0;
        std::array<double, 16> x{};
        for (double& c : x) {
            c = normal(random);
            square += c * c;
        }
        for (std::size_t j = i; j < cloud.size(); j += n_clusters) {
            for (std::size_t d = 0; d < 16; ++d) {
                cloud.coordinates[16 * j + d] = static_cast<float>(0.3 * x[d] / std::sqrt(square));
            }
        }
    }
    const RadiusGraphPlan plan{0.301};
    Edges star;
    for (std::int64_t i = 1; i <= 3000; ++i) star.emplace_back(0, i);
    for (const auto* steps : all_steps()) {
        Edges edges = build_by(*steps, plan, cloud);
        EXPECT_TRUE(std::ranges::is_sorted(edges));
        EXPECT_GE(edges.size(), 3000u + 3000u * 5u);
        edges.resize(3000);
        EXPECT_EQ(edges, star);
    }
    const RadiusGraphPlan capped{0.301, 6};
    EXPECT_EQ(build_by(*all_steps().back(), capped, cloud).size(), 3001u * 6u);
}

TEST(RadiusGraph, SaysHowManyPointsLostNeighbours) {
    const Cloud cloud{1, {0, 1, 2, 10}};
    rheinfall::Workspace workspace;
    workspace.reserve(rheinfall::radius_graph_workspace_size({4, 1, 1}));
    std::vector<std::int64_t> counts(4);
    std::vector<std::int64_t> source(4);
    std::vector<std::int64_t> target(4);
    rheinfall::RadiusGraphBuffers edges{source, target};
    EXPECT_EQ(build_radius_graph({1.0, 1}, workspace, cloud.view(), counts, edges), Status::ok);
    EXPECT_EQ(edges.n_edges, 3u);
    EXPECT_EQ(edges.n_truncated, 1u);
    EXPECT_EQ(counts, (std::vector<std::int64_t>{1, 2, 1, 0}));
}

TEST(RadiusGraph, ChecksRefuseWrongCalls) {
    const Cloud cloud{1, {0, 1}};
    EXPECT_THROW(rheinfall::check_radius_graph({-1.0}, cloud.view()), std::invalid_argument);
    EXPECT_THROW(rheinfall::check_radius_graph({1.0, 0}, cloud.view()), std::invalid_argument);
    EXPECT_THROW(rheinfall::check_radius_graph({1.0, 3, false, false}, cloud.view()), std::invalid_argument);
    EXPECT_THROW(rheinfall::check_radius_graph({1.0}, {cloud.coordinates, 2, 33}), std::invalid_argument);
    EXPECT_THROW(rheinfall::check_radius_graph({1.0}, {cloud.coordinates, 3, 1}), std::invalid_argument);
}

}  // namespace
