#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <rheinfall/adapters/std_threads.hpp>
#include <rheinfall/tracking/edge_features.hpp>
#include <rheinfall/tracking/graph_construction.hpp>
#include <tuple>
#include <utility>
#include <vector>

#include "allocation_counter.hpp"
#include "graph_events.hpp"
#include "tracking/graph_construction_plain.hpp"
#include "tracking/graph_construction_work.hpp"

namespace {

using namespace graph_events;
using rheinfall::Bend;
using rheinfall::DoubletLimits;
using rheinfall::GraphLimits;
using rheinfall::GraphResult;
using rheinfall::Interval;
using rheinfall::ModuleMap;
using rheinfall::ParallelFor;
using rheinfall::Status;
using Edges = std::vector<std::pair<std::int64_t, std::int64_t>>;

/// Buffers of one size, and what a run leaves in them.
struct Attempt {
    GraphResult result;
    std::vector<std::int64_t> source, target;

    Attempt(const ModuleMap& map, const Event& event, std::size_t n_doublets, std::size_t n_edges,
            const ParallelFor& parallel_for = {})
        : source(n_edges, -7), target(n_edges, -7) {
        const GraphLimits limits{event.size(), n_doublets};
        rheinfall::Workspace workspace;
        workspace.reserve(rheinfall::graph_workspace_size(map, limits, parallel_for.n_threads()));
        result = rheinfall::build_graph(map, event.view(), limits, {source, target}, workspace, parallel_for);
    }

