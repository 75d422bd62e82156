#include <algorithm>
#include <array>

#include "tracking/detail/track_methods.hpp"
#include "tracking/detail/track_order.hpp"

namespace rheinfall::detail {
namespace {

/// The edges out of some hits that are done, one after the other.
class DoneEdges {
    static constexpr Index most = 8;  ///< edges of a hit that are copied at once, whatever their number
    static constexpr std::size_t room = 512;

public:
    DoneEdges(const EdgeRows& out, std::span<Index> order, std::span<HitDepth> hits) noexcept
        : out_(out), order_(order), hits_(hits) {}

    void add(Index v) noexcept {
        const Index first = out_.offsets[v];
        const Index n = out_.offsets[v + 1] - first;
        const Index next_depth = hits_[v].depth + 1;
        if (n > most || first + most > out_.neighbour.size()) {
            for (Index e = first; e < first + n; ++e) release(out_.neighbour[e], next_depth);
            return;
        }
        std::copy_n(out_.neighbour.data() + first, most, target_.data() + size_);
        std::fill_n(depth_.data() + size_, most, next_depth);
        size_ += n;
        if (size_ > room - most) release_all();
    }

    /// Hits to which no other edges lead become ready.
    void release_all() noexcept {
        for (std::size_t e = 0; e < size_; ++e) release(target_[e], depth_[e]);
        size_ = 0;
    }

    std::size_t n_ready = 0;

private:
    void release(Index v, Index depth) noexcept {
        const HitDepth hit{hits_[v].edges_left - 1, std::max(hits_[v].depth, depth)};
        hits_[v] = hit;
        order_[n_ready] = v;  // there is room: once all hits are ready, no edges are left
        n_ready += hit.edges_left == 0 ? 1U : 0U;
    }

    const EdgeRows& out_;
    std::span<Index> order_;
    std::span<HitDepth> hits_;
    std::array<Index, room> target_, depth_;
    std::size_t size_ = 0;
};

/// As `measure_depth`, without a branch on how many edges leave a hit.
bool measure_depth_on_host(const EdgeRows& out, std::span<Index> depth, std::span<Index> order,
                           std::span<HitDepth> hits) noexcept {
    const auto n_nodes = static_cast<Index>(out.n_nodes());
    std::ranges::fill(hits, HitDepth{0, 0});
    for (const Index w : out.neighbour.first(out.offsets.back())) ++hits[w].edges_left;
    DoneEdges edges(out, order, hits);
    for (Index v = 0; v < n_nodes; ++v) {
        order[edges.n_ready] = v;
        edges.n_ready += hits[v].edges_left == 0 ? 1U : 0U;
        if (edges.n_ready == n_nodes) break;
    }
    for (std::size_t done = 0; done < edges.n_ready;) {
        const std::size_t end = edges.n_ready;
        for (; done < end; ++done) {
            if (done + 32 < end) prefetch(&out.offsets[order[done + 32]]);
            if (done + 16 < end) prefetch(out.neighbour.data() + out.offsets[order[done + 16]]);
            edges.add(order[done]);
        }
        edges.release_all();
    }
    for (Index v = 0; v < n_nodes; ++v) depth[v] = hits[v].depth;
    return edges.n_ready == n_nodes;
}

}  // namespace

bool leads_outward(bool has_hits, const TrackScratch& s) noexcept {
    constexpr std::size_t block = 1024;  // most often it holds for all edges, or fails for one of the first thousands
    const auto& edges = s.edges;
    bool ascends = true;
    bool outward = has_hits;
    for (std::size_t first = 0; first < edges.size && (ascends || outward); first += block) {
        const std::size_t end = std::min(first + block, edges.size);
        for (std::size_t e = first; e < end; ++e) ascends &= edges.source[e] < edges.target[e];
        for (std::size_t e = first; outward && e < end; ++e) {
            const Index a = edges.source[e];
            const Index b = edges.target[e];
            outward = (s.distance2[a] < s.distance2[b]) | ((s.distance2[a] == s.distance2[b]) & (a < b));
        }
    }
    return ascends || outward;
}

Status order_hits(bool has_hits, bool drop, TrackScratch& s) noexcept {
    const bool is_listed = group_edges(s.edges, s.out, s.in);
    const Status status = order_rows(has_hits, drop, s, measure_depth_on_host);
    if (!is_listed || status == Status::cycle) list_rows(s.out, s.edges);
    return status;
}

void list_hits_on_cycles(const TrackScratch& s, TracksBuffers& tracks) noexcept {
    for_each_hit_on_cycles(s, [&tracks](Index v) {
        if (tracks.n_hits < tracks.hits.size()) tracks.hits[tracks.n_hits++] = v;
    });
}

}  // namespace rheinfall::detail
