#include <cmath>
#include <limits>
#include <rheinfall/tracking/track_building.hpp>
#include <utility>

#include "tracking/detail/track_methods.hpp"
#include "tracking/detail/track_order.hpp"

namespace rheinfall {
namespace {

using detail::Index;
using detail::needs_no_cycles;
using detail::TrackScratch;

/// All that the CPU needs; a device does without the last.
template <class Take>
void lay_out(TrackScratch& s, std::size_t n_nodes, std::size_t n_edges, Take&& take) {
    s.lay_out(n_nodes, n_edges, take);
    take(s.walk, n_nodes);
}

/// Fills the distances from the origin; NaN marks a hit that takes part in nothing.
Status measure_distances(const HitsView& hits, TrackScratch& s) noexcept {
    bool finite = true;
    for (std::size_t v = 0; v < hits.size(); ++v) {
        const auto x = static_cast<double>(hits.x[v]);
        const auto y = static_cast<double>(hits.y[v]);
        const auto z = static_cast<double>(hits.z[v]);
        s.distance2[v] = x * x + y * y + z * z;
        finite &= s.distance2[v] <= std::numeric_limits<double>::max();
    }
    if (finite) return Status::ok;
    for (double& distance2 : s.distance2) {
        if (!std::isfinite(distance2)) distance2 = std::numeric_limits<double>::quiet_NaN();
    }
    return Status::not_finite;
}

/// Copies the edges above the cut for which `uses(source, target)` holds to the workspace, without a branch: whether an
/// edge is kept cannot be foreseen.
template <class Uses>
Status copy_edges(float cut, const ScoredGraph& graph, detail::EdgeList& edges, Uses&& uses) noexcept {
    bool finite = true;
    std::size_t n = 0;
    for (std::size_t e = 0; e < graph.edges.size(); ++e) {
        const float score = graph.scores[e];
        const bool is_number = std::fabs(score) <= std::numeric_limits<float>::max();
        auto source = static_cast<Index>(graph.edges.source[e]);
        auto target = static_cast<Index>(graph.edges.target[e]);
        const bool used = is_number & (score > cut) & uses(source, target);
        edges.source[n] = source;
        edges.target[n] = target;
        edges.score[n] = score;
        n += used ? 1U : 0U;
        finite &= is_number;
    }
    edges.size = n;
    return finite ? Status::ok : Status::not_finite;
}

Status select_edges(const TrackBuildingPlan& plan, const ScoredGraph& graph, TrackScratch& s) noexcept {
    const bool has_hits = graph.hits.size() > 0;
    const bool keeps_loops = needs_no_cycles(plan.method);
    const Status status = has_hits ? measure_distances(graph.hits, s) : Status::ok;
    if (status == Status::ok && !plan.orient) {
        return copy_edges(plan.score_cut, graph, s.edges,
                          [keeps_loops](Index a, Index b) { return keeps_loops | (a != b); });
    }
    return worst(status, copy_edges(plan.score_cut, graph, s.edges, [&](Index& a, Index& b) {
                     const double d_a = s.distance2[a];
                     const double d_b = s.distance2[b];
                     if (plan.orient && (d_a > d_b || (d_a == d_b && a > b))) std::swap(a, b);
                     return (keeps_loops || a != b) && !std::isnan(d_a) && !std::isnan(d_b);
                 }));
}

Status group_hits(const TrackBuildingPlan& plan, const HitsView& hits, TrackScratch& s, TracksBuffers& tracks,
                  const ParallelFor& parallel_for) noexcept {
    const bool has_hits = hits.size() > 0;
    if (plan.method == TrackMethod::layer_merge) {
        detail::group_layer_merge(plan, hits.module_id, s);
        return Status::ok;
    }
    if (plan.method == TrackMethod::d_walk && has_hits && detail::leads_outward(has_hits, s)) {
        detail::group_d_walk_on_host(plan, s, parallel_for);  // nothing asks for depths
        return Status::ok;
    }
    if (needs_no_cycles(plan.method)) {
        const Status status = detail::order_hits(has_hits, plan.break_cycles, s);
        if (status == Status::cycle && !plan.break_cycles) {
            detail::list_hits_on_cycles(s, tracks);
            return status;
        }
        if (plan.method == TrackMethod::d_walk) {
            if (status == Status::cycle) detail::list_rows(s.out, s.edges);  // some edges were dropped
            detail::group_d_walk_on_host(plan, s, parallel_for);
            return status;
        }
        detail::sort_by_depth(s.depth, s.order, s.count);
        detail::group_walk_on_host(plan, s);
        return status;
    }
    if (plan.method == TrackMethod::mutual_best) detail::group_mutual_best(plan.sure, s);
    if (plan.method == TrackMethod::junction_removal) {
        detail::group_mutual_best(std::numeric_limits<float>::infinity(), s);
    }
    detail::group_components(s);
    // Only the order of hits within tracks asks for depths here, so that cycles are no fault of the event.
    if (!has_hits) detail::order_hits(false, true, s);
    return Status::ok;
}

}  // namespace

std::size_t track_building_workspace_size(const TrackBuildingLimits& limits) noexcept {
    std::size_t bytes = 0;
    TrackScratch s;
    lay_out(s, limits.n_nodes, limits.n_edges,
            [&]<class T>(std::span<T>&, std::size_t n) { bytes += Workspace::padded<T>(n); });
    return bytes;
}

Status build_tracks(const TrackBuildingPlan& plan, Workspace& workspace, const ScoredGraph& graph,
                    TracksBuffers& tracks, const ParallelFor& parallel_for) noexcept {
    tracks.n_tracks = tracks.n_hits = 0;
    const std::size_t n_edges = graph.edges.size();
    const std::size_t mark = workspace.mark();
    const bool fits = graph.n_nodes < detail::no_hit && n_edges < detail::no_hit &&
                      track_building_workspace_size({graph.n_nodes, n_edges}) <= workspace.capacity() - mark;
    if (!fits) return Status::capacity_exceeded;

    TrackScratch s;
    lay_out(s, graph.n_nodes, n_edges,
            [&]<class T>(std::span<T>& span, std::size_t n) { span = workspace.take<T>(n); });
    const bool has_hits = graph.hits.size() > 0;
    Status status = graph.n_nodes == 0 || n_edges == 0 ? Status::empty : Status::ok;
    status = worst(status, select_edges(plan, graph, s));
    const Status grouping = group_hits(plan, graph.hits, s, tracks, parallel_for);
    status = worst(status, grouping);
    if (grouping != Status::cycle || plan.break_cycles) {
        status = worst(status, detail::write_tracks(plan.min_length, has_hits, s, tracks, parallel_for));
    }
    workspace.rewind(mark);
    return status;
}

}  // namespace rheinfall
