// Components, mutual best, junction removal and the selection of edges on many threads: union-find without locks, whose
// labels are those of one thread whatever the order in which a host runs the tasks.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <rheinfall/adapters/std_threads.hpp>
#include <string>
#include <thread>
#include <vector>

#include "allocation_counter.hpp"
#include "track_events.hpp"
#include "tracking/detail/concurrent_union_find.hpp"
#include "tracking/detail/edge_chunks.hpp"

namespace {

using namespace track_events;
using rheinfall::ParallelFor;
using rheinfall::Status;
using rheinfall::TrackBuildingPlan;
using rheinfall::detail::Index;

/// Hosts that run the tasks in their own order, on one thread.
struct Backwards {
    void operator()(std::size_t n, ParallelFor::Task task) const {
        for (std::size_t i = n; i-- > 0;) task(i);
    }
};
struct Interleaved {
    void operator()(std::size_t n, ParallelFor::Task task) const {
        for (const std::size_t odd : {1U, 0U}) {
            for (std::size_t i = odd; i < n; i += 2) task(i);
        }
    }
};

/// Smallest hit of each hit's component: labels sink along the edges until none changes.
std::vector<Index> slow_labels(std::size_t n_nodes, const std::vector<std::pair<Index, Index>>& edges) {
    std::vector<Index> label(n_nodes);
    std::iota(label.begin(), label.end(), 0U);
    for (bool changed = true; changed;) {
        changed = false;
        for (const auto& [a, b] : edges) {
            const Index least = std::min(label[a], label[b]);
            changed |= label[a] != least || label[b] != least;
            label[a] = label[b] = least;
        }
    }
    return label;
}

std::vector<std::pair<Index, Index>> shape_of(const std::string& shape, Index n_nodes, std::mt19937& random) {
    std::vector<std::pair<Index, Index>> edges;
    const auto any = [&] { return static_cast<Index>(random() % n_nodes); };
    if (shape == "star") {
        for (Index v = 0; v < n_nodes; ++v) edges.emplace_back(n_nodes / 2, v);
    } else if (shape == "chain" || shape == "falling chain") {
        for (Index v = 0; v + 1 < n_nodes; ++v) edges.emplace_back(v, v + 1);
        if (shape == "falling chain") std::ranges::reverse(edges);
    } else {
        const std::size_t n = shape == "giant" ? 3 * n_nodes : n_nodes / 2;
        for (std::size_t e = 0; e < n; ++e) edges.emplace_back(any(), any());
    }
    return edges;
}

TEST(TrackThreads, HitsUnitedAtOnceHaveTheSmallestHitAsRoot) {
    constexpr Index n_nodes = 4000;
    constexpr std::size_t n_threads = 8;
    for (const std::string shape : {"star", "chain", "falling chain", "giant", "sparse"}) {
        for (unsigned seed = 0; seed < 6; ++seed) {
            SCOPED_TRACE(shape + ", seed " + std::to_string(seed));
            std::mt19937 random(seed);
            auto edges = shape_of(shape, n_nodes, random);
            const auto expected = slow_labels(n_nodes, edges);
            if (seed > 0) std::ranges::shuffle(edges, random);
            std::vector<Index> parent(n_nodes);
            std::iota(parent.begin(), parent.end(), 0U);
            {
                std::vector<std::jthread> threads;
                for (std::size_t t = 0; t < n_threads; ++t) {
                    threads.emplace_back([&, t] {
                        for (std::size_t e = t; e < edges.size(); e += n_threads) {
                            rheinfall::detail::unite_concurrently(parent, edges[e].first, edges[e].second);
                        }
                    });
                }
            }
            for (Index v = 0; v < n_nodes; ++v) {
                ASSERT_LE(parent[v], v);
                parent[v] = parent[parent[v]];
            }
            ASSERT_EQ(parent, expected);
        }
    }
}

/// Enough edges for eight tasks, scores on a grid coarse enough for ties.
Event wide_event(std::size_t n_nodes, std::size_t n_edges, std::size_t reach, bool has_hits, unsigned seed) {
    std::mt19937 random(seed);
    Event event{.n_nodes = n_nodes};
    for (std::size_t e = 0; e < n_edges; ++e) {
        const std::size_t a = random() % n_nodes;
        const std::size_t b = std::min(n_nodes - 1, a + random() % reach);  // some loops, some twice
        event.join(static_cast<std::int64_t>(a), static_cast<std::int64_t>(b),
                   static_cast<float>(random() % 129) / 128.0F);
    }
    if (!has_hits) return event;
    for (std::size_t v = 0; v < n_nodes; ++v) {
        event.x.push_back(static_cast<float>(random() % 1000));
        event.module_id.push_back(std::uint64_t{v / 500} << 36U);
    }
    event.y.assign(n_nodes, 1.0F);
    event.z.assign(n_nodes, 0.0F);
    return event;
}

TEST(TrackThreads, EveryPieceHasItsFiniteEdgesAboveTheCut) {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    const std::vector<float> kinds = {
        0.5F, std::nextafter(0.5F, 1.0F), 0.9F, -0.0F, 0.0F, 1e-42F, -1.0F, infinity, -infinity, std::nanf("")};
    std::mt19937 random(3);
    for (std::size_t n_edges = 0; n_edges < 100; ++n_edges) {
        for (const float cut : {0.5F, -0.5F, 0.0F, -infinity}) {
            const auto method = n_edges % 2 == 0 ? TrackMethod::components : TrackMethod::d_walk;  // loops: out, in
            Event event{.n_nodes = 3};
            std::vector<std::array<float, 3>> expected;
            bool finite = true;
            for (std::size_t e = 0; e < n_edges; ++e) {
                const auto a = static_cast<std::int64_t>(random() % 3);
                const auto b = static_cast<std::int64_t>(random() % 3);
                const float score = kinds[random() % (n_edges % 3 == 0 ? 7 : kinds.size())];
                event.join(a, b, score);
                finite = finite && std::isfinite(score);
                if (std::isfinite(score) && score > cut && (a != b || method == TrackMethod::d_walk)) {
                    expected.push_back({static_cast<float>(a), static_cast<float>(b), score});
                }
            }
            for (const std::size_t n_chunks : {1U, 2U, 5U}) {
                std::vector<Index> source(n_edges), target(n_edges);
                std::vector<float> scores(n_edges);
                rheinfall::detail::TrackScratch s;
                s.edges = {source, target, scores, 0};
                auto plan = TrackBuildingPlan::defaults(method);
                plan.score_cut = cut;
                const auto view = event.view();
                rheinfall::detail::EdgeChunks chunks(plan, view, s, n_chunks);
                chunks.select_all({});
                chunks.join();
                std::vector<std::array<float, 3>> found;
                s.edges.for_each([&](Index a, Index b, float score) {
                    found.push_back({static_cast<float>(a), static_cast<float>(b), score});
                });
                ASSERT_EQ(found, expected) << n_edges << " edges, cut " << cut << ", " << n_chunks << " pieces";
                ASSERT_EQ(chunks.status(), finite ? Status::ok : Status::not_finite);
            }
        }
    }
}

struct Result {
    Status status;
    std::vector<Track> tracks;
    std::vector<std::int64_t> labels;
    bool operator==(const Result&) const = default;
};

Result build(const TrackBuildingPlan& plan, const Event& event, rheinfall::Workspace& workspace,
             const ParallelFor& parallel_for) {
    Output output(event.n_nodes);
    const Status status = build_tracks(plan, workspace, event.view(), output.buffers, parallel_for);
    return {status, output.tracks(), output.labels};
}

TEST(TrackThreads, NoHostChangesATrack) {
    for (unsigned seed = 0; seed < 5; ++seed) {
        const bool has_hits = seed % 2 == 0;
        // Sparse; one giant component; neighbours alone, so that sources and targets are shared by tasks.
        const std::size_t n_nodes = seed < 2 ? 300'000 : 20'000;
        Event event = wide_event(n_nodes, 264'000, seed < 3 ? n_nodes : 40, has_hits, seed);
        if (seed == 3) event.scores[77] = std::numeric_limits<float>::quiet_NaN();
        if (seed == 4) event.x[1000] = std::numeric_limits<float>::infinity();
        rheinfall::Workspace workspace;
        workspace.reserve(rheinfall::track_building_workspace_size({n_nodes, event.source.size()}));
        for (auto method : methods_with_hits) {
            if (method == TrackMethod::layer_merge && !has_hits) continue;
            if (method == TrackMethod::walk || method == TrackMethod::cc_and_walk) continue;  // slow if dense, serial
            SCOPED_TRACE(testing::Message() << "seed " << seed << ", method " << static_cast<int>(method));
            auto plan = TrackBuildingPlan::defaults(method);
            plan.score_cut = 0.75F;
            plan.break_cycles = true;
            plan.orient = seed == 2;
            const Result expected = build(plan, event, workspace, {});
            Backwards backwards;
            Interleaved interleaved;
            EXPECT_EQ(build(plan, event, workspace, ParallelFor(backwards, 8)), expected);
            EXPECT_EQ(build(plan, event, workspace, ParallelFor(interleaved, 3)), expected);
            for (const std::size_t n_threads : {2U, 8U}) {
                rheinfall::StdThreads threads(n_threads);
                EXPECT_EQ(build(plan, event, workspace, threads.parallel_for()), expected);
            }
            Backwards host;
            Output output(n_nodes);
            const AllocationCounter allocations;
            build_tracks(plan, workspace, event.view(), output.buffers, ParallelFor(host, 8));
            EXPECT_EQ(allocations.count(), 0U);
        }
    }
}

}  // namespace
