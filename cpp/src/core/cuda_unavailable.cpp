// Linked instead of cuda/ when CUDA is off: every function of the CUDA backend, defined to refuse.
#include <rheinfall/core/device.hpp>
#include <string>

#include "tracking/bucket_by_module_backends.hpp"

namespace rheinfall {
namespace {

[[noreturn]] void refuse(const char* stage) {
    throw CudaError(std::string(stage) + ": this library was built without CUDA (RHEINFALL_CUDA=OFF)");
}

}  // namespace

bool cuda_available() noexcept {
    return false;
}

std::size_t bucket_by_module_workspace_size_cuda(std::size_t /*n_hits*/, std::size_t /*n_modules*/) {
    refuse("bucket_by_module");
}

void bucket_by_module_cuda(CudaStream /*stream*/, std::span<const std::uint64_t> /*modules*/,
                           std::span<const std::uint64_t> /*module_id*/, ModuleBuckets /*buckets*/,
                           Workspace& /*workspace*/) {
    refuse("bucket_by_module");
}

}  // namespace rheinfall
