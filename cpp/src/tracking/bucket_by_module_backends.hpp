#pragma once

#include <rheinfall/tracking/bucket_by_module.hpp>

namespace rheinfall {

/// The backends of `bucket_by_module`: same contract, arguments already checked, workspace known to be large enough.
void bucket_by_module_cpu(const ParallelFor& parallel_for, std::span<const std::uint64_t> modules,
                          std::span<const std::uint64_t> module_id, ModuleBuckets buckets, Workspace& workspace);
void bucket_by_module_cuda(CudaStream stream, std::span<const std::uint64_t> modules,
                           std::span<const std::uint64_t> module_id, ModuleBuckets buckets, Workspace& workspace);

std::size_t bucket_by_module_workspace_size_cpu(std::size_t n_hits, std::size_t n_modules);
std::size_t bucket_by_module_workspace_size_cuda(std::size_t n_hits, std::size_t n_modules);

}  // namespace rheinfall
