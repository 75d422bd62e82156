// The chain of kernels of the CUDA radius graph: every body run on the host, against the comparison of all pairs and
// the CPU; the same on a GPU where there is one.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <rheinfall/tracking/radius_graph_cuda.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "host_executor.hpp"
#include "point_clouds.hpp"
#include "tracking/detail/device_radius_steps.hpp"
#include "tracking/radius_graph_device.hpp"

#if defined(RHEINFALL_WITH_CUDA)
#include "core/device_buffer.hpp"
#endif

namespace {

using namespace point_clouds;
using rheinfall::RadiusGraphResult;
using rheinfall::Status;
using rheinfall::Workspace;
namespace detail = rheinfall::detail;

constexpr double infinity = std::numeric_limits<double>::infinity();

struct Found {
    RadiusGraphResult result;
    std::vector<std::int64_t> counts, source, target;

    [[nodiscard]] Edges edges() const {
        Edges list;
        for (std::size_t e = 0; e < result.n_edges; ++e) list.emplace_back(source[e], target[e]);
        return list;
    }
    void expect_equal(const Found& other) const {
        EXPECT_EQ(result.status, other.result.status);
        EXPECT_EQ(result.n_edges, other.result.n_edges);
        EXPECT_EQ(result.n_truncated, other.result.n_truncated);
        EXPECT_EQ(counts, other.counts);
        if (result.status != Status::capacity_exceeded) {
            EXPECT_TRUE(edges() == other.edges());
        }
    }
};

Found room_for(const Cloud& cloud, std::size_t capacity) {
    Found found;
    found.counts.assign(cloud.size(), -7);
    found.source.assign(capacity, -7);
    found.target.assign(capacity, -7);
    return found;
}

Found build_on_cpu(const RadiusGraphPlan& plan, const Cloud& cloud, std::size_t capacity) {
    Found found = room_for(cloud, capacity);
    Workspace workspace;
    workspace.reserve(rheinfall::radius_graph_workspace_size({cloud.size(), cloud.dimension, plan.max_neighbours}));
    rheinfall::RadiusGraphBuffers edges{found.source, found.target};
    found.result.status = build_radius_graph(plan, workspace, cloud.view(), found.counts, edges);
    found.result.n_edges = edges.n_edges;
    found.result.n_truncated = edges.n_truncated;
    return found;
}

/// Runs the bodies on @p on, over arrays of the size that the device would take.
Found build_like_device(HostExecutor on, const RadiusGraphPlan& plan, const Cloud& cloud, std::size_t capacity) {
    Found found = room_for(cloud, capacity);
    detail::MeasuringArena meter;
    static_cast<void>(detail::take_device_radius(meter, plan, cloud.size(), cloud.dimension));
    Workspace workspace;
    workspace.reserve(meter.bytes());
    detail::WorkspaceArena arena(workspace);
    detail::DeviceRadius s = detail::take_device_radius(arena, plan, cloud.size(), cloud.dimension);
    EXPECT_FALSE(workspace.overflowed());
    s.coordinates = cloud.coordinates.data();
    s.counts = found.counts.data();
    s.capacity = capacity;
    s.edge_source = found.source.data();
    s.edge_target = found.target.data();
    s.result = &found.result;
    detail::build_device_radius(on, s);
    return found;
}

std::vector<RadiusGraphPlan> plans(double radius) {
    constexpr std::size_t all = RadiusGraphPlan::no_cap;
    return {{radius, all, false, true}, {radius, all, true, true},  {radius, all, false, false},
            {radius, all, true, false}, {radius, 1, false, true},   {radius, 5, true, true},
            {infinity, 3, false, true}, {infinity, 40, true, true}, {0.0, all, false, true}};
}

TEST(DeviceRadiusGraph, BodiesGiveAllPairsInEveryDimension) {
    for (std::size_t dimension = 1; dimension <= 32; ++dimension) {
        const Cloud cloud = random_cloud(90, dimension, static_cast<unsigned>(dimension));
        for (const RadiusGraphPlan& plan : plans(std::sqrt(static_cast<double>(dimension)) * 1.25)) {
            SCOPED_TRACE(testing::Message() << dimension << " dimensions, radius " << plan.radius << ", cap "
                                            << plan.max_neighbours << ", loop " << plan.loop);
            const Found found = build_like_device(HostExecutor(static_cast<unsigned>(dimension)), plan, cloud, 90 * 90);
            EXPECT_TRUE(found.edges() == all_pairs(plan, cloud));
            found.expect_equal(build_on_cpu(plan, cloud, 90 * 90));
        }
    }
}

/// Clusters of points as real numbers, so that boxes prune, roundings matter and rows outgrow their room.
Cloud clusters(std::size_t n, std::size_t dimension, unsigned seed) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> centre(-1.0F, 1.0F);
    std::normal_distribution<float> spread(0.0F, 0.05F);
    Cloud cloud{dimension, {}};
    std::vector<float> at(dimension);
    for (std::size_t i = 0; i < n; ++i) {
        if (i % 100 == 0) {
            for (float& c : at) c = centre(random);
        }
        for (const float c : at) cloud.coordinates.push_back(c + spread(random));
    }
    return cloud;
}

