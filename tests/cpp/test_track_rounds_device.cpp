// The rounds in which CUDA track building merges and walks, run on the host: against the CPU on graphs that are one
// component or nearly so, and what they leave to one thread.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "device_track_runs.hpp"

namespace {

using namespace device_track_runs;
using namespace track_events;

/// Edges of the components that one thread looks into, by the bodies on @p on; expects the tracks of the CPU.
template <class Executor>
std::size_t edges_left(Executor on, const TrackBuildingPlan& plan, const Event& event) {
    std::size_t n_edges = 0;
    const auto look = [&n_edges](const detail::DeviceTrackBuilder& t) {
        for (std::uint32_t c = 0; t.needs_rows() && c < t.component[t.n_nodes]; ++c) {
            if (t.must_look_into(c)) n_edges += detail::ComponentOfTracks(t, c).n_edges;
        }
    };
    build_and_look(on, plan, event, room_for(event), nullptr, nullptr, look)
        .expect_equal(build_on_cpu(plan, event, room_for(event)));
    return n_edges;
}

/// Many hits in one component; what is best hangs on ties, copies, and scores that a sum does not feel.
Event tangle(std::mt19937& random) {
    const auto below = [&random](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
    Event event{.n_nodes = 2 + below(below(10) == 0 ? 150 : 40)};
    const std::size_t n_layers = 2 + below(12);
    const std::size_t kind = below(3);
    const auto score = [&] {
        if (kind == 0) return static_cast<float>(1 + below(4)) / 4.0F;
        if (kind == 1 && below(3) == 0) return 1e-20F * static_cast<float>(1 + below(3));
        return static_cast<float>(1 + below(999)) / 1000.0F;
    };
    for (std::size_t v = 0; v < event.n_nodes; ++v) {
        const std::size_t layer = v * n_layers / event.n_nodes;
        event.x.push_back(static_cast<float>(layer + below(2)));
        event.y.push_back(0.0F);
        event.z.push_back(0.0F);
        event.module_id.push_back(std::uint64_t{layer} << 36U);
    }
    const std::size_t n_edges = event.n_nodes * (1 + below(4));
    const std::size_t reach = 1 + below(event.n_nodes);
    for (std::size_t e = 0; e < n_edges; ++e) {
        const std::size_t a = below(event.n_nodes - 1);
        const std::size_t b = std::min(a + 1 + below(reach), event.n_nodes - 1);
        event.join(static_cast<std::int64_t>(a), static_cast<std::int64_t>(b), score());
        if (below(16) == 0) event.join(static_cast<std::int64_t>(a), static_cast<std::int64_t>(b), score());
    }
    return event;
}

TEST(DeviceTrackRounds, TanglesHaveTheTracksOfTheCpu) {
    std::mt19937 random(5);
    std::size_t n_done = 0;
    std::size_t n_left = 0;
    for (unsigned i = 0; i < 1000; ++i) {
        Event event = tangle(random);
        for (const TrackMethod method : methods_with_hits) {
            auto plan = TrackBuildingPlan::defaults(method);
            plan.min_length = 1 + i % 4;
            plan.shared_layers = i % 3;
            if (i % 2 == 0) plan.score_cut = plan.walk_min = 0.0F;
            if (i % 5 == 0) plan.walk_add = 0.25F;
            if (i % 7 == 0) plan.walk_min = 0.7F;  // above walk_add
            SCOPED_TRACE(testing::Message() << "case " << i << ", method " << static_cast<int>(method));
            const std::size_t left = edges_left(HostExecutor(i), plan, event);
            ++(left == 0 ? n_done : n_left);
            if (testing::Test::HasFailure()) return;
        }
    }
    EXPECT_GT(n_done, 5000U);
    EXPECT_GT(n_left, 0U);
}

/// Tracks of ten hits, each hit joined to the next one of its track and to others by lower scores, so that nearly all
/// are one component.
Event crossing_tracks(std::size_t n_tracks) {
    std::mt19937 random(8);
    const auto below = [&random](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
    Event event{.n_nodes = 10 * n_tracks};
    for (std::size_t v = 0; v < event.n_nodes; ++v) {
        const std::size_t layer = v / n_tracks;
        event.x.push_back(static_cast<float>(layer + 1));
        event.y.push_back(0.0F);
        event.z.push_back(0.0F);
        event.module_id.push_back(std::uint64_t{layer} << 36U);
        if (layer == 9) continue;
        const auto from = static_cast<std::int64_t>(v);
        event.join(from, from + static_cast<std::int64_t>(n_tracks), static_cast<float>(500 + below(499)) / 1000.0F);
        const std::size_t other = (layer + 1) * n_tracks + below(n_tracks);
        event.join(from, static_cast<std::int64_t>(other), static_cast<float>(below(700)) / 1000.0F);
    }
    return event;
}

/// As real events are: all in rounds, whatever the order of threads.
TEST(DeviceTrackRounds, TracksAreLeftToNobody) {
    const Event event = crossing_tracks(300);
    for (const TrackMethod method : methods_with_hits) {
        SCOPED_TRACE(testing::Message() << "method " << static_cast<int>(method));
        const auto plan = TrackBuildingPlan::defaults(method);
        EXPECT_EQ(edges_left(HostExecutor(), plan, event), 0U);
        EXPECT_EQ(edges_left(HostExecutor(1), plan, event), 0U);
        EXPECT_EQ(edges_left(ThreadedExecutor(4), plan, event), 0U);
    }
}

/// A chain of hits on layers of their own, from last to first if @p backward.
Event chain(std::size_t n_hits, bool backward, float first_score, float step) {
    Event event{.n_nodes = n_hits};
    for (std::size_t v = 0; v < n_hits; ++v) {
        event.x.push_back(static_cast<float>(v));
        event.y.push_back(0.0F);
        event.z.push_back(0.0F);
        event.module_id.push_back(std::uint64_t{v} << 36U);
    }
    for (std::size_t v = 1; v < n_hits; ++v) {
        const auto a = static_cast<std::int64_t>(v) - 1;
        const float score = first_score + step * static_cast<float>(v);
        event.join(backward ? a + 1 : a, backward ? a : a + 1, score);
    }
    return event;
}

/// Two layers, the one hit of the first joined to all of the second: a search from it reaches all.
Event fan(std::size_t n_hits) {
    Event event{.n_nodes = n_hits};
    for (std::size_t v = 0; v < n_hits; ++v) {
        event.x.push_back(v == 0 ? 1.0F : 2.0F);
        event.y.push_back(0.0F);
        event.z.push_back(0.0F);
        event.module_id.push_back(v == 0 ? 0 : std::uint64_t{1} << 36U);
        if (v > 0) event.join(0, static_cast<std::int64_t>(v), 0.9F - 1e-3F * static_cast<float>(v % 7));
    }
    return event;
}

TEST(DeviceTrackRounds, ASearchReachesSoManyHits) {
    const std::size_t near = detail::SearchNodes::most_near;
    const std::size_t far = detail::SearchNodes::most_far;
    auto walk = TrackBuildingPlan::defaults(TrackMethod::walk);
    walk.min_length = 2;
    for (const std::size_t n : {near, near + 1, far}) {
        EXPECT_EQ(edges_left(HostExecutor(), walk, chain(n, false, 0.9F, 0.0F)), 0U);
        EXPECT_EQ(edges_left(HostExecutor(2), walk, fan(n)), 0U);
    }
    EXPECT_EQ(edges_left(HostExecutor(), walk, chain(far + 1, false, 0.9F, 0.0F)), far);
    EXPECT_EQ(edges_left(HostExecutor(2), walk, fan(far + 1)), far);
    const auto d_walk = TrackBuildingPlan::defaults(TrackMethod::d_walk);
    EXPECT_EQ(edges_left(HostExecutor(), d_walk, chain(near, false, 0.9F, 0.0F)), 0U);
    EXPECT_EQ(edges_left(HostExecutor(), d_walk, chain(near + 1, false, 0.9F, 0.0F)), near);
    // A chain as it stands needs no search.
    const auto cc_and_walk = TrackBuildingPlan::defaults(TrackMethod::cc_and_walk);
    EXPECT_EQ(edges_left(HostExecutor(), cc_and_walk, chain(far + 1, false, 0.9F, 0.0F)), 0U);
}

TEST(DeviceTrackRounds, FallingScoresAskForARoundEach) {
    const auto plan = TrackBuildingPlan::defaults(TrackMethod::layer_merge);
    const std::size_t most = detail::EventFlags::most_rounds;
    // The last round decides the last edge; with one edge more, the whole component is left.
    EXPECT_EQ(edges_left(HostExecutor(), plan, chain(most + 1, false, 0.9F, -0.01F)), 0U);
    EXPECT_EQ(edges_left(HostExecutor(), plan, chain(most + 2, false, 0.9F, -0.01F)), most + 1);
    // Other components do not wait with it.
    Event both = chain(most + 2, false, 0.9F, -0.01F);
    both.n_nodes += 2;
    for (auto* axis : {&both.x, &both.y, &both.z}) axis->resize(both.n_nodes, 1.0F);
    both.module_id.resize(both.n_nodes, std::uint64_t{999} << 36U);
    both.module_id.back() = std::uint64_t{998} << 36U;
    both.join(static_cast<std::int64_t>(both.n_nodes) - 2, static_cast<std::int64_t>(both.n_nodes) - 1, 0.9F);
    EXPECT_EQ(edges_left(HostExecutor(), plan, both), most + 1);
}

/// Starts that each lose their best hit to the start before, and take that of the start behind: none is certain before
/// the one before it is.
Event dominoes(std::size_t n_starts) {
    Event event{.n_nodes = 2 * n_starts};
    for (std::size_t v = 0; v < event.n_nodes; ++v) {
        event.x.push_back(v < n_starts ? 1.0F : 2.0F);
        event.y.push_back(0.0F);
        event.z.push_back(0.0F);
        event.module_id.push_back(std::uint64_t{v < n_starts ? 0U : 1U} << 36U);
    }
    for (std::size_t k = 0; k < n_starts; ++k) {
        const auto from = static_cast<std::int64_t>(k);
        const auto own = static_cast<std::int64_t>(n_starts + k);
        const float score = 0.95F - 1e-3F * static_cast<float>(k);
        if (k > 0) event.join(from, own - 1, score);
        event.join(from, own, k > 0 ? score - 5e-4F : 0.99F);
    }
    return event;
}

TEST(DeviceTrackRounds, DominoesAskForARoundEach) {
    for (const TrackMethod method : {TrackMethod::walk, TrackMethod::cc_and_walk, TrackMethod::d_walk}) {
        SCOPED_TRACE(testing::Message() << "method " << static_cast<int>(method));
        auto plan = TrackBuildingPlan::defaults(method);
        plan.min_length = 2;
        const std::size_t enough = detail::EventFlags::method_rounds(method);
        EXPECT_EQ(edges_left(HostExecutor(4), plan, dominoes(enough / 2)), 0U);
        EXPECT_EQ(edges_left(HostExecutor(4), plan, dominoes(4 * enough)), 8 * enough - 1);
    }
}

TEST(DeviceTrackRounds, AHundredThousandHitsInARow) {
    const Event falling = chain(100000, true, 0.9F, -4e-6F);
    for (const TrackMethod method : methods_with_hits) {
        SCOPED_TRACE(testing::Message() << "method " << static_cast<int>(method));
        const auto plan = TrackBuildingPlan::defaults(method);
        edges_left(HostExecutor(), plan, falling);
    }
}

TEST(DeviceTrackRounds, NoHitAndOneHit) {
    for (const TrackMethod method : methods_with_hits) {
        auto plan = TrackBuildingPlan::defaults(method);
        for (const std::size_t min_length : {1U, 3U}) {
            plan.min_length = min_length;
            edges_left(HostExecutor(), plan, chain(1, false, 0.9F, 0.0F));
            edges_left(HostExecutor(), plan, chain(2, false, 0.9F, 0.0F));
            if (method != TrackMethod::layer_merge) edges_left(HostExecutor(), plan, Event{});
            Event loop = chain(1, false, 0.9F, 0.0F);
            loop.join(0, 0, 0.9F);
            edges_left(HostExecutor(), plan, loop);
        }
    }
}

}  // namespace
