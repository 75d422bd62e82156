#pragma once

#include <cstdint>

#include "tracking/detail/host_device.hpp"

namespace rheinfall::detail {

struct Ascending {
    template <class T>
    RHEINFALL_HOST_DEVICE bool operator()(const T& a, const T& b) const {
        return a < b;
    }
};

/// Sorts @p n values by @p less as one thread can without memory of its own: by insertion while they are few or nearly
/// in order, else as a heap.
template <class T, class Less = Ascending>
RHEINFALL_HOST_DEVICE inline void sort_in_place(T* row, std::uint64_t n, const Less& less = {}) {
    constexpr std::uint64_t few = 32;
    if (n <= few) {
        for (std::uint64_t k = 1; k < n; ++k) {
            const T moving = row[k];
            std::uint64_t at = k;
            for (; at > 0 && less(moving, row[at - 1]); --at) row[at] = row[at - 1];
            row[at] = moving;
        }
        return;
    }
    bool rises = true;
    for (std::uint64_t k = 1; k < n && rises; ++k) rises = less(row[k - 1], row[k]);
    if (rises) return;
    const auto sink = [row, &less](std::uint64_t root, std::uint64_t size) {
        const T moving = row[root];
        for (std::uint64_t child = 2 * root + 1; child < size; child = 2 * root + 1) {
            if (child + 1 < size && less(row[child], row[child + 1])) ++child;
            if (!less(moving, row[child])) break;
            row[root] = row[child];
            root = child;
        }
        row[root] = moving;
    };
    for (std::uint64_t root = n / 2; root > 0; --root) sink(root - 1, n);
    for (std::uint64_t size = n - 1; size > 0; --size) {
        const T largest = row[0];
        row[0] = row[size];
        row[size] = largest;
        sink(0, size);
    }
}

}  // namespace rheinfall::detail
