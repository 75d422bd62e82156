#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <span>

#include "gnn/plan.hpp"

namespace rheinfall::gnn {

/// The tiles of all stages of one graph, for the tasks of one `parallel_for`: starting threads for each stage would
/// cost more than a small graph's stage gains by them.
///
/// Each task has a share of each stage, the same part of all rows, since what it reads is mostly what it wrote, and
/// lies in its core's caches; when that is done it takes tiles of the others' shares. Before it runs tiles of a stage
/// it waits until all stages ahead of it are done. It goes on to a stage when no tile of those ahead is left to take:
/// whom it waits for runs already, and the one with the earliest work that is not done waits for nobody. So no task
/// that has not begun is ever waited for, and a host may run all of them on one thread.
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
        std::size_t share = 0;  ///< the task's own
        std::size_t stage = 0;
        std::size_t before = 0;  ///< units of work of all stages ahead of it
    };

    /// Units of work up to the next one of a share, those of the stages ahead and of the shares before it included.
    struct alignas(64) Share {
        std::atomic<std::size_t> next{0};
    };

    /// @p n_tiles: of each kind of stage, by its number; @p shares: one for each task.
    TileQueue(std::span<const Stage> stages, std::span<const std::size_t, 3> n_tiles, std::span<Share> shares) noexcept
        : stages_(stages), n_tiles_(n_tiles), shares_(shares) {}

    /// The next piece of work, once all that it needs is done; false if there is none left.
    [[nodiscard]] bool take(Place& place, Work& work) noexcept {
        for (; place.stage < stages_.size(); place.before += units(place.stage++)) {
            for (std::size_t i = 0; i < shares_.size(); ++i) {
                if (!take_from((place.share + i) % shares_.size(), place, work)) continue;
                wait_for(place.before);
                return true;
            }
            if (stages_[place.stage].statistics.empty() || !take_finish(place.stage)) continue;
            work = {place.stage, 0, 0, true};
            wait_for(place.before + tiles(place.stage));
            return true;
        }
        return false;
    }

    /// Says that a piece of work is done.
    void done(const Work& work) noexcept {
        done_.fetch_add(work.finish ? 1 : work.last - work.first, std::memory_order_release);
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

    /// Where a share of a stage begins. Sums of a chunk of tiles are one task's.
    [[nodiscard]] std::size_t begin(std::size_t stage, std::size_t share) const noexcept {
        const std::size_t n = tiles(stage);
        const std::size_t n_chunks = (n + chunk_tiles - 1) / chunk_tiles;
        return std::min(n_chunks * share / shares_.size() * chunk_tiles, n);
    }

    /// Many tiles at first, since a tile asks memory for the one behind it, and few at the end, so that nobody waits
    /// long for the last.
    [[nodiscard]] bool take_from(std::size_t share, const Place& place, Work& work) noexcept {
        const std::size_t first = place.before + begin(place.stage, share);
        const std::size_t end = place.before + begin(place.stage, share + 1);
        const std::size_t step = stages_[place.stage].statistic_columns > 0 ? std::size_t{chunk_tiles} : 2;
        std::atomic<std::size_t>& next = shares_[share].next;
        for (std::size_t seen = next.load(std::memory_order_relaxed); seen < end;) {
            const std::size_t from = std::max(seen, first);  // it stands at an earlier stage's end until somebody comes
            if (from == end) return false;
            const std::size_t some = (end - from) / 4 / step * step;
            const std::size_t to = std::min(from + std::max(some, step), end);
            if (!next.compare_exchange_weak(seen, to, std::memory_order_relaxed)) continue;
            work = {place.stage, from - place.before, to - place.before, false};
            return true;
        }
        return false;
    }

    [[nodiscard]] bool take_finish(std::size_t stage) noexcept {
        std::size_t finished = finished_.load(std::memory_order_relaxed);
        while (finished <= stage) {
            if (finished_.compare_exchange_weak(finished, stage + 1, std::memory_order_relaxed)) return true;
        }
        return false;
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

    std::span<const Stage> stages_;
    std::span<const std::size_t, 3> n_tiles_;
    std::span<Share> shares_;
    std::atomic<std::size_t> finished_{0};  ///< stages up to the last whose finish was taken
    std::atomic<std::size_t> done_{0};      ///< units of work
};

}  // namespace rheinfall::gnn
