#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <rheinfall/core/device.hpp>
#include <stdexcept>
#include <string>

/// Arrays in the memory of a CUDA device, by DLPack: what they hold is never read here.
using DeviceInput = nanobind::ndarray<nanobind::ro>;
using DeviceOutput = nanobind::ndarray<>;

inline rheinfall::CudaStream stream_of(std::uintptr_t handle) {
    return reinterpret_cast<rheinfall::CudaStream>(handle);  // NOLINT(performance-no-int-to-ptr): CUDA's own handle
}

/// Throws unless an array lies on a device, in one piece. Strides of an empty array, and of axes of one element, say
/// nothing: PyTorch gives (2, 0) those of (2, 1).
template <class Array>
void require_on_device(const Array& array, const char* name, int device) {
    using Kind = nanobind::device::cuda;
    const bool is_cuda =
        array.device_type() == Kind::value || array.device_type() == nanobind::device::cuda_managed::value;
    if (!is_cuda || array.device_id() != device) {
        throw std::invalid_argument(std::string(name) + ": expected an array on CUDA device " + std::to_string(device) +
                                    ", got one on DLPack's device (" + std::to_string(array.device_type()) + ", " +
                                    std::to_string(array.device_id()) + ")");
    }
    if (array.size() == 0) return;
    std::int64_t step = 1;
    for (std::size_t axis = array.ndim(); axis-- > 0;) {
        if (array.shape(axis) > 1 && array.stride(axis) != step)
            throw std::invalid_argument(std::string(name) + ": expected a C-contiguous array");
        step *= static_cast<std::int64_t>(array.shape(axis));
    }
}
