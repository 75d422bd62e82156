#pragma once

/// @file
/// The best path from one hit, sought by one thread: depth first over what it may follow, each hit once, as the CPU's
/// rules (track_walk.hpp, track_d_walk.hpp) choose it. Few hits can be reached from one in a detector: the thread's own
/// columns have room for `SearchNodes::most_near`, and a search that needs more says so.

#include <bit>
#include <cstdint>

#include "tracking/detail/device_tracks.hpp"

namespace rheinfall::detail {

/// What is known of the hits that a search reached, by the order of reaching.
class SearchNodes {
public:
    static constexpr std::uint32_t most_near = 48;  ///< in shared memory
    static constexpr std::uint32_t most_far = 254;  ///< in the workspace; numbers of nodes are bytes
    static constexpr std::uint32_t none = 255;
    enum Field : std::uint32_t { hit, cursor, first, second, links, n_fields };
    static constexpr auto n_columns = static_cast<std::int32_t>(most_near * n_fields);
    static constexpr std::size_t n_far_columns = most_far * n_fields;

    RHEINFALL_HOST_DEVICE SearchNodes(float* columns, std::int32_t stride, std::uint32_t room = most_near)
        : most(room), columns_(columns), stride_(stride) {}

    [[nodiscard]] RHEINFALL_HOST_DEVICE std::uint32_t get(std::uint32_t node, Field field) const {
        return std::bit_cast<std::uint32_t>(columns_[place(node, field)]);
    }
    RHEINFALL_HOST_DEVICE void set(std::uint32_t node, Field field, std::uint32_t value) {
        columns_[place(node, field)] = std::bit_cast<float>(value);
    }
    /// Node of a hit, `none` if it was not reached.
    [[nodiscard]] RHEINFALL_HOST_DEVICE std::uint32_t find(std::uint32_t v) const {
        for (std::uint32_t node = size; node-- > 0;) {
            if (get(node, hit) == v) return node;
        }
        return none;
    }
    std::uint32_t size = 0;
    std::uint32_t most;

private:
    [[nodiscard]] RHEINFALL_HOST_DEVICE std::int64_t place(std::uint32_t node, Field field) const {
        return static_cast<std::int64_t>(node * n_fields + field) * stride_;
    }
    float* columns_;
    std::int64_t stride_;
};
static_assert(SearchNodes::most_near < SearchNodes::most_far && SearchNodes::most_far < SearchNodes::none);

/// The four bytes of `SearchNodes::links`, numbers of nodes but for the first.
struct SearchLinks {
    std::uint32_t n_hits, last, next, below;  ///< of the best path; its last node, the node's next; its searcher

    RHEINFALL_HOST_DEVICE static SearchLinks of(std::uint32_t word) {
        return {word & 255U, word >> 8U & 255U, word >> 16U & 255U, word >> 24U};
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE std::uint32_t word() const {
        return n_hits | last << 8U | next << 16U | below << 24U;
    }
};

/// The rule of `walk` at the time of a start: what earlier starts take has retired.
struct LongestPathOfStart {
    const DeviceTrackBuilder& t;
    std::uint32_t rank;

    [[nodiscard]] RHEINFALL_HOST_DEVICE bool is_free(std::uint32_t v) const { return t.taker[v] >= rank; }
    /// `first`: the best neighbour; `second`: bits of the score of the last edge.
    RHEINFALL_HOST_DEVICE void enter(SearchNodes& nodes, std::uint32_t node, std::uint32_t v) const {
        std::uint32_t best = no_hit;
        float best_score = 0.0F;
        for (std::uint32_t e = t.row_begin[v]; e < t.row_begin[v + 1]; ++e) {
            const DeviceLink link = t.link[e];
            if (!t.may_be_followed(link) || !is_free(link.child)) continue;
            if (best != no_hit && !(link.score > best_score)) continue;
            best = link.child;
            best_score = link.score;
        }
        nodes.set(node, SearchNodes::first, best);
        nodes.set(node, SearchNodes::second, 0);
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE bool follows(const SearchNodes& nodes, std::uint32_t node,
                                                     DeviceLink link) const {
        if (!t.may_be_followed(link)) return false;
        const bool is_best = nodes.get(node, SearchNodes::first) == link.child;
        return link.score > (is_best ? t.plan.walk_min : t.plan.walk_add) && is_free(link.child);
    }
    RHEINFALL_HOST_DEVICE void choose(SearchNodes& nodes, std::uint32_t node, std::uint32_t child, float score) const {
        const auto over = SearchLinks::of(nodes.get(child, SearchNodes::links));
        auto best = SearchLinks::of(nodes.get(node, SearchNodes::links));
        const float last_score = over.n_hits == 1 ? score : score_of(nodes, child);
        if (!is_longer(nodes, over, last_score, best, score_of(nodes, node))) return;
        best.n_hits = over.n_hits + 1;
        best.last = over.last;
        best.next = child;
        nodes.set(node, SearchNodes::links, best.word());
        nodes.set(node, SearchNodes::second, std::bit_cast<std::uint32_t>(last_score));
    }

private:
    RHEINFALL_HOST_DEVICE static float score_of(const SearchNodes& nodes, std::uint32_t node) {
        return std::bit_cast<float>(nodes.get(node, SearchNodes::second));
    }
    RHEINFALL_HOST_DEVICE static bool is_longer(const SearchNodes& nodes, const SearchLinks& over, float over_score,
                                                const SearchLinks& best, float best_score) {
        if (over.n_hits + 1 != best.n_hits) return over.n_hits + 1 > best.n_hits;
        if (over_score != best_score) return over_score > best_score;
        return nodes.get(over.last, SearchNodes::hit) < nodes.get(best.last, SearchNodes::hit);
    }
};

/// The rule of `d_walk` in a round: what retired in earlier rounds is gone.
struct HeaviestPathOfRound {
    const DeviceTrackBuilder& t;
    std::uint32_t round;

