#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "tracking/detail/track_scratch.hpp"

namespace rheinfall::detail {

/// A number that ascends with the finite score. Never 0.
inline std::uint32_t rank_score(float score) noexcept {
    const auto bits = std::bit_cast<std::uint32_t>(score + 0.0F);  // -0 becomes +0: they are equal scores
    return (bits >> 31U) != 0 ? ~bits : bits | 0x80000000U;
}

/// Ranks edges of one hit: by score, among equal scores by the smaller index of the other end. Never 0. One number, so
/// that the best of them is a maximum, without a branch.
inline std::uint64_t rank_edge(float score, Index other) noexcept {
    return std::uint64_t{rank_score(score)} << 32U | static_cast<std::uint32_t>(~other);
}

/// Fills `s.best_from` and `s.best_into`. @p edges: a list or rows, of finite scores.
template <class Edges>
void find_best_edges(const Edges& edges, TrackScratch& s) noexcept {
    std::ranges::fill(s.best_from, std::uint64_t{0});
    std::ranges::fill(s.best_into, std::uint64_t{0});
    edges.for_each([&s](Index source, Index target, float score) {
        s.best_from[source] = std::max(s.best_from[source], rank_edge(score, target));
        s.best_into[target] = std::max(s.best_into[target], rank_edge(score, source));
    });
}

inline bool is_best_from(Index source, Index target, float score, const TrackScratch& s) noexcept {
    return s.best_from[source] == rank_edge(score, target);
}
inline bool is_best_into(Index source, Index target, float score, const TrackScratch& s) noexcept {
    return s.best_into[target] == rank_edge(score, source);
}

}  // namespace rheinfall::detail
