#pragma once

#include <cuda_runtime_api.h>

#include <rheinfall/core/device.hpp>
#include <string>

namespace rheinfall::detail {

/// Throws CudaError that names the call, its place, and CUDA's own words.
inline void check_cuda(cudaError_t error, const char* call, const char* file, int line) {
    if (error == cudaSuccess) return;
    throw CudaError(std::string(call) + " failed at " + file + ":" + std::to_string(line) + ": " +
                    cudaGetErrorName(error) + ": " + cudaGetErrorString(error));
}

}  // namespace rheinfall::detail

/// Around every CUDA call; after a kernel launch: RHEINFALL_CUDA_CHECK(cudaGetLastError()).
#define RHEINFALL_CUDA_CHECK(call) ::rheinfall::detail::check_cuda((call), #call, __FILE__, __LINE__)
