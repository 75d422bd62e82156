#include <algorithm>

#include "tracking/bucket_by_module_backends.hpp"
#include "tracking/detail/bucket_by_module.hpp"

namespace rheinfall {

std::size_t bucket_by_module_workspace_size_cpu(std::size_t n_hits, std::size_t /*n_modules*/) {
    return Workspace::padded<std::uint32_t>(n_hits);
}

void bucket_by_module_cpu(const ParallelFor& parallel_for, std::span<const std::uint64_t> modules,
                          std::span<const std::uint64_t> module_id, ModuleBuckets buckets, Workspace& workspace) {
    const std::size_t n_hits = module_id.size();
    const auto n_modules = static_cast<std::uint32_t>(modules.size());
    const auto bucket_of_hit = workspace.take<std::uint32_t>(n_hits);

    // The search is nearly all of the work; counting and filling are one pass each, and stay in order when serial.
    constexpr std::size_t hits_per_task = 4096;
    parallel_for((n_hits + hits_per_task - 1) / hits_per_task, [&](std::size_t task) {
        const std::size_t last = std::min(n_hits, (task + 1) * hits_per_task);
        for (std::size_t i = task * hits_per_task; i < last; ++i) {
            bucket_of_hit[i] = detail::find_module(modules.data(), n_modules, module_id[i]);
        }
    });

    // offsets[b + 1] counts bucket b, then is where b starts, then where the next hit of b goes: at the end, where b +
    // 1 starts. So no second array is needed.
    const auto offsets = buckets.offsets;
    std::ranges::fill(offsets, 0u);
    for (const std::uint32_t bucket : bucket_of_hit) ++offsets[bucket + 1];
    std::uint32_t n_before = 0;
    for (std::uint32_t& offset : offsets) {
        const std::uint32_t count = offset;
        offset = n_before;
        n_before += count;
    }
    for (std::uint32_t i = 0; i < n_hits; ++i) buckets.order[offsets[bucket_of_hit[i] + 1]++] = i;
}

}  // namespace rheinfall
