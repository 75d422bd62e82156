#pragma once

#include <cstddef>
#include <cstdint>
#include <rheinfall/core/execution.hpp>
#include <rheinfall/core/export.hpp>
#include <rheinfall/core/status.hpp>
#include <rheinfall/core/views.hpp>
#include <rheinfall/core/workspace.hpp>
#include <span>

namespace rheinfall {

/// How scored edges become tracks. Every method first keeps the edges with score > score_cut, and takes two edges that
/// join the same two hits in the same direction for one with the larger score. Each hit is in at most one track.
enum class TrackMethod : std::uint8_t {
    /// Connected components of the kept edges.
    components,
    /// Keep an edge if it is the best-scored one out of its source and into its target (ties to the smaller hit index),
    /// or if its score > sure; then components.
    mutual_best,
    /// Components of at least 3 hits in which every hit has at most one edge in and one out are tracks as they stand;
    /// `walk` on the rest (acorn: track building "cc_and_walk").
    cc_and_walk,
    /// From hits in topological order: follow the best neighbour if its score > walk_min and every other one with score
    /// >
    /// walk_add, among hits that are not retired. The longest path is a track and its hits retire; if it has fewer than
    /// min_length hits, its first hit alone retires. Longest: most hits, then the larger score of the last edge, then
    /// the
    /// smaller index of the last hit, then the smaller indices from the first hit on.
    walk,
    /// Keep an edge if it passes the rule of `walk` among the edges out of its source and among those into its target.
    /// Per component, the path with the largest sum of scores from a hit without edges in (ties to the smaller index,
    /// at
    /// every step) is taken, its hits are deleted, and so on until no hit is left.
    d_walk,
    /// `mutual_best` without `sure`: no hit keeps more than one edge in and one out.
    junction_removal,
    /// Clusters, at first one for each hit, are merged edge by edge, in the order of falling score (ties to the
    /// smaller source, then target), unless the two have hits on more than shared_layers common layers: a particle
    /// crosses a layer once, or twice where modules overlap. A weak edge, one with score <= weak, merges only where
    /// one of the two has hits on at least three layers: it lengthens tracks and starts none. An edge with score >
    /// sure merges whatever the layers. Needs hits with modules. (Kruskal's single linkage with constraints.)
    layer_merge,
};

/// What to do, fixed for many events. Scores are compared as float32; all comparisons are strict.
struct TrackBuildingPlan {
    TrackMethod method = TrackMethod::mutual_best;
    float score_cut = 0.5F;
    float sure = 0.75F;             ///< mutual_best and layer_merge
    float weak = 0.0F;              ///< layer_merge only; no edge is weak if it is at most score_cut
    float walk_min = 0.1F;          ///< cc_and_walk, walk, d_walk
    float walk_add = 0.6F;          ///< cc_and_walk, walk, d_walk
    std::size_t shared_layers = 1;  ///< layer_merge only
    std::size_t min_length = 3;     ///< shorter tracks are dropped; at least 1
    /// Turn edges so that they lead away from the origin (by 3-D distance, ties to the larger index); needs hits.
    bool orient = false;
    /// The walks need a graph without cycles. If true, then within each strongly connected set of hits the edges that
    /// do not lead outward (to a larger distance from the origin, without hits or at equal distance to a larger index)
    /// are dropped; the status is `cycle` all the same. If false, a cycle leaves the event without tracks.
    bool break_cycles = false;

    /// The method with its default thresholds: cut 0.01 for the three walks, 0.15 for layer_merge (sure 0.995,
    /// weak 0.5), else 0.5.
    static constexpr TrackBuildingPlan defaults(TrackMethod method) noexcept {
        TrackBuildingPlan plan;
        plan.method = method;
        const bool walks =
            method == TrackMethod::cc_and_walk || method == TrackMethod::walk || method == TrackMethod::d_walk;
        plan.score_cut = walks ? 0.01F : 0.5F;
        if (method == TrackMethod::layer_merge) {
            plan.score_cut = 0.15F;
            plan.sure = 0.995F;
            plan.weak = 0.5F;
        }
        return plan;
    }
};

/// A graph with one score per edge, owned by the caller.
struct ScoredGraph {
    EdgesView edges;                ///< indices in [0, n_nodes), in any order
    std::span<const float> scores;  ///< one per edge, in [0, 1]
    std::size_t n_nodes = 0;
    /// x, y, z of each node [mm], or empty. layer_merge also asks for module ids, whose bits from 36 on (volume and
    /// layer) name the layer: at most 64 of them are told apart, by their rank modulo 64.
    HitsView hits;
};

/// The largest event that a workspace is made for.
struct TrackBuildingLimits {
    std::size_t n_nodes = 0;
    std::size_t n_edges = 0;
};

/// The caller's buffers, and how much of them was filled. Room for n_nodes + 1 offsets and n_nodes hits always
/// suffices.
struct TracksBuffers {
    std::span<std::int64_t> offsets;  ///< track i is hits[offsets[i]] ... hits[offsets[i + 1] - 1]
    std::span<std::int64_t> hits;
    std::span<std::int64_t> labels;  ///< track of each node, -1 for none; n_nodes values, or empty if not wanted
    std::size_t n_tracks = 0;
    std::size_t n_hits = 0;
};

/// Bytes of workspace for any method on an event within @p limits.
RHEINFALL_API std::size_t track_building_workspace_size(const TrackBuildingLimits& limits) noexcept;

/// Throws std::invalid_argument, naming what is wrong, if @p graph breaks what `build_tracks` requires: as many
/// sources, targets and scores; indices in range; scores in [0, 1], but for those that are not finite; hits for each
/// node or none (some if the plan orients); min_length >= 1; thresholds that are numbers. `build_tracks` itself checks
/// none of it.
RHEINFALL_API void check_track_building(const TrackBuildingPlan& plan, const ScoredGraph& graph);

/// Builds the tracks of one event.
///
/// Tracks are numbered by their smallest hit index. The hits of a track are ordered by 3-D distance from the origin if
/// the graph has hits, else topologically (by the number of edges on the longest kept path that leads to the hit; where
/// the kept edges have cycles, those that `break_cycles` would drop do not count); ties by index. The result depends
/// neither on the order of the edges nor on threads. Edges from a hit to itself are ignored, except that to the walks
/// they are cycles.
///
/// Returns `empty` without nodes or edges (with min_length 1 each node is a track all the same), `not_finite` if some
/// scores or coordinates are NaN or infinite (those edges, and edges to those hits, are not used), `cycle` (without
/// break_cycles there are no tracks, and hits[0 .. n_hits) lists the hits on cycles in ascending order),
/// `capacity_exceeded` if the workspace is too small (then n_tracks = n_hits = 0) or a buffer is (then both say what
/// was needed). Allocates nothing; re-entrant. On all threads: the selection of edges, what components and, on three or
/// more, mutual_best and junction_removal do with them, the components of d_walk, and the ordering of hits within
/// tracks.
RHEINFALL_API Status build_tracks(const TrackBuildingPlan& plan, Workspace& workspace, const ScoredGraph& graph,
                                  TracksBuffers& tracks, const ParallelFor& parallel_for = {}) noexcept;

}  // namespace rheinfall
