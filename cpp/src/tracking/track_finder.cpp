#include <algorithm>
#include <cmath>
#include <rheinfall/tracking/graph_construction.hpp>
#include <rheinfall/tracking/track_finder.hpp>
#include <stdexcept>
#include <utility>

#include "tracking/bundle.hpp"
#include "tracking/detail/feature_rows.hpp"
#include "tracking/hit_order.hpp"
#include "tracking/track_finder_device.hpp"

namespace rheinfall {
namespace {

constexpr std::size_t most = 0x7fffffff;

/// Everything of one event that outlives a stage.
struct Scratch {
    std::span<std::uint32_t> order;
    std::span<float> x, y, z;
    std::span<std::uint64_t> module_id;
    std::span<std::int64_t> source, target;
    std::span<float> out_best, out_second, in_best, in_second;
    std::span<float> node_features, edge_features, scores;
    std::span<std::int64_t> labels;

    /// Calls `place(span, n)` for each array.
    template <class Place>
    void lay_out(std::size_t n_hits, std::size_t n_edges, Place&& place) {
        place(order, n_hits);
        for (auto* span : {&x, &y, &z}) place(*span, n_hits);
        place(module_id, n_hits);
        for (auto* span : {&source, &target}) place(*span, n_edges);
        for (auto* span : {&out_best, &out_second, &in_best, &in_second, &scores}) place(*span, n_edges);
        place(node_features, n_hits * n_node_features);
        place(edge_features, n_edges * n_edge_features);
        place(labels, n_hits);
    }