    [[nodiscard]] Edges edges() const {
        Edges list;
        for (std::size_t e = 0; e < result.n_edges; ++e) list.emplace_back(source[e], target[e]);
        return list;
    }
    [[nodiscard]] bool untouched() const {
        return std::ranges::all_of(source, [](auto i) { return i == -7; }) &&
               std::ranges::all_of(target, [](auto i) { return i == -7; });
    }
};

TEST(GraphConstruction, TagsBothEdgesOfTripletsThatPass) {
    Event event;
    event.add(2, 60, 0, 0);
    event.add(9, 1, 2, 3);
    event.add(1, 30, 0, 0);
    event.add(3, 90, 0, 0);
    event.add(4, 120, 90, 0);  // turns by far more than 0.1 after module 3, and the map's next triplet needs a hit on 5
    const Attempt run(chain_map(), event, 100, 100);
    EXPECT_EQ(run.result.status, Status::unknown_modules);
    EXPECT_EQ(run.result.n_unknown_modules, 1U);
    EXPECT_EQ(run.result.n_doublets, 3U);
    EXPECT_EQ(run.edges(), (Edges{{0, 3}, {2, 0}}));
}

TEST(GraphConstruction, EmptyEventsAndEventsWithoutEdges) {
    EXPECT_EQ(Attempt(chain_map(), Event{}, 0, 0).result.status, Status::empty);
    Event lonely;
    lonely.add(1, 30, 0, 0);
    EXPECT_EQ(Attempt(chain_map(), lonely, 0, 0).result.status, Status::empty);
    EXPECT_EQ(Attempt(ModuleMap(), lonely, 0, 0).result.status, Status::unknown_modules);
    lonely.add(2, std::numeric_limits<float>::quiet_NaN(), 0, 0);
    const Attempt bad(chain_map(), lonely, 10, 10);
    EXPECT_EQ(bad.result.status, Status::not_finite);
    EXPECT_EQ(bad.result.n_not_finite, 1U);
    EXPECT_EQ(bad.result.n_edges, 0U);
}

TEST(GraphConstruction, ExactCapacityFitsAndOneLessSaysWhatIsNeeded) {
    const ModuleMap map = chain_map();
    const Event event = random_event(200, 1);
    const Attempt roomy(map, event, 100000, 100000);
    ASSERT_GT(roomy.result.n_edges, 100U);
    const std::size_t n_doublets = roomy.result.n_doublets;
    const std::size_t n_edges = roomy.result.n_edges;

    const Attempt exact(map, event, n_doublets, n_edges);
    EXPECT_EQ(exact.result.status, Status::unknown_modules);
    EXPECT_EQ(exact.edges(), roomy.edges());

    for (const std::size_t n_tasks : {2U, 3U, 8U, 100U}) {
        auto backwards = [](std::size_t n, ParallelFor::Task task) {
            for (std::size_t t = n; t-- > 0;) task(t);
        };
        const ParallelFor tasks(backwards, n_tasks);
        EXPECT_EQ(Attempt(map, event, n_doublets, n_edges, tasks).edges(), roomy.edges()) << n_tasks;
        const Attempt few(map, event, n_doublets - 1, n_edges, tasks);
        EXPECT_EQ(few.result.status, Status::capacity_exceeded);
        EXPECT_EQ(few.result.n_doublets, n_doublets);
    }

    const Attempt few_doublets(map, event, n_doublets - 1, n_edges);
    EXPECT_EQ(few_doublets.result.status, Status::capacity_exceeded);
    EXPECT_EQ(few_doublets.result.n_doublets, n_doublets);
    EXPECT_EQ(few_doublets.result.n_edges, 0U);
    EXPECT_TRUE(few_doublets.untouched());

    const Attempt few_edges(map, event, n_doublets, n_edges - 1);
    EXPECT_EQ(few_edges.result.status, Status::capacity_exceeded);
    EXPECT_EQ(few_edges.result.n_edges, n_edges);
    EXPECT_TRUE(few_edges.untouched());
}

TEST(GraphConstruction, ACapacityOfHitsOrWorkspaceTooSmall) {
    const ModuleMap map = chain_map();
    const Event event = random_event(50, 2);
    std::vector<std::int64_t> source(1000), target(1000);
    rheinfall::Workspace workspace;
    workspace.reserve(rheinfall::graph_workspace_size(map, {49, 1000}));
    GraphResult result = rheinfall::build_graph(map, event.view(), {49, 1000}, {source, target}, workspace);
    EXPECT_EQ(result.status, Status::capacity_exceeded);
    result = rheinfall::build_graph(map, event.view(), {50, 100000}, {source, target}, workspace);
    EXPECT_EQ(result.status, Status::capacity_exceeded);
}

TEST(GraphConstruction, ThreadsDoNotMatter) {
    const ModuleMap map = chain_map();
    const Event event = random_event(500, 3);
    const Attempt serial(map, event, 1000000, 1000000);
    for (const std::size_t n : {1U, 2U, 3U, 8U}) {
        rheinfall::StdThreads threads(n);
        const Attempt run(map, event, 1000000, 1000000, threads.parallel_for());
        EXPECT_EQ(run.edges(), serial.edges()) << n;
        EXPECT_EQ(run.result.status, serial.result.status);
        EXPECT_EQ(run.result.n_doublets, serial.result.n_doublets);
    }
}

/// Growing the room to what each answer says comes to an end, however unevenly the doublets fall on the tasks.
TEST(GraphConstruction, GrowingToTheCountsNeededEnds) {
    const ModuleMap map = chain_map();
    for (unsigned seed = 0; seed < 20; ++seed) {
        Event event = random_event(30 + 10 * seed, seed);
        for (std::size_t n : {1U, 2U, 7U}) {
            auto in_order = [](std::size_t n_tasks, ParallelFor::Task task) {
                for (std::size_t t = 0; t < n_tasks; ++t) task(t);
            };
            const ParallelFor tasks(in_order, n);
            std::size_t n_doublets = seed % 5;
            std::size_t n_edges = 0;
            int n_tries = 0;
            for (; n_tries < 10; ++n_tries) {
                const Attempt run(map, event, n_doublets, n_edges, tasks);
                if (run.result.status != Status::capacity_exceeded) break;
                EXPECT_TRUE(run.result.n_doublets > n_doublets || run.result.n_edges > n_edges);
                n_doublets = std::max(n_doublets, run.result.n_doublets);
                n_edges = std::max(n_edges, run.result.n_edges);
            }
            EXPECT_LE(n_tries, 2) << "one answer for the doublets, one for the edges";
        }
    }
}

TEST(GraphConstruction, NothingAllocatesAfterReserve) {
    const ModuleMap map = chain_map();
    const Event event = random_event(400, 4);
    const GraphLimits limits{event.size(), 200000};
    const std::size_t most = 200000;
    std::vector<std::int64_t> source(most), target(most);
    rheinfall::Workspace workspace, chi2_workspace;
    workspace.reserve(rheinfall::graph_workspace_size(map, limits));
    chi2_workspace.reserve(rheinfall::triplet_chi2_workspace_size(event.size(), most));
    ASSERT_LE(rheinfall::edge_features_workspace_size(event.size()), chi2_workspace.capacity());
    std::vector<float> chi2(4 * most), nodes(rheinfall::n_node_features * event.size()),
        edges(rheinfall::n_edge_features * most);
    rheinfall::TripletModel model{};
    model.resolution_by_volume.fill({0.05F, 0.1F, 0.1F});
    model.field = 2.0F;
    model.layer_x0 = 0.03F;
    model.min_chi2_pt = 10.0F;

    const AllocationCounter allocations;
    const GraphResult result = rheinfall::build_graph(map, event.view(), limits, {source, target}, workspace);
    const rheinfall::EdgesView view{{source.data(), result.n_edges}, {target.data(), result.n_edges}};
    const auto row = [&](std::size_t i) { return std::span(chi2).subspan(i * result.n_edges, result.n_edges); };
    const rheinfall::ContinuationChi2 continuation{row(0), row(1), row(2), row(3)};
    const Status status = rheinfall::triplet_chi2(event.view(), view, model, continuation, chi2_workspace);
    rheinfall::node_features(event.view(), nodes);
    const std::span<float> rows(edges.data(), rheinfall::n_edge_features * result.n_edges);
    EXPECT_EQ(rheinfall::edge_features(event.view(), view, continuation, rows, chi2_workspace), Status::ok);
    EXPECT_EQ(allocations.count(), 0U);
    EXPECT_GT(result.n_edges, 1000U);
    EXPECT_EQ(status, Status::ok);
    EXPECT_TRUE(std::ranges::all_of(edges, [](float v) { return std::isfinite(v); }));
}

TEST(TripletChi2, SaysSoWhenTheWorkspaceIsTooSmall) {
    Event event;
    event.add(1, 30, 0, 0);
    event.add(2, 60, 0, 0);
    const std::vector<std::int64_t> source{0}, target{1};
    std::vector<float> chi2(4);
    rheinfall::Workspace workspace;
    const std::span<float> all(chi2);
    const rheinfall::ContinuationChi2 out{all.subspan(0, 1), all.subspan(1, 1), all.subspan(2, 1), all.subspan(3, 1)};
    EXPECT_EQ(rheinfall::triplet_chi2(event.view(), {source, target}, {}, out, workspace), Status::capacity_exceeded);
    EXPECT_EQ(rheinfall::triplet_chi2(event.view(), {}, {}, {}, workspace), Status::empty);
}

/// Every version that this processor has.
std::vector<const rheinfall::detail::GraphSteps*> versions() {
    namespace detail = rheinfall::detail;
    std::vector<const detail::GraphSteps*> all{&detail::graph_steps_portable(), &detail::graph_steps()};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")) all.push_back(&detail::graph_steps_avx2());
#endif
    return all;
}

/// Number of candidates, sources and targets of @p build, which is called with an edge buffer and a workspace of
/// @p bytes.
template <class Build>
auto edges_by(Build&& build, std::size_t bytes) {
    std::vector<std::int64_t> source(400000), target(400000);
    rheinfall::Workspace workspace;
    workspace.reserve(bytes);
    const GraphResult result = build(rheinfall::EdgesBuffer{source, target}, workspace);
    EXPECT_NE(result.status, Status::capacity_exceeded);
    source.resize(result.n_edges);
    target.resize(result.n_edges);
    return std::tuple(result.n_doublets, source, target);
}

/// Expects the edges of the plain version from every other one; gives their number.
std::size_t expect_the_plain_edges(const ModuleMap& map, const Event& event) {
    namespace detail = rheinfall::detail;
    GraphLimits limits{event.size(), 400000};
    const auto expected = edges_by(
        [&](auto edges, auto& workspace) {
            return detail::build_graph_plain(map, event.view(), limits, edges, workspace);
        },
        detail::graph_workspace_size_plain(map, limits));
    // The last task first: what one writes beyond its room stays.
    auto backwards = [](std::size_t n, ParallelFor::Task task) {
        for (std::size_t t = n; t-- > 0;) task(t);
    };
    for (const std::size_t n_tasks : {1U, 2U, 5U, 64U}) {
        const ParallelFor tasks(backwards, n_tasks);
        for (const detail::GraphSteps* steps : versions()) {
            EXPECT_EQ(edges_by(
                          [&](auto edges, auto& workspace) {
                              return detail::build_graph_by(*steps, map, event.view(), limits, edges, workspace, tasks);
                          },
                          rheinfall::graph_workspace_size(map, limits, n_tasks)),
                      expected)
                << n_tasks << " tasks";
        }
        limits.n_doublets = std::get<0>(expected);  // no room between the tasks
    }
    return std::get<1>(expected).size();
}

TEST(GraphConstruction, EveryVersionFindsTheEdgesOfThePlainOne) {
    struct Case {
        std::uint64_t n_modules, reach;
        std::size_t n_hits;
    };
    // From a hit or two a module to hundreds; few doublets, more than 32, 64, 128 and 256 on one module.
    for (const auto& [n_modules, reach, n_hits] :
         {Case{30, 3, 300}, {8, 3, 900}, {60, 40, 300}, {90, 80, 250}, {160, 150, 200}}) {
        for (unsigned seed = 0; seed < 4; ++seed) {
            SCOPED_TRACE(testing::Message() << n_modules << " modules, seed " << seed);
            const std::size_t n_edges =
                expect_the_plain_edges(random_map(n_modules, reach, seed), event_around(n_hits, n_modules, seed));
            EXPECT_GT(n_edges, 10U);
        }
    }
}

/// Rooms of fewer candidates than a vector holds, side by side.
TEST(GraphConstruction, TasksOfAFewCandidates) {
    const ModuleMap chains = ModuleMap::from_triplets(
        {{{1, 2, 3}, 1, {any_pair, any_pair, any, any}}, {{4, 5, 6}, 1, {any_pair, any_pair, any, any}}}, Bend::angle);
    for (int n_tracks = 1; n_tracks <= 6; ++n_tracks) {
        SCOPED_TRACE(n_tracks);
        Event event;
        for (std::uint64_t module = 1; module <= 6; ++module) {
            for (int i = 0; i < n_tracks; ++i)
                event.add(module, 30.0F * static_cast<float>(module), 0, 0.1F * static_cast<float>(i));
        }
        EXPECT_EQ(expect_the_plain_edges(chains, event), static_cast<std::size_t>(4 * n_tracks * n_tracks));
    }
}

TEST(GraphConstruction, RowsBehindTheRoomEndBehindIt) {
    rheinfall::detail::CandidateRoom room{10, 20, 0};
    std::vector<std::uint32_t> next;
    for (const std::uint64_t n : {0ULL, 9ULL, 10ULL, 11ULL, 500ULL, (1ULL << 32) - 10, (1ULL << 32) + 5, 1ULL << 40}) {
        room.n = n;
        next.push_back(room.next());
    }
    EXPECT_EQ(next, (std::vector<std::uint32_t>{10, 19, 20, 21, 21, 21, 21, 21}));
}

/// As many hits behind a middle hit as its blocks of codes hold, and one more or less; hits by rising module, and not.
TEST(GraphConstruction, RowsOfAFewBlocks) {
    const ModuleMap map = ModuleMap::from_triplets(
        {{{1, 2, 3}, 1, {any_pair, any_pair, any, {-0.01F, 0.01F}}}, {{2, 3, 4}, 1, {any_pair, any_pair, any, any}}},
        Bend::angle);
    for (const int n_outer : {1, 28, 29, 30, 31, 32, 33, 60, 61, 62, 93, 94, 200}) {
        for (const bool rising : {true, false}) {
            SCOPED_TRACE(testing::Message() << n_outer << (rising ? " rising" : " falling"));
            Event event;
            const auto height = [](int i) { return 0.05F * static_cast<float>(i); };
            for (int k = 1; k <= 4; ++k) {
                const int module = rising ? k : 5 - k;
                const int n = module == 3 ? n_outer : 3;
                for (int i = 0; i < n; ++i)
                    event.add(static_cast<std::uint64_t>(module), 30.0F * static_cast<float>(module), height(i), 0);
            }
            EXPECT_GT(expect_the_plain_edges(map, event), static_cast<std::size_t>(3 * n_outer));
        }
    }
}

/// Segments of no length, of one too small or too large for products of two, and others, in each combination.
TEST(GraphConstruction, SegmentsWithoutAHeading) {
    std::mt19937 random(5);
    for (const float size : {0.0F, 1e-25F, 1e-12F, 1.0F, 1e17F}) {
        SCOPED_TRACE(size);
        Event event;
        for (int i = 0; i < 120; ++i) {
            const auto step = [&] { return size * static_cast<float>(static_cast<int>(random() % 3) - 1); };
            const auto module = 1 + random() % 3;
            const float r = size == 1.0F ? 30.0F * static_cast<float>(module) : 0.0F;
            event.add(module, r + step(), step(), 1e-6F * static_cast<float>(random() % 5));
        }
        for (const Bend bend : {Bend::angle, Bend::slope_difference}) {
            const ModuleMap map =
                ModuleMap::from_triplets({{{1, 2, 3}, 1, {any_pair, any_pair, {-2.0F, 1.0F}, {-0.1F, 0.2F}}}}, bend);
            EXPECT_GT(expect_the_plain_edges(map, event), 10U);
        }
    }
}

/// More than are listed together: hits on the neighbours of one module, doublets of one module, candidates of one hit.
TEST(GraphConstruction, MoreThanAnyListHolds) {
    const DoubletLimits near{any, {-0.02F, 0.02F}, any, {-2.0F, 2.0F}};
    const ModuleMap crowded = ModuleMap::from_triplets({{{1, 2, 3}, 1, {near, near, any, {-0.3F, 0.3F}}}}, Bend::angle);
    std::mt19937 random(1);
    std::uniform_real_distribution<float> turn(-3.14159265F, 3.14159265F);
    Event event;
    for (std::size_t i = 0; i < 6000; ++i) {
        const std::uint64_t module = i < 10 ? 1 : i < 5500 ? 2 : 3;
        const float phi = turn(random);
        const float r = 30.0F * static_cast<float>(module);
        event.add(module, r * std::cos(phi), r * std::sin(phi), 10.0F * turn(random));
    }
    EXPECT_GT(expect_the_plain_edges(crowded, event), 100U);

    std::vector<ModuleMap::Triplet> fan;  // 300 doublets leave module 0, and 300 hits stand where they end
    Event fanned;
    fanned.add(0, 30, 0, 0);
    for (std::uint64_t m = 1; m <= 300; ++m) {
        fan.push_back({{0, m, 1000}, 1, {any_pair, any_pair, {-0.01F, 0.01F}, any}});
        fanned.add(m, 60, 0, 0.1F * static_cast<float>(m));
    }
    fanned.add(1000, 90, 0, 20);
    EXPECT_GT(expect_the_plain_edges(ModuleMap::from_triplets(std::move(fan), Bend::angle), fanned), 1U);

    Event burst;  // 1000 candidates leave one hit, which meets each hit of module 1
    for (int i = 0; i < 20; ++i) burst.add(1, 30, 0, static_cast<float>(i));
    burst.add(2, 60, 0, 0);
    for (int i = 0; i < 1000; ++i) burst.add(3, 90, 0, static_cast<float>(i % 100) - 50);
    const ModuleMap line =
        ModuleMap::from_triplets({{{1, 2, 3}, 1, {any_pair, any_pair, {-0.2F, 0.2F}, any}}}, Bend::slope_difference);
    EXPECT_GT(expect_the_plain_edges(line, burst), 100U);
}

}  // namespace
