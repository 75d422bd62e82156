#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <rheinfall/adapters/std_threads.hpp>
#include <rheinfall/core/status.hpp>
#include <rheinfall/core/workspace.hpp>
#include <rheinfall/quantized/model.hpp>

#include "threads.hpp"

inline constexpr std::size_t events_per_task = 1024;

[[nodiscard]] constexpr std::size_t size_of(rheinfall::quantized::ElementType type) noexcept {
    constexpr std::size_t sizes[] = {1, 2, 4, 8, 1, 2, 4, 8, 4, 8};  // in the order of ElementType
    return sizes[static_cast<std::size_t>(type)];
}

/// Runs a network or a forest on a batch, cut over the threads where it is large; each event is computed alike, so no
/// result depends on that. Makes its own workspaces: throws std::bad_alloc. To be called without the GIL.
template <class Model>
rheinfall::Status run_events(const Model& model, std::size_t n_inputs, std::size_t n_outputs,
                             rheinfall::quantized::ConstArray in, rheinfall::quantized::MutableArray out,
                             std::size_t n_events) {
    using rheinfall::Status;
    const std::size_t n_tasks = std::min(num_threads(), std::max<std::size_t>(n_events / events_per_task, 1));
    std::atomic<Status> status{Status::ok};
    const auto run_task = [&](std::size_t task) {
        const std::size_t first = n_events * task / n_tasks;
        const std::size_t n = n_events * (task + 1) / n_tasks - first;
        rheinfall::Workspace workspace;
        workspace.reserve(model.workspace_size(n));
        const auto* from = static_cast<const std::byte*>(in.data) + first * n_inputs * size_of(in.type);
        auto* to = static_cast<std::byte*>(out.data) + first * n_outputs * size_of(out.type);
        const Status found = model.run({from, in.type}, {to, out.type}, n, workspace);
        Status known = status.load();
        while (known < found && !status.compare_exchange_weak(known, found)) {
        }
    };
    if (n_tasks == 1) {
        run_task(0);
    } else {
        rheinfall::StdThreads threads(n_tasks);
        threads.parallel_for()(n_tasks, run_task);
    }
    return status.load();
}
