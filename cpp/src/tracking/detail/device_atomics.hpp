#pragma once

/// @file
/// What the threads of one kernel do to the same word: relaxed atomic operations, on a device and on the host, where
/// tests run bodies by several threads. Only such whose outcome is the same in any order: components by their smallest
/// hit, maxima, minima, bits.

#include <cstdint>

#include "tracking/detail/host_device.hpp"

namespace rheinfall::detail {

RHEINFALL_HOST_DEVICE inline std::uint32_t load_shared(const std::uint32_t* word) {
#if defined(__CUDA_ARCH__)
    return *static_cast<const volatile std::uint32_t*>(word);
#else
    return __atomic_load_n(word, __ATOMIC_RELAXED);
#endif
}

RHEINFALL_HOST_DEVICE inline void store_shared(std::uint32_t* word, std::uint32_t value) {
#if defined(__CUDA_ARCH__)
    *static_cast<volatile std::uint32_t*>(word) = value;
#else
    __atomic_store_n(word, value, __ATOMIC_RELAXED);
#endif
}

/// Writes @p value if the word is @p expected; what the word was.
RHEINFALL_HOST_DEVICE inline std::uint32_t exchange_shared(std::uint32_t* word, std::uint32_t expected,
                                                           std::uint32_t value) {
#if defined(__CUDA_ARCH__)
    return atomicCAS(word, expected, value);
#else
    __atomic_compare_exchange_n(word, &expected, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return expected;
#endif
}

RHEINFALL_HOST_DEVICE inline void raise_shared(std::uint32_t* word, std::uint32_t value) {
#if defined(__CUDA_ARCH__)
    atomicMax(word, value);
#else
    std::uint32_t before = __atomic_load_n(word, __ATOMIC_RELAXED);
    while (before < value &&
           !__atomic_compare_exchange_n(word, &before, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
#endif
}

RHEINFALL_HOST_DEVICE inline void raise_shared(std::uint64_t* word, std::uint64_t value) {
#if defined(__CUDA_ARCH__)
    static_assert(sizeof(unsigned long long) == sizeof(std::uint64_t));
    atomicMax(reinterpret_cast<unsigned long long*>(word), static_cast<unsigned long long>(value));
#else
    std::uint64_t before = __atomic_load_n(word, __ATOMIC_RELAXED);
    while (before < value &&
           !__atomic_compare_exchange_n(word, &before, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
#endif
}

RHEINFALL_HOST_DEVICE inline void lower_shared(std::uint32_t* word, std::uint32_t value) {
#if defined(__CUDA_ARCH__)
    atomicMin(word, value);
#else
    std::uint32_t before = __atomic_load_n(word, __ATOMIC_RELAXED);
    while (before > value &&
           !__atomic_compare_exchange_n(word, &before, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
#endif
}

RHEINFALL_HOST_DEVICE inline void add_bits_shared(std::uint64_t* word, std::uint64_t bits) {
#if defined(__CUDA_ARCH__)
    atomicOr(reinterpret_cast<unsigned long long*>(word), static_cast<unsigned long long>(bits));
#else
    __atomic_fetch_or(word, bits, __ATOMIC_RELAXED);
#endif
}

/// The root of @p v, halving the path on the way. Parents are never larger than their children and only ever fall, so
/// that what another thread writes meanwhile is an ancestor as well.
RHEINFALL_HOST_DEVICE inline std::uint32_t find_shared_root(std::uint32_t* parent, std::uint32_t v) {
    std::uint32_t above = load_shared(parent + v);
    while (above != v) {
        const std::uint32_t next = load_shared(parent + above);
        if (next != above) store_shared(parent + v, next);
        v = above;
        above = next;
    }
    return v;
}

/// Joins the components of @p a and @p b while other threads join others: the larger root is hooked to the smaller one,
/// if it still is a root. So the root of a component is its smallest hit, whatever the order (without locks: J.
/// Jaiganesh, M. Burtscher, HPDC 2018).
RHEINFALL_HOST_DEVICE inline void unite_shared(std::uint32_t* parent, std::uint32_t a, std::uint32_t b) {
    a = find_shared_root(parent, a);
    b = find_shared_root(parent, b);
    while (a != b) {
        const std::uint32_t larger = a > b ? a : b;
        const std::uint32_t smaller = a > b ? b : a;
        const std::uint32_t before = exchange_shared(parent + larger, larger, smaller);
        if (before == larger) return;
        a = find_shared_root(parent, before);
        b = find_shared_root(parent, smaller);
    }
}

}  // namespace rheinfall::detail
