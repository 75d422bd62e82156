#include <limits>
#include <rheinfall/tracking/bucket_by_module.hpp>

#include "core/require.hpp"
#include "tracking/bucket_by_module_backends.hpp"

namespace rheinfall {
namespace {

using detail::require_at_most;
using detail::require_size;

constexpr std::size_t most = std::numeric_limits<std::int32_t>::max();  // CUB counts in int, offsets have 32 bits

}  // namespace

std::size_t bucket_by_module_workspace_size(Device device, std::size_t n_hits, std::size_t n_modules) {
    require_at_most("module_id", n_hits, most);
    require_at_most("modules", n_modules + 2, most);
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
