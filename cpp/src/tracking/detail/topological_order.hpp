#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "tracking/detail/edge_rows.hpp"

namespace rheinfall::detail {

/// What `measure_depth` knows of a hit; side by side, since both are needed at once.
struct HitDepth {
    Index edges_left;  ///< edges into the hit from hits that are not done
    Index depth;       ///< edges on the longest path to the hit so far
};

/// Fills @p depth (edges on the longest path to each hit); @p order becomes a topological order, unspecified among
/// equals. False if the graph has a cycle; both are then unfinished. @p scratch: one per hit.
RHEINFALL_HOST_DEVICE inline bool measure_depth(const EdgeRows& out, std::span<Index> depth, std::span<Index> order,
                                                std::span<HitDepth> scratch) noexcept {
    const auto n_nodes = static_cast<Index>(out.n_nodes());
    std::fill(scratch.begin(), scratch.end(), HitDepth{0, 0});
    for (const Index w : out.neighbour.first(out.offsets.back())) ++scratch[w].edges_left;
    std::size_t ready = 0;
    // What is ready cannot be foreseen: it is written always, and counted if it is.
    for (Index v = 0; v < n_nodes; ++v) {
        order[ready] = v;
        ready += scratch[v].edges_left == 0 ? 1U : 0U;
        if (ready == n_nodes) break;
    }
    for (std::size_t done = 0; done < ready; ++done) {
        if (done + 32 < ready) prefetch(&out.offsets[order[done + 32]]);
        if (done + 16 < ready) prefetch(out.neighbour.data() + out.offsets[order[done + 16]]);
        const Index v = order[done];
        const Index next_depth = scratch[v].depth + 1;
        for (Index e = out.offsets[v]; e < out.offsets[v + 1]; ++e) {
            HitDepth& target = scratch[out.neighbour[e]];
            target.depth = std::max(target.depth, next_depth);
            --target.edges_left;
            order[ready] = out.neighbour[e];  // there is room: once all hits are ready, no edges are left
            ready += target.edges_left == 0 ? 1U : 0U;
        }
    }
    for (Index v = 0; v < n_nodes; ++v) depth[v] = scratch[v].depth;
    return ready == n_nodes;
}

/// Fills @p order with the hits by (depth, index). @p count is scratch, one per hit.
RHEINFALL_HOST_DEVICE inline void sort_by_depth(std::span<const Index> depth, std::span<Index> order,
                                                std::span<Index> count) noexcept {
    std::fill(count.begin(), count.end(), 0U);
    for (const Index d : depth) ++count[d];
    std::exclusive_scan(count.begin(), count.end(), count.begin(), 0U);
    for (Index v = 0; v < depth.size(); ++v) order[count[depth[v]]++] = v;
}

/// Scratch of `find_strong_components`, one entry per hit each.
struct StrongComponentsScratch {
    std::span<Index> low, cursor, stack, path;
    std::span<std::uint8_t> on_stack;
};

/// One search from @p start. `component` holds the number of each visited hit until its component is complete.
class StrongSearch {
public:
    RHEINFALL_HOST_DEVICE StrongSearch(const EdgeRows& out, std::span<Index> component,
                                       const StrongComponentsScratch& scratch) noexcept
        : out_(out), number_(component), s_(scratch) {}

    RHEINFALL_HOST_DEVICE void search(Index start) noexcept {
        enter(start);
        while (n_path_ > 0) {
            const Index v = s_.path[n_path_ - 1];
            if (s_.cursor[v] == out_.offsets[v + 1]) {
                leave(v);
                continue;
            }
            const Index w = out_.neighbour[s_.cursor[v]++];
            if (number_[w] == no_hit) {
                enter(w);
            } else if (s_.on_stack[w] != 0) {
                s_.low[v] = std::min(s_.low[v], number_[w]);
            }
        }
    }

private:
    RHEINFALL_HOST_DEVICE void enter(Index v) noexcept {
        number_[v] = s_.low[v] = n_visited_++;
        s_.cursor[v] = out_.offsets[v];
        s_.stack[n_stack_++] = v;
        s_.path[n_path_++] = v;
        s_.on_stack[v] = 1;
    }

    RHEINFALL_HOST_DEVICE void leave(Index v) noexcept {
        --n_path_;
        if (n_path_ > 0) {
            const Index parent = s_.path[n_path_ - 1];
            s_.low[parent] = std::min(s_.low[parent], s_.low[v]);
        }
        if (s_.low[v] != number_[v]) return;
        const Index label = number_[v];
        Index w = no_hit;
        do {
            w = s_.stack[--n_stack_];
            s_.on_stack[w] = 0;
            number_[w] = label;
        } while (w != v);
    }

    const EdgeRows& out_;
    std::span<Index> number_;
    const StrongComponentsScratch& s_;
    Index n_visited_ = 0;
    std::size_t n_stack_ = 0;
    std::size_t n_path_ = 0;
};

/// Labels the strongly connected components, hit by hit (R. Tarjan, SIAM J. Comput. 1 (1972) 146, without recursion).
RHEINFALL_HOST_DEVICE inline void find_strong_components(const EdgeRows& out, std::span<Index> component,
                                                         const StrongComponentsScratch& scratch) noexcept {
    std::fill(component.begin(), component.end(), Index{no_hit});
    std::fill(scratch.on_stack.begin(), scratch.on_stack.end(), std::uint8_t{0});
    StrongSearch search(out, component, scratch);
    for (Index v = 0; v < out.n_nodes(); ++v) {
        if (component[v] == no_hit) search.search(v);
    }
}

}  // namespace rheinfall::detail
