#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <rheinfall/adapters/std_threads.hpp>
#include <rheinfall/tracking/radius_graph.hpp>
#include <stdexcept>
#include <utility>
#include <vector>

#include "allocation_counter.hpp"

namespace {

using rheinfall::RadiusGraphPlan;
using rheinfall::Status;
using Edges = std::vector<std::pair<std::int64_t, std::int64_t>>;

struct Cloud {
    std::size_t dimension;
    std::vector<float> coordinates;
    [[nodiscard]] std::size_t size() const { return coordinates.size() / dimension; }
    [[nodiscard]] rheinfall::PointsView view() const { return {coordinates, size(), dimension}; }
};

/// Points on a coarse grid, so that equal distances and distances equal to the radius abound.
Cloud random_cloud(std::size_t n, std::size_t dimension, unsigned seed) {
    std::mt19937 random(seed);
    Cloud cloud{dimension, std::vector<float>(n * dimension)};
    for (float& c : cloud.coordinates) c = static_cast<float>(random() % 9) / 2.0F;
    return cloud;
}

double distance2(const Cloud& cloud, std::size_t a, std::size_t b) {
    double sum = 0.0;
    for (std::size_t d = 0; d < cloud.dimension; ++d) {
        const double difference = static_cast<double>(cloud.coordinates[a * cloud.dimension + d]) -
                                  static_cast<double>(cloud.coordinates[b * cloud.dimension + d]);
        sum += difference * difference;
    }
    return sum;
}

Edges all_pairs(const RadiusGraphPlan& plan, const Cloud& cloud) {
    Edges edges;
    for (std::size_t a = 0; a < cloud.size(); ++a) {
        std::vector<std::pair<double, std::int64_t>> near;
        for (std::size_t b = 0; b < cloud.size(); ++b) {
            const double d2 = distance2(cloud, a, b);
            const bool wanted = a == b ? plan.loop : plan.directed || a < b;
            if (wanted && d2 <= plan.radius * plan.radius) near.emplace_back(d2, b);
        }
        std::ranges::sort(near);
        if (near.size() > plan.max_neighbours) near.resize(plan.max_neighbours);
        for (const auto& [d2, b] : near) edges.emplace_back(a, b);
    }
    std::ranges::sort(edges);
    return edges;
}

std::pair<Status, Edges> build(const RadiusGraphPlan& plan, const Cloud& cloud,
                               const rheinfall::ParallelFor& threads = {}) {
    rheinfall::check_radius_graph(plan, cloud.view());
    rheinfall::Workspace workspace;
    workspace.reserve(rheinfall::radius_graph_workspace_size({cloud.size(), cloud.dimension, plan.max_neighbours}));
    std::vector<std::int64_t> counts(cloud.size());
    count_neighbours(plan, workspace, cloud.view(), counts, threads);
    const std::size_t n_edges = count_edges(plan, counts);
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
    const Cloud cloud = random_cloud(3000, 4, 11);
    rheinfall::StdThreads threads(4);
    for (const std::size_t cap : {std::size_t{3}, RadiusGraphPlan::no_cap}) {
        const RadiusGraphPlan plan{1.0, cap, false, true};
        EXPECT_EQ(build(plan, cloud, threads.parallel_for()).second, build(plan, cloud).second);
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
    const Cloud cloud{1, {0, 1, 2}};
    const RadiusGraphPlan plan{1.0};
    rheinfall::Workspace workspace;
    workspace.reserve(rheinfall::radius_graph_workspace_size({3, 1, 0}));
    std::vector<std::int64_t> counts(3);
    ASSERT_EQ(count_neighbours(plan, workspace, cloud.view(), counts), Status::ok);
    EXPECT_EQ(counts, (std::vector<std::int64_t>{1, 2, 1}));
    std::vector<std::int64_t> source(3);
    std::vector<std::int64_t> target(4);
    rheinfall::RadiusGraphBuffers edges{source, target};
    EXPECT_EQ(build_radius_graph(plan, workspace, cloud.view(), counts, edges), Status::capacity_exceeded);
    EXPECT_EQ(edges.n_edges, 4u);
    rheinfall::Workspace small;
    EXPECT_EQ(count_neighbours(plan, small, cloud.view(), counts), Status::capacity_exceeded);
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
        const Status counted = count_neighbours(plan, workspace, cloud.view(), counts);
        const Status built = build_radius_graph(plan, workspace, cloud.view(), counts, edges);
        EXPECT_EQ(allocations.count(), 0u);
        EXPECT_EQ(worst(counted, built), Status::ok);
        EXPECT_GT(edges.n_edges, 0u);
    }
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