    [[nodiscard]] RHEINFALL_HOST_DEVICE bool is_free(std::uint32_t v) const {
        return load_shared(t.retired_at + v) >= round;
    }
    /// `first` and `second`: the halves of the sum of scores.
    RHEINFALL_HOST_DEVICE void enter(SearchNodes& nodes, std::uint32_t node, std::uint32_t /*v*/) const {
        set_sum(nodes, node, 0.0);
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE bool follows(const SearchNodes& /*nodes*/, std::uint32_t /*node*/,
                                                     DeviceLink link) const {
        return t.may_be_followed(link) && is_free(link.child);
    }
    RHEINFALL_HOST_DEVICE void choose(SearchNodes& nodes, std::uint32_t node, std::uint32_t child, float score) const {
        auto best = SearchLinks::of(nodes.get(node, SearchNodes::links));
        const double sum = static_cast<double>(score) + sum_of(nodes, child);
        if (best.next != SearchNodes::none && !(sum > sum_of(nodes, node))) return;
        best.next = child;
        nodes.set(node, SearchNodes::links, best.word());
        set_sum(nodes, node, sum);
    }
    RHEINFALL_HOST_DEVICE static double sum_of(const SearchNodes& nodes, std::uint32_t node) {
        return std::bit_cast<double>(std::uint64_t{nodes.get(node, SearchNodes::second)} << 32U |
                                     nodes.get(node, SearchNodes::first));
    }

private:
    RHEINFALL_HOST_DEVICE static void set_sum(SearchNodes& nodes, std::uint32_t node, double sum) {
        const auto bits = std::bit_cast<std::uint64_t>(sum);
        nodes.set(node, SearchNodes::first, static_cast<std::uint32_t>(bits));
        nodes.set(node, SearchNodes::second, static_cast<std::uint32_t>(bits >> 32U));
    }
};

/// Seeks the best path from @p start; it is node 0, and `links` leads on. False if there was no room.
template <class Rule>
RHEINFALL_HOST_DEVICE bool search_best_path(const Rule& rule, std::uint32_t start, SearchNodes& nodes) {
    nodes.size = 0;
    const auto enter = [&](std::uint32_t v, std::uint32_t below) {
        const std::uint32_t node = nodes.size++;
        nodes.set(node, SearchNodes::hit, v);
        nodes.set(node, SearchNodes::cursor, rule.t.row_begin[v]);
        nodes.set(node, SearchNodes::links, SearchLinks{1, node, SearchNodes::none, below}.word());
        rule.enter(nodes, node, v);
    };
    enter(start, SearchNodes::none);
    for (std::uint32_t at = 0; at != SearchNodes::none;) {
        const std::uint32_t e = nodes.get(at, SearchNodes::cursor);
        if (e == rule.t.row_begin[nodes.get(at, SearchNodes::hit) + 1]) {
            at = SearchLinks::of(nodes.get(at, SearchNodes::links)).below;
            continue;
        }
        const DeviceLink link = rule.t.link[e];
        if (rule.follows(nodes, at, link)) {
            const std::uint32_t child = nodes.find(link.child);
            if (child == SearchNodes::none) {  // seen again when that is done
                if (nodes.size == nodes.most) return false;
                enter(link.child, at);
                at = nodes.size - 1;
                continue;
            }
            rule.choose(nodes, at, child, link.score);
        }
        nodes.set(at, SearchNodes::cursor, e + 1);
    }
    return true;
}

/// Calls `visit(hit)` along the path that a search left.
template <class Visit>
RHEINFALL_HOST_DEVICE void for_each_on_path(const SearchNodes& nodes, Visit&& visit) {
    for (std::uint32_t node = 0; node != SearchNodes::none;
         node = SearchLinks::of(nodes.get(node, SearchNodes::links)).next) {
        visit(nodes.get(node, SearchNodes::hit));
    }
}

}  // namespace rheinfall::detail
