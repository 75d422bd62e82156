#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <tuple>
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

/// Sorts edges by falling score, ties in the order of the list, into `s.ranked`: first into parts by the upper bits of
/// the ranks of their scores, in few streams, then each part, which fits the caches, by the other bits, in two digits.
class ScoreSort {
public:
    explicit ScoreSort(TrackScratch& s) noexcept : edges_(s.edges), ranked_(s.ranked.first(s.edges.size)) {}

    void run() noexcept {
        if (ranked_.empty()) return;
        std::uint32_t differ = 0;
        for (const float score : edges_.score.first(ranked_.size())) differ |= rank(score) ^ rank(edges_.score[0]);
        const auto n_bits = static_cast<unsigned>(std::bit_width(differ));
        const unsigned n_upper = std::min(n_bits, std::max(fewest_upper, n_bits - std::min(n_bits, 2 * most_bits)));
        split_into_parts(n_bits - n_upper, n_upper);
        n_bits_ = (n_bits - n_upper + 1) / 2;
        for (std::size_t p = 0; p < std::size_t{1} << n_upper; ++p) {
            sort_part(ranked_.subspan(part_end_[p], part_end_[p + 1] - part_end_[p]));
        }
    }

private:
    static constexpr unsigned most_bits = 13;  ///< of the two digits: their counters fit the first caches
    static constexpr unsigned fewest_upper = 5;
    static constexpr std::size_t fewest_counted = 128;  ///< below, counters would cost more than comparing does
    static constexpr unsigned most_upper = 32 - 2 * most_bits;
    template <unsigned bits>
    using Places = std::array<Index, std::size_t{1} << bits>;

    static std::uint32_t rank(float score) noexcept { return ~rank_score(score); }

    /// Turns counts into places.
    static void open(std::span<Index> counts) noexcept {
        std::exclusive_scan(counts.begin(), counts.end(), counts.begin(), Index{0});
    }

    /// Fills `ranked_` part by part, and `part_end_`.
    void split_into_parts(unsigned first_bit, unsigned n_upper) noexcept {
        const std::uint32_t mask = (1U << n_upper) - 1;
        const auto part_of = [=](float score) { return rank(score) >> first_bit & mask; };
        part_end_.fill(0);
        const auto places = std::span(part_end_).subspan(1, mask + 1);
        for (const float score : edges_.score.first(ranked_.size())) ++places[part_of(score)];
        open(places);
        for (std::size_t e = 0; e < ranked_.size(); ++e) {
            const float score = edges_.score[e];
            ranked_[places[part_of(score)]++] = {edges_.source[e], edges_.target[e], score};
        }
    }

    /// Sorts the edges of @p part, by way of the list, by the lower bits.
    void sort_part(std::span<RankedEdge> part) noexcept {
        if (part.size() < fewest_counted) {
            std::ranges::sort(part, {}, [](const RankedEdge& edge) {
                return std::tuple(rank(edge.score), edge.source, edge.target);  // the list is in this order
            });
            return;
        }
        const std::uint32_t mask = (1U << n_bits_) - 1;
        const auto low = [=](float score) { return rank(score) & mask; };
        const auto high = [=, n_bits = n_bits_](float score) { return rank(score) >> n_bits & mask; };
        const auto low_place = std::span(low_).first(mask + 1);
        const auto high_place = std::span(high_).first(mask + 1);
        std::ranges::fill(low_place, 0U);
        std::ranges::fill(high_place, 0U);
        for (const RankedEdge& edge : part) {
            ++low_place[low(edge.score)];
            ++high_place[high(edge.score)];
        }
        open(low_place);
        open(high_place);
        for (const RankedEdge edge : part) {
            const Index to = low_place[low(edge.score)]++;
            edges_.source[to] = edge.source;
            edges_.target[to] = edge.target;
            edges_.score[to] = edge.score;
        }
        for (std::size_t e = 0; e < part.size(); ++e) {
            const float score = edges_.score[e];
            part[high_place[high(score)]++] = {edges_.source[e], edges_.target[e], score};
        }
    }

    EdgeList& edges_;
    std::span<RankedEdge> ranked_;
    unsigned n_bits_ = 0;
    std::array<Index, (std::size_t{1} << most_upper) + 1> part_end_{};
    Places<most_bits> low_;
    Places<most_bits> high_;
};

/// Merges along the edges of `s.ranked`. What clusters are asked for lies anywhere in memory, and is known in advance.
void merge_in_order(const TrackBuildingPlan& plan, TrackScratch& s) noexcept {
    constexpr std::size_t ahead = 16;
    const auto edges = s.ranked.first(s.edges.size);
    for (std::size_t i = 0; i < edges.size(); ++i) {
        if (i + ahead < edges.size()) {
            for (const Index v : {edges[i + ahead].source, edges[i + ahead].target}) {
                prefetch(&s.root[v]);
                prefetch(&s.layers[v]);
            }
        }
        merge_along(edges[i].source, edges[i].target, edges[i].score, plan, s);
    }
    flatten(s.root);
}

}  // namespace

void group_layer_merge(const TrackBuildingPlan& plan, std::span<const std::uint64_t> module_id,
                       TrackScratch& s) noexcept {
    merge_sure(plan.sure, s);
    sort_edges(s.edges, s.out, s.in);
    collect_layers(module_id, s);
    ScoreSort(s).run();
    merge_in_order(plan, s);
}

}  // namespace rheinfall::detail
