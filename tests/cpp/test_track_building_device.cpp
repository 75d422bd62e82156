// The chain of kernels of CUDA track building: every body run on the host, against the CPU; the same on a GPU where
// there is one.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <rheinfall/tracking/track_building_cuda.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "device_track_runs.hpp"

#if defined(RHEINFALL_WITH_CUDA)
#include "core/device_buffer.hpp"
#endif

namespace {

using namespace device_track_runs;
using namespace track_events;

/// Small events in which everything occurs: ties, duplicates, loops, cycles, what is not finite, many layers.
class RandomCases {
public:
    explicit RandomCases(unsigned seed) : random_(seed) {}

    Event event(bool has_hits) {
        Event event{.n_nodes = below(40)};
        const std::size_t n_edges = event.n_nodes == 0 ? 0 : below(3 * event.n_nodes);
        const bool acyclic = below(2) == 0;
        const bool strange = below(4) == 0;
        for (std::size_t e = 0; e < n_edges; ++e) {
            auto a = static_cast<std::int64_t>(below(event.n_nodes));
            auto b = static_cast<std::int64_t>(below(event.n_nodes));
            if (acyclic && a == b) continue;
            if (acyclic && a > b) std::swap(a, b);
            event.join(a, b, score(strange));
            if (below(8) == 0) event.join(a, b, score(strange));
        }
        for (std::size_t v = 0; v < event.n_nodes && has_hits; ++v) {
            for (auto* axis : {&event.x, &event.y, &event.z}) axis->push_back(static_cast<float>(below(5)));
            if (strange && below(20) == 0) event.y.back() = std::numeric_limits<float>::quiet_NaN();
            if (strange && below(20) == 0) event.z.back() = -std::numeric_limits<float>::infinity();
            event.module_id.push_back(std::uint64_t{below(100)} << 36U | below(3));
        }
        return event;
    }
    TrackBuildingPlan plan(TrackMethod method, bool has_hits) {
        auto plan = TrackBuildingPlan::defaults(method);
        plan.min_length = 1 + below(4);
        plan.break_cycles = below(2) == 0;
        plan.orient = has_hits && below(3) == 0;
        plan.shared_layers = below(3);
        if (below(2) == 0) plan.score_cut = static_cast<float>(below(8)) / 8.0F - 0.25F;
        if (below(2) == 0) plan.sure = static_cast<float>(below(9)) / 8.0F;
        if (below(2) == 0) plan.weak = static_cast<float>(below(9)) / 8.0F;
        if (below(2) == 0) plan.walk_min = static_cast<float>(below(8)) / 8.0F;
        if (below(2) == 0) plan.walk_add = static_cast<float>(below(8)) / 8.0F;
        return plan;
    }

private:
    std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_()) % n; }
    float score(bool strange) {
        if (strange && below(10) == 0) return std::numeric_limits<float>::quiet_NaN();
        if (strange && below(10) == 0) return std::numeric_limits<float>::infinity();
        if (strange && below(10) == 0) return -0.0F;
        return below(2) == 0 ? static_cast<float>(below(9)) / 8.0F : static_cast<float>(below(1000)) / 1000.0F;
    }
    std::mt19937 random_;
};

TEST(DeviceTrackBuilding, BodiesGiveTheTracksOfTheCpu) {
    RandomCases cases(11);
    std::vector<std::size_t> seen(static_cast<std::size_t>(Status::capacity_exceeded) + 1);
    for (unsigned i = 0; i < 1500; ++i) {
        for (const TrackMethod method : methods_with_hits) {
            const bool has_hits = i % 2 == 0 || method == TrackMethod::layer_merge;
            const Event event = cases.event(has_hits);
            const TrackBuildingPlan plan = cases.plan(method, has_hits);
            SCOPED_TRACE(testing::Message() << "case " << i << ", method " << static_cast<int>(method));
            const Built expected = build_on_cpu(plan, event, room_for(event));
            ++seen[static_cast<std::size_t>(expected.result.status)];
            build_like_device(HostExecutor(i), plan, event, room_for(event)).expect_equal(expected);
            if (testing::Test::HasFailure()) return;
        }
    }
    for (const Status status : {Status::ok, Status::empty, Status::not_finite, Status::cycle}) {
        EXPECT_GT(seen[static_cast<std::size_t>(status)], 100U) << to_string(status);
    }
}

/// The event in arrays with room for more hits, which hold something.
Event with_room(Event event, std::size_t n_more) {
    const bool has_hits = !event.x.empty();
    event.n_nodes += n_more;
    for (std::size_t i = 0; i < n_more && has_hits; ++i) {
        for (auto* axis : {&event.x, &event.y, &event.z}) {
            axis->push_back(i % 2 == 0 ? std::numeric_limits<float>::quiet_NaN() : 1.0F);
        }
        event.module_id.push_back(std::uint64_t{i} << 36U);
    }
    return event;
}

