#include <algorithm>
#include <limits>
#include <rheinfall/tracking/track_building.hpp>

#include "tracking/detail/track_methods.hpp"

namespace rheinfall {
namespace {

using detail::EdgeChunks;
using detail::TrackScratch;

/// All that the CPU needs; a device does without the last ones.
template <class Take>
void lay_out(TrackScratch& s, std::size_t n_nodes, std::size_t n_edges, Take&& take) {
    s.lay_out(n_nodes, n_edges, take);
    take(s.followed, n_nodes);
    take(s.seen, n_nodes);
    take(s.ranks, n_edges);
    take(s.ranked, n_edges);
}

/// True for the methods whose tracks are the components of edges that are kept or not.
bool is_component_method(TrackMethod method) noexcept {
    return method == TrackMethod::components || method == TrackMethod::mutual_best ||
           method == TrackMethod::junction_removal;
}

/// One piece for each thread: what two threads write then lies apart, as far as edges are listed by source.
std::size_t count_chunks(TrackMethod method, std::size_t n_edges, const ParallelFor& parallel_for) noexcept {
    const std::size_t n_threads = parallel_for.n_threads();
    // Where best edges are sought, two threads lose more by what one has written and the other reads than they share.
    const bool seeks_best = method == TrackMethod::mutual_best || method == TrackMethod::junction_removal;
    if (seeks_best && n_threads < 3) return 1;
    // A task worth less than some 50 us would not pay for the threads that a host may start for it.
    return std::clamp<std::size_t>(n_edges / 32768, 1, n_threads);
}

void group_by_components(const TrackBuildingPlan& plan, bool has_hits, EdgeChunks& chunks, TrackScratch& s,
                         const ParallelFor& parallel_for) noexcept {
    if (plan.method == TrackMethod::components) {
        detail::group_components(chunks, s, parallel_for);
    } else {
        const bool any_is_sure = plan.method == TrackMethod::mutual_best;
        detail::group_mutual_best(any_is_sure ? plan.sure : std::numeric_limits<float>::infinity(), chunks, s,
                                  parallel_for);
    }
    if (has_hits) return;
    // Only the order of hits within tracks asks for depths here, so that cycles are no fault of the event.
    chunks.join();
    detail::order_hits(false, true, s);
}

Status group_hits(const TrackBuildingPlan& plan, const HitsView& hits, EdgeChunks& chunks, TrackScratch& s,
                  TracksBuffers& tracks, const ParallelFor& parallel_for) noexcept {
    const bool has_hits = hits.size() > 0;
    if (is_component_method(plan.method)) {
        group_by_components(plan, has_hits, chunks, s, parallel_for);
        return Status::ok;
    }
    chunks.select_all(parallel_for);
    chunks.join();
    if (plan.method == TrackMethod::layer_merge) {
        detail::group_layer_merge(plan, hits.module_id, s);
        return Status::ok;
    }
    if (plan.method == TrackMethod::d_walk && has_hits && detail::leads_outward(has_hits, s)) {
        detail::group_d_walk_on_host(plan, s, parallel_for);  // nothing asks for depths
        return Status::ok;
    }
    const Status status = detail::order_hits(has_hits, plan.break_cycles, s);
    if (status == Status::cycle && !plan.break_cycles) {
        detail::list_hits_on_cycles(s, tracks);
        return status;
    }
    if (plan.method == TrackMethod::d_walk) {
        detail::group_d_walk_on_host(plan, s, parallel_for);
        return status;
    }
    detail::sort_by_depth(s.depth, s.order, s.count);
    detail::group_walk_on_host(plan, s);
    return status;
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
    EdgeChunks chunks(plan, graph, s, count_chunks(plan.method, n_edges, parallel_for));
    const Status grouping = group_hits(plan, graph.hits, chunks, s, tracks, parallel_for);
    status = worst(worst(status, chunks.status()), grouping);
    if (grouping != Status::cycle || plan.break_cycles) {
        status = worst(status, detail::write_tracks(plan.min_length, has_hits, s, tracks, parallel_for));
    }
    workspace.rewind(mark);
    return status;
}

}  // namespace rheinfall
