#pragma once

#include <cstddef>
#include <cstdint>

#include "core/check.hpp"
#include "quantized/detail/device_steps.hpp"

/// What launches of quantized kernels have in common.
namespace rheinfall::quantized {

/// The arrays of a launch.
struct LaunchEvents {
    const std::byte* in;
    detail::DeviceFormat format;
    void* out;
    ElementType out_type;
    std::size_t n;
    std::uint32_t* flags;  ///< may be null
};

inline int device_attribute(cudaDeviceAttr which) {
    int device = 0, value = 0;
    RHEINFALL_CUDA_CHECK(cudaGetDevice(&device));
    RHEINFALL_CUDA_CHECK(cudaDeviceGetAttribute(&value, which, device));
    return value;
}

/// Blocks for so many events. They go on by themselves, so more of them than fit at once would only load constants
/// again.
inline unsigned count_blocks(std::size_t n_events, std::size_t per_block, int n_multiprocessors) noexcept {
    const std::size_t wanted = (n_events + per_block - 1) / per_block;
    const std::size_t most = static_cast<std::size_t>(n_multiprocessors) * 16;
    return static_cast<unsigned>(wanted < most ? wanted : most);
}

/// Lets a kernel take all the shared memory that a block may have: the attribute belongs to the kernel, which serves
/// networks of any size.
template <class Kernel>
void allow_shared_memory(Kernel* function) {
    const int limit = device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
    RHEINFALL_CUDA_CHECK(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, limit));
    RHEINFALL_CUDA_CHECK(
        cudaFuncSetAttribute(function, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared));
}

}  // namespace rheinfall::quantized
