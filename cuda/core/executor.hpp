#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_scan.cuh>
#include <span>

#include "core/check.hpp"
#include "core/crew_warps.hpp"
#include "core/size_memo.hpp"
#include "core/warp.hpp"

namespace rheinfall {
namespace kernels {

/// Two such blocks at once, so registers are at most 128.
inline constexpr unsigned most_crew_threads = detail::most_crew_warps * detail::CudaWarp::lane_count;

/// One thread for each index.
template <class Body>
__global__ void call_for_each(Body body, std::uint64_t n) {
    const std::uint64_t i = std::uint64_t{blockIdx.x} * blockDim.x + threadIdx.x;
    if (i < n) body(i);
}

/// One thread for each row, with columns of its own in shared memory.
template <class Body>
__global__ void call_for_each_row(Body body, std::uint64_t n) {
    extern __shared__ float row_columns[];
    const std::uint64_t i = std::uint64_t{blockIdx.x} * blockDim.x + threadIdx.x;
    if (i < n) body(i, row_columns + threadIdx.x, static_cast<std::int32_t>(blockDim.x));
}

/// One block for each tile.
template <class Body>
__global__ void __launch_bounds__(most_crew_threads, 2) call_for_each_tile(Body body) {
    extern __shared__ float4 tile_memory[];
    body(detail::CudaCrew(), std::uint64_t{blockIdx.x}, reinterpret_cast<std::byte*>(tile_memory));
}

}  // namespace kernels

namespace detail {

/// Of the current device.
inline SharedMemory shared_memory() {
    int device = 0;
    RHEINFALL_CUDA_CHECK(cudaGetDevice(&device));
    const auto bytes = [device](cudaDeviceAttr attribute) {
        int value = 0;
        RHEINFALL_CUDA_CHECK(cudaDeviceGetAttribute(&value, attribute, device));
        return static_cast<std::size_t>(value);
    };
    return {bytes(cudaDevAttrMaxSharedMemoryPerBlockOptin), bytes(cudaDevAttrMaxSharedMemoryPerMultiprocessor),
            bytes(cudaDevAttrReservedSharedMemoryPerBlock)};
}

/// The limit is the kernel's, which other threads launch with other sizes: @p bytes are always the same for it.
template <class Kernel>
void allow_shared_memory(Kernel* kernel, std::size_t bytes) {
    RHEINFALL_CUDA_CHECK(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)));
}

/// CUB's calls, each written once: a null @p scratch asks for the size. Numbers of items are int, as older CUBs have
/// it.
struct CubCalls {
    static void sum(void* scratch, std::size_t& bytes, const std::uint64_t* in, std::uint64_t* out, std::uint64_t n,
                    CudaStream stream) {
        RHEINFALL_CUDA_CHECK(cub::DeviceScan::ExclusiveSum(scratch, bytes, in, out, static_cast<int>(n), stream));
    }
    template <class Key>
    static void sort_pairs(void* scratch, std::size_t& bytes, const Key* keys, Key* sorted, const std::uint32_t* values,
                           std::uint32_t* sorted_values, std::uint64_t n, int n_bits, CudaStream stream) {
        RHEINFALL_CUDA_CHECK(cub::DeviceRadixSort::SortPairs(scratch, bytes, keys, sorted, values, sorted_values,
                                                             static_cast<int>(n), 0, n_bits, stream));
    }
    /// Sorts within two arrays of the same size; the one that then holds the result.
    static std::uint64_t* sort_keys(void* scratch, std::size_t& bytes, std::uint64_t* keys, std::uint64_t* other,
                                    std::uint64_t n, int n_bits, CudaStream stream) {
        cub::DoubleBuffer<std::uint64_t> buffer(keys, other);
        RHEINFALL_CUDA_CHECK(
            cub::DeviceRadixSort::SortKeys(scratch, bytes, buffer, static_cast<int>(n), 0, n_bits, stream));
        return buffer.Current();
    }
};

/// Runs the steps of a stage in the order of a stream. Neither allocates nor waits.
class CudaExecutor {
public:
    CudaExecutor(CudaStream stream, std::span<std::byte> scratch) noexcept : stream_(stream), scratch_(scratch) {}

