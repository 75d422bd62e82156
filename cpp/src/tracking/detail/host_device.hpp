#pragma once

/// Marks the rules that CPU and CUDA share: one function, compiled for both.
#if defined(__CUDACC__)
#define RHEINFALL_HOST_DEVICE __host__ __device__
#else
#define RHEINFALL_HOST_DEVICE
#endif

/// In front of a loop over arrays that a device shall keep in registers.
#if defined(__CUDA_ARCH__)
#define RHEINFALL_UNROLL _Pragma("unroll")
#define RHEINFALL_NO_UNROLL _Pragma("unroll 1")  ///< where copies of the loop would take too many registers
#else
#define RHEINFALL_UNROLL
#define RHEINFALL_NO_UNROLL
#endif

namespace rheinfall::detail {

RHEINFALL_HOST_DEVICE inline void prefetch([[maybe_unused]] const void* address) noexcept {
#if defined(__GNUC__) && !defined(__CUDA_ARCH__)
    __builtin_prefetch(address);
#endif
}

}  // namespace rheinfall::detail
