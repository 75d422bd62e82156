#pragma once

/// @file
/// Union-find by many threads at once, without locks. All reads and writes of parents are atomic and relaxed: whoever
/// made the threads orders the first before them and the last before what follows.

#include <atomic>
#include <cstdint>
#include <span>
#include <utility>

#include "tracking/detail/edge_rows.hpp"

namespace rheinfall::detail {

/// A hit above @p v without a parent at the time of asking. Halves the path on the way: what another thread may
/// overwrite by that is the link of a hit that has a parent, by another hit above it, so that it still leads to the
/// same root.
inline Index find_root_concurrently(std::span<Index> parent, Index v) noexcept {
    constexpr auto relaxed = std::memory_order_relaxed;
    Index above = std::atomic_ref(parent[v]).load(relaxed);
    while (above != v) {
        const Index next = std::atomic_ref(parent[above]).load(relaxed);
        if (next == above) return above;
        std::atomic_ref(parent[v]).store(next, relaxed);
        v = next;
        above = std::atomic_ref(parent[v]).load(relaxed);
    }
    return v;
}

/// Joins the components of @p a and @p b: the larger root is hooked to the smaller one if it is a root still (Jayanti,
/// Tarjan, Distributed Computing 34 (2021) 413; roots linked by index). A parent is never larger than its child, so
/// that the last root is the smallest hit of its component whatever the order of edges and threads.
inline void unite_concurrently(std::span<Index> parent, Index a, Index b) noexcept {
    while (true) {
        a = find_root_concurrently(parent, a);
        b = find_root_concurrently(parent, b);
        if (a == b) return;
        if (a < b) std::swap(a, b);
        Index root = a;
        if (std::atomic_ref(parent[a]).compare_exchange_strong(root, b, std::memory_order_relaxed)) return;
    }
}

/// Raises @p value to @p least if it is smaller.
inline void raise_concurrently(std::uint64_t& value, std::uint64_t least) noexcept {
    const std::atomic_ref shared(value);
    std::uint64_t before = shared.load(std::memory_order_relaxed);
    while (before < least && !shared.compare_exchange_weak(before, least, std::memory_order_relaxed)) {
    }
}

}  // namespace rheinfall::detail
