#pragma once

#include <atomic>
#include <cstddef>
#include <new>
#include <rheinfall/core/execution.hpp>
#include <system_error>
#include <thread>
#include <vector>

namespace rheinfall {

/// A `parallel_for` of plain std::threads, started for each call and joined before it returns. For hosts without a
/// scheduler of their own; being stateless, it survives fork and may be used from several threads at once.
class StdThreads {
public:
    explicit StdThreads(std::size_t n_threads) noexcept : n_threads_(n_threads == 0 ? 1 : n_threads) {}

    /// Calls `task(i)` for each i in [0, n).
    void operator()(std::size_t n, ParallelFor::Task task) {
        std::atomic<std::size_t> next{0};
        auto work = [&next, n, task] {
            for (std::size_t i = next.fetch_add(1); i < n; i = next.fetch_add(1)) task(i);
        };
        const std::size_t n_extra = (n < n_threads_ ? n : n_threads_) - (n == 0 ? 0 : 1);
        std::vector<std::jthread> threads;
        // Stages are noexcept: where the system gives no more threads, those that there are do all the work.
        try {
            threads.reserve(n_extra);
            for (std::size_t t = 0; t < n_extra; ++t) threads.emplace_back(work);
        } catch (const std::system_error&) {
        } catch (const std::bad_alloc&) {
        }
        work();
    }

    /// The view that stages take.
    [[nodiscard]] ParallelFor parallel_for() noexcept { return {*this, n_threads_}; }

private:
    std::size_t n_threads_;
};

}  // namespace rheinfall
