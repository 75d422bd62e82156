#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <utility>

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

/// Edges by falling score, ties in the order of the list: a radix sort of their places, of as few digits as the range
/// of the scores asks for.
class EdgesByScore {
public:
    EdgesByScore(const EdgeList& edges, TrackScratch& s) noexcept : edges_(edges), now_(s.ranked), next_(s.ranked_too) {
        if (edges_.size == 0) return;
        Index lowest = no_hit;
        Index highest = 0;
        for (const float score : edges_.score.first(edges_.size)) {
            lowest = std::min(lowest, ~rank_score(score));
            highest = std::max(highest, ~rank_score(score));
        }
        for (std::size_t e = 0; e < edges_.size; ++e) {
            now_[e] = std::uint64_t{~rank_score(edges_.score[e]) - lowest} << 32U | e;
        }
        const auto n_bits = static_cast<unsigned>(std::bit_width(highest - lowest));
        const unsigned n_digits = (n_bits + most_bits - 1) / most_bits;
        for (unsigned d = 0; d < n_digits; ++d) distribute(n_bits * d / n_digits, n_bits * (d + 1) / n_digits);
    }

    [[nodiscard]] std::size_t size() const noexcept { return edges_.size; }
    [[nodiscard]] Index operator[](std::size_t i) const noexcept { return static_cast<Index>(now_[i]); }

private:
    /// Bits of a digit: its counters fit the first cache, and two digits the scores of a real event.
    static constexpr unsigned most_bits = 13;

    /// Sorts by bits [@p first, @p end) of the rank, stable.
    void distribute(unsigned first, unsigned end) noexcept {
        std::array<Index, std::size_t{1} << most_bits> begin;
        const auto counts = std::span(begin).first(std::size_t{1} << (end - first));
        const auto digit_of = [shift = 32U + first, mask = counts.size() - 1](std::uint64_t edge) {
            return edge >> shift & mask;
        };
        std::ranges::fill(counts, 0U);
        for (const std::uint64_t edge : now_.first(size())) ++counts[digit_of(edge)];
        std::exclusive_scan(counts.begin(), counts.end(), counts.begin(), 0U);
        for (const std::uint64_t edge : now_.first(size())) next_[counts[digit_of(edge)]++] = edge;
        std::swap(now_, next_);
    }

    const EdgeList& edges_;
    std::span<std::uint64_t> now_, next_;
};

/// What clusters are asked for lies anywhere in memory, and is known in advance.
void merge_in_order(const EdgesByScore& order, const TrackBuildingPlan& plan, TrackScratch& s) noexcept {
    constexpr std::size_t ahead = 16;
    for (std::size_t i = 0; i < order.size(); ++i) {
        if (i + 2 * ahead < order.size()) {
            prefetch(&s.edges.source[order[i + 2 * ahead]]);
            prefetch(&s.edges.target[order[i + 2 * ahead]]);
        }
        if (i + ahead < order.size()) {
            for (const Index v : {s.edges.source[order[i + ahead]], s.edges.target[order[i + ahead]]}) {
                prefetch(&s.root[v]);
                prefetch(&s.layers[v]);
            }
        }
        const Index e = order[i];
        merge_along(s.edges.source[e], s.edges.target[e], s.edges.score[e], plan, s);
    }
    flatten(s.root);
}

}  // namespace

void group_layer_merge(const TrackBuildingPlan& plan, std::span<const std::uint64_t> module_id,
                       TrackScratch& s) noexcept {
    merge_sure(plan.sure, s);
    sort_edges(s.edges, s.out, s.in);
    collect_layers(module_id, s);
    merge_in_order(EdgesByScore(s.edges, s), plan, s);
}

}  // namespace rheinfall::detail
