#include <cuda_runtime_api.h>

#include <rheinfall/core/cuda_device.hpp>
#include <rheinfall/core/device.hpp>
#include <stdexcept>
#include <string>

#include "core/check.hpp"
#include "core/device_buffer.hpp"

namespace rheinfall {
namespace {

/// Owns an event that only orders streams.
class OrderingEvent {
public:
    OrderingEvent() { RHEINFALL_CUDA_CHECK(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming)); }
    ~OrderingEvent() { static_cast<void>(cudaEventDestroy(event_)); }
    OrderingEvent(const OrderingEvent&) = delete;
    OrderingEvent& operator=(const OrderingEvent&) = delete;

    [[nodiscard]] cudaEvent_t get() const noexcept { return event_; }

private:
    cudaEvent_t event_ = nullptr;
};

}  // namespace

bool cuda_available() noexcept {
    int n_devices = 0;
    const bool found = cudaGetDeviceCount(&n_devices) == cudaSuccess && n_devices > 0;
    if (!found) static_cast<void>(cudaGetLastError());  // no driver is an answer, not a pending error
    return found;
}

void require_cuda_device(const char* who, int device) {
    if (device < 0)
        throw std::invalid_argument(std::string(who) + ": expected the number of a CUDA device, got " +
                                    std::to_string(device));
    int n_devices = 0;
    const cudaError_t error = cudaGetDeviceCount(&n_devices);
    if (error == cudaSuccess && device < n_devices) return;
    static_cast<void>(cudaGetLastError());
    const std::string why = error == cudaSuccess ? "" : std::string(" (") + cudaGetErrorString(error) + ")";
    throw CudaError(std::string(who) + ": there is no CUDA device " + std::to_string(device) + "; the driver offers " +
                    std::to_string(error == cudaSuccess ? n_devices : 0) + why);
}

int device_of(const char* who, const void* memory) {
    require_cuda_device(who, 0);
    int device = 0;
    RHEINFALL_CUDA_CHECK(cudaGetDevice(&device));
    if (memory == nullptr) return device;
    cudaPointerAttributes attributes{};
    RHEINFALL_CUDA_CHECK(cudaPointerGetAttributes(&attributes, memory));
    if (attributes.type != cudaMemoryTypeDevice && attributes.type != cudaMemoryTypeManaged)
        throw std::invalid_argument(std::string(who) + ": expected memory of a CUDA device, got memory of the host");
    return attributes.device;
}

void order_after(CudaStream stream, CudaStream other, int device) {
    const CurrentDevice scope(device);
    const OrderingEvent event;
    RHEINFALL_CUDA_CHECK(cudaEventRecord(event.get(), other));
    RHEINFALL_CUDA_CHECK(cudaStreamWaitEvent(stream, event.get(), 0));
}

void copy_to_host(CudaStream stream, void* to, const void* from, std::size_t n_bytes) {
    RHEINFALL_CUDA_CHECK(cudaMemcpyAsync(to, from, n_bytes, cudaMemcpyDeviceToHost, stream));
    RHEINFALL_CUDA_CHECK(cudaStreamSynchronize(stream));
}

void copy_on_device(CudaStream stream, void* to, const void* from, std::size_t n_bytes) {
    RHEINFALL_CUDA_CHECK(cudaMemcpyAsync(to, from, n_bytes, cudaMemcpyDeviceToDevice, stream));
}

CurrentDevice::CurrentDevice(int device) : device_(device) {
    RHEINFALL_CUDA_CHECK(cudaGetDevice(&before_));
    if (before_ != device_) RHEINFALL_CUDA_CHECK(cudaSetDevice(device_));
}

CurrentDevice::~CurrentDevice() {
    if (before_ != device_) static_cast<void>(cudaSetDevice(before_));
}

std::pmr::memory_resource* device_memory() {
    static DeviceMemory memory;
    return &memory;
}

}  // namespace rheinfall
