#include <rheinfall/rheinfall.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <rheinfall/core/version.hpp>
#include <rheinfall/tracking/track_finder.hpp>
#include <string>
#include <string_view>

#include "capi_common.hpp"

using rheinfall::TrackFinder;
using rheinfall::TrackFinderOptions;
using rheinfall::capi::complete;
using rheinfall::capi::fill;

namespace {

// quadruplet_chi2_max lies where the first release had padding, so that its hosts' structures have the same size, and
// rf_finder_options_defaults turns quadruplets off for them. What comes next changes the size.
static_assert(sizeof(std::size_t) != 8 || sizeof(rf_finder_options) == 3136);

TrackFinderOptions to_options(const rf_finder_options& c) {
    if (c.struct_size != sizeof c) throw std::invalid_argument("struct_size: call rf_finder_options_defaults first");
    if (c.method < RF_COMPONENTS || c.method > RF_JUNCTION_REMOVAL) {
        throw std::invalid_argument("method: expected 0 to 5, got " + std::to_string(c.method));
    }
    TrackFinderOptions options;
    options.chi2_max = c.chi2_max;
    options.quadruplet_chi2_max = c.quadruplet_chi2_max;
    options.chi2_scale = c.chi2_scale;
    options.building.method = static_cast<rheinfall::TrackMethod>(c.method);
    options.building.score_cut = c.score_cut;
    options.building.sure = c.sure;
    options.building.walk_min = c.walk_min;
    options.building.walk_add = c.walk_add;
    options.building.min_length = c.min_length;
    auto& model = options.triplet_model;
    model.field = c.field;
    model.layer_x0 = c.layer_x0;
    model.field_spread = c.field_spread;
    model.min_chi2_pt = c.min_chi2_pt;
    for (std::size_t v = 0; v < model.resolution_by_volume.size(); ++v) {
        model.resolution_by_volume[v] = {c.resolution[v][0], c.resolution[v][1], c.resolution[v][2]};
    }
    options.fit_model = rheinfall::make_fit_model(model);
    return options;
}

rheinfall::TrackFinderLimits to_limits(const rf_limits& limits) noexcept {
    return {limits.n_hits, limits.n_doublets, limits.n_edges};
}

/// Calls a C scorer as an `EdgeScorer`.
struct CScorer {
    rf_edge_scorer scorer;

    bool operator()(const rheinfall::EdgeScoringInput& in, std::span<float> scores) const {
        const auto& hits = in.hits;
        const rf_graph graph{{hits.x.data(), hits.y.data(), hits.z.data(), hits.module_id.data(), hits.size()},
                             in.edges.source.data(),
                             in.edges.target.data(),
                             in.edges.size(),
                             in.node_features.data(),
                             in.edge_features.data()};
        return scorer.score(scorer.context, &graph, scores.data()) == 0;
    }
};

/// A finder from a path, or null and what was wrong.
template <class Make>
rf_finder* load(const char* name, const char* no_name, rf_error* error, Make&& make) noexcept {
    const std::string_view path = name == nullptr ? "" : name;
    try {
        if (path.empty()) throw std::invalid_argument(no_name);
        return new rf_finder{make(std::string(path))};
    } catch (const std::invalid_argument& e) {
        fill(error, "", e.what());
    } catch (const std::exception& e) {
        fill(error, path, e.what());
    }
    return nullptr;
}

}  // namespace

