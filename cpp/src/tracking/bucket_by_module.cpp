#include <limits>
#include <rheinfall/tracking/bucket_by_module.hpp>
#include <stdexcept>
#include <string>

#include "tracking/bucket_by_module_backends.hpp"

namespace rheinfall {
namespace {

void require_size(const char* name, std::size_t size, std::size_t expected) {
    if (size == expected) return;
    throw std::invalid_argument(std::string(name) + ": expected " + std::to_string(expected) + " values, got " +
                                std::to_string(size));
}

void require_at_most(const char* name, std::size_t n) {
    // CUB counts in int, offsets are 32 bits wide.
    constexpr std::size_t most = std::numeric_limits<std::int32_t>::max();
    if (n <= most) return;
    throw std::invalid_argument(std::string(name) + ": expected at most " + std::to_string(most) + " values, got " +
                                std::to_string(n));
}

}  // namespace

std::size_t bucket_by_module_workspace_size(Device device, std::size_t n_hits, std::size_t n_modules) {
    require_at_most("module_id", n_hits);
    require_at_most("modules", n_modules + 2);
    return device == Device::cuda ? bucket_by_module_workspace_size_cuda(n_hits, n_modules)
                                  : bucket_by_module_workspace_size_cpu(n_hits, n_modules);
}

void bucket_by_module(const Execution& execution, std::span<const std::uint64_t> modules,
                      std::span<const std::uint64_t> module_id, ModuleBuckets buckets, Workspace& workspace) {
    require_size("buckets.offsets", buckets.offsets.size(), modules.size() + 2);
    require_size("buckets.order", buckets.order.size(), module_id.size());
    const std::size_t needed = bucket_by_module_workspace_size(execution.device, module_id.size(), modules.size());
    const std::size_t left = workspace.capacity() - workspace.mark();
    if (left < needed) {
        throw std::invalid_argument("workspace: expected " + std::to_string(needed) + " bytes left, got " +
                                    std::to_string(left));
    }
    const std::size_t mark = workspace.mark();
    if (execution.device == Device::cuda) {
        bucket_by_module_cuda(execution.stream, modules, module_id, buckets, workspace);
    } else {
        bucket_by_module_cpu(execution.parallel_for, modules, module_id, buckets, workspace);
    }
    workspace.rewind(mark);
}

}  // namespace rheinfall
