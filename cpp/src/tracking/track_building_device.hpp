#pragma once

#include <rheinfall/tracking/track_building_cuda.hpp>

#include "tracking/detail/device_tracks.hpp"

namespace rheinfall::detail {

/// Throws std::invalid_argument, naming what is wrong, for what can be seen without looking at the graph itself: the
/// plan and the sizes of arrays.
void check_track_building_shape(const TrackBuildingPlan& plan, const ScoredGraph& graph);

/// Throws std::invalid_argument if the device cannot number so many hits or edges.
void check_device_track_limits(const TrackBuildingLimits& limits);

/// Throws std::invalid_argument for a wrong call of the CUDA `build_tracks`.
void check_device_tracks(const TrackBuildingPlan& plan, const ScoredGraph& graph, const DeviceTracks& tracks);

/// Writes to @p t the addresses of the caller's arrays.
void set_device_tracks(const DeviceScoredGraph& on_device, const DeviceTracks& tracks, DeviceTrackBuilder& t) noexcept;

}  // namespace rheinfall::detail
