#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <rheinfall/tracking/track_building_cuda.hpp>
#include <vector>

#include "host_executor.hpp"
#include "track_events.hpp"
#include "tracking/detail/device_tracks_steps.hpp"
#include "tracking/track_building_device.hpp"

/// Track building by the CPU, and by the bodies of the device's kernels on the host.
namespace device_track_runs {

namespace detail = rheinfall::detail;
using rheinfall::Status;
using rheinfall::TrackBuildingPlan;
using rheinfall::TracksResult;
using rheinfall::Workspace;
using track_events::Event;

struct Room {
    std::size_t n_offsets, n_hits, n_labels;
};

/// Everything that track building leaves.
struct Built {
    TracksResult result;
    std::vector<std::int64_t> offsets, hits, labels;

    explicit Built(const Room& room) : offsets(room.n_offsets, -7), hits(room.n_hits, -7), labels(room.n_labels, -7) {}
    void expect_equal(const Built& other) const {
        EXPECT_EQ(result.status, other.result.status);
        EXPECT_EQ(result.n_tracks, other.result.n_tracks);
        EXPECT_EQ(result.n_hits, other.result.n_hits);
        if (result.status == Status::capacity_exceeded) return;  // the buffers are not defined
        const auto same = [](const auto& a, const auto& b, std::size_t n) {
            return std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(n), b.begin());
        };
        EXPECT_TRUE(same(hits, other.hits, result.n_hits));
        if (result.n_tracks == 0 && result.n_hits > 0) return;  // hits on cycles
        EXPECT_TRUE(same(offsets, other.offsets, result.n_tracks + 1));
        EXPECT_TRUE(labels == other.labels);
    }
};

inline Room room_for(const Event& event) {
    return {event.n_nodes + 1, event.n_nodes, event.n_nodes};
}

inline Built build_on_cpu(const TrackBuildingPlan& plan, const Event& event, const Room& room) {
    Built built(room);
    Workspace workspace;
    workspace.reserve(rheinfall::track_building_workspace_size({event.n_nodes, event.source.size()}));
    rheinfall::TracksBuffers buffers{built.offsets, built.hits, built.labels};
    built.result.status = build_tracks(plan, workspace, event.view(), buffers);
    built.result.n_tracks = buffers.n_tracks;
    built.result.n_hits = buffers.n_hits;
    return built;
}

/// Runs the bodies on @p on, over arrays of the size that the device would take; then calls `look(t)`.
template <class Executor, class Look>
Built build_and_look(Executor on, const TrackBuildingPlan& plan, const Event& event, const Room& room,
                     const std::size_t* n_edges, const std::uint32_t* n_nodes, Look&& look) {
    Built built(room);
    const rheinfall::TrackBuildingLimits limits{event.n_nodes, event.source.size()};
    const bool has_hits = !event.x.empty();
    detail::MeasuringArena meter;
    static_cast<void>(detail::take_device_tracks(meter, plan, limits, has_hits));
    Workspace workspace;
    workspace.reserve(meter.bytes());
    detail::WorkspaceArena arena(workspace);
    detail::DeviceTrackBuilder t = detail::take_device_tracks(arena, plan, limits, has_hits);
    EXPECT_FALSE(workspace.overflowed());
    const rheinfall::DeviceTracks tracks{built.offsets, built.hits, built.labels, &built.result};
    detail::check_device_tracks(plan, event.view(), tracks);
    detail::set_device_tracks({event.view(), n_edges, n_nodes}, tracks, t);
    detail::build_device_tracks(on, t);
    look(t);
    return built;
}

template <class Executor>
Built build_like_device(Executor on, const TrackBuildingPlan& plan, const Event& event, const Room& room,
                        const std::size_t* n_edges = nullptr, const std::uint32_t* n_nodes = nullptr) {
    return build_and_look(on, plan, event, room, n_edges, n_nodes, [](const detail::DeviceTrackBuilder&) {});
}

}  // namespace device_track_runs
