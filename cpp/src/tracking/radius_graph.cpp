#include <cmath>
#include <rheinfall/tracking/radius_graph.hpp>
#include <stdexcept>
#include <string>

#include "tracking/detail/radius_graph_rows.hpp"

namespace rheinfall {

void check_radius_graph(const RadiusGraphPlan& plan, const PointsView& points) {
    const auto refuse = [](const std::string& what) { throw std::invalid_argument(what); };
    if (!(plan.radius >= 0.0)) refuse("r: expected a number >= 0, got " + std::to_string(plan.radius));
    if (plan.max_neighbours == 0) refuse("max_neighbours: expected at least 1, got 0");
    if (!plan.directed && plan.max_neighbours != RadiusGraphPlan::no_cap) {
        refuse("max_neighbours: a cap needs directed edges, since being among the nearest is not mutual");
    }
    if (points.dimension < 1 || points.dimension > 32) {
        refuse("points: expected 1 to 32 dimensions, got " + std::to_string(points.dimension));
    }
    if (points.n_points >= 0xFFFFFFFFU) refuse("points: expected less than 2^32 - 1 points");
    if (points.coordinates.size() != points.n_points * points.dimension) {
        refuse("points: expected " + std::to_string(points.n_points * points.dimension) + " coordinates, got " +
               std::to_string(points.coordinates.size()));
    }
}

std::size_t radius_graph_workspace_size(const RadiusGraphLimits& limits) noexcept {
    const std::size_t cap = detail::nearest_kept(limits.max_neighbours, limits.n_points);
    return detail::PointTree::bytes(limits.n_points, limits.dimension) +
           Workspace::padded<std::int64_t>(limits.n_points) +
           Workspace::padded<detail::Neighbour>(detail::n_radius_tasks * cap);
}

namespace {

bool fits(const RadiusGraphPlan& plan, const Workspace& workspace, const PointsView& points) noexcept {
    const std::size_t needed = radius_graph_workspace_size({points.n_points, points.dimension, plan.max_neighbours});
    return needed <= workspace.capacity() - workspace.mark();
}

Status status_of(const detail::PointTree& tree, const PointsView& points) noexcept {
    if (tree.size() < points.n_points) return Status::not_finite;
    return points.n_points == 0 ? Status::empty : Status::ok;
}

}  // namespace

Status count_neighbours(const RadiusGraphPlan& plan, Workspace& workspace, const PointsView& points,
                        std::span<std::int64_t> counts, const ParallelFor& parallel_for) noexcept {
    if (!fits(plan, workspace, points) || counts.size() < points.n_points) return Status::capacity_exceeded;
    const std::size_t mark = workspace.mark();
    const detail::PointTree tree(points, workspace);
    std::ranges::fill(counts, 0);
    if (std::isinf(plan.radius) && plan.directed) {
        for (std::size_t i = 0; i < tree.size(); ++i) {
            counts[static_cast<std::size_t>(tree.index(i))] =
                static_cast<std::int64_t>(tree.size()) - (plan.loop ? 0 : 1);
        }
    } else {
        detail::count_rows(plan, tree, counts, parallel_for);
    }
    workspace.rewind(mark);
    return status_of(tree, points);
}

std::size_t count_edges(const RadiusGraphPlan& plan, std::span<const std::int64_t> counts) noexcept {
    std::size_t n_edges = 0;
    for (const std::int64_t n : counts) n_edges += std::min(static_cast<std::size_t>(n), plan.max_neighbours);
    return n_edges;
}

Status build_radius_graph(const RadiusGraphPlan& plan, Workspace& workspace, const PointsView& points,
                          std::span<const std::int64_t> counts, RadiusGraphBuffers& edges,
                          const ParallelFor& parallel_for) noexcept {
    edges.n_edges = 0;
    if (!fits(plan, workspace, points) || counts.size() < points.n_points) return Status::capacity_exceeded;
    const std::size_t mark = workspace.mark();
    const detail::PointTree tree(points, workspace);
    const auto offsets = workspace.take<std::int64_t>(points.n_points);
    const std::size_t cap = detail::nearest_kept(plan.max_neighbours, points.n_points);
    const auto nearest = workspace.take<detail::Neighbour>(detail::n_radius_tasks * cap);
    for (std::size_t i = 0; i < points.n_points; ++i) {
        offsets[i] = static_cast<std::int64_t>(edges.n_edges);
        edges.n_edges += std::min(static_cast<std::size_t>(counts[i]), plan.max_neighbours);
    }
    Status status = status_of(tree, points);
    if (edges.source.size() < edges.n_edges || edges.target.size() < edges.n_edges) {
        status = Status::capacity_exceeded;
    } else if (cap == 0) {
        detail::fill_rows(plan, tree, offsets, edges, parallel_for);
    } else {
        detail::fill_nearest_rows(plan, tree, offsets, nearest, edges, parallel_for);
    }
    workspace.rewind(mark);
    return status;
}

}  // namespace rheinfall
