#include "tracking/edge_features_plain.hpp"

#include <algorithm>
#include <cmath>

#include "tracking/detail/feature_rows.hpp"
#include "tracking/detail/triplet_chi2.hpp"

namespace rheinfall::detail {
namespace {

/// Edges by the hit that they leave (they are sorted by it) and by the hit that they enter.
struct Rows {
    std::span<std::uint32_t> out_offsets;
    std::span<std::uint32_t> in_offsets;
    std::span<std::uint32_t> in_edges;
};

std::size_t index(std::int64_t i) {
    return static_cast<std::size_t>(i);
}

void prefix_sum(std::span<std::uint32_t> counts) {
    std::uint32_t total = 0;
    for (auto& c : counts) {
        const std::uint32_t n = c;
        c = total;
        total += n;
    }
}

void fill_rows(const EdgesView& edges, const Rows& rows) {
    std::ranges::fill(rows.out_offsets, 0u);
    std::ranges::fill(rows.in_offsets, 0u);
    for (std::size_t e = 0; e < edges.size(); ++e) {
        ++rows.out_offsets[index(edges.source[e])];
        ++rows.in_offsets[index(edges.target[e])];
    }
    prefix_sum(rows.out_offsets);
    prefix_sum(rows.in_offsets);
    for (std::size_t e = 0; e < edges.size(); ++e) {
        rows.in_edges[rows.in_offsets[index(edges.target[e])]++] = static_cast<std::uint32_t>(e);
    }
    for (std::size_t i = rows.in_offsets.size() - 1; i > 0; --i) rows.in_offsets[i] = rows.in_offsets[i - 1];
    rows.in_offsets[0] = 0;
}

SpacePoint point(const HitsView& hits, std::size_t i) {
    return make_space_point(hits.x[i], hits.y[i], hits.z[i]);
}

}  // namespace

std::size_t triplet_chi2_workspace_size_plain(std::size_t n_hits, std::size_t n_edges) noexcept {
    return 2 * Workspace::padded<std::uint32_t>(n_hits + 1) + Workspace::padded<std::uint32_t>(n_edges) +
           Workspace::padded<Segment>(n_edges);
}

Status triplet_chi2_plain(const HitsView& hits, const EdgesView& edges, const TripletModel& model,
                          const ContinuationChi2& out, Workspace& workspace) noexcept {
    if (edges.size() == 0) return Status::empty;
    const WorkspaceScope scope(workspace);
    const Rows rows{workspace.take<std::uint32_t>(hits.size() + 1), workspace.take<std::uint32_t>(hits.size() + 1),
                    workspace.take<std::uint32_t>(edges.size())};
    const auto segments = workspace.take<Segment>(edges.size());
    if (workspace.overflowed()) return Status::capacity_exceeded;
    fill_rows(edges, rows);

    for (std::size_t e = 0; e < edges.size(); ++e) {
        const std::size_t a = index(edges.source[e]);
        const std::size_t b = index(edges.target[e]);
        segments[e] = make_segment(hits.x[a], hits.y[a], hits.z[a],
                                   model.resolution_by_volume[hits.module_id[a] >> volume_shift], hits.x[b], hits.y[b],
                                   hits.z[b], model.resolution_by_volume[hits.module_id[b] >> volume_shift]);
    }
    for (std::size_t e = 0; e < edges.size(); ++e) {
        const std::size_t a = index(edges.source[e]);
        const std::size_t b = index(edges.target[e]);
        BestTwo outward;
        for (std::size_t k = rows.out_offsets[b]; k < rows.out_offsets[b + 1]; ++k) {
            outward.add(chi2(model, segments[e], segments[k]));
        }
        BestTwo inward;
        for (std::size_t k = rows.in_offsets[a]; k < rows.in_offsets[a + 1]; ++k) {
            inward.add(chi2(model, segments[rows.in_edges[k]], segments[e]));
        }
        out.out_best[e] = outward.best;
        out.out_second[e] = outward.second;
        out.in_best[e] = inward.best;
        out.in_second[e] = inward.second;
    }
    return Status::ok;
}

PruneResult prune_edges_plain(const HitsView& hits, const EdgesBuffer& edges, const TripletModel& model, float chi2_max,
                              const ContinuationChi2& out, Workspace& workspace) noexcept {
    PruneResult result{triplet_chi2_plain(hits, {edges.source, edges.target}, model, out, workspace), 0};
    if (result.status != Status::ok) return result;
    std::size_t n = 0;
    for (std::size_t e = 0; e < edges.source.size(); ++e) {
        if (!(std::min(out.out_best[e], out.in_best[e]) < chi2_max)) continue;
        edges.source[n] = edges.source[e];
        edges.target[n++] = edges.target[e];
    }
    result.n_edges = n;
    const EdgesView left{edges.source.first(n), edges.target.first(n)};
    result.status = triplet_chi2_plain(hits, left, model, out, workspace);
    return result;
}

void node_features_plain(const HitsView& hits, std::span<float> out) noexcept {
    for (std::size_t i = 0; i < hits.size(); ++i) {
        const bool finite = std::isfinite(hits.x[i]) && std::isfinite(hits.y[i]) && std::isfinite(hits.z[i]);
        write_node_row(finite ? point(hits, i) : SpacePoint{}, out.data() + n_node_features * i);
    }
}

void edge_features_plain(const HitsView& hits, const EdgesView& edges, const ContinuationChi2& chi2,
                         std::span<float> out) noexcept {
    for (std::size_t e = 0; e < edges.size(); ++e) {
        const SpacePoint a = point(hits, index(edges.source[e]));
        const SpacePoint b = point(hits, index(edges.target[e]));
        write_edge_row(a, b, {chi2.out_best[e], chi2.out_second[e]}, {chi2.in_best[e], chi2.in_second[e]},
                       out.data() + n_edge_features * e);
    }
}

}  // namespace rheinfall::detail
