#pragma once

#include <cstddef>
#include <cstdint>
#include <rheinfall/core/device.hpp>
#include <rheinfall/core/export.hpp>
#include <rheinfall/core/workspace.hpp>
#include <span>

namespace rheinfall {

/// The hits of one event listed module by module; the caller owns the memory.
struct ModuleBuckets {
    /// (n_modules + 2,): the hits of module m are order[offsets[m]] to order[offsets[m + 1] - 1]. Bucket n_modules, the
    /// last one, holds the hits on modules that are not in the list; the last offset is the number of hits.
    std::span<std::uint32_t> offsets;
    /// (n_hits,): indices of hits by bucket, ascending within each: the result is the same for any number of threads,
    /// on CPU and CUDA.
    std::span<std::uint32_t> order;
};

/// Bytes that `bucket_by_module` takes from its workspace. Throws CudaError for Device::cuda without a CUDA device.
RHEINFALL_API std::size_t bucket_by_module_workspace_size(Device device, std::size_t n_hits, std::size_t n_modules);

/// Lists the hits of an event by module: count, exclusive scan, fill.
///
/// @param modules    module numbers in ascending order, without duplicates; not checked (they may lie on the device)
/// @param module_id  the module of each hit, at most 2^31 - 1 hits
/// @param workspace  of at least `bucket_by_module_workspace_size`; gives back what was taken. For CUDA it lies on the
///                   device, and stays in use until the stream has passed this call.
///
/// With CUDA all spans lie on the device and the call returns without waiting: it neither synchronizes nor allocates.
/// Throws std::invalid_argument where sizes do not fit, CudaError where the device fails.
RHEINFALL_API void bucket_by_module(const Execution& execution, std::span<const std::uint64_t> modules,
                                    std::span<const std::uint64_t> module_id, ModuleBuckets buckets,
                                    Workspace& workspace);

}  // namespace rheinfall