TEST(DeviceRadiusGraph, BodiesGiveTheEdgesOfTheCpuOnManyLeaves) {
    for (const std::size_t dimension : {2U, 3U, 8U, 12U}) {
        const Cloud cloud = clusters(2500, dimension, static_cast<unsigned>(dimension));
        for (const RadiusGraphPlan& plan : plans(0.06 * std::sqrt(2.0 * static_cast<double>(dimension)))) {
            SCOPED_TRACE(testing::Message() << dimension << " dimensions, radius " << plan.radius << ", cap "
                                            << plan.max_neighbours << ", loop " << plan.loop);
            const Found expected = build_on_cpu(plan, cloud, 1000000);
            ASSERT_NE(expected.result.status, Status::capacity_exceeded);
            build_like_device(HostExecutor(), plan, cloud, 1000000).expect_equal(expected);
            // Room for exactly as many, and for one edge less.
            const std::size_t needed = expected.result.n_edges;
            build_like_device(HostExecutor(1), plan, cloud, needed).expect_equal(expected);
            if (needed == 0) continue;
            const Found few = build_like_device(HostExecutor(), plan, cloud, needed - 1);
            EXPECT_EQ(few.result.status, Status::capacity_exceeded);
            EXPECT_EQ(few.result.n_edges, needed);
            EXPECT_EQ(few.counts, expected.counts);
        }
    }
}

TEST(DeviceRadiusGraph, SizesAroundThoseOfLeaves) {
    for (const std::size_t n : {0U, 1U, 2U, 31U, 32U, 33U, 64U, 65U, 129U, 257U}) {
        const Cloud cloud = random_cloud(n, 3, static_cast<unsigned>(n));
        for (const RadiusGraphPlan& plan : plans(1.5)) {
            SCOPED_TRACE(testing::Message() << n << " points, cap " << plan.max_neighbours);
            const Found found = build_like_device(HostExecutor(static_cast<unsigned>(n)), plan, cloud, n * n);
            EXPECT_TRUE(found.edges() == all_pairs(plan, cloud));
            EXPECT_EQ(found.result.status, n == 0 ? Status::empty : Status::ok);
        }
    }
}

TEST(DeviceRadiusGraph, StrangeCoordinates) {
    const float inf = std::numeric_limits<float>::infinity();
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const float values[] = {0.0F, -0.0F, 1.0F, 3e38F, -3e38F, 1e-42F, -1e-42F, 1e-20F, inf, -inf, nan, 2.0F};
    std::mt19937 random(5);
    for (const std::size_t n_values : {8U, 12U}) {  // finite, and all
        Cloud cloud{3, {}};
        for (int i = 0; i < 3 * 200; ++i) cloud.coordinates.push_back(values[random() % n_values]);
        for (const double radius : {0.0, 1e-30, 1.0, 4e38, 1e200, infinity}) {
            for (const RadiusGraphPlan& plan : plans(radius)) {
                SCOPED_TRACE(testing::Message() << radius << ", cap " << plan.max_neighbours);
                build_like_device(HostExecutor(), plan, cloud, 40000).expect_equal(build_on_cpu(plan, cloud, 40000));
            }
        }
    }
    const Cloud none{2, {nan, 0, 0, inf}};
    const Found found = build_like_device(HostExecutor(), {1.0}, none, 4);
    EXPECT_EQ(found.result.status, Status::not_finite);
    EXPECT_EQ(found.counts, (std::vector<std::int64_t>{0, 0}));
}

