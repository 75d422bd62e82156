// The walks of the CPU, which look at small components and at followed edges alone, against the plain ones, which the
// device's bodies run: components of all sizes about that up to which a component is small, on any number of threads.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <rheinfall/adapters/std_threads.hpp>
#include <vector>

#include "allocation_counter.hpp"
#include "device_track_runs.hpp"
#include "tracking/detail/small_d_walk.hpp"

namespace {

using namespace device_track_runs;
using namespace track_events;

constexpr TrackMethod walks[] = {TrackMethod::walk, TrackMethod::cc_and_walk, TrackMethod::d_walk};

/// Components of given sizes: each a chain of its hits in random order, with shortcuts along it that branch.
Event joined_components(const std::vector<std::size_t>& sizes, unsigned seed) {
    std::mt19937 random(seed);
    const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
    Event event;
    for (const std::size_t n : sizes) event.n_nodes += n;
    std::vector<std::int64_t> hit(event.n_nodes);
    for (std::size_t v = 0; v < hit.size(); ++v) hit[v] = static_cast<std::int64_t>(v);
    std::ranges::shuffle(hit, random);
    // Strong enough to hold each component together, on a grid coarse enough for ties.
    const auto score = [&] { return 0.65F + static_cast<float>(below(12)) / 32.0F; };
    std::size_t first = 0;
    for (const std::size_t n : sizes) {
        const std::size_t n_shortcuts = below(3) == 0 ? 0 : below(2 * n);
        for (std::size_t i = 0; i + 1 < n; ++i) event.join(hit[first + i], hit[first + i + 1], score());
        for (std::size_t e = 0; e < n_shortcuts; ++e) {
            const std::size_t a = below(n);
            const std::size_t b = below(n);
            const bool is_weak = below(3) == 0;
            if (a != b)
                event.join(hit[first + std::min(a, b)], hit[first + std::max(a, b)], score() - (is_weak ? 0.4F : 0.0F));
        }
        first += n;
    }
    event.x.resize(event.n_nodes);
    for (std::size_t i = 0; i < hit.size(); ++i) {
        event.x[static_cast<std::size_t>(hit[i])] = static_cast<float>(seed % 2 == 0 ? i + 1 : below(100));
    }
    event.y.assign(event.n_nodes, 0.0F);
    event.z.assign(event.n_nodes, 0.0F);
    event.module_id.assign(event.n_nodes, 0);
    return event;
}

TEST(TrackWalks, ComponentsOfAnySizeAreThoseOfThePlainWalks) {
    constexpr std::size_t most = detail::SmallDWalk::most_hits;
    for (unsigned seed = 0; seed < 24; ++seed) {
        std::vector<std::size_t> sizes = {1, 2, 3, most - 1, most, 5, 40, 17};
        if (seed % 3 != 0) sizes.insert(sizes.end(), {most + 1, 2 * most + 7, 4});  // else all are small
        Event event = joined_components(sizes, seed);
        if (seed % 4 == 3) event.x = event.y = event.z = {};
        for (const TrackMethod method : walks) {
            SCOPED_TRACE(testing::Message() << "seed " << seed << ", method " << static_cast<int>(method));
            auto plan = TrackBuildingPlan::defaults(method);
            plan.min_length = 1 + seed % 3;
            if (seed % 5 == 4) plan.walk_min = 0.8F;  // above walk_add
            const Built expected = build_on_cpu(plan, event, room_for(event));
            EXPECT_EQ(expected.result.status, Status::ok);
            build_like_device(HostExecutor(seed), plan, event, room_for(event)).expect_equal(expected);
            if (testing::Test::HasFailure()) return;
        }
    }
}

// Each of the first hits looks at a whole chain in vain, since it enters it behind its first hit. After a hundred
// looks for each hit and edge the rest is left to the walk that keeps best paths: the last two starts want that chain,
// and the second one has to be told that it is gone.
TEST(TrackWalks, StartsThatReachMuchInVainChangeNothing) {
    constexpr std::int64_t n_vain = 700;
    constexpr std::int64_t n_chain = 700;
    constexpr std::int64_t wanted = n_vain + 2;
    constexpr std::int64_t other = wanted + n_chain;
    for (const bool branches : {false, true}) {
        Event event;
        event.n_nodes = static_cast<std::size_t>(other + n_chain);
        for (std::int64_t v = 0; v < n_vain; ++v) event.join(v, wanted + 1, 0.9F);
        event.join(n_vain, wanted, 0.9F);
        event.join(n_vain + 1, wanted, 0.9F);
        event.join(n_vain + 1, other, 0.9F);
        for (std::int64_t i = 0; i + 1 < n_chain; ++i) {
            event.join(wanted + i, wanted + i + 1, 0.8F);
            event.join(other + i, other + i + 1, 0.7F);
            if (branches && i + 2 < n_chain) event.join(wanted + i, wanted + i + 2, 0.8F);
        }
        auto plan = TrackBuildingPlan::defaults(TrackMethod::walk);
        plan.min_length = n_chain + 1;
        Output out(event.n_nodes);
        Workspace workspace;
        workspace.reserve(rheinfall::track_building_workspace_size({event.n_nodes, event.source.size()}));
        EXPECT_EQ(build_tracks(plan, workspace, event.view(), out.buffers), Status::ok);
        std::vector<Track> expected = {{n_vain}, {n_vain + 1}};
        for (std::int64_t i = 0; i < n_chain; ++i) {
            expected[0].push_back(wanted + i);
            expected[1].push_back(other + i);
        }
        EXPECT_EQ(out.tracks(), expected);
    }
}

TEST(TrackWalks, ThreadsDoNotMatterAndNothingIsAllocated) {
    std::vector<std::size_t> sizes(6000);
    for (std::size_t i = 0; i < sizes.size(); ++i) sizes[i] = 3 + i % 13;
    sizes.push_back(200);
    const Event event = joined_components(sizes, 2);
    const auto plan = TrackBuildingPlan::defaults(TrackMethod::d_walk);
    const Built expected = build_on_cpu(plan, event, room_for(event));
    ASSERT_GT(expected.result.n_tracks, sizes.size() / 2);
    Workspace workspace;
    workspace.reserve(rheinfall::track_building_workspace_size({event.n_nodes, event.source.size()}));
    for (const std::size_t n_threads : {2U, 8U}) {
        rheinfall::StdThreads threads(n_threads);
        Built built(room_for(event));
        rheinfall::TracksBuffers buffers{built.offsets, built.hits, built.labels};
        built.result.status = build_tracks(plan, workspace, event.view(), buffers, threads.parallel_for());
        built.result.n_tracks = buffers.n_tracks;
        built.result.n_hits = buffers.n_hits;
        built.expect_equal(expected);
    }
    Built built(room_for(event));
    rheinfall::TracksBuffers buffers{built.offsets, built.hits, built.labels};
    const AllocationCounter allocations;
    build_tracks(plan, workspace, event.view(), buffers);
    EXPECT_EQ(allocations.count(), 0U);
}

}  // namespace
