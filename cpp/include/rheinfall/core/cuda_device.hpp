#pragma once

#include <cstddef>
#include <rheinfall/core/device.hpp>
#include <rheinfall/core/export.hpp>

namespace rheinfall {

/// Throws CudaError unless this library was built with CUDA and device number @p device is there; the message begins
/// with @p who, and says what is missing. std::invalid_argument for a negative number.
RHEINFALL_API void require_cuda_device(const char* who, int device);

/// The device on which memory lies; the current one for nullptr. Throws std::invalid_argument, beginning with @p who,
/// for memory of the host, CudaError.
RHEINFALL_API int device_of(const char* who, const void* memory);

/// Work given to @p stream from now on waits for what @p other, of the same device, holds now; the host does not.
/// Throws CudaError.
RHEINFALL_API void order_after(CudaStream stream, CudaStream other, int device);

/// Copies from a device, in the order of @p stream, and waits for it. Throws CudaError.
RHEINFALL_API void copy_to_host(CudaStream stream, void* to, const void* from, std::size_t n_bytes);

/// Copies on the current device, in the order of @p stream. Throws CudaError.
RHEINFALL_API void copy_on_device(CudaStream stream, void* to, const void* from, std::size_t n_bytes);

/// Makes a device the current one of this thread until the end of a scope. Throws CudaError.
class RHEINFALL_API CurrentDevice {
public:
    explicit CurrentDevice(int device);
    ~CurrentDevice();
    CurrentDevice(const CurrentDevice&) = delete;
    CurrentDevice& operator=(const CurrentDevice&) = delete;
    CurrentDevice(CurrentDevice&&) = delete;
    CurrentDevice& operator=(CurrentDevice&&) = delete;

private:
    [[maybe_unused]] int device_;  // without CUDA neither is read
    [[maybe_unused]] int before_ = 0;
};

}  // namespace rheinfall