std::string refusal(const RadiusGraphPlan& plan, const Cloud& cloud, std::size_t n_counts, std::size_t n_target,
                    const RadiusGraphResult* result) {
    std::vector<std::int64_t> numbers(10);
    const std::span<const std::int64_t> all(numbers);
    try {
        detail::check_device_radius(plan, cloud.view(), all.first(n_counts), all, all.first(n_target), result);
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return "accepted";
}

TEST(DeviceRadiusGraph, RefusesWrongCalls) {
    const Cloud cloud = random_cloud(3, 2, 1);
    const RadiusGraphResult result;
    EXPECT_EQ(refusal({1.0}, cloud, 3, 10, &result), "accepted");
    EXPECT_EQ(refusal({1.0}, cloud, 2, 10, &result), "counts: expected 3 values, got 2");
    EXPECT_EQ(refusal({1.0}, cloud, 3, 9, &result), "target: expected 10 values, got 9");
    EXPECT_EQ(refusal({1.0}, cloud, 3, 10, nullptr), "result: expected a device address, got nullptr");
    EXPECT_EQ(refusal({-1.0}, cloud, 3, 10, &result), "r: expected a number >= 0, got -1.000000");
    EXPECT_EQ(refusal({1.0, 0}, cloud, 3, 10, &result), "max_neighbours: expected at least 1, got 0");
    EXPECT_THROW(detail::check_device_radius_limits({1.0}, 10, 33, 1), std::invalid_argument);
    EXPECT_THROW(detail::check_device_radius_limits({1.0}, 10, 3, std::size_t{1} << 31), std::invalid_argument);
}

#if defined(RHEINFALL_WITH_CUDA)

Found build_on_gpu(const RadiusGraphPlan& plan, const Cloud& cloud, std::size_t capacity) {
    Workspace workspace(rheinfall::device_memory());
    workspace.reserve(rheinfall::radius_graph_workspace_size(plan, cloud.size(), cloud.dimension, capacity));
    rheinfall::DeviceBuffer<float> coordinates(cloud.coordinates.size());
    rheinfall::DeviceBuffer<std::int64_t> counts(cloud.size());
    rheinfall::DeviceBuffer<std::int64_t> source(capacity);
    rheinfall::DeviceBuffer<std::int64_t> target(capacity);
    rheinfall::DeviceBuffer<RadiusGraphResult> result(1);
    coordinates.copy_from(cloud.coordinates, nullptr);
    rheinfall::build_radius_graph(nullptr, plan, workspace, {coordinates.span(), cloud.size(), cloud.dimension},
                                  counts.span(), source.span(), target.span(), result.span().data());
    return {result.to_host(nullptr)[0], counts.to_host(nullptr), source.to_host(nullptr), target.to_host(nullptr)};
}

TEST(DeviceRadiusGraph, CudaGivesTheEdgesOfTheCpu) {
    if (!rheinfall::cuda_available()) GTEST_SKIP() << "no CUDA device";
    for (std::size_t dimension = 1; dimension <= 32; ++dimension) {
        const Cloud cloud = clusters(2500, dimension, static_cast<unsigned>(dimension));
        for (const RadiusGraphPlan& plan : plans(0.06 * std::sqrt(2.0 * static_cast<double>(dimension)))) {
            SCOPED_TRACE(testing::Message() << dimension << " dimensions, cap " << plan.max_neighbours);
            build_on_gpu(plan, cloud, 1000000).expect_equal(build_on_cpu(plan, cloud, 1000000));
        }
    }
    build_on_gpu({1.0}, Cloud{3, {}}, 10).expect_equal(build_on_cpu({1.0}, Cloud{3, {}}, 10));
}

TEST(DeviceRadiusGraph, CudaRefusesWithoutADevice) {
    if (rheinfall::cuda_available()) return;
    EXPECT_THROW(rheinfall::radius_graph_workspace_size({1.0}, 10, 3, 10), rheinfall::CudaError);
}

#else

TEST(DeviceRadiusGraph, RefusesWithoutCuda) {
    EXPECT_THROW(rheinfall::device_memory(), rheinfall::CudaError);
    EXPECT_THROW(rheinfall::radius_graph_workspace_size({1.0}, 10, 3, 10), rheinfall::CudaError);
}

#endif

}  // namespace
