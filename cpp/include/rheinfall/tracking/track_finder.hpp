#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <rheinfall/core/execution.hpp>
#include <rheinfall/core/export.hpp>
#include <rheinfall/core/status.hpp>
#include <rheinfall/core/views.hpp>
#include <rheinfall/core/workspace.hpp>
#include <rheinfall/gnn/edge_classifier.hpp>
#include <rheinfall/tracking/edge_features.hpp>
#include <rheinfall/tracking/edge_scorer.hpp>
#include <rheinfall/tracking/module_map.hpp>
#include <rheinfall/tracking/track_building.hpp>
#include <rheinfall/tracking/track_fit.hpp>
#include <string>

namespace rheinfall {

/// The standard deviations that `rheinfall.TripletModel()` has in Python: 50, 100, 100 um, 2 T with a
/// spread of 5 %, layers of 3 % X0.
RHEINFALL_API TripletModel default_triplet_model() noexcept;

/// Settings of a track finder, fixed for many events.
struct TrackFinderOptions {
    /// Edges whose best triplet chi2 on both sides is this or more are dropped before scoring; infinity: none are.
    float chi2_max = std::numeric_limits<float>::infinity();
    /// Edges of a quadruplet with a chi2 below this stay all the same, see `PruneCuts`; 0: quadruplets do not matter.
    float quadruplet_chi2_max = 0.0F;
    TripletModel triplet_model = default_triplet_model();
    /// For `fit_tracks` on the finder's tracks, which the finder itself does not do.
    FitModel fit_model = make_fit_model(triplet_model);
    /// Method, cuts on scores, minimum length. `orient` is not needed (a map's edges lead outward); cycles are always
    /// broken, with status `cycle`.
    TrackBuildingPlan building = {};
    /// Of the built-in scores, for finders without a network: see `score_by_chi2`.
    float chi2_scale = 25.0F;
};

/// The largest event that a workspace is made for, each at most 2^31 - 1.
struct TrackFinderLimits {
    std::size_t n_hits;
    std::size_t n_doublets;      ///< hit pairs within their doublet's limits, before triplets: 5 to 20 for each edge
    std::size_t n_edges;         ///< of the graph, before pruning
    std::size_t n_triplets = 0;  ///< of `PruneCuts`, where quadruplets matter; 0: 4 for each of n_edges
};

/// What an event did. Where a limit was too small, the counts up to that stage say how much is needed.
struct TrackFinderResult {
    Status status = Status::ok;
    std::size_t n_tracks = 0;
    std::size_t n_track_hits = 0;
    std::size_t n_edges = 0;            ///< of the graph
    std::size_t n_pruned_edges = 0;     ///< left by pruning
    std::size_t n_doublets = 0;         ///< hit pairs within their doublet's limits
    std::size_t n_triplets = 0;         ///< of `PruneCuts`, where quadruplets matter
    std::size_t n_unknown_modules = 0;  ///< hits on modules that the map does not know
    std::size_t n_not_finite = 0;       ///< hits with a NaN or infinite coordinate
};

/// The scores of a finder without a network: 1 / (1 + mean / @p scale), with mean that of the chi2 of the edge's best
/// continuations outward and inward, each counted as @p scale at most. Deterministic, from 0.5 (neither continues) to
/// 1; the default cut of 0.5 drops the former. (On simulated events with pile-up 20 the mean finds 89 % of the
/// particles above 1 GeV, the minimum of the two 85 % with 2 % fakes.)
RHEINFALL_API void score_by_chi2(const ContinuationChi2& chi2, float scale, std::span<float> scores) noexcept;

/// Finds the tracks of events: sort, graph, prune, score, build. A plan: immutable after construction, copies share the
/// module map, and any number of events may run at once, each with its own workspace.
class RHEINFALL_API TrackFinder {
public:
    /// Memory-maps the module map at @p map_path. Throws std::runtime_error that names the file, the field and the
    /// reason; std::invalid_argument for options that make no sense.
    static TrackFinder load(const std::string& map_path, const TrackFinderOptions& options = {});

    /// Loads a bundle, the folder that `TrackFinder.save` writes in Python: its module map, its thresholds, and its
    /// network in the lowered form of docs/gnn_format.md, which the engine of `EdgeClassifier` runs. The tracks are
    /// those of `rheinfall.TrackFinder` in Python. Throws as above; the files' own checksums are compared, not the
    /// bundle's sha256.
    static TrackFinder load_bundle(const std::string& folder, GnnIsa isa = GnnIsa::best);

    /// Throws std::invalid_argument, naming the option, for thresholds that are not numbers, a min_length of 0, and
    /// resolutions, field, layer_x0, min_chi2_pt or chi2_scale that are not above 0.
    TrackFinder(ModuleMap map, const TrackFinderOptions& options);
    /// A finder that scores edges by @p network, which reads n_node_features columns, and n_edge_features or none.
    /// @p output: which of its outputs is a score.
    TrackFinder(ModuleMap map, const TrackFinderOptions& options, EdgeClassifier network,
                EdgeOutput output = EdgeOutput::scores);

    [[nodiscard]] const ModuleMap& module_map() const noexcept { return map_; }
    [[nodiscard]] const TrackFinderOptions& options() const noexcept { return options_; }
    [[nodiscard]] bool has_network() const noexcept { return network_.has_value(); }

    /// Bytes of workspace for events within @p limits on up to @p n_threads threads. Throws std::invalid_argument for
    /// limits beyond 2^31 - 1.
    [[nodiscard]] std::size_t workspace_size(const TrackFinderLimits& limits, std::size_t n_threads = 1) const;

    /// Finds the tracks of one event, as indices into @p hits as given.
    ///
    /// The hits are first brought into one order (module_id, z, phi, x, y, index), so that the tracks do not depend on
    /// the caller's, save for hits that agree in all fields; tracks are numbered by their first hit in that order, and
    /// run from inside to outside. Neither does the number of threads change them. A @p scorer takes the place of the
    /// finder's network; without either the scores are those of `score_by_chi2`, and no features are computed.
    ///
    /// `capacity_exceeded` if the workspace, a limit or a buffer of @p tracks is too small; room for n_hits + 1 offsets
    /// and n_hits hits always suffices. Other statuses as of `build_graph` and `build_tracks`, and `scoring_failed`.
    /// Allocates nothing, throws nothing, and touches nothing but its arguments: re-entrant.
    TrackFinderResult run(Workspace& workspace, const HitsView& hits, const TrackFinderLimits& limits,
                          TracksBuffers& tracks, EdgeScorer scorer = {},
                          const ParallelFor& parallel_for = {}) const noexcept;

private:
    ModuleMap map_;
    TrackFinderOptions options_;
    std::optional<EdgeClassifier> network_;
    EdgeOutput output_ = EdgeOutput::scores;
};

}  // namespace rheinfall
