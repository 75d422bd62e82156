#pragma once

#include <cstdint>
#include <memory_resource>
#include <rheinfall/core/execution.hpp>
#include <rheinfall/core/export.hpp>
#include <stdexcept>

struct CUstream_st;  // what a cudaStream_t points to: hosts compile against us without a CUDA toolkit

namespace rheinfall {

enum class Device : std::uint8_t { cpu, cuda };

/// A cudaStream_t; nullptr is CUDA's default stream.
using CudaStream = CUstream_st*;

/// The CUDA runtime refused, or this library was built without CUDA.
class RHEINFALL_API CudaError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// True if this library was built with CUDA, and a driver and a device are there now.
RHEINFALL_API bool cuda_available() noexcept;

/// Memory of the current CUDA device for a `Workspace` (never for a container: the host cannot touch it). Allocating
/// and freeing wait for the device, so reserve outside the event loop. Lives as long as the program; throws CudaError
/// in a library without CUDA, and when the device has no memory left.
RHEINFALL_API std::pmr::memory_resource* device_memory();

/// Where a stage runs: on the host through its parallel_for, or on the current CUDA device in the order of a stream.
/// All views given to the stage then lie in that memory.
struct Execution {
    Device device = Device::cpu;
    ParallelFor parallel_for = {};  ///< used on the CPU
    CudaStream stream = nullptr;    ///< used with CUDA
};

}  // namespace rheinfall
