#pragma once

#include <rheinfall/core/workspace.hpp>

#include "tracking/detail/edge_rows.hpp"
#include "tracking/detail/topological_order.hpp"

namespace rheinfall::detail {

/// The longest path from a hit (`walk`); what belongs together lies together, since children are met at random.
struct LongPath {
    Index n_hits;
    Index last_hit;
    float last_score;  ///< of its last edge
};

/// A hit as `DirectWalk` meets it; small, since hits are met at random.
struct FollowedHit {
    Index child;    ///< one that it follows, itself for none
    Index seen_by;  ///< the start that sought its best path last
};

/// The best path from a hit, for the start that has seen it. In words of 64 bits, of which one is compared.
struct alignas(16) SeenPath {
    static constexpr std::uint64_t one_hit = std::uint64_t{1} << 32U;
    std::uint64_t length;  ///< hits in the upper half, rank of the score of its last edge in the lower one, 0 for none
    Index last_hit;
    Index next;  ///< the next hit on it, no_hit at its end
};

/// Number and place of the track that a root stands for.
struct TrackOfRoot {
    Index track;  ///< no_hit for none
    Index place;  ///< hits counted, then where the next one goes
};

/// An edge on its way, all in one place.
struct RankedEdge {
    Index source, target;
    float score;
};

/// Everything that track building writes besides its output. One list of members serves both to count the bytes and to
/// take them, so the two cannot disagree.
struct TrackScratch {
    EdgeList edges;
    EdgeRows out, in;
    std::span<double> distance2;  ///< squared distance from the origin of each hit [mm^2], if the event has hits
    std::span<Index> root;        ///< smallest hit index of the hit's track, its own for none: what a method delivers
    std::span<Index> listed;      ///< hits track by track, and room for one more
    std::span<Index> depth;       ///< edges on the longest path to the hit
    std::span<Index> order;       ///< hits by (depth, index)
    std::span<Index> component;   ///< strongly connected set of the hit, or connected component
    std::span<Index> cursor;
    std::span<Index> stack;
    std::span<Index> count;
    std::span<Index> best_out;                      ///< best neighbour that is not retired (`walk`)
    std::span<std::uint64_t> best_from, best_into;  ///< rank of the best edge out of each hit and into it, 0 for none
    std::span<std::uint64_t> layers;                ///< of the hits of each root, one bit per layer (`layer_merge`)
    std::span<HitDepth> hit_depth;
    std::span<Index> next;  ///< next hit on the best path, no_hit at its end; alone, since it is followed at random
    std::span<LongPath> longest;
    std::span<double> heaviest, heap_sum;  ///< sum of scores along the best path; when it entered the heap
    std::span<TrackOfRoot> of_root;
    std::span<std::uint8_t> flags;
    std::span<FollowedHit> followed;  ///< on the CPU only, and so:
    std::span<SeenPath> seen;
    std::span<std::uint64_t> ranks;  ///< of the edges in `out`
    std::span<RankedEdge> ranked;    ///< edges by falling score (`layer_merge`)

    /// Calls `take(span, size)` for each array; those of wide types first, so that nothing lies between them where they
    /// lie side by side.
    template <class Take>
    RHEINFALL_HOST_DEVICE void lay_out(std::size_t n_nodes, std::size_t n_edges, Take&& take) {
        for (auto* of_hits : {&distance2, &heaviest, &heap_sum}) take(*of_hits, n_nodes);
        for (auto* of_hits : {&best_from, &best_into, &layers}) take(*of_hits, n_nodes);
        for (auto* of_edges : {&edges.source, &edges.target, &out.neighbour, &in.neighbour}) take(*of_edges, n_edges);
        for (auto* of_edges : {&edges.score, &out.score, &in.score}) take(*of_edges, n_edges);
        for (auto* of_hits : {&out.offsets, &in.offsets, &listed}) take(*of_hits, n_nodes + 1);
        for (auto* of_hits : {&root, &depth, &order, &component, &cursor, &stack, &count, &next, &best_out}) {
            take(*of_hits, n_nodes);
        }
        take(hit_depth, n_nodes);
        take(longest, n_nodes);
        take(of_root, n_nodes);
        take(flags, n_nodes);
    }
};

}  // namespace rheinfall::detail
