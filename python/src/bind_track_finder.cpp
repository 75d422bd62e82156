#include <nanobind/stl/string.h>

#include <algorithm>
#include <memory>
#include <rheinfall/tracking/track_finder.hpp>
#include <string>

#include "arrays.hpp"
#include "bindings.hpp"
#include "hits.hpp"
#include "threads.hpp"
#include "workspaces.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using rheinfall::TrackFinder;
using Array = nb::ndarray<nb::numpy, std::int64_t, nb::ndim<1>>;
using Result = nb::typed<nb::tuple, Array, Array, nb::str>;

std::unique_ptr<std::int64_t[]> first(const std::unique_ptr<std::int64_t[]>& values, std::size_t n) {
    auto to = std::make_unique_for_overwrite<std::int64_t[]>(n);
    std::copy_n(values.get(), n, to.get());
    return to;
}

Result run(const TrackFinder& finder, const HitFloats& x, const HitFloats& y, const HitFloats& z,
           const HitModules& module_id, std::size_t n_doublets, std::size_t n_edges, std::size_t n_threads) {
    const rheinfall::HitsView hits = hits_view(x, y, z, module_id);
    const std::size_t n = hits.size();
    auto offsets = std::make_unique<std::int64_t[]>(n + 1);
    auto track_hits = std::make_unique_for_overwrite<std::int64_t[]>(n);
    rheinfall::TracksBuffers tracks{{offsets.get(), n + 1}, {track_hits.get(), n}, {}};
    rheinfall::TrackFinderResult result;
    {
        const nb::gil_scoped_release no_gil;
        const rheinfall::TrackFinderLimits limits{n, n_doublets, n_edges};
        rheinfall::Workspace& workspace = kept_workspace();
        rheinfall::StdThreads threads(n_threads == 0 ? num_threads() : n_threads);
        const rheinfall::ParallelFor parallel_for = threads.parallel_for();
        workspace.reserve(finder.workspace_size(limits, parallel_for.n_threads()));
        result = finder.run(workspace, hits, limits, tracks, {}, parallel_for);
    }
    return Result(nb::make_tuple(numpy_owning(first(offsets, result.n_tracks + 1), {result.n_tracks + 1}),
                                 numpy_owning(first(track_hits, result.n_track_hits), {result.n_track_hits}),
                                 rheinfall::to_string(result.status)));
}

}  // namespace

void bind_track_finder(nb::module_& m) {
    nb::class_<TrackFinder>(m, "TrackFinder", "The chain as a C++ host runs it; see rheinfall.TrackFinder.")
        .def_static(
            "load_bundle", [](const std::string& folder) { return TrackFinder::load_bundle(folder); }, "folder"_a,
            "A bundle with its lowered network.")
        .def("run", &run, "x"_a.noconvert(), "y"_a.noconvert(), "z"_a.noconvert(), "module_id"_a.noconvert(),
             "n_doublets"_a, "n_edges"_a, "n_threads"_a = 0,
             "Offsets, hits and status of an event's tracks; room for so many hit pairs and edges.");
}