TEST(DeviceTrackBuilding, BodiesLookAtNoHitBehindTheirNumber) {
    RandomCases cases(3);
    for (unsigned i = 0; i < 300; ++i) {
        for (const TrackMethod method : methods_with_hits) {
            const bool has_hits = i % 2 == 0 || method == TrackMethod::layer_merge;
            const Event event = cases.event(has_hits);
            if (event.n_nodes == 0) continue;  // then there are no arrays that say whether there are hits
            const TrackBuildingPlan plan = cases.plan(method, has_hits);
            SCOPED_TRACE(testing::Message() << "case " << i << ", method " << static_cast<int>(method));
            Built expected = build_on_cpu(plan, event, room_for(event));
            const std::size_t n_more = 1 + i % 4;
            if (expected.labels.front() != -7) expected.labels.resize(event.n_nodes + n_more, -1);
            const Event roomy = with_room(event, n_more);
            const auto n_nodes = static_cast<std::uint32_t>(event.n_nodes);
            Built built = build_like_device(HostExecutor(i), plan, roomy, room_for(roomy), nullptr, &n_nodes);
            if (expected.labels.size() < built.labels.size()) built.labels.resize(event.n_nodes);  // none was written
            built.expect_equal(expected);
            if (testing::Test::HasFailure()) return;
        }
    }
}

TEST(DeviceTrackBuilding, BodiesGiveTheTracksOfTheCpuOnManyThreads) {
    Event event = layered_event(10, 400, 5);
    std::vector<std::size_t> doubled;
    for (std::size_t e = 0; e < event.source.size(); e += 7) doubled.push_back(e);
    for (const std::size_t e : doubled) event.join(event.source[e], event.target[e], 0.75F);
    for (const bool has_hits : {true, false}) {
        for (const TrackMethod method : methods_with_hits) {
            if (!has_hits && method == TrackMethod::layer_merge) continue;
            if (!has_hits) event.x = event.y = event.z = {};
            if (!has_hits) event.module_id = {};
            SCOPED_TRACE(testing::Message() << "method " << static_cast<int>(method) << ", hits " << has_hits);
            const auto plan = TrackBuildingPlan::defaults(method);
            const Built expected = build_on_cpu(plan, event, room_for(event));
            ASSERT_GT(expected.result.n_tracks, 0U);
            build_like_device(HostExecutor(), plan, event, room_for(event)).expect_equal(expected);
            build_like_device(HostExecutor(3), plan, event, room_for(event)).expect_equal(expected);
            for (int i = 0; i < 2; ++i) {
                build_like_device(ThreadedExecutor(4), plan, event, room_for(event)).expect_equal(expected);
            }
        }
    }
}

/// One component of many hits, joined in an order that makes paths long.
TEST(DeviceTrackBuilding, OneLongChain) {
    Event event{.n_nodes = 5000};
    for (std::int64_t v = 4998; v >= 0; --v) event.join(v + 1, v, 0.9F);
    for (const TrackMethod method : all_methods) {
        SCOPED_TRACE(testing::Message() << "method " << static_cast<int>(method));
        const auto plan = TrackBuildingPlan::defaults(method);
        const Built expected = build_on_cpu(plan, event, room_for(event));
        ASSERT_EQ(expected.result.n_hits, event.n_nodes);
        build_like_device(ThreadedExecutor(4), plan, event, room_for(event)).expect_equal(expected);
        build_like_device(HostExecutor(1), plan, event, room_for(event)).expect_equal(expected);
    }
}

TEST(DeviceTrackBuilding, RoomAndTheNumberOfEdges) {
    Event event{.n_nodes = 6};
    for (const std::int64_t v : {0, 1, 3, 4}) event.join(v, v + 1, 0.9F);
    for (const TrackMethod method : all_methods) {
        const auto plan = TrackBuildingPlan::defaults(method);
        for (const Room& room : {Room{3, 6, 0}, Room{2, 6, 6}, Room{3, 5, 6}, Room{0, 0, 0}}) {
            build_like_device(HostExecutor(), plan, event, room).expect_equal(build_on_cpu(plan, event, room));
        }
        Event first = event;
        for (auto* ends : {&first.source, &first.target}) ends->resize(3);
        first.scores.resize(3);
        const std::size_t few = 3;
        build_like_device(HostExecutor(), plan, event, room_for(event), &few)
            .expect_equal(build_on_cpu(plan, first, room_for(event)));
        const std::size_t many = 5;
        const TracksResult result = build_like_device(HostExecutor(), plan, event, room_for(event), &many).result;
        EXPECT_EQ(result.status, Status::capacity_exceeded);
        EXPECT_EQ(result.n_tracks + result.n_hits, 0U);
    }
    Event loop{.n_nodes = 3};  // less room than there are hits on cycles
    for (const auto& [a, b] : {std::pair{0, 1}, {1, 2}, {2, 0}}) loop.join(a, b, 0.9F);
    const auto walk = TrackBuildingPlan::defaults(TrackMethod::walk);
    const Built built = build_like_device(HostExecutor(), walk, loop, {4, 2, 3});
    built.expect_equal(build_on_cpu(walk, loop, {4, 2, 3}));
    EXPECT_EQ(built.hits, (Track{0, 1}));
}