    [[nodiscard]] HitsView hits() const { return {x, y, z, module_id}; }
    [[nodiscard]] EdgesView edges(std::size_t n) const { return {source.first(n), target.first(n)}; }
    [[nodiscard]] ContinuationChi2 chi2(std::size_t n) const {
        return {out_best.first(n), out_second.first(n), in_best.first(n), in_second.first(n)};
    }
};

/// Copies the hits in their canonical order.
void sort_hits(const HitsView& hits, const Scratch& s) noexcept {
    for (std::size_t i = 0; i < hits.size(); ++i) {
        const std::uint32_t hit = s.order[i];
        s.x[i] = hits.x[hit];
        s.y[i] = hits.y[hit];
        s.z[i] = hits.z[hit];
        s.module_id[i] = hits.module_id[hit];
    }
}

/// Turns tracks of sorted hits into tracks of the caller's.
void renumber(const Scratch& s, TracksBuffers& tracks) noexcept {
    for (auto& hit : tracks.hits.first(tracks.n_hits)) hit = s.order[static_cast<std::size_t>(hit)];
    if (tracks.labels.empty()) return;
    const std::size_t n_hits = s.order.size();
    std::copy_n(tracks.labels.begin(), n_hits, s.labels.begin());
    for (std::size_t i = 0; i < n_hits; ++i) tracks.labels[s.order[i]] = s.labels[i];
}

PruneCuts cuts_of(const TrackFinderOptions& options, const TrackFinderLimits& limits) noexcept {
    const std::size_t room = limits.n_triplets > 0 ? limits.n_triplets : std::min(most, 4 * limits.n_edges);
    return {options.chi2_max, options.quadruplet_chi2_max, options.quadruplet_chi2_max > 0.0f ? room : 0};
}

void require(bool holds, const char* message) {
    if (!holds) throw std::invalid_argument(message);
}

bool above_zero(float value) {
    return value > 0.0f && std::isfinite(value);
}

void check_options(const TrackFinderOptions& options) {
    require(!std::isnan(options.chi2_max), "chi2_max: expected a number");
    require(options.quadruplet_chi2_max == 0.0f || above_zero(options.quadruplet_chi2_max),
            "quadruplet_chi2_max: expected a finite number, at least 0");
    require(options.quadruplet_chi2_max == 0.0f || std::isfinite(options.chi2_max),
            "quadruplet_chi2_max: says which edges stay all the same; needs a finite chi2_max");
    require(above_zero(options.chi2_scale), "chi2_scale: expected a finite number above 0");
    const TripletModel& model = options.triplet_model;
    require(above_zero(model.field), "triplet_model.field: expected a finite number above 0");
    require(above_zero(model.layer_x0), "triplet_model.layer_x0: expected a finite number above 0");
    require(model.field_spread == 0.0f || above_zero(model.field_spread),
            "triplet_model.field_spread: expected a finite number, at least 0");
    require(above_zero(model.min_chi2_pt), "triplet_model.min_chi2_pt: expected a finite number above 0");
    for (const HitResolution& r : model.resolution_by_volume) {
        require(above_zero(r.rphi) && above_zero(r.z) && above_zero(r.r),
                "triplet_model.resolution_by_volume: expected finite numbers above 0");
    }
    check_track_building(options.building, {});
}

void check_limits(const TrackFinderLimits& limits) {
    require(limits.n_hits <= most, "limits.n_hits: expected at most 2^31 - 1");
    require(limits.n_doublets <= most, "limits.n_doublets: expected at most 2^31 - 1");
    require(limits.n_edges <= most, "limits.n_edges: expected at most 2^31 - 1");
    require(limits.n_triplets <= most, "limits.n_triplets: expected at most 2^31 - 1");
}

}  // namespace

TripletModel default_triplet_model() noexcept {
    TripletModel model{{}, 2.0f, 0.03f, 0.05f, 10.0f};
    model.resolution_by_volume.fill({0.05f, 0.1f, 0.1f});
    return model;
}

void score_by_chi2(const ContinuationChi2& chi2, float scale, std::span<float> scores) noexcept {
    for (std::size_t e = 0; e < scores.size(); ++e) {
        scores[e] = detail::chi2_score(chi2.out_best[e], chi2.in_best[e], scale);
    }
}

TrackFinder TrackFinder::load(const std::string& map_path, const TrackFinderOptions& options) {
    return {ModuleMap::load(map_path), options};
}

TrackFinder TrackFinder::load_bundle(const std::string& folder, GnnIsa isa) {
    const detail::Bundle bundle = detail::read_bundle(folder);
    try {
        return {ModuleMap::load(bundle.map_path), bundle.options,
                EdgeClassifier::load(bundle.network_path, isa, bundle.precision), bundle.output};
    } catch (const std::invalid_argument& error) {
        throw std::runtime_error(folder + ": " + error.what());
    }
}

TrackFinder::TrackFinder(ModuleMap map, const TrackFinderOptions& options) : map_(std::move(map)), options_(options) {
    check_options(options_);
    options_.building.break_cycles = true;
}

TrackFinder::TrackFinder(ModuleMap map, const TrackFinderOptions& options, EdgeClassifier network, EdgeOutput output)
    : TrackFinder(std::move(map), options) {
    detail::check_finder_network(network.n_node_features(), network.n_edge_features());
    network_ = std::move(network);
    output_ = output;
}

std::size_t TrackFinder::workspace_size(const TrackFinderLimits& limits, std::size_t n_threads) const {
    check_limits(limits);
    std::size_t bytes = 0;
    Scratch().lay_out(limits.n_hits, limits.n_edges,
                      [&]<class T>(std::span<T>&, std::size_t n) { bytes += Workspace::padded<T>(n); });
    const std::size_t scoring =
        network_ ? network_->workspace_size({limits.n_hits, limits.n_edges}, n_threads) : std::size_t{0};
    return bytes +
           std::max({scoring, detail::hit_order_workspace_size(limits.n_hits),
                     graph_workspace_size(map_, {limits.n_hits, limits.n_doublets}, n_threads),
                     prune_edges_workspace_size(limits.n_hits, limits.n_edges, cuts_of(options_, limits).n_triplets),
                     edge_features_workspace_size(limits.n_hits),
                     track_building_workspace_size({limits.n_hits, limits.n_edges})});
}

TrackFinderResult TrackFinder::run(Workspace& workspace, const HitsView& hits, const TrackFinderLimits& limits,
                                   TracksBuffers& tracks, EdgeScorer scorer,
                                   const ParallelFor& parallel_for) const noexcept {
    TrackFinderResult result;
    tracks.n_tracks = tracks.n_hits = 0;
    const auto stop = [&result](Status status) {
        result.status = status;
        return result;
    };
    if (hits.size() > limits.n_hits || limits.n_hits > most || limits.n_edges > most || limits.n_doublets > most ||
        limits.n_triplets > most) {
        return stop(Status::capacity_exceeded);
    }
    const WorkspaceScope scope(workspace);
    Scratch s;
    s.lay_out(hits.size(), limits.n_edges,
              [&]<class T>(std::span<T>& span, std::size_t n) { span = workspace.take<T>(n); });
    if (workspace.overflowed() || !detail::canonical_hit_order(hits, s.order, workspace)) {
        return stop(Status::capacity_exceeded);
    }
    sort_hits(hits, s);

    const GraphResult graph =
        build_graph(map_, s.hits(), {limits.n_hits, limits.n_doublets}, {s.source, s.target}, workspace, parallel_for);
    result.n_doublets = graph.n_doublets;
    result.n_edges = result.n_pruned_edges = graph.n_edges;
    result.n_unknown_modules = graph.n_unknown_modules;
    result.n_not_finite = graph.n_not_finite;
    if (graph.status == Status::capacity_exceeded) return stop(graph.status);

    std::size_t n_edges = graph.n_edges;
    if (std::isfinite(options_.chi2_max)) {
        const PruneResult pruned =
            prune_edges(s.hits(), {s.source.first(n_edges), s.target.first(n_edges)}, options_.triplet_model,
                        cuts_of(options_, limits), s.chi2(n_edges), workspace, parallel_for);
        result.n_triplets = pruned.n_triplets;
        if (pruned.status == Status::capacity_exceeded) return stop(Status::capacity_exceeded);
        n_edges = result.n_pruned_edges = pruned.n_edges;
    } else if (triplet_chi2(s.hits(), s.edges(n_edges), options_.triplet_model, s.chi2(n_edges), workspace,
                            parallel_for) == Status::capacity_exceeded) {
        return stop(Status::capacity_exceeded);
    }

    const auto scores = s.scores.first(n_edges);
    Status scoring = Status::ok;
    if (!scorer && !network_) {
        score_by_chi2(s.chi2(n_edges), options_.chi2_scale, scores);
    } else if (n_edges > 0) {
        const auto edge_rows = s.edge_features.first(n_edges * n_edge_features);
        node_features(s.hits(), s.node_features, parallel_for);
        if (edge_features(s.hits(), s.edges(n_edges), s.chi2(n_edges), edge_rows, workspace, parallel_for) ==
            Status::capacity_exceeded) {
            return stop(Status::capacity_exceeded);
        }
        if (scorer) {
            const EdgeScoringInput input{s.hits(), s.edges(n_edges), s.node_features, edge_rows, s.chi2(n_edges)};
            if (!scorer(input, scores)) return stop(Status::scoring_failed);
        } else {
            const auto rows = network_->n_edge_features() == 0 ? std::span<const float>() : edge_rows;
            scoring = network_->run(workspace, {hits.size(), s.node_features, s.edges(n_edges), rows}, output_, scores,
                                    parallel_for);
            if (scoring == Status::capacity_exceeded) return stop(scoring);
        }
    }

    const ScoredGraph scored{s.edges(n_edges), scores, hits.size(), s.hits()};
    const Status building = build_tracks(options_.building, workspace, scored, tracks, parallel_for);
    result.status = worst(worst(graph.status, scoring), building);
    result.n_tracks = tracks.n_tracks;
    result.n_track_hits = tracks.n_hits;
    if (building != Status::capacity_exceeded) renumber(s, tracks);
    return result;
}

}  // namespace rheinfall
