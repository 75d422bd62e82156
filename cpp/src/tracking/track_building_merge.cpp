#include <algorithm>
#include <array>
#include <numeric>

#include "tracking/detail/best_edges.hpp"
#include "tracking/detail/layer_merge.hpp"
#include "tracking/detail/track_methods.hpp"

namespace rheinfall::detail {
namespace {

/// Calls `visit(hit, layer, is_same)`; `is_same`: the hit before lies on that layer too, as most do.
template <class Visit>
void for_each_layer(std::span<const std::uint64_t> module_id, Visit&& visit) noexcept {
    Index before = no_hit;
    for (std::size_t v = 0; v < module_id.size(); ++v) {
        const Index layer = layer_of(module_id[v]);
        visit(v, layer, layer == before);
        before = layer;
    }
}

/// Collects in `s.layers` the layers of each root, one bit each: the layer's rank among the event's, modulo 64.
void collect_layers(std::span<const std::uint64_t> module_id, TrackScratch& s) noexcept {
    std::size_t n = 0;
    for_each_layer(module_id, [&](std::size_t, Index layer, bool is_same) {
        if (!is_same) s.stack[n++] = layer;
    });
    const auto list = s.stack.first(n);
    std::ranges::sort(list);
    const auto end = std::unique(list.begin(), list.end());
    std::ranges::fill(s.layers, std::uint64_t{0});
    std::uint64_t bit = 0;
    for_each_layer(module_id, [&](std::size_t v, Index layer, bool is_same) {
        if (!is_same) bit = std::uint64_t{1} << ((std::lower_bound(list.begin(), end, layer) - list.begin()) % 64);
        s.layers[s.root[v]] |= bit;
    });
}

constexpr unsigned digit_bits = 11;
constexpr unsigned n_digits = 3;
using Counts = std::array<Index, 1U << digit_bits>;

Index digit_of(float score, unsigned digit) noexcept {
    return ~rank_score(score) >> (digit * digit_bits) & ((1U << digit_bits) - 1U);
}

/// Sorts by falling score, stable: a radix sort over three digits.
void sort_by_score(EdgeList& edges, EdgeList scratch) noexcept {
    std::array<Counts, n_digits> counts{};
    edges.for_each([&counts](Index, Index, float score) {
        for (unsigned d = 0; d < n_digits; ++d) ++counts[d][digit_of(score, d)];
    });
    for (unsigned d = 0; d < n_digits; ++d) {
        std::exclusive_scan(counts[d].begin(), counts[d].end(), counts[d].begin(), 0U);
        edges.for_each([&](Index source, Index target, float score) {
            const Index at = counts[d][digit_of(score, d)]++;
            scratch.source[at] = source;
            scratch.target[at] = target;
            scratch.score[at] = score;
        });
        scratch.size = edges.size;
        std::swap(edges, scratch);
    }
}

}  // namespace

void group_layer_merge(const TrackBuildingPlan& plan, std::span<const std::uint64_t> module_id,
                       TrackScratch& s) noexcept {
    merge_sure(plan.sure, s);
    sort_edges(s.edges, s.out, s.in);
    collect_layers(module_id, s);
    EdgeList edges = s.edges;
    sort_by_score(edges, {s.out.neighbour, s.in.neighbour, s.out.score, 0});
    merge_by_layers(edges, plan, s);
}

}  // namespace rheinfall::detail
