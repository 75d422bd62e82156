#pragma once

/// Marks the rules that CPU and CUDA share: one function, compiled for both.
#if defined(__CUDACC__)
#define RHEINFALL_HOST_DEVICE __host__ __device__
#else
#define RHEINFALL_HOST_DEVICE
#endif
