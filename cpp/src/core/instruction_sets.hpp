#pragma once

/// @file
/// Which instructions this machine has.

namespace rheinfall::detail {

/// The parts of AVX-512 that the kernels here are compiled with: F, BW, DQ and VL.
inline bool has_avx512() noexcept {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
    return false;
#endif
}

}  // namespace rheinfall::detail
