#pragma once

/// @file
/// Points for the tests of the radius graph, and its definition: the comparison of all pairs.

#include <algorithm>
#include <cstdint>
#include <random>
#include <rheinfall/tracking/radius_graph.hpp>
#include <utility>
#include <vector>

namespace point_clouds {

using rheinfall::RadiusGraphPlan;
using Edges = std::vector<std::pair<std::int64_t, std::int64_t>>;

struct Cloud {
    std::size_t dimension;
    std::vector<float> coordinates;
    [[nodiscard]] std::size_t size() const { return coordinates.size() / dimension; }
    [[nodiscard]] rheinfall::PointsView view() const { return {coordinates, size(), dimension}; }
};

/// Points on a coarse grid, so that equal distances and distances equal to the radius abound.
inline Cloud random_cloud(std::size_t n, std::size_t dimension, unsigned seed) {
    std::mt19937 random(seed);
    Cloud cloud{dimension, std::vector<float>(n * dimension)};
    for (float& c : cloud.coordinates) c = static_cast<float>(random() % 9) / 2.0F;
    return cloud;
}

inline double distance2(const Cloud& cloud, std::size_t a, std::size_t b) {
    double sum = 0.0;
    for (std::size_t d = 0; d < cloud.dimension; ++d) {
        const double difference = static_cast<double>(cloud.coordinates[a * cloud.dimension + d]) -
                                  static_cast<double>(cloud.coordinates[b * cloud.dimension + d]);
        sum += difference * difference;
    }
    return sum;
}

inline Edges all_pairs(const RadiusGraphPlan& plan, const Cloud& cloud) {
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

}  // namespace point_clouds
