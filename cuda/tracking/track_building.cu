// Compiled and linked, but not yet run on a GPU: the bodies of the kernels are tested on the host (tests/cpp), in the
// order of build_device_tracks, one by one, shuffled, and by several threads; the launches, the atomic operations of a
// GPU and the CUB calls are not.
#include <rheinfall/tracking/track_building_cuda.hpp>

#include <stdexcept>
#include <string>

#include "core/executor.hpp"
#include "tracking/detail/device_tracks_steps.hpp"
#include "tracking/track_building_device.hpp"

namespace rheinfall {
namespace {

std::size_t scratch_bytes(const TrackBuildingPlan& plan, const TrackBuildingLimits& limits, bool has_hits) {
    detail::MeasuringArena nowhere;
    detail::ScratchMeter meter;
    detail::build_device_tracks(meter, detail::take_device_tracks(nowhere, plan, limits, has_hits));
    return meter.bytes();
}

}  // namespace

std::size_t track_building_workspace_size(const TrackBuildingPlan& plan, const TrackBuildingLimits& limits,
                                          bool has_hits) {
    detail::check_device_track_limits(limits);
    detail::MeasuringArena arena;
    static_cast<void>(detail::take_device_tracks(arena, plan, limits, has_hits));
    static_cast<void>(arena.take<std::byte>(scratch_bytes(plan, limits, has_hits)));
    return arena.bytes();
}

void build_tracks(CudaStream stream, const TrackBuildingPlan& plan, Workspace& workspace,
                  const DeviceScoredGraph& on_device, const DeviceTracks& tracks) {
    const ScoredGraph& graph = on_device.graph;
    detail::check_device_tracks(plan, graph, tracks);
    const TrackBuildingLimits limits{graph.n_nodes, graph.edges.size()};
    const bool has_hits = graph.hits.size() > 0;
    const std::size_t left = workspace.capacity() - workspace.mark();
    const WorkspaceScope scope(workspace);
    detail::WorkspaceArena arena(workspace);
    detail::DeviceTrackBuilder t = detail::take_device_tracks(arena, plan, limits, has_hits);
    const auto scratch = workspace.take<std::byte>(scratch_bytes(plan, limits, has_hits));
    if (workspace.overflowed()) {
        const std::size_t needed = track_building_workspace_size(plan, limits, has_hits);
        throw std::invalid_argument("workspace: expected " + std::to_string(needed) + " bytes left, got " +
                                    std::to_string(left));
    }
    detail::set_device_tracks(on_device, tracks, t);
    const detail::CudaExecutor executor(stream, scratch);
    detail::build_device_tracks(executor, t);
}

}  // namespace rheinfall
