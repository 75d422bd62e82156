#pragma once

#include <cstddef>
#include <memory>
#include <rheinfall/core/device.hpp>
#include <rheinfall/core/export.hpp>
#include <rheinfall/core/workspace.hpp>
#include <rheinfall/gnn/edge_classifier_cuda.hpp>
#include <rheinfall/tracking/graph_construction_cuda.hpp>
#include <rheinfall/tracking/track_building_cuda.hpp>
#include <rheinfall/tracking/track_finder.hpp>
#include <string>

namespace rheinfall {

/// A track finder on a CUDA device: from hits to tracks without the host. Map and network are uploaded once; immutable
/// after that, copies share them, and any number of events may be in flight, each with its stream, workspace and
/// buffers.
class RHEINFALL_API DeviceTrackFinder {
public:
    /// Loads a bundle, as `TrackFinder::load_bundle`, and uploads it to the current device. Throws what that throws,
    /// std::invalid_argument for what has no device version (quadruplets), CudaError.
    static DeviceTrackFinder load_bundle(const std::string& folder);

    /// A finder without a network, as `TrackFinder`. Throws as above.
    DeviceTrackFinder(const ModuleMap& map, const TrackFinderOptions& options);
    DeviceTrackFinder(const ModuleMap& map, const TrackFinderOptions& options, const DeviceEdgeClassifier& network,
                      EdgeOutput output = EdgeOutput::scores);

    [[nodiscard]] const TrackFinderOptions& options() const noexcept;
    [[nodiscard]] bool has_network() const noexcept;

    /// Bytes of device memory for events within @p limits (at most 2^29 - 1 hits, 2^31 - 49 edges, 2^31 - 1 doublets,
    /// else std::invalid_argument; n_triplets does not matter). Asks CUB on the current device: CudaError if there is
    /// none.
    [[nodiscard]] std::size_t workspace_size(const TrackFinderLimits& limits) const;

    /// `TrackFinder::run` on the current CUDA device, in the order of @p stream: the same tracks, labels, counts and
    /// statuses, save that the scores of a network in bf16 differ within what docs/gnn_cuda.md states. All views, @p
    /// result and the memory of @p workspace lie on the device of the finder.
    ///
    /// Returns at once: neither allocates nor waits, nor does anything between the stages; may be captured into a CUDA
    /// graph, which replays on other hits in the same arrays, any number of them if `hits.n_hits` is given. The kernels
    /// are as many and as large as @p limits ask for, whatever the event. The workspace is in use until the stream has
    /// passed this call.
    ///
    /// `capacity_exceeded` as on the CPU: the caller reads the result when it suits, and calls once more with more
    /// room. `tracks.result` may be null, since @p result says the same. Labels of places behind `hits.n_hits` are -1.
    ///
    /// Throws std::invalid_argument for spans that differ in size, more hits than the limit, a missing result or a
    /// workspace that is too small; CudaError if a launch fails.
    void run(CudaStream stream, Workspace& workspace, const DeviceHits& hits, const TrackFinderLimits& limits,
             const DeviceTracks& tracks, TrackFinderResult* result) const;

    struct Impl;

private:
    std::shared_ptr<const Impl> impl_;
};

}  // namespace rheinfall
