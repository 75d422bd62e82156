#include <algorithm>
#include <cmath>
#include <rheinfall/tracking/radius_graph.hpp>
#include <stdexcept>
#include <string>

#include "core/instruction_sets.hpp"
#include "tracking/radius_graph_work.hpp"

namespace rheinfall {

using detail::PointBlocks;
using detail::RadiusSearch;
using detail::RowScratch;

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

namespace {

/// Points and rows are handed to the host's threads in this many slices.
constexpr std::size_t max_tasks = 32;

std::size_t tasks_for(std::size_t n, const ParallelFor& parallel_for) noexcept {
    return n < 1024 || parallel_for.n_threads() == 1 ? 1 : max_tasks;
}

/// How many neighbours a capped search keeps; 0 without a cap.
std::size_t kept(std::size_t max_neighbours, std::size_t n_points) noexcept {
    return max_neighbours == RadiusGraphPlan::no_cap ? 0 : std::min(max_neighbours, n_points);
}

std::size_t row_room(std::size_t cap) noexcept {
    return std::max(RowScratch::min_room, 2 * (cap + 2 * PointBlocks::leaf_size));
}

std::size_t row_entries(std::size_t cap) noexcept {
    return PointBlocks::leaf_size * (row_room(cap) + RowScratch::slack);
}

std::size_t scratch_bytes(std::size_t cap) noexcept {
    return Workspace::padded<std::uint32_t>(row_entries(cap)) +
           Workspace::padded<detail::Neighbour>(cap == 0 ? 0 : row_room(cap));
}

const detail::RadiusSteps& steps_of_this_machine() noexcept {
#if defined(__x86_64__)
    if (detail::has_avx512()) {
        return detail::radius_steps_avx512();
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return detail::radius_steps_avx2();
#endif
    return detail::radius_steps_portable();
}

/// From so many dimensions on, comparing two points costs more than writing a pair to the rows of both.
constexpr std::size_t min_dimension_for_pairs = 6;

/// What finding needs; building also keeps where each row begins.
std::size_t search_bytes(std::size_t n_points, std::size_t dimension, std::size_t max_neighbours) noexcept {
    return PointBlocks::bytes(n_points, dimension) + Workspace::padded<RowScratch>(max_tasks) +
           3 * Workspace::padded<std::uint64_t>(n_points) + max_tasks * scratch_bytes(kept(max_neighbours, n_points));
}

/// The number of edges that each row has.
std::size_t row_size(const RadiusGraphPlan& plan, std::int64_t count) noexcept {
    return std::min(static_cast<std::size_t>(count), plan.max_neighbours);
}

}  // namespace

std::size_t radius_graph_workspace_size(const RadiusGraphLimits& limits) noexcept {
    const std::size_t cap = limits.max_neighbours == 0 ? RadiusGraphPlan::no_cap : limits.max_neighbours;
    return search_bytes(limits.n_points, limits.dimension, cap) + Workspace::padded<std::uint64_t>(limits.n_points);
}

namespace detail {

Status find_neighbours(const RadiusSteps& steps, const RadiusGraphPlan& plan, Workspace& workspace,
                       const PointsView& points, NeighbourLists& lists, const ParallelFor& parallel_for) noexcept {
    lists.n_edges = 0;
    lists.n_truncated = 0;
    const std::size_t needed = search_bytes(points.n_points, points.dimension, plan.max_neighbours);
    if (needed > workspace.capacity() - workspace.mark() || lists.counts.size() < points.n_points ||
        lists.first.size() < points.n_points) {
        return Status::capacity_exceeded;
    }
    lists.counts = lists.counts.first(points.n_points);
    const WorkspaceScope scope(workspace);
    RowStore store{lists.targets.data(), lists.targets.size()};
    RadiusSearch search{};
    search.blocks = make_point_blocks(points, workspace, parallel_for);
    search.points = points.coordinates.data();
    search.bounds = bounds_of(plan.radius * plan.radius, points.dimension);
    search.cap = kept(plan.max_neighbours, points.n_points);
    search.nearest = search.cap != 0 && std::isinf(plan.radius);
    search.loop = plan.loop;
    search.undirected = !plan.directed;
    search.counts = lists.counts.data();
    search.first = lists.first.data();
    search.store = &store;
    search.pairs = search.cap == 0 && points.dimension >= min_dimension_for_pairs;
    if (search.blocks.n_points < points.n_points) {
        std::fill_n(search.counts, points.n_points, 0);
        std::fill_n(search.first, points.n_points, 0);
    }
    PairLists pairs{};
    if (search.pairs) {
        search.counts = pairs.counts = workspace.take<std::int64_t>(points.n_points).data();
        search.first = pairs.first = workspace.take<std::uint64_t>(points.n_points).data();
        pairs.row_end = workspace.take<std::uint64_t>(points.n_points).data();
    }
    const std::size_t n_leaves = search.blocks.n_leaves;
    const std::size_t n_tasks = tasks_for(points.n_points, parallel_for);
    const auto scratch = workspace.take<RowScratch>(n_tasks);
    for (RowScratch& t : scratch) {
        t.room = row_room(search.cap);
        t.row = workspace.take<std::uint32_t>(row_entries(search.cap)).data();
        t.nearest = workspace.take<Neighbour>(search.cap == 0 ? 0 : t.room).data();
        t.n_truncated = 0;
    }
    parallel_for(n_tasks, [&](std::size_t task) {
        for (std::size_t leaf = task * n_leaves / n_tasks; leaf < (task + 1) * n_leaves / n_tasks; ++leaf) {
            steps.find_rows(search, leaf, scratch[task]);
        }
    });
    for (const RowScratch& t : scratch) lists.n_truncated += t.n_truncated;
    lists.n_edges = store.used;
    if (search.pairs) lists.n_edges = (plan.directed ? 2 : 1) * store.used + (plan.loop ? search.blocks.n_points : 0);
    if (store.used + (search.pairs ? lists.n_edges : 0) > store.capacity) return Status::capacity_exceeded;
    if (search.pairs) {
        pairs.n_pairs = store.used;
        merge_pairs(steps, search, pairs, lists, n_tasks, parallel_for);
    }
    if (search.blocks.n_points < points.n_points) return Status::not_finite;
    return points.n_points == 0 ? Status::empty : Status::ok;
}

Status write_edges(const RadiusSteps& steps, const RadiusGraphPlan& plan, const NeighbourLists& lists,
                   RadiusGraphBuffers& edges, const ParallelFor& parallel_for) noexcept {
    edges.n_edges = lists.n_edges;
    edges.n_truncated = lists.n_truncated;
    if (edges.source.size() < lists.n_edges || edges.target.size() < lists.n_edges ||
        lists.targets.size() < lists.n_edges) {
        return Status::capacity_exceeded;
    }
    const std::size_t n = lists.counts.size();
    const std::size_t n_tasks = tasks_for(n, parallel_for);
    std::size_t begin_of[max_tasks] = {};  // of each task's edges
    for (std::size_t task = 0, at = 0; task < n_tasks; ++task) {
        begin_of[task] = at;
        for (std::size_t i = task * n / n_tasks; i < (task + 1) * n / n_tasks; ++i) {
            at += row_size(plan, lists.counts[i]);
        }
    }
    const auto for_each_row = [&](auto&& body) {
        parallel_for(n_tasks, [&](std::size_t task) {
            std::size_t at = begin_of[task];
            for (std::size_t i = task * n / n_tasks; i < (task + 1) * n / n_tasks; ++i) {
                const std::size_t size = row_size(plan, lists.counts[i]);
                body(i, at, size);
                at += size;
            }
        });
    };
    const std::uint32_t* targets = lists.targets.data();
    std::int64_t* source = edges.source.data();
    std::int64_t* target = edges.target.data();
    for_each_row([&](std::size_t i, std::size_t at, std::size_t size) {
        steps.widen(targets + lists.first[i], size, target + at);
    });
    for_each_row([&](std::size_t i, std::size_t at, std::size_t size) {
        std::fill_n(source + at, size, static_cast<std::int64_t>(i));
    });
    return n == 0 ? Status::empty : Status::ok;
}

Status build_radius_graph(const RadiusSteps& steps, const RadiusGraphPlan& plan, Workspace& workspace,
                          const PointsView& points, std::span<std::int64_t> counts, RadiusGraphBuffers& edges,
                          const ParallelFor& parallel_for) noexcept {
    edges.n_edges = 0;
    edges.n_truncated = 0;
    const WorkspaceScope scope(workspace);
    NeighbourLists lists;
    lists.counts = counts;
    lists.first = workspace.take<std::uint64_t>(points.n_points);
    if (lists.first.size() < points.n_points) return Status::capacity_exceeded;
    // In the room for sources, which are written last.
    const std::size_t room = 2 * std::min(edges.source.size(), edges.target.size());
    lists.targets = {reinterpret_cast<std::uint32_t*>(edges.source.data()), room};
    const Status found = find_neighbours(steps, plan, workspace, points, lists, parallel_for);
    edges.n_edges = lists.n_edges;
    edges.n_truncated = lists.n_truncated;
    if (found == Status::capacity_exceeded || 2 * edges.n_edges > room) return Status::capacity_exceeded;
    return worst(found, write_edges(steps, plan, lists, edges, parallel_for));
}

}  // namespace detail

Status find_neighbours(const RadiusGraphPlan& plan, Workspace& workspace, const PointsView& points,
                       NeighbourLists& lists, const ParallelFor& parallel_for) noexcept {
    return detail::find_neighbours(steps_of_this_machine(), plan, workspace, points, lists, parallel_for);
}

Status write_edges(const RadiusGraphPlan& plan, const NeighbourLists& lists, RadiusGraphBuffers& edges,
                   const ParallelFor& parallel_for) noexcept {
    return detail::write_edges(steps_of_this_machine(), plan, lists, edges, parallel_for);
}

Status build_radius_graph(const RadiusGraphPlan& plan, Workspace& workspace, const PointsView& points,
                          std::span<std::int64_t> counts, RadiusGraphBuffers& edges,
                          const ParallelFor& parallel_for) noexcept {
    return detail::build_radius_graph(steps_of_this_machine(), plan, workspace, points, counts, edges, parallel_for);
}

}  // namespace rheinfall
