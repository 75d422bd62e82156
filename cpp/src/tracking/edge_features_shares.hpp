#pragma once

/// @file
/// How the stages of pruning hand out work and find edges and triplets by what they begin with.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <rheinfall/core/execution.hpp>
#include <span>

namespace rheinfall::detail {

/// Calls `step(first, last)` for equal shares of [0, n).
template <class Step>
void share_out(const ParallelFor& parallel_for, std::size_t n, Step&& step) {
    const std::size_t n_tasks = parallel_for.n_threads();
    parallel_for(n_tasks, [&](std::size_t t) { step(n * t / n_tasks, n * (t + 1) / n_tasks); });
}

/// Lists what stands sorted by @p rows by its row. The last of a row writes last, so that no sum has to wait for
/// another.
template <class Row>
void list_by_row(std::span<const Row> rows, std::span<std::uint32_t> offsets) {
    std::ranges::fill(offsets, 0u);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        offsets[static_cast<std::size_t>(rows[i]) + 1] = static_cast<std::uint32_t>(i + 1);
    }
    std::uint32_t last = 0;
    for (auto& offset : offsets) offset = last = std::max(last, offset);
}

}  // namespace rheinfall::detail
