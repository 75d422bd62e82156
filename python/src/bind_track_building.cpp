#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <array>
#include <optional>
#include <rheinfall/tracking/track_building.hpp>
#include <stdexcept>
#include <string>

#include "arrays.hpp"
#include "bindings.hpp"
#include "hits.hpp"
#include "threads.hpp"
#include "workspaces.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using rheinfall::TrackBuildingPlan;
using rheinfall::TrackMethod;

namespace {

using Floats = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

constexpr std::array<const char*, 7> method_names = {"components", "mutual_best",      "cc_and_walk", "walk",
                                                     "d_walk",     "junction_removal", "layer_merge"};

TrackBuildingPlan plan_of(const std::string& method) {
    for (std::size_t i = 0; i < method_names.size(); ++i) {
        if (method == method_names[i]) return TrackBuildingPlan::defaults(static_cast<TrackMethod>(i));
    }
    std::string known;
    for (const char* name : method_names) known += (known.empty() ? "" : ", ") + std::string(name);
    throw std::invalid_argument("method: expected one of " + known + "; got " + method);
}

template <class T>
std::unique_ptr<T[]> copy(std::span<const T> from) {
    auto to = std::make_unique_for_overwrite<T[]>(from.size());
    std::ranges::copy(from, to.get());
    return to;
}

rheinfall::ScoredGraph view(const EdgeIndex& edge_index, const Floats& scores, std::size_t n_nodes,
                            const std::optional<std::array<Floats, 3>>& xyz,
                            const std::optional<HitModules>& module_id) {
    const std::size_t n_edges = edge_index.shape(1);
    rheinfall::ScoredGraph graph;
    graph.edges = {{edge_index.data(), n_edges}, {edge_index.data() + n_edges, n_edges}};
    graph.scores = as_span(scores);
    graph.n_nodes = n_nodes;
    if (xyz) graph.hits = {as_span((*xyz)[0]), as_span((*xyz)[1]), as_span((*xyz)[2]), {}};
    if (xyz && module_id) graph.hits.module_id = as_span(*module_id);
    return graph;
}

using Array = nb::ndarray<nb::numpy, std::int64_t, nb::ndim<1>>;
using Result = nb::typed<nb::tuple, Array, Array, Array, nb::str>;

Result build(const TrackBuildingPlan& plan, const EdgeIndex& edge_index, const Floats& scores, std::size_t n_nodes,
             const std::optional<Floats>& x, const std::optional<Floats>& y, const std::optional<Floats>& z,
             const std::optional<HitModules>& module_id) {
    std::optional<std::array<Floats, 3>> xyz;
    if (x && y && z) xyz = {*x, *y, *z};
    const rheinfall::ScoredGraph graph = view(edge_index, scores, n_nodes, xyz, module_id);
    rheinfall::TracksBuffers tracks;
    std::unique_ptr<std::int64_t[]> labels;
    std::unique_ptr<std::int64_t[]> offsets;
    std::unique_ptr<std::int64_t[]> hits;
    rheinfall::Status status{};
    {
        nb::gil_scoped_release no_gil;
        rheinfall::check_track_building(plan, graph);
        rheinfall::Workspace& workspace = kept_workspace();
        workspace.reserve(rheinfall::track_building_workspace_size({n_nodes, graph.edges.size()}));
        const auto room = std::make_unique_for_overwrite<std::int64_t[]>(2 * n_nodes + 1);
        labels = std::make_unique_for_overwrite<std::int64_t[]>(n_nodes);
        std::fill_n(labels.get(), n_nodes, -1);
        room[0] = 0;
        tracks.offsets = {room.get(), n_nodes + 1};
        tracks.hits = {room.get() + n_nodes + 1, n_nodes};
        tracks.labels = {labels.get(), n_nodes};
        rheinfall::StdThreads threads(num_threads());
        status = rheinfall::build_tracks(plan, workspace, graph, tracks, threads.parallel_for());
        offsets = copy<std::int64_t>(tracks.offsets.first(tracks.n_tracks + 1));
        hits = copy<std::int64_t>(tracks.hits.first(tracks.n_hits));
    }
    return Result(nb::make_tuple(numpy_owning(std::move(offsets), {tracks.n_tracks + 1}),
                                 numpy_owning(std::move(hits), {tracks.n_hits}),
                                 numpy_owning(std::move(labels), {n_nodes}), rheinfall::to_string(status)));
}

}  // namespace

void bind_track_building(nb::module_& m) {
    nb::class_<TrackBuildingPlan>(m, "TrackBuildingPlan", "A track building method and its thresholds.")
        .def(
            "__init__", [](TrackBuildingPlan* plan, const std::string& method) { new (plan) auto(plan_of(method)); },
            "method"_a, "The method with its default thresholds.")
        .def_rw("score_cut", &TrackBuildingPlan::score_cut)
        .def_rw("sure", &TrackBuildingPlan::sure)
        .def_rw("weak", &TrackBuildingPlan::weak)
        .def_rw("walk_min", &TrackBuildingPlan::walk_min)
        .def_rw("walk_add", &TrackBuildingPlan::walk_add)
        .def_rw("shared_layers", &TrackBuildingPlan::shared_layers)
        .def_rw("min_length", &TrackBuildingPlan::min_length)
        .def_rw("orient", &TrackBuildingPlan::orient)
        .def_rw("break_cycles", &TrackBuildingPlan::break_cycles);
    m.def(
        "build_tracks", &build, "plan"_a, "edge_index"_a.noconvert(), "scores"_a.noconvert(), "n_nodes"_a,
        "x"_a.noconvert().none(), "y"_a.noconvert().none(), "z"_a.noconvert().none(), "module_id"_a.noconvert().none(),
        "Build tracks from scored edges; see rheinfall.build_tracks.\n\n"
        "Returns (offsets, hits, labels, status). With status \"cycle\" and no tracks, hits lists the hits on cycles.");
}
