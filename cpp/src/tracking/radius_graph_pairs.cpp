// Rows of neighbours from pairs that were found once.
#include <algorithm>
#include <array>
#include <atomic>

#include "tracking/radius_graph_work.hpp"

namespace rheinfall::detail {
namespace {

/// Adds to a number that several tasks may add to; what it was before.
std::uint64_t add(std::uint64_t& number, std::uint64_t n, bool alone) noexcept {
    if (!alone) return std::atomic_ref<std::uint64_t>(number).fetch_add(n, std::memory_order_relaxed);
    const std::uint64_t before = number;
    number += n;
    return before;
}

/// Sorts each row. The steps need room behind a row, so that short ones are sorted elsewhere.
void sort_rows(const RadiusSteps& steps, const PairLists& pairs, std::uint32_t* rows, std::size_t begin,
               std::size_t end) noexcept {
    std::array<std::uint32_t, RowScratch::sorted_in_place> row;
    std::uint64_t from = begin == 0 ? pairs.n_pairs : pairs.row_end[begin - 1];
    for (std::size_t i = begin; i < end; ++i) {
        const std::size_t n = pairs.row_end[i] - from;
        std::uint32_t* targets = rows + from;
        if (n > row.size()) {
            sort_long_row(targets, n);
        } else if (n > 1) {
            std::copy_n(targets, n, row.begin());
            steps.sort(row.data(), n);
            std::copy_n(row.begin(), n, targets);
        }
        from = pairs.row_end[i];
    }
}

}  // namespace

void merge_pairs(const RadiusSteps& steps, const RadiusSearch& search, const PairLists& pairs, NeighbourLists& lists,
                 std::size_t n_tasks, const ParallelFor& parallel_for) noexcept {
    const std::uint32_t* index = search.blocks.index;
    const std::size_t n = search.blocks.n_points;
    const bool alone = parallel_for.n_threads() == 1;
    std::uint32_t* rows = lists.targets.data();
    const auto for_each_point = [&](auto&& body) {
        parallel_for(n_tasks, [&](std::size_t task) {
            for (std::size_t i = task * n / n_tasks; i < (task + 1) * n / n_tasks; ++i) body(i);
        });
    };
    const auto others = [&](std::size_t i) {
        return std::span(rows + pairs.first[i], static_cast<std::size_t>(pairs.counts[i]));
    };
    std::fill_n(pairs.row_end, n, 0);
    for_each_point([&](std::size_t i) {
        std::uint64_t own = search.loop ? 1 : 0;
        for (const std::uint32_t j : others(i)) {
            const bool both = !search.undirected;
            const bool here = both || index[i] < index[j];
            own += here ? 1 : 0;
            if (both || !here) add(pairs.row_end[j], 1, alone);
        }
        add(pairs.row_end[i], own, alone);
    });
    std::uint64_t at = pairs.n_pairs;  // rows stand behind the pairs
    for (std::size_t i = 0; i < n; ++i) {
        lists.counts[index[i]] = static_cast<std::int64_t>(pairs.row_end[i]);
        lists.first[index[i]] = at;
        at += pairs.row_end[i];
        pairs.row_end[i] = at - pairs.row_end[i];  // where to write next: the row's end once it is full
    }
    for_each_point([&](std::size_t i) {
        if (search.loop) rows[add(pairs.row_end[i], 1, alone)] = index[i];
        for (const std::uint32_t j : others(i)) {
            const bool both = !search.undirected;
            const bool here = both || index[i] < index[j];
            if (here) rows[add(pairs.row_end[i], 1, alone)] = index[j];
            if (both || !here) rows[add(pairs.row_end[j], 1, alone)] = index[i];
        }
    });
    parallel_for(n_tasks, [&](std::size_t task) {
        sort_rows(steps, pairs, rows, task * n / n_tasks, (task + 1) * n / n_tasks);
    });
}

}  // namespace rheinfall::detail
