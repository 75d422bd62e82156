#include <rheinfall/tracking/edge_features.hpp>

#include <algorithm>

#include "core/instruction_sets.hpp"
#include "tracking/edge_features_shares.hpp"
#include "tracking/edge_features_work.hpp"
#include "tracking/quadruplets.hpp"

namespace rheinfall {
namespace {

using detail::EdgeSteps;
using detail::HitRecord;
using detail::list_by_row;
using detail::PointRecord;
using detail::SegmentRecord;
using detail::share_out;

/// What the chi2 of one event needs; of pruning, the marks and the triplets too.
struct Scratch {
    std::span<std::uint32_t> out_offsets;
    std::span<HitRecord> hits;
    std::span<SegmentRecord> segments;

    static std::size_t size(std::size_t n_hits, std::size_t n_edges) {
        return Workspace::padded<std::uint32_t>(n_hits + 1) + Workspace::padded<HitRecord>(n_hits) +
               Workspace::padded<SegmentRecord>(n_edges);
    }
    Scratch(std::size_t n_hits, std::size_t n_edges, Workspace& workspace)
        : out_offsets(workspace.take<std::uint32_t>(n_hits + 1)),
          hits(workspace.take<HitRecord>(n_hits)),
          segments(workspace.take<SegmentRecord>(n_edges)) {}
};

struct PruneScratch : Scratch {
    detail::EdgeMarks marks;
    detail::QuadrupletScratch quadruplets;