    template <class Body>
    void for_each(std::uint64_t n, const Body& body) const {
        if (n == 0) return;  // a launch of no blocks is an error
        constexpr unsigned n_threads = 128;
        const auto n_blocks = static_cast<unsigned>((n + n_threads - 1) / n_threads);
        kernels::call_for_each<<<n_blocks, n_threads, 0, stream_>>>(body, n);
        RHEINFALL_CUDA_CHECK(cudaGetLastError());
    }
    /// With @p n_columns floats of scratch for each index; a warp's must fit into what a block may have.
    template <class Body>
    void for_each_row(std::uint64_t n, std::int32_t n_columns, const Body& body) const {
        if (n == 0) return;
        const std::size_t row_bytes = static_cast<std::size_t>(n_columns) * sizeof(float);
        const std::size_t most = shared_memory().of_block;
        unsigned n_threads = 128;
        while (n_threads > 32 && n_threads * row_bytes > most / 2) n_threads /= 2;  // two blocks at once at least
        const std::size_t bytes = n_threads * row_bytes;
        allow_shared_memory(kernels::call_for_each_row<Body>, most);
        const auto n_blocks = static_cast<unsigned>((n + n_threads - 1) / n_threads);
        kernels::call_for_each_row<<<n_blocks, n_threads, bytes, stream_>>>(body, n);
        RHEINFALL_CUDA_CHECK(cudaGetLastError());
    }
    /// With a block and @p tile_bytes (at most what a block may have) of shared memory for each of n < 2^31 indices.
    template <class Body>
    void for_each_tile(std::uint64_t n, std::size_t tile_bytes, const Body& body) const {
        if (n == 0) return;
        const SharedMemory memory = shared_memory();
        allow_shared_memory(kernels::call_for_each_tile<Body>, memory.of_block);
        const unsigned n_threads = crew_warps(tile_bytes, memory) * CudaWarp::lane_count;
        kernels::call_for_each_tile<<<static_cast<unsigned>(n), n_threads, tile_bytes, stream_>>>(body);
        RHEINFALL_CUDA_CHECK(cudaGetLastError());
    }
    void exclusive_sum(const std::uint64_t* in, std::uint64_t* out, std::uint64_t n) const {
        std::size_t bytes = scratch_.size();
        CubCalls::sum(scratch_.data(), bytes, in, out, n, stream_);
    }
    /// Stable.
    template <class Key>
    void sort_pairs(const Key* keys, Key* sorted, const std::uint32_t* values, std::uint32_t* sorted_values,
                    std::uint64_t n, int n_bits) const {
        if (n == 0) return;
        std::size_t bytes = scratch_.size();
        CubCalls::sort_pairs(scratch_.data(), bytes, keys, sorted, values, sorted_values, n, n_bits, stream_);
    }
    std::uint64_t* sort_keys(std::uint64_t* keys, std::uint64_t* other, std::uint64_t n, int n_bits) const {
        if (n == 0) return keys;
        std::size_t bytes = scratch_.size();
        return CubCalls::sort_keys(scratch_.data(), bytes, keys, other, n, n_bits, stream_);
    }

private:
    CudaStream stream_;
    std::span<std::byte> scratch_;
};

/// Runs nothing; adds up the scratch memory that CUB asks for, the largest of all calls. Needs a device. A thread asks
/// CUB once for each number of items, so that events of known limits cost the host launches alone.
class ScratchMeter {
public:
    template <class Body>
    void for_each(std::uint64_t /*n*/, const Body& /*body*/) const noexcept {}
    template <class Body>
    void for_each_row(std::uint64_t /*n*/, std::int32_t /*n_columns*/, const Body& /*body*/) const noexcept {}
    void exclusive_sum(const std::uint64_t* /*in*/, std::uint64_t* /*out*/, std::uint64_t n) {
        note(n, of_sum, 0, [n](std::size_t& bytes) { CubCalls::sum(nullptr, bytes, nullptr, nullptr, n, nullptr); });
    }
    template <class Key>
        requires(sizeof(Key) == 4 || sizeof(Key) == 8)  // which the notes tell apart
    void sort_pairs(const Key* /*keys*/, Key* /*sorted*/, const std::uint32_t* /*values*/,
                    std::uint32_t* /*sorted_values*/, std::uint64_t n, int n_bits) {
        if (n == 0) return;
        note(n, sizeof(Key) == 8 ? of_wide_pairs : of_pairs, n_bits, [n, n_bits](std::size_t& bytes) {
            CubCalls::sort_pairs<Key>(nullptr, bytes, nullptr, nullptr, nullptr, nullptr, n, n_bits, nullptr);
        });
    }
    std::uint64_t* sort_keys(std::uint64_t* keys, std::uint64_t* /*other*/, std::uint64_t n, int n_bits) {
        if (n == 0) return keys;
        note(n, of_keys, n_bits, [n, n_bits](std::size_t& bytes) {
            CubCalls::sort_keys(nullptr, bytes, nullptr, nullptr, n, n_bits, nullptr);
        });
        return keys;
    }
    /// Never zero: CUB would take a null pointer for the question.
    [[nodiscard]] std::size_t bytes() const noexcept { return most_; }

private:
    enum Kind : std::int32_t { of_sum, of_pairs, of_wide_pairs, of_keys };

    template <class Ask>
    void note(std::uint64_t n, Kind kind, int n_bits, Ask ask) {
        static thread_local SizeMemo known;
        int device = 0;
        RHEINFALL_CUDA_CHECK(cudaGetDevice(&device));
        most_ = std::max(most_, known.get({n, kind, n_bits, device}, [&ask] {
            std::size_t bytes = 0;
            ask(bytes);
            return bytes;
        }));
    }

    std::size_t most_ = 1;
};

}  // namespace detail
}  // namespace rheinfall
