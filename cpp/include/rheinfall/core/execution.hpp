#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

namespace rheinfall {

/// How the host runs independent pieces of work. The library starts no threads of its own: a stage cuts its work into
/// @c n tasks and hands them to the host's parallel_for, which must call `task(i)` exactly once for each i in [0, n),
/// in any order, on any threads, and return when all are done. No result depends on that order.
///
/// A non-owning reference to any callable `void(std::size_t n, Task task)`; the callable must outlive it. The default
/// runs the tasks one after the other on the calling thread.
class ParallelFor {
public:
    /// One piece of work: a plain function pointer and its context, so that no call allocates.
    class Task {
    public:
        template <class Body>
            requires(!std::is_same_v<std::remove_cvref_t<Body>, Task>)
        explicit Task(Body& body) noexcept
            : context_(const_cast<void*>(static_cast<const void*>(std::addressof(body)))),
              call_([](void* context, std::size_t i) { (*static_cast<Body*>(context))(i); }) {}

        void operator()(std::size_t i) const { call_(context_, i); }

    private:
        void* context_;
        void (*call_)(void*, std::size_t);
    };

    /// Serial execution.
    ParallelFor() noexcept
        : host_(nullptr), call_([](void*, std::size_t n, Task task) {
              for (std::size_t i = 0; i < n; ++i) task(i);
          }) {}

    /// @p host runs the tasks on @p n_threads threads at most; stages cut their work accordingly.
    template <class Host>
        requires(!std::is_same_v<std::remove_cvref_t<Host>, ParallelFor>)
    ParallelFor(Host& host, std::size_t n_threads) noexcept
        : host_(const_cast<void*>(static_cast<const void*>(std::addressof(host)))),
          call_([](void* host_pointer, std::size_t n, Task task) { (*static_cast<Host*>(host_pointer))(n, task); }),
          n_threads_(n_threads == 0 ? 1 : n_threads) {}

    /// Calls `body(i)` for each i in [0, n).
    template <class Body>
    void operator()(std::size_t n, Body&& body) const {
        call_(host_, n, Task(body));
    }

    [[nodiscard]] std::size_t n_threads() const noexcept { return n_threads_; }

private:
    void* host_;
    void (*call_)(void*, std::size_t, Task);
    std::size_t n_threads_ = 1;
};

}  // namespace rheinfall
