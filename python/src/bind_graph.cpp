#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <limits>
#include <rheinfall/tracking/edge_features.hpp>
#include <rheinfall/tracking/graph_construction.hpp>
#include <rheinfall/tracking/module_map.hpp>
#include <stdexcept>

#include "arrays.hpp"
#include "bindings.hpp"
#include "hits.hpp"
#include "threads.hpp"
#include "tracking/hit_order.hpp"
#include "triplet_model.hpp"
#include "workspaces.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using rheinfall::GraphResult;
using rheinfall::HitsView;
using rheinfall::ModuleMap;

namespace {

/// The first @p n of each of @p n_rows rows of @p length values.
template <class T>
std::unique_ptr<T[]> first_columns(const T* rows, std::size_t n_rows, std::size_t length, std::size_t n) {
    auto columns = std::make_unique_for_overwrite<T[]>(n_rows * n);
    for (std::size_t row = 0; row < n_rows; ++row) std::copy_n(rows + row * length, n, columns.get() + row * n);
    return columns;
}

/// Builds the graph, giving more room until the event fits or needs more than the caller allows.
struct GrowingGraph {
    std::unique_ptr<std::int64_t[]> edge_index;
    GraphResult result;

    GrowingGraph(const ModuleMap& map, const HitsView& hits, std::size_t max_doublets, std::size_t max_edges) {
        rheinfall::StdThreads threads(num_threads());
        const rheinfall::ParallelFor parallel_for = threads.parallel_for();
        rheinfall::GraphLimits limits{hits.size(), std::min(max_doublets, 24 * hits.size() + 1024)};
        std::size_t n_edges = std::min(max_edges, 4 * hits.size() + 1024);
        rheinfall::Workspace& workspace = kept_workspace();
        do {
            workspace.reserve(rheinfall::graph_workspace_size(map, limits, parallel_for.n_threads()));
            edge_index = std::make_unique_for_overwrite<std::int64_t[]>(2 * n_edges);
            result = rheinfall::build_graph(map, hits, limits,
                                            {{edge_index.get(), n_edges}, {edge_index.get() + n_edges, n_edges}},
                                            workspace, parallel_for);
            capacity_ = n_edges;
            limits.n_doublets = std::max(limits.n_doublets, result.n_doublets);
            n_edges = std::max(n_edges, result.n_edges);
        } while (result.status == rheinfall::Status::capacity_exceeded && limits.n_doublets <= max_doublets &&
                 n_edges <= max_edges);
        if (result.status == rheinfall::Status::capacity_exceeded) result.n_edges = 0;  // none was written
    }