    static std::size_t size(std::size_t n_hits, std::size_t n_edges, std::size_t n_triplets) {
        return Scratch::size(n_hits, n_edges) + 2 * Workspace::padded<std::uint8_t>(n_edges) +
               detail::QuadrupletScratch::size(n_hits, n_edges, n_triplets);
    }
    PruneScratch(std::size_t n_hits, std::size_t n_edges, std::size_t n_triplets, Workspace& workspace)
        : Scratch(n_hits, n_edges, workspace),
          marks{workspace.take<std::uint8_t>(n_edges), workspace.take<std::uint8_t>(n_edges)},
          quadruplets(n_hits, n_edges, n_triplets, workspace) {}
};

void make_segments(const EdgeSteps& steps, const HitsView& hits, const EdgesView& edges, const TripletModel& model,
                   const Scratch& s, const ParallelFor& parallel_for) {
    share_out(parallel_for, hits.size(),
              [&](std::size_t first, std::size_t last) { steps.place_hits(hits, model, s.hits.data(), first, last); });
    share_out(parallel_for, edges.size(), [&](std::size_t first, std::size_t last) {
        steps.make_segments(edges, s.hits.data(), s.segments.data(), first, last);
    });
}

void compare_segments(const EdgeSteps& steps, const EdgesView& edges, const TripletModel& model, const Scratch& s,
                      const ContinuationChi2& out, const ParallelFor& parallel_for) {
    for (const auto values : {out.out_best, out.out_second, out.in_best, out.in_second}) {
        std::fill_n(values.begin(), edges.size(), no_continuation);
    }
    list_by_row(edges.source, s.out_offsets);
    const detail::SegmentWork work{edges, s.out_offsets, s.segments.data()};
    share_out(parallel_for, s.hits.size(),
              [&](std::size_t first, std::size_t last) { steps.compare_segments(work, model, out, first, last); });
}

/// Marks the edges that have a continuation of a chi2 below @p chi2_max on either side.
void mark_edges(const EdgeSteps& steps, const EdgesView& edges, const TripletModel& model, float chi2_max,
                const PruneScratch& s, const ParallelFor& parallel_for) {
    std::ranges::fill(s.marks.continues_outward, std::uint8_t{0});
    std::ranges::fill(s.marks.continues_inward, std::uint8_t{0});
    list_by_row(edges.source, s.out_offsets);
    const detail::SegmentWork work{edges, s.out_offsets, s.segments.data()};
    share_out(parallel_for, s.hits.size(), [&](std::size_t first, std::size_t last) {
        steps.mark_segments(work, model, chi2_max, s.marks, first, last);
    });
}

/// Closes the gaps that dropped edges leave; the order stays. Returns how many are left. No branch asks which stay.
std::size_t drop_edges(const EdgesBuffer& edges, const PruneScratch& s) {
    std::size_t n = 0;
    for (std::size_t e = 0; e < edges.source.size(); ++e) {
        edges.source[n] = edges.source[e];
        edges.target[n] = edges.target[e];
        s.segments[n] = s.segments[e];
        n += s.marks.continues_outward[e] | s.marks.continues_inward[e];
    }
    return n;
}

}  // namespace

const EdgeSteps& detail::edge_steps() noexcept {
#if defined(__x86_64__)
    if (detail::has_avx512()) {
        return edge_steps_avx512();
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")) return edge_steps_avx2();
#endif
    return edge_steps_portable();
}

std::size_t triplet_chi2_workspace_size(std::size_t n_hits, std::size_t n_edges) noexcept {
    return Scratch::size(n_hits, n_edges);
}

Status detail::triplet_chi2_by(const EdgeSteps& steps, const HitsView& hits, const EdgesView& edges,
                               const TripletModel& model, const ContinuationChi2& out, Workspace& workspace,
                               const ParallelFor& parallel_for) noexcept {
    if (edges.size() == 0) return Status::empty;
    const WorkspaceScope scope(workspace);
    const Scratch s(hits.size(), edges.size(), workspace);
    if (workspace.overflowed()) return Status::capacity_exceeded;
    make_segments(steps, hits, edges, model, s, parallel_for);
    compare_segments(steps, edges, model, s, out, parallel_for);
    return Status::ok;
}

std::size_t prune_edges_workspace_size(std::size_t n_hits, std::size_t n_edges, std::size_t n_triplets) noexcept {
    return PruneScratch::size(n_hits, n_edges, n_triplets);
}

PruneResult detail::prune_edges_by(const EdgeSteps& steps, const HitsView& hits, const EdgesBuffer& edges,
                                   const TripletModel& model, const PruneCuts& cuts, const ContinuationChi2& out,
                                   Workspace& workspace, const ParallelFor& parallel_for) noexcept {
    PruneResult result{Status::ok, edges.source.size(), 0};
    const auto stop = [&result](Status status) {
        result.status = status;
        return result;
    };
    if (result.n_edges == 0) return stop(Status::empty);
    const bool by_quadruplets = cuts.quadruplet_chi2_max > 0.0f;
    const WorkspaceScope scope(workspace);
    const PruneScratch s(hits.size(), result.n_edges, by_quadruplets ? cuts.n_triplets : 0, workspace);
    if (workspace.overflowed()) return stop(Status::capacity_exceeded);
    const EdgesView all{edges.source, edges.target};
    make_segments(steps, hits, all, model, s, parallel_for);
    // An edge that no continuation reaches counts as one with a chi2 of `no_continuation`.
    if (!(no_continuation < cuts.chi2_max)) {
        mark_edges(steps, all, model, cuts.chi2_max, s, parallel_for);
        if (by_quadruplets) {
            const detail::SegmentWork work{all, s.out_offsets, s.segments.data()};
            result.n_triplets =
                detail::mark_quadruplets(steps, work, s.hits.data(), model, cuts, s.quadruplets,
                                         s.marks.continues_outward, s.marks.continues_inward, parallel_for);
            if (result.n_triplets > cuts.n_triplets) return stop(Status::capacity_exceeded);
        }
        result.n_edges = drop_edges(edges, s);
        if (result.n_edges == 0) return stop(Status::empty);
    }
    const EdgesView left{edges.source.first(result.n_edges), edges.target.first(result.n_edges)};
    compare_segments(steps, left, model, s, out, parallel_for);
    return result;
}

void detail::node_features_by(const EdgeSteps& steps, const HitsView& hits, std::span<float> out,
                              const ParallelFor& parallel_for) noexcept {
    share_out(parallel_for, hits.size(),
              [&](std::size_t first, std::size_t last) { steps.scale_points(hits, out.data(), first, last); });
}

std::size_t edge_features_workspace_size(std::size_t n_hits) noexcept {
    return Workspace::padded<PointRecord>(n_hits);
}

Status detail::edge_features_by(const EdgeSteps& steps, const HitsView& hits, const EdgesView& edges,
                                const ContinuationChi2& chi2, std::span<float> out, Workspace& workspace,
                                const ParallelFor& parallel_for) noexcept {
    if (edges.size() == 0) return Status::empty;
    const WorkspaceScope scope(workspace);
    const auto points = workspace.take<PointRecord>(hits.size());
    if (workspace.overflowed()) return Status::capacity_exceeded;
    share_out(parallel_for, hits.size(),
              [&](std::size_t first, std::size_t last) { steps.place_points(hits, points.data(), first, last); });
    share_out(parallel_for, edges.size(), [&](std::size_t first, std::size_t last) {
        steps.fill_features(edges, points.data(), chi2, out.data(), first, last);
    });
    return Status::ok;
}

Status triplet_chi2(const HitsView& hits, const EdgesView& edges, const TripletModel& model, ContinuationChi2 out,
                    Workspace& workspace, const ParallelFor& parallel_for) noexcept {
    return detail::triplet_chi2_by(detail::edge_steps(), hits, edges, model, out, workspace, parallel_for);
}

PruneResult prune_edges(const HitsView& hits, EdgesBuffer edges, const TripletModel& model, const PruneCuts& cuts,
                        ContinuationChi2 out, Workspace& workspace, const ParallelFor& parallel_for) noexcept {
    return detail::prune_edges_by(detail::edge_steps(), hits, edges, model, cuts, out, workspace, parallel_for);
}

void node_features(const HitsView& hits, std::span<float> out, const ParallelFor& parallel_for) noexcept {
    detail::node_features_by(detail::edge_steps(), hits, out, parallel_for);
}

Status edge_features(const HitsView& hits, const EdgesView& edges, const ContinuationChi2& chi2, std::span<float> out,
                     Workspace& workspace, const ParallelFor& parallel_for) noexcept {
    return detail::edge_features_by(detail::edge_steps(), hits, edges, chi2, out, workspace, parallel_for);
}

}  // namespace rheinfall