std::string refusal(const TrackBuildingPlan& plan, const Event& event, std::size_t n_labels, TracksResult* result) {
    std::vector<std::int64_t> labels(n_labels);
    try {
        detail::check_device_tracks(plan, event.view(), {{}, {}, labels, result});
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return "accepted";
}

TEST(DeviceTrackBuilding, RefusesWrongCalls) {
    Event event{.n_nodes = 2};
    event.join(0, 1, 0.9F);
    TracksResult result;
    TrackBuildingPlan plan;
    EXPECT_EQ(refusal(plan, event, 2, &result), "accepted");
    EXPECT_EQ(refusal(plan, event, 0, &result), "accepted");
    EXPECT_EQ(refusal(plan, event, 1, &result), "labels: expected 2 values or none, got 1");
    EXPECT_EQ(refusal(plan, event, 2, nullptr), "result: expected a device address, got nullptr");
    plan.min_length = 0;
    EXPECT_EQ(refusal(plan, event, 2, &result), "min_length: expected at least 1, got 0");
    EXPECT_NE(refusal(TrackBuildingPlan::defaults(TrackMethod::layer_merge), event, 2, &result), "accepted");
    EXPECT_THROW(detail::check_device_track_limits({std::size_t{1} << 31, 1}), std::invalid_argument);
    EXPECT_THROW(detail::check_device_track_limits({1, std::size_t{1} << 31}), std::invalid_argument);
}

#if defined(RHEINFALL_WITH_CUDA)

template <class T>
rheinfall::DeviceBuffer<T> upload(const std::vector<T>& values) {
    rheinfall::DeviceBuffer<T> buffer(values.size());
    if (!values.empty()) buffer.copy_from(values, nullptr);
    return buffer;
}

Built build_on_gpu(const TrackBuildingPlan& plan, const Event& event) {
    Built built(room_for(event));
    const auto source = upload(event.source), target = upload(event.target);
    const auto scores = upload(event.scores), x = upload(event.x), y = upload(event.y), z = upload(event.z);
    const auto module_id = upload(event.module_id);
    const auto offsets = upload(built.offsets), hits = upload(built.hits), labels = upload(built.labels);
    const rheinfall::DeviceBuffer<TracksResult> result(1);
    Workspace workspace(rheinfall::device_memory());
    workspace.reserve(
        rheinfall::track_building_workspace_size(plan, {event.n_nodes, event.source.size()}, !event.x.empty()));
    rheinfall::build_tracks(nullptr, plan, workspace,
                            {{{source.span(), target.span()},
                              scores.span(),
                              event.n_nodes,
                              {x.span(), y.span(), z.span(), module_id.span()}}},
                            {offsets.span(), hits.span(), labels.span(), result.span().data()});
    built.result = result.to_host(nullptr)[0];
    built.offsets = offsets.to_host(nullptr);
    built.hits = hits.to_host(nullptr);
    built.labels = labels.to_host(nullptr);
    return built;
}

TEST(DeviceTrackBuilding, CudaGivesTheTracksOfTheCpu) {
    if (!rheinfall::cuda_available()) GTEST_SKIP() << "no CUDA device";
    RandomCases cases(12);
    for (unsigned i = 0; i < 30; ++i) {
        for (const TrackMethod method : methods_with_hits) {
            const bool has_hits = i % 2 == 0 || method == TrackMethod::layer_merge;
            const Event event = i < 28 ? cases.event(has_hits) : layered_event(10, 3000, i);
            const auto plan = i < 28 ? cases.plan(method, has_hits) : TrackBuildingPlan::defaults(method);
            SCOPED_TRACE(testing::Message() << "case " << i << ", method " << static_cast<int>(method));
            build_on_gpu(plan, event).expect_equal(build_on_cpu(plan, event, room_for(event)));
        }
    }
}

TEST(DeviceTrackBuilding, CudaRefusesWithoutADevice) {
    if (rheinfall::cuda_available()) return;
    EXPECT_THROW(rheinfall::track_building_workspace_size(TrackBuildingPlan{}, {1, 1}, false), rheinfall::CudaError);
}

#else

TEST(DeviceTrackBuilding, RefusesWithoutCuda) {
    EXPECT_THROW(rheinfall::track_building_workspace_size(TrackBuildingPlan{}, {1, 1}, false), rheinfall::CudaError);
}

#endif

}  // namespace
