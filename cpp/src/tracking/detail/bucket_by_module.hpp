#pragma once

#include <cstdint>

#include "tracking/detail/host_device.hpp"

namespace rheinfall::detail {

/// Index of @p id in the ascending list @p modules, or @p n_modules if it is not there.
RHEINFALL_HOST_DEVICE inline std::uint32_t find_module(const std::uint64_t* modules, std::uint32_t n_modules,
                                                       std::uint64_t id) {
    std::uint32_t first = 0;
    std::uint32_t count = n_modules;
    while (count > 0) {
        const std::uint32_t half = count / 2;
        if (modules[first + half] < id) {
            first += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return first < n_modules && modules[first] == id ? first : n_modules;
}

/// What finding and counting reads and writes; plain pointers, so that it can be passed to a kernel by value.
struct CountHits {
    const std::uint64_t* modules;
    std::uint32_t n_modules;
    const std::uint64_t* module_id;
    std::uint32_t* bucket_of_hit;  ///< (n_hits,)
    std::uint32_t* counts;         ///< (n_modules + 1,), zero before the first hit
};

/// Finds the bucket of hit @p i and counts the hit; `add(counter)` adds one, atomically where hits run at once. Sums of
/// integers do not depend on their order, so neither do the counts.
template <class Add>
RHEINFALL_HOST_DEVICE inline void count_hit(const CountHits& work, std::uint32_t i, const Add& add) {
    const std::uint32_t bucket = find_module(work.modules, work.n_modules, work.module_id[i]);
    work.bucket_of_hit[i] = bucket;
    add(work.counts + bucket);
}

}  // namespace rheinfall::detail
