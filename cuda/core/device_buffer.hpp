#pragma once

#include <cstddef>
#include <memory_resource>
#include <span>
#include <utility>
#include <vector>

#include "core/check.hpp"

namespace rheinfall {

/// Device memory for a `Workspace`, which only hands out addresses and never touches what they point to. Allocating and
/// freeing wait for the device, so do both outside the event loop.
class DeviceMemory final : public std::pmr::memory_resource {
    // cudaMalloc aligns to 256 bytes, more than anybody asks for.
    void* do_allocate(std::size_t bytes, std::size_t /*alignment*/) override {
        void* memory = nullptr;
        RHEINFALL_CUDA_CHECK(cudaMalloc(&memory, bytes));
        return memory;
    }
    // A destructor's duty, which must not throw: an error that is pending here shows at the next checked call.
    void do_deallocate(void* memory, std::size_t /*bytes*/, std::size_t /*alignment*/) override {
        static_cast<void>(cudaFree(memory));
    }
    [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override {
        return dynamic_cast<const DeviceMemory*>(&other) != nullptr;
    }
};

/// Owns @p n values of T on the current device, uninitialised.
template <class T>
class DeviceBuffer {
public:
    explicit DeviceBuffer(std::size_t n) : size_(n) {
        if (n > 0) RHEINFALL_CUDA_CHECK(cudaMalloc(reinterpret_cast<void**>(&data_), n * sizeof(T)));
    }
    ~DeviceBuffer() { static_cast<void>(cudaFree(data_)); }
    DeviceBuffer(DeviceBuffer&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    DeviceBuffer(const DeviceBuffer&) = delete;
    DeviceBuffer& operator=(const DeviceBuffer&) = delete;
    DeviceBuffer& operator=(DeviceBuffer&&) = delete;

    [[nodiscard]] std::span<T> span() const noexcept { return {data_, size_}; }

    /// Copies the same number of values from the host, in the order of @p stream; @p values must live until then.
    void copy_from(std::span<const T> values, CudaStream stream) {
        RHEINFALL_CUDA_CHECK(
            cudaMemcpyAsync(data_, values.data(), values.size_bytes(), cudaMemcpyHostToDevice, stream));
    }

    /// The values, on the host; waits for @p stream.
    [[nodiscard]] std::vector<T> to_host(CudaStream stream) const {
        std::vector<T> values(size_);
        RHEINFALL_CUDA_CHECK(cudaMemcpyAsync(values.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost, stream));
        RHEINFALL_CUDA_CHECK(cudaStreamSynchronize(stream));
        return values;
    }

private:
    T* data_ = nullptr;
    std::size_t size_;
};

}  // namespace rheinfall
