#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/instruction_sets.hpp"
#include "tracking/detail/edge_chunks.hpp"
#include "tracking/detail/track_order.hpp"
#include "tracking/edge_selection.hpp"

namespace rheinfall::detail {
namespace {

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

/// Copies the edges [@p first, @p first + room of @p edges) above the cut for which `uses(source, target)` holds,
/// without a branch: whether an edge is kept cannot be foreseen. @p copied: of the edges that are done already.
template <class Uses>
Status copy_edges(float cut, const ScoredGraph& graph, std::size_t first, EdgeList& edges, const Copied& copied,
                  Uses&& uses) noexcept {
    bool finite = copied.finite;
    std::size_t n = copied.n_kept;
    const std::size_t end = first + edges.score.size();
    for (std::size_t e = first + copied.n_seen; e < end; ++e) {
        const float score = graph.scores[e];
        const bool is_number = std::fabs(score) <= std::numeric_limits<float>::max();
        auto source = static_cast<Index>(graph.edges.source[e]);  // NOLINT(misc-const-correctness): may be swapped
        auto target = static_cast<Index>(graph.edges.target[e]);  // NOLINT(misc-const-correctness)
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

}  // namespace

EdgeChunks::EdgeChunks(const TrackBuildingPlan& plan, const ScoredGraph& graph, TrackScratch& s, std::size_t n) noexcept
    : plan_(plan), graph_(graph), s_(s), n_(std::clamp<std::size_t>(n, 1, most)) {
    if (graph.hits.size() > 0) hits_ = measure_distances(graph.hits, s);
}

void EdgeChunks::select(std::size_t c) noexcept {
    const bool keeps_loops = needs_no_cycles(plan_.method);
    EdgeList edges = (*this)[c];
    Piece& piece = pieces_[c];
    if (hits_ == Status::ok && !plan_.orient) {
        Copied copied;
#if defined(__x86_64__)
        if (has_avx512()) copied = copy_edges_avx512(plan_.score_cut, keeps_loops, graph_, first(c), edges);
#endif
        piece.status = copy_edges(plan_.score_cut, graph_, first(c), edges, copied,
                                  [keeps_loops](Index a, Index b) { return keeps_loops | (a != b); });
    } else {
        piece.status = copy_edges(plan_.score_cut, graph_, first(c), edges, {}, [&](Index& a, Index& b) {
            const double d_a = s_.distance2[a];
            const double d_b = s_.distance2[b];
            if (plan_.orient && (d_a > d_b || (d_a == d_b && a > b))) std::swap(a, b);
            return (keeps_loops || a != b) && !std::isnan(d_a) && !std::isnan(d_b);
        });
    }
    piece.size = edges.size;
}

void EdgeChunks::select_all(const ParallelFor& parallel_for) noexcept {
    parallel_for(n_, [this](std::size_t c) { select(c); });
}

void EdgeChunks::join() noexcept {
    std::size_t n = 0;
    for (std::size_t c = 0; c < n_; ++c) {
        const EdgeList edges = (*this)[c];
        if (n < first(c)) {
            std::ranges::copy(edges.source.first(edges.size), s_.edges.source.subspan(n).begin());
            std::ranges::copy(edges.target.first(edges.size), s_.edges.target.subspan(n).begin());
            std::ranges::copy(edges.score.first(edges.size), s_.edges.score.subspan(n).begin());
        }
        n += edges.size;
    }
    s_.edges.size = n;
}

Status EdgeChunks::status() const noexcept {
    Status status = hits_;
    for (const Piece& piece : pieces_) status = worst(status, piece.status);
    return status;
}

}  // namespace rheinfall::detail