    /// The edges as one C-contiguous (2, n_edges) array.
    [[nodiscard]] std::unique_ptr<std::int64_t[]> compact() const {
        return first_columns(edge_index.get(), 2, capacity_, result.n_edges);
    }

private:
    std::size_t capacity_ = 0;
};

/// Edges, status, and how many hit pairs passed the doublets, hits are on unknown modules, hits are not finite.
using BuiltGraph =
    nb::typed<nb::tuple, nb::ndarray<nb::numpy, std::int64_t>, std::string, std::size_t, std::size_t, std::size_t>;

BuiltGraph build(const ModuleMap& map, const HitFloats& x, const HitFloats& y, const HitFloats& z,
                 const HitModules& module_id, std::size_t max_doublets, std::size_t max_edges) {
    const HitsView hits = hits_view(x, y, z, module_id);
    GraphResult result;
    std::unique_ptr<std::int64_t[]> edges;
    {
        const nb::gil_scoped_release no_gil;
        const GrowingGraph graph(map, hits, max_doublets, max_edges);
        result = graph.result;
        edges = graph.compact();
    }
    return nb::make_tuple(numpy_owning(std::move(edges), {2, result.n_edges}), rheinfall::to_string(result.status),
                          result.n_doublets, result.n_unknown_modules, result.n_not_finite);
}

void check_edges(const EdgeIndex& edge_index, std::size_t n_hits) {
    const rheinfall::EdgesView edges = edges_view(edge_index);
    for (std::size_t e = 0; e < edges.size(); ++e) {
        for (const std::int64_t i : {edges.source[e], edges.target[e]}) {
            if (i < 0 || static_cast<std::size_t>(i) >= n_hits) {
                throw std::invalid_argument("edge_index: edge " + std::to_string(e) + " names hit " +
                                            std::to_string(i) + " of " + std::to_string(n_hits));
            }
        }
        if (e > 0 && edges.source[e - 1] > edges.source[e]) {
            throw std::invalid_argument("edge_index: expected edges sorted by source, edge " + std::to_string(e) +
                                        " is not");
        }
    }
}

/// Four rows of @p n values.
rheinfall::ContinuationChi2 chi2_rows(float* values, std::size_t n) {
    const std::span<float> all(values, 4 * n);
    return {all.subspan(0, n), all.subspan(n, n), all.subspan(2 * n, n), all.subspan(3 * n, n)};
}

auto chi2(const HitFloats& x, const HitFloats& y, const HitFloats& z, const HitModules& module_id,
          const EdgeIndex& edge_index, const VolumeResolution& resolution, float field, float layer_x0,
          float field_spread, float min_chi2_pt) {
    const HitsView hits = hits_view(x, y, z, module_id);
    check_edges(edge_index, hits.size());
    const auto model = triplet_model(resolution, field, layer_x0, field_spread, min_chi2_pt);
    const std::size_t n = edge_index.shape(1);
    auto values = std::make_unique_for_overwrite<float[]>(4 * n);
    {
        const nb::gil_scoped_release no_gil;
        rheinfall::StdThreads threads(num_threads());
        rheinfall::Workspace& workspace = kept_workspace();
        workspace.reserve(rheinfall::triplet_chi2_workspace_size(hits.size(), n));
        rheinfall::triplet_chi2(hits, edges_view(edge_index), model, chi2_rows(values.get(), n), workspace,
                                threads.parallel_for());
    }
    return numpy_owning(std::move(values), {4, n});
}

/// Edges and chi2 (4, n_edges) of what pruning leaves.
using PrunedGraph = nb::typed<nb::tuple, nb::ndarray<nb::numpy, std::int64_t>, nb::ndarray<nb::numpy, float>>;

PrunedGraph prune(const HitFloats& x, const HitFloats& y, const HitFloats& z, const HitModules& module_id,
                  const EdgeIndex& edge_index, const VolumeResolution& resolution, float field, float layer_x0,
                  float field_spread, float min_chi2_pt, float chi2_max, float quadruplet_chi2_max) {
    const HitsView hits = hits_view(x, y, z, module_id);
    check_edges(edge_index, hits.size());
    const auto model = triplet_model(resolution, field, layer_x0, field_spread, min_chi2_pt);
    const std::size_t n = edge_index.shape(1);
    std::unique_ptr<std::int64_t[]> edges;
    std::unique_ptr<float[]> values;
    std::size_t n_left = 0;
    {
        const nb::gil_scoped_release no_gil;
        rheinfall::StdThreads threads(num_threads());
        rheinfall::Workspace& workspace = kept_workspace();
        const auto all_edges = first_columns(edge_index.data(), 2, n, n);
        const auto all_values = std::make_unique_for_overwrite<float[]>(4 * n);
        rheinfall::PruneCuts cuts{chi2_max, quadruplet_chi2_max, quadruplet_chi2_max > 0 ? 4 * n + 1024 : 0};
        rheinfall::PruneResult result{};
        for (;;) {  // gives more room until the triplets fit
            workspace.reserve(rheinfall::prune_edges_workspace_size(hits.size(), n, cuts.n_triplets));
            result = rheinfall::prune_edges(hits, {{all_edges.get(), n}, {all_edges.get() + n, n}}, model, cuts,
                                            chi2_rows(all_values.get(), n), workspace, threads.parallel_for());
            if (result.status != rheinfall::Status::capacity_exceeded) break;
            if (result.n_triplets > std::size_t{std::numeric_limits<std::int32_t>::max()}) {
                throw std::invalid_argument("quadruplet_chi2_max: " + std::to_string(result.n_triplets) +
                                            " triplets agree in cot(theta), expected at most 2^31 - 1");
            }
            cuts.n_triplets = result.n_triplets;
        }
        n_left = result.n_edges;
        edges = first_columns(all_edges.get(), 2, n, n_left);
        values = first_columns(all_values.get(), 4, n, n_left);
    }
    return nb::make_tuple(numpy_owning(std::move(edges), {2, n_left}), numpy_owning(std::move(values), {4, n_left}));
}

using Chi2 = nb::ndarray<const float, nb::shape<4, -1>, nb::c_contig, nb::device::cpu>;

auto edge_features(const HitFloats& x, const HitFloats& y, const HitFloats& z, const HitModules& module_id,
                   const EdgeIndex& edge_index, const Chi2& chi2) {
    const HitsView hits = hits_view(x, y, z, module_id);
    check_edges(edge_index, hits.size());
    const std::size_t n = edge_index.shape(1);
    if (chi2.shape(1) != n) throw std::invalid_argument("chi2: expected one column for each edge");
    auto values = std::make_unique_for_overwrite<float[]>(rheinfall::n_edge_features * n);
    {
        const nb::gil_scoped_release no_gil;
        rheinfall::StdThreads threads(num_threads());
        rheinfall::Workspace& workspace = kept_workspace();
        workspace.reserve(rheinfall::edge_features_workspace_size(hits.size()));
        // The features only read the four rows; the struct of the public header names them once, for both uses.
        rheinfall::edge_features(hits, edges_view(edge_index), chi2_rows(const_cast<float*>(chi2.data()), n),
                                 {values.get(), rheinfall::n_edge_features * n}, workspace, threads.parallel_for());
    }
    return numpy_owning(std::move(values), {n, rheinfall::n_edge_features});
}

auto node_features(const HitFloats& x, const HitFloats& y, const HitFloats& z, const HitModules& module_id) {
    const HitsView hits = hits_view(x, y, z, module_id);
    auto values = std::make_unique_for_overwrite<float[]>(rheinfall::n_node_features * hits.size());
    {
        const nb::gil_scoped_release no_gil;
        rheinfall::StdThreads threads(num_threads());
        rheinfall::node_features(hits, {values.get(), rheinfall::n_node_features * hits.size()},
                                 threads.parallel_for());
    }
    return numpy_owning(std::move(values), {hits.size(), rheinfall::n_node_features});
}

auto hit_order(const HitFloats& x, const HitFloats& y, const HitFloats& z, const HitModules& module_id) {
    const HitsView hits = hits_view(x, y, z, module_id);
    if (hits.size() > std::numeric_limits<std::uint32_t>::max()) {
        throw std::invalid_argument("hits: expected fewer than 2^32, got " + std::to_string(hits.size()));
    }
    auto indices = std::make_unique_for_overwrite<std::int64_t[]>(hits.size());
    {
        const nb::gil_scoped_release no_gil;
        const auto order = std::make_unique_for_overwrite<std::uint32_t[]>(hits.size());
        rheinfall::Workspace& workspace = kept_workspace();
        workspace.reserve(rheinfall::detail::hit_order_workspace_size(hits.size()));
        rheinfall::detail::canonical_hit_order(hits, {order.get(), hits.size()}, workspace);
        std::copy_n(order.get(), hits.size(), indices.get());
    }
    return numpy_owning(std::move(indices), {hits.size()});
}

}  // namespace

