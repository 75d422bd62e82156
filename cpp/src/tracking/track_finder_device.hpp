#pragma once

#include <rheinfall/tracking/track_finder_cuda.hpp>

#include "tracking/detail/device_finder.hpp"

namespace rheinfall::detail {

/// Throws std::invalid_argument for a network that does not read a finder's features.
void check_finder_network(std::size_t n_nodes_read, std::size_t n_edges_read);

/// Throws std::invalid_argument for options that have no device version.
void check_device_finder_options(const TrackFinderOptions& options);

/// The limits as arrays are made for them, room for one hit at least. Throws std::invalid_argument if the device cannot
/// number so many.
TrackFinderLimits device_finder_limits(const TrackFinderLimits& limits);

/// Throws std::invalid_argument for a wrong call of `DeviceTrackFinder::run`.
void check_device_finder(const DeviceHits& hits, const TrackFinderLimits& limits, const DeviceTracks& tracks,
                         const TrackFinderResult* result);

/// Writes to @p g what the caller gave.
void set_device_finder(DeviceFinder& g, const DeviceHits& hits, const DeviceTracks& tracks,
                       TrackFinderResult* result) noexcept;

}  // namespace rheinfall::detail
