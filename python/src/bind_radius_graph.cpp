#include <nanobind/stl/optional.h>

#include <algorithm>
#include <optional>
#include <rheinfall/tracking/radius_graph.hpp>

#include "arrays.hpp"
#include "bindings.hpp"
#include "huge_pages.hpp"
#include "threads.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using Points = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using EdgeIndex = nb::ndarray<nb::numpy, std::int64_t, nb::shape<2, -1>>;
using Counts = nb::ndarray<nb::numpy, std::int64_t, nb::ndim<1>>;
using Result = nb::typed<nb::tuple, EdgeIndex, Counts>;

/// Room for neighbours before their number is known: memory that is not touched costs nothing.
constexpr std::size_t first_guess_per_point = 256;
constexpr std::size_t largest_guess = std::size_t{1} << 28U;

Result radius_graph(const Points& points, double r, std::optional<std::size_t> max_neighbours, bool loop,
                    bool directed) {
    const std::size_t n = points.shape(0);
    const rheinfall::PointsView view{as_span(points), n, points.shape(1)};
    rheinfall::RadiusGraphPlan plan{r, max_neighbours.value_or(rheinfall::RadiusGraphPlan::no_cap), loop, directed};
    std::unique_ptr<std::int64_t[]> edge_index;
    std::unique_ptr<std::int64_t[]> counts;
    rheinfall::RadiusGraphBuffers edges;
    {
        nb::gil_scoped_release no_gil;
        rheinfall::check_radius_graph(plan, view);
        HugePages huge_pages;
        rheinfall::Workspace workspace(&huge_pages);
        workspace.reserve(rheinfall::radius_graph_workspace_size({n, view.dimension, plan.max_neighbours}));
        rheinfall::StdThreads threads(num_threads());
        counts = std::make_unique_for_overwrite<std::int64_t[]>(n);
        const auto first = std::make_unique_for_overwrite<std::uint64_t[]>(n);
        std::size_t room = n * std::min(plan.max_neighbours, first_guess_per_point);
        if (plan.max_neighbours == rheinfall::RadiusGraphPlan::no_cap) room = std::min(room, largest_guess);
        std::unique_ptr<std::uint32_t[]> targets;
        rheinfall::NeighbourLists lists;
        for (rheinfall::Status status = rheinfall::Status::capacity_exceeded;
             status == rheinfall::Status::capacity_exceeded; room = 2 * lists.n_edges) {
            targets = make_large_array<std::uint32_t>(room);
            lists = {{counts.get(), n}, {first.get(), n}, {targets.get(), room}};
            status = rheinfall::find_neighbours(plan, workspace, view, lists, threads.parallel_for());
        }
        edge_index = make_large_array<std::int64_t>(2 * lists.n_edges);
        edges.source = {edge_index.get(), lists.n_edges};
        edges.target = {edge_index.get() + lists.n_edges, lists.n_edges};
        rheinfall::write_edges(plan, lists, edges, threads.parallel_for());
    }
    return Result(nb::make_tuple(EdgeIndex(numpy_owning(std::move(edge_index), {2, edges.n_edges})),
                                 numpy_owning(std::move(counts), {n})));
}

}  // namespace

void bind_radius_graph(nb::module_& m) {
    m.def("radius_graph", &radius_graph, "points"_a.noconvert(), "r"_a, "max_neighbours"_a.none(), "loop"_a,
          "directed"_a,
          "Edges between neighbours; see rheinfall.radius_graph.\n\n"
          "Returns (edge_index, number of edges out of each point before any cap).");
}
