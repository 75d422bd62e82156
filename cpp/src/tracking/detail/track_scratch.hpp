#pragma once

#include <rheinfall/core/workspace.hpp>

#include "tracking/detail/edge_rows.hpp"

namespace rheinfall::detail {

/// Everything that track building writes besides its output. One list of members serves both to count the bytes and to
/// take them, so the two cannot disagree.
struct TrackScratch {
    EdgeList edges;
    EdgeRows out, in;
    std::span<double> distance2;  ///< squared distance from the origin of each hit [mm^2], if the event has hits
    std::span<Index> root;        ///< smallest hit index of the hit's track, no_hit for none: what a method delivers
    std::span<Index> depth;       ///< edges on the longest path to the hit
    std::span<Index> order;       ///< hits by (depth, index)
    std::span<Index> component;   ///< strongly connected set of the hit, or connected component
    std::span<Index> cursor;
    std::span<Index> stack;
    std::span<Index> count;
    std::span<Index> next;  ///< next hit on the best path
    std::span<Index> last_hit;
    std::span<Index> best_out, best_in;
    std::span<float> best_out_score, best_in_score;
    std::span<float> last_score;
    std::span<double> sum, heap_sum;
    std::span<std::uint8_t> flags;

    template <class Take>
    void lay_out(std::size_t n_nodes, std::size_t n_edges, Take&& take) {
        for (auto* of_edges : {&edges.source, &edges.target, &out.neighbour, &in.neighbour}) take(*of_edges, n_edges);
        for (auto* of_edges : {&edges.score, &out.score, &in.score}) take(*of_edges, n_edges);
        take(out.offsets, n_nodes + 1);
        take(in.offsets, n_nodes + 1);
        for (auto* of_hits :
             {&root, &depth, &order, &component, &cursor, &stack, &count, &next, &last_hit, &best_out, &best_in}) {
            take(*of_hits, n_nodes);
        }
        for (auto* of_hits : {&best_out_score, &best_in_score, &last_score}) take(*of_hits, n_nodes);
        take(distance2, n_nodes);
        take(sum, n_nodes);
        take(heap_sum, n_nodes);
        take(flags, n_nodes);
    }
};

}  // namespace rheinfall::detail
