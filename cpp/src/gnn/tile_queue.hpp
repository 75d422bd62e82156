#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <span>

#include "gnn/plan.hpp"

namespace rheinfall::gnn {

/// The tiles of all stages of one graph, in their order, for the tasks of one `parallel_for`: starting threads for each
/// stage would cost more than a small graph's stage gains by them.
///
/// Tasks take tiles off the front, and wait before they run those of a stage until all before it are done. Whoever is
/// waited for has taken an earlier tile, so it runs already, and the one with the first tile that is not done waits for
/// nobody: no task that has not begun is ever waited for, and a host may run all of them on one thread.
class TileQueue {
public:
    /// Tiles [first, last) of a stage, or what follows upon its last one.
    struct Work {
        std::size_t stage = 0;
        std::size_t first = 0;
        std::size_t last = 0;
        bool finish = false;
    };

    /// Which stage a task is at.
    struct Place {
        std::size_t stage = 0;
        std::size_t before = 0;  ///< units of all stages ahead of it
    };

    /// @p n_tiles: of each kind of stage, by its number.
    TileQueue(std::span<const Stage> stages, std::span<const std::size_t, 3> n_tiles, std::size_t n_threads) noexcept
        : n_tiles_(n_tiles), share_(4 * n_threads), stages_(stages) {}

    /// The next piece of work, once all that it needs is done; false if there is none left.
    [[nodiscard]] bool take(Place& place, Work& work) noexcept {
        std::size_t taken = next_.load(std::memory_order_relaxed);
        for (;;) {
            while (place.stage < stages_.size() && taken - place.before >= units(place.stage)) {
                place.before += units(place.stage++);
            }
            if (place.stage == stages_.size()) return false;
            work = piece(place.stage, taken - place.before);
            if (next_.compare_exchange_weak(taken, taken + count(work), std::memory_order_relaxed)) break;
        }
        wait_for(work.finish ? taken : place.before);
        return true;
    }

    /// Says that a piece of work is done.
    void done(const Work& work) noexcept {
        done_.fetch_add(count(work), std::memory_order_release);
        done_.notify_all();
    }

private:
    /// What is counted: a stage's tiles, and its finish where it has one.
    [[nodiscard]] std::size_t units(std::size_t stage) const noexcept {
        return tiles(stage) + (stages_[stage].statistics.empty() ? 0 : 1);
    }

    [[nodiscard]] std::size_t tiles(std::size_t stage) const noexcept {
        return n_tiles_[static_cast<std::size_t>(stages_[stage].kind)];
    }

    [[nodiscard]] static std::size_t count(const Work& work) noexcept {
        return work.finish ? 1 : work.last - work.first;
    }

    /// Many tiles at first, since a tile asks memory for the one behind it, and few at the end, so that nobody waits
    /// long for the last. Sums of a chunk of tiles are one task's.
    [[nodiscard]] Work piece(std::size_t stage, std::size_t first) const noexcept {
        const std::size_t n = tiles(stage);
        if (first == n) return {stage, n, n, true};
        const std::size_t step = stages_[stage].statistic_columns > 0 ? std::size_t{chunk_tiles} : 2;
        const std::size_t some = (n - first) / share_ / step * step;
        return {stage, first, std::min(first + std::max(some, step), n), false};
    }

    /// Tails are shorter than a sleep and a wake-up, unless there are more tasks than cores.
    void wait_for(std::size_t units) noexcept {
        constexpr int patience = 2000;
        int tries = 0;
        for (std::size_t done = 0; (done = done_.load(std::memory_order_acquire)) < units;) {
            if (++tries < patience) {
                relax();
            } else {
                done_.wait(done, std::memory_order_acquire);
            }
        }
    }

    static void relax() noexcept {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }

    // Each of the counters has a cache line; what is read with the first one stands beside it.
    alignas(64) std::atomic<std::size_t> next_{0};
    std::span<const std::size_t, 3> n_tiles_;
    std::size_t share_;
    std::span<const Stage> stages_;
    alignas(64) std::atomic<std::size_t> done_{0};
};

}  // namespace rheinfall::gnn