extern "C" {

const char* rf_version(void) noexcept {
    return RHEINFALL_VERSION;
}

const char* rf_status_string(rf_status status) noexcept {
    return status == RF_INVALID_ARGUMENT ? "invalid_argument"
                                         : rheinfall::to_string(static_cast<rheinfall::Status>(status));
}

void rf_finder_options_defaults(rf_finder_options* c) noexcept {
    if (c == nullptr) return;
    const TrackFinderOptions options;
    const auto& building = options.building;
    const auto& model = options.triplet_model;
    *c = {};
    c->struct_size = sizeof *c;
    c->method = static_cast<std::int32_t>(building.method);
    c->chi2_max = options.chi2_max;
    c->quadruplet_chi2_max = options.quadruplet_chi2_max;
    c->score_cut = building.score_cut;
    c->sure = building.sure;
    c->walk_min = building.walk_min;
    c->walk_add = building.walk_add;
    c->min_length = building.min_length;
    c->chi2_scale = options.chi2_scale;
    c->field = model.field;
    c->layer_x0 = model.layer_x0;
    c->field_spread = model.field_spread;
    c->min_chi2_pt = model.min_chi2_pt;
    for (std::size_t v = 0; v < model.resolution_by_volume.size(); ++v) {
        const auto& r = model.resolution_by_volume[v];
        c->resolution[v][0] = r.rphi;
        c->resolution[v][1] = r.z;
        c->resolution[v][2] = r.r;
    }
}

rf_finder* rf_finder_load(const char* map_path, const rf_finder_options* options, rf_error* error) noexcept {
    return load(map_path, "map_path: expected a path", error, [&](const std::string& path) {
        return TrackFinder::load(path, options == nullptr ? TrackFinderOptions{} : to_options(*options));
    });
}

rf_finder* rf_finder_load_bundle(const char* folder, rf_error* error) noexcept {
    return load(folder, "folder: expected a path", error,
                [](const std::string& path) { return TrackFinder::load_bundle(path); });
}

void rf_finder_free(rf_finder* finder) noexcept {
    delete finder;
}

size_t rf_finder_workspace_size(const rf_finder* finder, const rf_limits* limits) noexcept {
    if (finder == nullptr || limits == nullptr) return 0;
    try {
        return finder->finder.workspace_size(to_limits(*limits), std::max<std::size_t>(limits->n_threads, 1));
    } catch (const std::exception&) {
        return 0;
    }
}

rf_workspace* rf_workspace_create(size_t bytes, const rf_allocator* allocator, rf_error* error) noexcept {
    try {
        auto workspace = std::make_unique<rf_workspace>(allocator);
        workspace->workspace.reserve(bytes);
        return workspace.release();
    } catch (const std::exception&) {
        fill(error, "", "workspace: there is no memory for so many bytes");
    }
    return nullptr;
}

void rf_workspace_free(rf_workspace* workspace) noexcept {
    delete workspace;
}

rf_status rf_finder_run(const rf_finder* finder, rf_workspace* workspace, const rf_hits* hits, const rf_limits* limits,
                        const rf_edge_scorer* scorer, const rf_parallel_for* parallel_for, const rf_tracks* tracks,
                        rf_result* result) noexcept {
    if (finder == nullptr || workspace == nullptr || hits == nullptr || limits == nullptr || tracks == nullptr ||
        result == nullptr || !complete(*hits) || !complete(*tracks) ||
        (scorer != nullptr && scorer->score == nullptr) || (parallel_for != nullptr && parallel_for->run == nullptr)) {
        return RF_INVALID_ARGUMENT;
    }
    const std::size_t n = hits->n_hits;
    const std::size_t n_labels = tracks->labels == nullptr ? 0 : n;
    rheinfall::TracksBuffers buffers{
        {tracks->offsets, tracks->offsets_capacity}, {tracks->hits, tracks->hits_capacity}, {tracks->labels, n_labels}};
    const CScorer score{scorer == nullptr ? rf_edge_scorer{} : *scorer};
    const rheinfall::capi::ParallelForOfC host{parallel_for == nullptr ? rf_parallel_for{} : *parallel_for};
    const auto found = finder->finder.run(
        workspace->workspace, {{hits->x, n}, {hits->y, n}, {hits->z, n}, {hits->module_id, n}}, to_limits(*limits),
        buffers, scorer == nullptr ? rheinfall::EdgeScorer() : rheinfall::EdgeScorer(score),
        parallel_for == nullptr ? rheinfall::ParallelFor() : rheinfall::ParallelFor(host, limits->n_threads));
    *result = {found.n_tracks,   found.n_track_hits,      found.n_edges,     found.n_pruned_edges,
               found.n_doublets, found.n_unknown_modules, found.n_not_finite};
    return static_cast<rf_status>(found.status);
}
}