void bind_graph(nb::module_& m) {
    m.def("build_graph", &build, "map"_a, "x"_a.noconvert(), "y"_a.noconvert(), "z"_a.noconvert(),
          "module_id"_a.noconvert(), "max_doublets"_a, "max_edges"_a,
          "Edges (2, n_edges), status, n_doublets, n_unknown_modules, n_not_finite. See rheinfall.build_graph.");
    m.def("triplet_chi2", &chi2, "x"_a.noconvert(), "y"_a.noconvert(), "z"_a.noconvert(), "module_id"_a.noconvert(),
          "edge_index"_a.noconvert(), "resolution"_a.noconvert(), "field"_a, "layer_x0"_a, "field_spread"_a,
          "min_chi2_pt"_a, "chi2 of the best and second-best continuation outward, then inward: (4, n_edges).");
    m.def("prune_edges", &prune, "x"_a.noconvert(), "y"_a.noconvert(), "z"_a.noconvert(), "module_id"_a.noconvert(),
          "edge_index"_a.noconvert(), "resolution"_a.noconvert(), "field"_a, "layer_x0"_a, "field_spread"_a,
          "min_chi2_pt"_a, "chi2_max"_a, "quadruplet_chi2_max"_a,
          "Edges with a best chi2 below chi2_max, or in a quadruplet with one below quadruplet_chi2_max (0: none is),\n"
          "and their chi2 among themselves.");
    m.def("edge_features", &edge_features, "x"_a.noconvert(), "y"_a.noconvert(), "z"_a.noconvert(),
          "module_id"_a.noconvert(), "edge_index"_a.noconvert(), "chi2"_a.noconvert(), "Edge features (n_edges, 10).");
    m.def("canonical_hit_order", &hit_order, "x"_a.noconvert(), "y"_a.noconvert(), "z"_a.noconvert(),
          "module_id"_a.noconvert(), "Indices (n_hits,) that sort hits by (module_id, z, phi, x, y, index).");
    m.def("node_features", &node_features, "x"_a.noconvert(), "y"_a.noconvert(), "z"_a.noconvert(),
          "module_id"_a.noconvert(), "Node features (n_hits, 4).");
}
