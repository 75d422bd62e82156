#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "tracking/detail/track_scratch.hpp"

namespace rheinfall::detail {

/// A number that ascends with the finite score. Never 0.
RHEINFALL_HOST_DEVICE inline std::uint32_t rank_score(float score) noexcept {
    const auto bits = std::bit_cast<std::uint32_t>(score + 0.0F);  // -0 becomes +0: they are equal scores
    return (bits >> 31U) != 0 ? ~bits : bits | 0x80000000U;
}

/// Ranks edges of one hit: by score, among equal scores by the smaller index of the other end. Never 0. One number, so
/// that the best of them is a maximum, without a branch.
RHEINFALL_HOST_DEVICE inline std::uint64_t rank_edge(float score, Index other) noexcept {
    return std::uint64_t{rank_score(score)} << 32U | static_cast<std::uint32_t>(~other);
}

/// Fills `s.best_from` and `s.best_into`. @p edges: a list or rows, of finite scores.
template <class Edges>
RHEINFALL_HOST_DEVICE void find_best_edges(const Edges& edges, TrackScratch& s) noexcept {
    std::fill(s.best_from.begin(), s.best_from.end(), std::uint64_t{0});
    std::fill(s.best_into.begin(), s.best_into.end(), std::uint64_t{0});
    edges.for_each([&s](Index source, Index target, float score) {
        s.best_from[source] = std::max(s.best_from[source], rank_edge(score, target));
        s.best_into[target] = std::max(s.best_into[target], rank_edge(score, source));
    });
}

RHEINFALL_HOST_DEVICE inline bool is_best_from(Index source, Index target, float score,
                                               const TrackScratch& s) noexcept {
    return s.best_from[source] == rank_edge(score, target);
}
RHEINFALL_HOST_DEVICE inline bool is_best_into(Index source, Index target, float score,
                                               const TrackScratch& s) noexcept {
    return s.best_into[target] == rank_edge(score, source);
}

}  // namespace rheinfall::detail
