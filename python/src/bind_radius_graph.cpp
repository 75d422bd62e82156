#include <nanobind/stl/optional.h>

#include <cmath>
#include <numeric>
#include <optional>
#include <rheinfall/tracking/radius_graph.hpp>

#include "arrays.hpp"
#include "bindings.hpp"
#include "threads.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using Points = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using EdgeIndex = nb::ndarray<nb::numpy, std::int64_t, nb::shape<2, -1>>;
using Counts = nb::ndarray<nb::numpy, std::int64_t, nb::ndim<1>>;
using Result = nb::typed<nb::tuple, EdgeIndex, Counts>;

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
        rheinfall::Workspace workspace;
        workspace.reserve(rheinfall::radius_graph_workspace_size({n, view.dimension, plan.max_neighbours}));
        rheinfall::StdThreads threads(num_threads());
        counts = std::make_unique_for_overwrite<std::int64_t[]>(n);
        rheinfall::count_neighbours(plan, workspace, view, {counts.get(), n}, threads.parallel_for());
        const std::size_t n_edges = rheinfall::count_edges(plan, {counts.get(), n});
        edge_index = std::make_unique_for_overwrite<std::int64_t[]>(2 * n_edges);
        edges.source = {edge_index.get(), n_edges};
        edges.target = {edge_index.get() + n_edges, n_edges};
        rheinfall::build_radius_graph(plan, workspace, view, {counts.get(), n}, edges, threads.parallel_for());
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
