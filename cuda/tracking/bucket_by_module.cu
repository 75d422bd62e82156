// Compiled and linked, but not yet run on a GPU: the counting rule is tested on the host (tests/cpp), the launches and
// the CUB calls are not.
#include <algorithm>
#include <bit>
#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_scan.cuh>

#include "core/check.hpp"
#include "tracking/bucket_by_module_backends.hpp"
#include "tracking/detail/bucket_by_module.hpp"

namespace rheinfall {
namespace kernels {
namespace {

/// One thread per hit. Threads meet only in integer atomics, whose order does not show in the counts.
__global__ void count_hits(detail::CountHits work, std::uint32_t n_hits, std::uint32_t* hit) {
    const std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n_hits) return;
    hit[i] = i;
    detail::count_hit(work, i, [](std::uint32_t* counter) { atomicAdd(counter, 1u); });
}

}  // namespace
}  // namespace kernels

namespace {

/// CUB's two calls, written once so that the size asked for is the size used. A null @p scratch asks for the size.
struct CubCalls {
    int n_hits;
    int n_offsets;
    int n_bits;  ///< of the largest bucket number: the sort looks at no more
    CudaStream stream;

    CubCalls(std::size_t hits, std::size_t n_modules, CudaStream on)
        : n_hits(static_cast<int>(hits)),
          n_offsets(static_cast<int>(n_modules + 2)),
          n_bits(static_cast<int>(std::bit_width(n_modules | 1u))),
          stream(on) {}

    void scan(void* scratch, std::size_t& bytes, const std::uint32_t* counts, std::uint32_t* offsets) const {
        RHEINFALL_CUDA_CHECK(cub::DeviceScan::ExclusiveSum(scratch, bytes, counts, offsets, n_offsets, stream));
    }
    /// Stable, so the hits of a bucket stay in ascending order.
    void sort(void* scratch, std::size_t& bytes, const std::uint32_t* bucket, std::uint32_t* sorted_bucket,
              const std::uint32_t* hit, std::uint32_t* order) const {
        RHEINFALL_CUDA_CHECK(cub::DeviceRadixSort::SortPairs(scratch, bytes, bucket, sorted_bucket, hit, order, n_hits,
                                                             0, n_bits, stream));
    }
    [[nodiscard]] std::size_t scratch_size() const {
        std::size_t scan_bytes = 0;
        std::size_t sort_bytes = 0;
        scan(nullptr, scan_bytes, nullptr, nullptr);
        if (n_hits > 0) sort(nullptr, sort_bytes, nullptr, nullptr, nullptr, nullptr);
        // Never zero: CUB would take a null pointer for the question.
        return std::max({scan_bytes, sort_bytes, std::size_t{1}});
    }
};

}  // namespace

std::size_t bucket_by_module_workspace_size_cuda(std::size_t n_hits, std::size_t n_modules) {
    return 3 * Workspace::padded<std::uint32_t>(n_hits) + Workspace::padded<std::uint32_t>(n_modules + 2) +
           Workspace::padded<std::byte>(CubCalls(n_hits, n_modules, nullptr).scratch_size());
}

void bucket_by_module_cuda(CudaStream stream, std::span<const std::uint64_t> modules,
                           std::span<const std::uint64_t> module_id, ModuleBuckets buckets, Workspace& workspace) {
    const CubCalls cub_calls(module_id.size(), modules.size(), stream);
    const auto n_hits = static_cast<std::uint32_t>(module_id.size());
    const auto bucket_of_hit = workspace.take<std::uint32_t>(n_hits);
    const auto sorted_bucket = workspace.take<std::uint32_t>(n_hits);
    const auto hit = workspace.take<std::uint32_t>(n_hits);
    const auto counts = workspace.take<std::uint32_t>(modules.size() + 2);
    const auto scratch = workspace.take<std::byte>(cub_calls.scratch_size());
    std::size_t scratch_bytes = scratch.size();

    // One counter more than there are buckets: the scan leaves the number of hits there.
    RHEINFALL_CUDA_CHECK(cudaMemsetAsync(counts.data(), 0, counts.size_bytes(), stream));
    if (n_hits > 0) {  // a launch of no blocks is an error
        constexpr unsigned n_threads = 256;
        const unsigned n_blocks = (n_hits + n_threads - 1) / n_threads;
        const detail::CountHits work{modules.data(), static_cast<std::uint32_t>(modules.size()), module_id.data(),
                                     bucket_of_hit.data(), counts.data()};
        kernels::count_hits<<<n_blocks, n_threads, 0, stream>>>(work, n_hits, hit.data());
        RHEINFALL_CUDA_CHECK(cudaGetLastError());
    }
    cub_calls.scan(scratch.data(), scratch_bytes, counts.data(), buckets.offsets.data());
    if (n_hits > 0) {
        scratch_bytes = scratch.size();
        cub_calls.sort(scratch.data(), scratch_bytes, bucket_of_hit.data(), sorted_bucket.data(), hit.data(),
                       buckets.order.data());
    }
}

}  // namespace rheinfall
