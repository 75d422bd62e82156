#include <rheinfall/tracking/edge_features.hpp>

#include <algorithm>
#include <cmath>

#include "tracking/detail/float_math.hpp"
#include "tracking/detail/hit_geometry.hpp"
#include "tracking/detail/triplet_chi2.hpp"

namespace rheinfall {
namespace {

constexpr int volume_shift = 56;

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

/// The two smallest of the values seen.
struct BestTwo {
    float best = no_continuation;
    float second = no_continuation;

    void add(float value) {
        if (value < best) {
            second = best;
            best = value;
        } else if (value < second) {
            second = value;
        }
    }
};

/// [first, last) of task @p t of @p n_tasks over @p n items.
struct Share {
    std::size_t first;
    std::size_t last;
};

Share share(std::size_t n, std::size_t t, std::size_t n_tasks) {
    return {n * t / n_tasks, n * (t + 1) / n_tasks};
}

detail::SpacePoint point(const HitsView& hits, std::size_t i) {
    return detail::make_space_point(hits.x[i], hits.y[i], hits.z[i]);
}

float log_chi2(float chi2) {
    return 0.25f * detail::log_positive(1.0f + chi2);
}

}  // namespace

std::size_t triplet_chi2_workspace_size(std::size_t n_hits, std::size_t n_edges) noexcept {
    return 2 * Workspace::padded<std::uint32_t>(n_hits + 1) + Workspace::padded<std::uint32_t>(n_edges) +
           Workspace::padded<detail::Segment>(n_edges);
}

Status triplet_chi2(const HitsView& hits, const EdgesView& edges, const TripletModel& model, ContinuationChi2 out,
                    Workspace& workspace, const ParallelFor& parallel_for) noexcept {
    if (edges.size() == 0) return Status::empty;
    const WorkspaceScope scope(workspace);
    const Rows rows{workspace.take<std::uint32_t>(hits.size() + 1), workspace.take<std::uint32_t>(hits.size() + 1),
                    workspace.take<std::uint32_t>(edges.size())};
    const auto segments = workspace.take<detail::Segment>(edges.size());
    if (workspace.overflowed()) return Status::capacity_exceeded;
    fill_rows(edges, rows);

    const std::size_t n_tasks = parallel_for.n_threads();
    parallel_for(n_tasks, [&](std::size_t t) {
        const Share edges_of_task = share(edges.size(), t, n_tasks);
        for (std::size_t e = edges_of_task.first; e < edges_of_task.last; ++e) {
            const std::size_t a = index(edges.source[e]);
            const std::size_t b = index(edges.target[e]);
            segments[e] = detail::make_segment(
                hits.x[a], hits.y[a], hits.z[a], model.resolution_by_volume[hits.module_id[a] >> volume_shift],
                hits.x[b], hits.y[b], hits.z[b], model.resolution_by_volume[hits.module_id[b] >> volume_shift]);
        }
    });
    parallel_for(n_tasks, [&](std::size_t t) {
        const Share edges_of_task = share(edges.size(), t, n_tasks);
        for (std::size_t e = edges_of_task.first; e < edges_of_task.last; ++e) {
            const std::size_t a = index(edges.source[e]);
            const std::size_t b = index(edges.target[e]);
            BestTwo outward;
            for (std::size_t k = rows.out_offsets[b]; k < rows.out_offsets[b + 1]; ++k) {
                outward.add(detail::chi2(model, segments[e], segments[k]));
            }
            BestTwo inward;
            for (std::size_t k = rows.in_offsets[a]; k < rows.in_offsets[a + 1]; ++k) {
                inward.add(detail::chi2(model, segments[rows.in_edges[k]], segments[e]));
            }
            out.out_best[e] = outward.best;
            out.out_second[e] = outward.second;
            out.in_best[e] = inward.best;
            out.in_second[e] = inward.second;
        }
    });
    return Status::ok;
}

void node_features(const HitsView& hits, std::span<float> out, const ParallelFor& parallel_for) noexcept {
    const std::size_t n_tasks = parallel_for.n_threads();
    parallel_for(n_tasks, [&](std::size_t t) {
        const Share hits_of_task = share(hits.size(), t, n_tasks);
        for (std::size_t i = hits_of_task.first; i < hits_of_task.last; ++i) {
            const bool finite = std::isfinite(hits.x[i]) && std::isfinite(hits.y[i]) && std::isfinite(hits.z[i]);
            const detail::SpacePoint p = finite ? point(hits, i) : detail::SpacePoint{};
            float* row = out.data() + n_node_features * i;
            row[0] = p.r / 1000.0f;
            row[1] = p.phi / detail::pi;
            row[2] = p.z / 1000.0f;
            row[3] = p.eta;
        }
    });
}

void edge_features(const HitsView& hits, const EdgesView& edges, const ContinuationChi2& chi2, std::span<float> out,
                   const ParallelFor& parallel_for) noexcept {
    const std::size_t n_tasks = parallel_for.n_threads();
    parallel_for(n_tasks, [&](std::size_t t) {
        const Share edges_of_task = share(edges.size(), t, n_tasks);
        for (std::size_t e = edges_of_task.first; e < edges_of_task.last; ++e) {
            const detail::SpacePoint a = point(hits, index(edges.source[e]));
            const detail::SpacePoint b = point(hits, index(edges.target[e]));
            float* row = out.data() + n_edge_features * e;
            const float dr = (b.r - a.r) / 1000.0f;
            const float dphi = detail::delta_phi(a, b) / detail::pi;
            const float phi_slope = std::clamp(dphi / (dr == 0.0f ? 1e-9f : dr), -100.0f, 100.0f);
            row[0] = dr;
            row[1] = dphi;
            row[2] = (b.z - a.z) / 1000.0f;
            row[3] = b.eta - a.eta;
            row[4] = phi_slope;
            row[5] = 0.5f * ((a.r + b.r) / 1000.0f) * phi_slope;
            row[6] = log_chi2(chi2.out_best[e]);
            row[7] = log_chi2(chi2.out_second[e]);
            row[8] = log_chi2(chi2.in_best[e]);
            row[9] = log_chi2(chi2.in_second[e]);
        }
    });
}

}  // namespace rheinfall
