#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "host_warp.hpp"

/// Runs the steps of a device stage on the host: bodies in their order or shuffled, sums and sorts by the standard
/// library. What a GPU adds is launches and CUB.
class HostExecutor {
public:
    HostExecutor() = default;
    explicit HostExecutor(unsigned seed) : shuffled_(true), random_(seed) {}
    explicit HostExecutor(TensorCore tensor_core) : tensor_core_(tensor_core) {}

    template <class Body>
    void for_each(std::uint64_t n, const Body& body) {
        if (!shuffled_) {
            for (std::uint64_t i = 0; i < n; ++i) body(i);
            return;
        }
        std::vector<std::uint64_t> order(n);
        std::iota(order.begin(), order.end(), std::uint64_t{0});
        std::ranges::shuffle(order, random_);
        for (const std::uint64_t i : order) body(i);
    }
    /// With scratch for each index, of which nothing is known before.
    template <class Body>
    void for_each_row(std::uint64_t n, std::int32_t n_columns, const Body& body) {
        std::vector<float> columns(static_cast<std::size_t>(n_columns) * 3);
        for_each(n, [&](std::uint64_t i) {
            std::ranges::fill(columns, std::numeric_limits<float>::quiet_NaN());
            body(i, columns.data() + 1, 3);
        });
    }
    /// With memory for each index, of which nothing is known before.
    template <class Body>
    void for_each_tile(std::uint64_t n, std::size_t tile_bytes, const Body& body) {
        std::vector<std::byte> memory(tile_bytes);
        for_each(n, [&](std::uint64_t i) {
            std::ranges::fill(memory, std::byte{0xff});
            const int order = shuffled_ ? static_cast<int>(random_() % 16) : -1;
            const int n_warps = shuffled_ ? static_cast<int>(1 + random_() % 8) : 4;
            body(HostCrew(tensor_core_, order, n_warps), i, memory.data());
        });
    }
    void exclusive_sum(const std::uint64_t* in, std::uint64_t* out, std::uint64_t n) {
        std::exclusive_scan(in, in + n, out, std::uint64_t{0});
    }
    template <class Key>
    void sort_pairs(const Key* keys, Key* sorted, const std::uint32_t* values, std::uint32_t* sorted_values,
                    std::uint64_t n, int n_bits) {
        std::vector<std::uint64_t> order(n);
        std::iota(order.begin(), order.end(), std::uint64_t{0});
        std::ranges::stable_sort(order, {}, [&](std::uint64_t i) { return lowest(keys[i], n_bits); });
        for (std::uint64_t i = 0; i < n; ++i) {
            sorted[i] = keys[order[i]];
            sorted_values[i] = values[order[i]];
        }
    }
    std::uint64_t* sort_keys(std::uint64_t* keys, std::uint64_t* other, std::uint64_t n, int n_bits) {
        std::copy_n(keys, n, other);
        std::stable_sort(other, other + n, [&](auto a, auto b) { return lowest(a, n_bits) < lowest(b, n_bits); });
        return other;
    }

private:
    template <class Key>
    static Key lowest(Key key, int n_bits) {
        return n_bits >= static_cast<int>(8 * sizeof(Key)) ? key : key & ((Key{1} << n_bits) - 1);
    }

    TensorCore tensor_core_ = cpu_product;
    bool shuffled_ = false;
    std::mt19937_64 random_;
};

/// Calls bodies by several threads, so that those meet which write to the same words.
class ThreadedExecutor : public HostExecutor {
public:
    explicit ThreadedExecutor(unsigned n_threads) : n_threads_(n_threads) {}

    template <class Body>
    void for_each(std::uint64_t n, const Body& body) {
        if (n < 1000) return HostExecutor::for_each(n, body);
        std::vector<std::thread> threads;
        for (std::uint64_t first = 0; first < n_threads_; ++first) {
            threads.emplace_back([first, n, &body, step = n_threads_] {
                for (std::uint64_t i = first; i < n; i += step) body(i);
            });
        }
        for (std::thread& thread : threads) thread.join();
    }
    template <class Body>
    void for_each_row(std::uint64_t n, std::int32_t n_columns, const Body& body) {
        for_each(n, [&](std::uint64_t i) {
            std::vector<float> columns(static_cast<std::size_t>(n_columns), std::numeric_limits<float>::quiet_NaN());
            body(i, columns.data(), 1);
        });
    }

private:
    std::uint64_t n_threads_;
};
