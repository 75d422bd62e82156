#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <rheinfall/adapters/std_threads.hpp>
#include <rheinfall/tracking/track_building.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "allocation_counter.hpp"
#include "track_events.hpp"

namespace {

using rheinfall::Status;
using rheinfall::TrackBuildingPlan;
using rheinfall::TrackMethod;
using track_events::all_methods;
using track_events::Event;
using track_events::layered_event;
using track_events::methods_with_hits;
using track_events::Output;
using track_events::Track;

rheinfall::Workspace& reserve(rheinfall::Workspace& workspace, const Event& event) {
    workspace.reserve(rheinfall::track_building_workspace_size({event.n_nodes, event.source.size()}));
    return workspace;
}

std::pair<Status, std::vector<Track>> build(const TrackBuildingPlan& plan, const Event& event) {
    rheinfall::Workspace workspace;
    Output output(event.n_nodes);
    rheinfall::check_track_building(plan, event.view());
    const Status status = rheinfall::build_tracks(plan, reserve(workspace, event), event.view(), output.buffers);
    return {status, output.tracks()};
}

TEST(TrackBuilding, FollowsAChainOutward) {
    Event event{.n_nodes = 4};
    event.join(3, 1, 0.9F);
    event.join(1, 0, 0.9F);
    event.join(0, 2, 0.9F);
    for (const TrackMethod method : all_methods) {
        const auto [status, tracks] = build(TrackBuildingPlan::defaults(method), event);
        EXPECT_EQ(status, Status::ok);
        EXPECT_EQ(tracks, (std::vector<Track>{{3, 1, 0, 2}}));
    }
}

TEST(TrackBuilding, AScoreOnTheCutIsOut) {
    Event event{.n_nodes = 2};
    event.join(0, 1, 0.5F);
    auto plan = TrackBuildingPlan::defaults(TrackMethod::components);
    plan.min_length = 2;
    EXPECT_TRUE(build(plan, event).second.empty());
    event.scores[0] = std::nextafter(0.5F, 1.0F);
    EXPECT_EQ(build(plan, event).second.size(), 1u);
}

TEST(TrackBuilding, MutualBestCutsAJunctionUnlessItIsSure) {
    Event event{.n_nodes = 4};
    event.join(0, 1, 0.9F);
    event.join(1, 2, 0.9F);
    event.join(1, 3, 0.75F);
    const auto plan = TrackBuildingPlan::defaults(TrackMethod::mutual_best);
    EXPECT_EQ(build(plan, event).second, (std::vector<Track>{{0, 1, 2}}));
    event.scores[2] = 0.76F;
    EXPECT_EQ(build(plan, event).second, (std::vector<Track>{{0, 1, 2, 3}}));
}

TEST(TrackBuilding, EmptyEventsAreAStatus) {
    for (const TrackMethod method : all_methods) {
        for (const std::size_t n_nodes : {0u, 1u, 7u}) {
            const auto [status, tracks] = build(TrackBuildingPlan::defaults(method), Event{.n_nodes = n_nodes});
            EXPECT_EQ(status, Status::empty);
            EXPECT_TRUE(tracks.empty());
        }
    }
}

TEST(TrackBuilding, CyclesAreAStatusOfTheWalksAndCanBeBroken) {
    Event event{.n_nodes = 5};
    for (const auto& [a, b] : {std::pair{4, 1}, {1, 2}, {2, 3}, {3, 1}}) event.join(a, b, 0.9F);
    for (const TrackMethod method : {TrackMethod::walk, TrackMethod::cc_and_walk, TrackMethod::d_walk}) {
        auto plan = TrackBuildingPlan::defaults(method);
        rheinfall::Workspace workspace;
        Output output(event.n_nodes);
        EXPECT_EQ(rheinfall::build_tracks(plan, reserve(workspace, event), event.view(), output.buffers),
                  Status::cycle);
        EXPECT_EQ(output.buffers.n_tracks, 0u);
        ASSERT_EQ(output.buffers.n_hits, 3u);
        EXPECT_EQ(Track(output.hits.begin(), output.hits.begin() + 3), (Track{1, 2, 3}));
        plan.break_cycles = true;  // drops 3 -> 1, which leads to a smaller index
        const auto [status, tracks] = build(plan, event);
        EXPECT_EQ(status, Status::cycle);
        EXPECT_EQ(tracks, (std::vector<Track>{{4, 1, 2, 3}}));
    }
    EXPECT_EQ(build(TrackBuildingPlan::defaults(TrackMethod::components), event).first, Status::ok);
}

TEST(TrackBuilding, WhatIsNotFiniteIsAStatusAndNotUsed) {
    for (const TrackMethod method : all_methods) {
        Event event{.n_nodes = 4, .x = {1, 2, 3, 4}, .y = {0, 0, 0, 0}, .z = {0, 0, 0, 0}};
        event.join(0, 1, 0.9F);
        event.join(1, 2, 0.9F);
        event.join(2, 3, std::numeric_limits<float>::infinity());
        const auto plan = TrackBuildingPlan::defaults(method);
        const std::pair expected{Status::not_finite, std::vector<Track>{{0, 1, 2}}};
        EXPECT_EQ(build(plan, event), expected);
        event.scores[2] = 0.9F;
        event.z[3] = std::numeric_limits<float>::quiet_NaN();
        EXPECT_EQ(build(plan, event), expected);
    }
}

TEST(TrackBuilding, BuffersThatAreTooSmallSayWhatWasNeeded) {
    Event event{.n_nodes = 6};
    for (const std::int64_t v : {0, 1, 3, 4}) event.join(v, v + 1, 0.9F);
    const auto plan = TrackBuildingPlan::defaults(TrackMethod::mutual_best);
    rheinfall::Workspace workspace;
    Output output(event.n_nodes);
    output.buffers.hits = output.buffers.hits.first(5);
    EXPECT_EQ(build_tracks(plan, reserve(workspace, event), event.view(), output.buffers), Status::capacity_exceeded);
    EXPECT_EQ(output.buffers.n_tracks, 2u);
    EXPECT_EQ(output.buffers.n_hits, 6u);

    Output exact(event.n_nodes);
    exact.buffers.offsets = exact.buffers.offsets.first(3);
    exact.buffers.labels = {};
    EXPECT_EQ(build_tracks(plan, workspace, event.view(), exact.buffers), Status::ok);
    EXPECT_EQ(exact.tracks(), (std::vector<Track>{{0, 1, 2}, {3, 4, 5}}));

    rheinfall::Workspace small;
    small.reserve(rheinfall::track_building_workspace_size({event.n_nodes, event.source.size()}) - 1);
    EXPECT_EQ(build_tracks(plan, small, event.view(), output.buffers), Status::capacity_exceeded);
    EXPECT_EQ(output.buffers.n_tracks, 0u);
}

TEST(TrackBuilding, EachHitIsInAtMostOneTrackOfOrderedHits) {
    const Event event = layered_event(10, 200, 5);
    for (const TrackMethod method : methods_with_hits) {
        const auto [status, tracks] = build(TrackBuildingPlan::defaults(method), event);
        EXPECT_EQ(status, Status::ok);
        ASSERT_FALSE(tracks.empty());
        std::vector<int> uses(event.n_nodes);
        std::int64_t smallest_before = -1;
        for (const Track& track : tracks) {
            for (const std::int64_t hit : track) EXPECT_EQ(++uses[static_cast<std::size_t>(hit)], 1);
            EXPECT_GE(track.size(), 3u);
            EXPECT_GT(*std::ranges::min_element(track), smallest_before);
            smallest_before = *std::ranges::min_element(track);
        }
    }
}

TEST(TrackBuilding, NeitherThreadsNorTheOrderOfEdgesMatter) {
    const Event event = layered_event(10, 5000, 6);
    std::vector<std::size_t> order(event.source.size());
    for (std::size_t e = 0; e < order.size(); ++e) order[e] = e;
    std::ranges::shuffle(order, std::mt19937(7));
    Event shuffled{.n_nodes = event.n_nodes, .x = event.x, .y = event.y, .z = event.z, .module_id = event.module_id};
    for (const std::size_t e : order) shuffled.join(event.source[e], event.target[e], event.scores[e]);
    for (const TrackMethod method : methods_with_hits) {
        const auto plan = TrackBuildingPlan::defaults(method);
        const auto expected = build(plan, event).second;
        EXPECT_EQ(build(plan, shuffled).second, expected);
        rheinfall::StdThreads threads(4);
        rheinfall::Workspace workspace;
        Output output(event.n_nodes);
        build_tracks(plan, reserve(workspace, event), event.view(), output.buffers, threads.parallel_for());
        EXPECT_EQ(output.tracks(), expected);
    }
}

TEST(TrackBuilding, AllocatesNothingInTheEventLoop) {
    const Event events[] = {
        layered_event(10, 300, 8), layered_event(7, 200, 9),
        Event{.n_nodes = 3, .x = {1, 2, 3}, .y = {0, 0, 0}, .z = {0, 0, 0}, .module_id = {1, 2, 3}}};
    rheinfall::Workspace workspace;
    reserve(workspace, events[0]);
    Output output(events[0].n_nodes);
    for (const TrackMethod method : methods_with_hits) {
        for (const bool has_hits : {true, false}) {
            for (const Event& event : events) {
                auto view = event.view();
                if (!has_hits) view.hits = {};
                const AllocationCounter allocations;
                const Status status =
                    build_tracks(TrackBuildingPlan::defaults(method), workspace, view, output.buffers);
                EXPECT_EQ(allocations.count(), 0u);
                EXPECT_LE(status, Status::empty);
            }
        }
    }
    const AllocationCounter allocations;
    ::operator delete(::operator new(8));  // a new-expression could be optimized away
    EXPECT_EQ(allocations.count(), 1u) << "the counter counts";
}

TEST(TrackBuilding, ChecksNameWhatIsWrong) {
    const auto message = [](const TrackBuildingPlan& plan, const Event& event) -> std::string {
        try {
            rheinfall::check_track_building(plan, event.view());
        } catch (const std::invalid_argument& error) {
            return error.what();
        }
        return "";
    };
    Event event{.n_nodes = 2};
    event.join(0, 2, 0.9F);
    EXPECT_EQ(message({}, event), "edge_index: target of edge 0 is 2, expected 0 <= index < 2 (n_nodes)");
    event.target[0] = 1;
    EXPECT_EQ(message({}, event), "");
    for (const float allowed : {0.0F, -0.0F, 1.0F, std::numeric_limits<float>::quiet_NaN(), -HUGE_VALF, HUGE_VALF}) {
        event.scores[0] = allowed;
        EXPECT_EQ(message({}, event), "") << allowed;
    }
    event.scores[0] = -2.5F;
    EXPECT_EQ(message({}, event),
              "scores: that of edge 0 is -2.5, expected 0 <= score <= 1, as a sigmoid makes of logits");
    event.scores[0] = 0.1F;
    event.scores.push_back(0.1F);
    EXPECT_EQ(message({}, event), "scores: expected 1 values, got 2");
}

}  // namespace
