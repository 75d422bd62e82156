#pragma once

#include <cstddef>
#include <memory>
#include <rheinfall/core/device.hpp>
#include <rheinfall/core/export.hpp>
#include <rheinfall/core/status.hpp>
#include <rheinfall/core/workspace.hpp>
#include <rheinfall/gnn/edge_classifier.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace rheinfall {

/// One graph in device memory.
struct DeviceEdgeClassifierInput {
    EdgeClassifierInput graph;  ///< nodes, edges and features may be more than what is in use
    /// Null: all. Else device addresses of their numbers, such as `DeviceHits::n_hits` and `PruneResult::n_edges`, so
    /// that the host need not know them; with more than there is room for, the status is `capacity_exceeded`.
    const std::uint32_t* n_nodes = nullptr;
    const std::size_t* n_edges = nullptr;
};

/// A graph network on a CUDA device: uploaded once, immutable, copies share it.
class RHEINFALL_API DeviceEdgeClassifier {
public:
    /// Reads a file in the format of docs/gnn_format.md and uploads it to the current device. Throws what
    /// `EdgeClassifier::load` throws; std::invalid_argument where a tile of 32 rows needs more shared memory than the
    /// device has, or where it is to compute in bf16 and is older than compute capability 8.0; CudaError.
    static DeviceEdgeClassifier load(const std::string& path, GnnPrecision precision = GnnPrecision::fp32);
    static DeviceEdgeClassifier parse(std::span<const std::byte> bytes, std::string_view name,
                                      GnnPrecision precision = GnnPrecision::fp32);

    [[nodiscard]] std::size_t n_node_features() const noexcept;
    [[nodiscard]] std::size_t n_edge_features() const noexcept;  ///< 0: the network reads none
    [[nodiscard]] GnnPrecision precision() const noexcept;
    /// Bytes of device memory for graphs within @p limits. Asks CUB on the current device: CudaError if there is none.
    /// Throws std::invalid_argument for limits beyond 2^31 - 49.
    [[nodiscard]] std::size_t workspace_size(const EdgeClassifierLimits& limits) const;

    /// `EdgeClassifier::run` on the current device, in the order of @p stream: the same statuses and, in float32, the
    /// same bits; in bf16 those that tensor cores give, the same ones in every call on a kind of device
    /// (docs/gnn_cuda.md). All views, @p status and the memory of @p workspace lie on the device.
    ///
    /// Returns at once: neither allocates nor waits, and may be captured into a CUDA graph, which replays on other
    /// features and edges in the same arrays, and on any numbers of them if `input` has words that say how many.
    /// Several events may be in flight, each with its workspace, output and status.
    ///
    /// With `Status::invalid_argument` (an edge leads out of range) nothing was written to @p out, nor behind the edges
    /// in use.
    /// Throws std::invalid_argument for sizes that do not agree or a workspace that is too small; CudaError if a launch
    /// fails.
    void run(CudaStream stream, Workspace& workspace, const DeviceEdgeClassifierInput& input, EdgeOutput output,
             std::span<float> out, Status* status) const;

private:
    struct Impl;
    explicit DeviceEdgeClassifier(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
    std::shared_ptr<const Impl> impl_;
};

}  // namespace rheinfall
