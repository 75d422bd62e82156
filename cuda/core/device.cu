#include <cuda_runtime_api.h>

#include <rheinfall/core/device.hpp>

namespace rheinfall {

bool cuda_available() noexcept {
    int n_devices = 0;
    const bool found = cudaGetDeviceCount(&n_devices) == cudaSuccess && n_devices > 0;
    if (!found) static_cast<void>(cudaGetLastError());  // no driver is an answer, not a pending error
    return found;
}

}  // namespace rheinfall
