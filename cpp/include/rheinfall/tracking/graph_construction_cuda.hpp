#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <rheinfall/core/device.hpp>
#include <rheinfall/core/export.hpp>
#include <rheinfall/core/views.hpp>
#include <rheinfall/core/workspace.hpp>
#include <rheinfall/tracking/graph_construction.hpp>
#include <rheinfall/tracking/module_map.hpp>

namespace rheinfall {

/// A module map in the memory of a CUDA device. Immutable; copies share the memory, and any number of streams may use
/// it at once.
class RHEINFALL_API DeviceModuleMap {
public:
    /// Uploads @p map to the current device and waits for it. Throws CudaError.
    explicit DeviceModuleMap(const ModuleMap& map);

    [[nodiscard]] std::size_t n_modules() const noexcept;
    /// Device memory that the map takes.
    [[nodiscard]] std::size_t bytes() const noexcept;

    struct Impl;
    [[nodiscard]] const Impl& impl() const noexcept { return *impl_; }

private:
    std::shared_ptr<const Impl> impl_;
};

/// The hits of one event in device memory.
struct DeviceHits {
    HitsView arrays;                        ///< room for hits, from limits.n_hits downward
    const std::uint32_t* n_hits = nullptr;  ///< a device word: how many there are; null: as many as the arrays hold
};

/// Bytes of device memory that the CUDA `build_graph` needs for events within @p limits (at most 2^29 - 1 hits and
/// 2^31 - 1 doublets, else std::invalid_argument). Asks CUB on the current device: CudaError if there is none.
RHEINFALL_API std::size_t graph_workspace_size(const DeviceModuleMap& map, const GraphLimits& limits);

/// `build_graph` on the current CUDA device, in the order of @p stream: the same edges, counts and statuses as on the
/// CPU. All views, @p result and the memory of @p workspace lie on the device of the map.
///
/// Returns at once: neither allocates nor waits, and may be captured into a CUDA graph. A captured graph replays on
/// other hits in the same arrays, any number of them if `hits.n_hits` is given. Several events may be in flight, each
/// with its workspace, buffers and result. The workspace is in use until the stream has passed this call.
///
/// With `Status::capacity_exceeded` nothing is written to @p edges, and the counts needed are in the result (`n_edges`
/// is known only if `n_doublets` fitted, else 0): the caller reads the result when it suits, and calls once more with
/// more room.
///
/// Throws std::invalid_argument if spans differ in size, there are more than `limits.n_hits` hits, a pointer is missing
/// or the workspace is too small; CudaError if a launch fails.
RHEINFALL_API void build_graph(CudaStream stream, const DeviceModuleMap& map, const DeviceHits& hits,
                               const GraphLimits& limits, EdgesBuffer edges, Workspace& workspace, GraphResult* result);

}  // namespace rheinfall
