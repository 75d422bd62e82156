#pragma once

#include <sched.h>

#include <cstddef>
#include <rheinfall/adapters/std_threads.hpp>
#include <rheinfall/core/execution.hpp>

/// Cores that this process may run on, which in a batch slot are fewer than the machine has.
inline std::size_t default_num_threads() noexcept {
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores) != 0) return 1;
    const int n = CPU_COUNT(&cores);
    return n < 1 ? 1 : static_cast<std::size_t>(n);
}

/// What `set_num_threads` said last.
std::size_t num_threads() noexcept;
