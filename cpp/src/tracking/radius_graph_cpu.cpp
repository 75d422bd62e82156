#include "tracking/detail/radius_graph_rows.hpp"

namespace rheinfall::detail {
namespace {

/// Calls `body(task, position)` for each point of the tree, in slices.
template <class Body>
void for_each_point(const PointTree& tree, const ParallelFor& parallel_for, Body&& body) {
    const std::size_t n = tree.size();
    const std::size_t n_tasks = n < 1024 || parallel_for.n_threads() == 1 ? 1 : n_radius_tasks;
    parallel_for(n_tasks, [&](std::size_t task) {
        for (std::size_t a = task * n / n_tasks; a < (task + 1) * n / n_tasks; ++a) body(task, a);
    });
}

/// Calls `edge(target)` for each neighbour of the point at @p a, in any order.
template <class Edge>
void visit_targets(const RadiusGraphPlan& plan, const PointTree& tree, std::size_t a, Edge&& edge) {
    const std::int64_t source = tree.index(a);
    const double bound = plan.radius * plan.radius;
    if (plan.loop) edge(source);
    tree.visit_within(a, bound, [&](std::size_t b, double) {
        if (plan.directed || source < tree.index(b)) edge(tree.index(b));
    });
}

/// Writes the row of @p source from its targets, which are in place but unsorted.
void finish_row(std::int64_t source, std::size_t first, std::size_t n, const RadiusGraphBuffers& edges) noexcept {
    std::ranges::sort(edges.target.subspan(first, n));
    std::ranges::fill(edges.source.subspan(first, n), source);
}

}  // namespace

void count_rows(const RadiusGraphPlan& plan, const PointTree& tree, std::span<std::int64_t> counts,
                const ParallelFor& parallel_for) noexcept {
    for_each_point(tree, parallel_for, [&](std::size_t, std::size_t a) {
        std::int64_t n = 0;
        visit_targets(plan, tree, a, [&](std::int64_t) { ++n; });
        counts[static_cast<std::size_t>(tree.index(a))] = n;
    });
}

void fill_rows(const RadiusGraphPlan& plan, const PointTree& tree, std::span<const std::int64_t> offsets,
               const RadiusGraphBuffers& edges, const ParallelFor& parallel_for) noexcept {
    for_each_point(tree, parallel_for, [&](std::size_t, std::size_t a) {
        const auto first = static_cast<std::size_t>(offsets[static_cast<std::size_t>(tree.index(a))]);
        std::size_t n = 0;
        visit_targets(plan, tree, a, [&](std::int64_t target) { edges.target[first + n++] = target; });
        finish_row(tree.index(a), first, n, edges);
    });
}

void fill_nearest_rows(const RadiusGraphPlan& plan, const PointTree& tree, std::span<const std::int64_t> offsets,
                       std::span<Neighbour> nearest, const RadiusGraphBuffers& edges,
                       const ParallelFor& parallel_for) noexcept {
    const std::size_t cap = nearest.size() / n_radius_tasks;
    for_each_point(tree, parallel_for, [&](std::size_t task, std::size_t a) {
        const auto heap = nearest.subspan(task * cap, cap);  // the farthest of the kept on top
        std::size_t n = 0;
        double bound = plan.radius * plan.radius;
        const auto offer = [&](std::size_t b, double distance2) {
            const Neighbour candidate{distance2, tree.index(b)};
            if (n == cap) {
                if (!(candidate < heap[0])) return;
                std::pop_heap(heap.begin(), heap.end());
                heap[cap - 1] = candidate;
            } else {
                heap[n++] = candidate;
            }
            std::push_heap(heap.begin(), heap.begin() + static_cast<std::ptrdiff_t>(n));
            if (n == cap) bound = heap[0].distance2;
        };
        if (plan.loop) offer(a, 0.0);
        tree.visit_within(a, bound, offer);
        const std::int64_t source = tree.index(a);
        const auto first = static_cast<std::size_t>(offsets[static_cast<std::size_t>(source)]);
        for (std::size_t i = 0; i < n; ++i) edges.target[first + i] = heap[i].index;
        finish_row(source, first, n, edges);
    });
}

}  // namespace rheinfall::detail
