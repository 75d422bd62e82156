#pragma once

#include "tracking/detail/point_tree.hpp"

namespace rheinfall::detail {

/// Points are handed to the host's threads in this many slices.
inline constexpr std::size_t n_radius_tasks = 32;

/// A candidate among the nearest: nearer first, ties to the smaller index.
struct Neighbour {
    double distance2;
    std::int64_t index;
    friend bool operator<(const Neighbour& a, const Neighbour& b) noexcept {
        return a.distance2 < b.distance2 || (a.distance2 == b.distance2 && a.index < b.index);
    }
};

/// How many candidates a capped search holds at a time; 0 without a cap.
inline std::size_t nearest_kept(std::size_t max_neighbours, std::size_t n_points) noexcept {
    return max_neighbours == RadiusGraphPlan::no_cap ? 0 : std::min(max_neighbours, n_points);
}

/// Edges out of each point, before any cap.
void count_rows(const RadiusGraphPlan& plan, const PointTree& tree, std::span<std::int64_t> counts,
                const ParallelFor& parallel_for) noexcept;

/// Writes the edges out of point i from offsets[i] on, sorted by target.
void fill_rows(const RadiusGraphPlan& plan, const PointTree& tree, std::span<const std::int64_t> offsets,
               const RadiusGraphBuffers& edges, const ParallelFor& parallel_for) noexcept;

/// The same with a cap; @p nearest has room for the cap, once per task.
void fill_nearest_rows(const RadiusGraphPlan& plan, const PointTree& tree, std::span<const std::int64_t> offsets,
                       std::span<Neighbour> nearest, const RadiusGraphBuffers& edges,
                       const ParallelFor& parallel_for) noexcept;

}  // namespace rheinfall::detail
