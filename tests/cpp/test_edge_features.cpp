// Every version of the edge features against their plain definition, bit for bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <rheinfall/adapters/std_threads.hpp>
#include <rheinfall/tracking/edge_features.hpp>
#include <rheinfall/tracking/track_finder.hpp>
#include <string>
#include <vector>

#include "allocation_counter.hpp"
#include "tracking/edge_features_plain.hpp"
#include "tracking/edge_features_work.hpp"

namespace {

namespace detail = rheinfall::detail;
using rheinfall::ContinuationChi2;
using rheinfall::EdgesView;
using rheinfall::ParallelFor;
using rheinfall::PruneResult;
using rheinfall::Status;
using rheinfall::TripletModel;

struct Version {
    std::string name;
    const detail::EdgeSteps* steps;
};

std::vector<Version> versions() {
    std::vector<Version> all{{"portable", &detail::edge_steps_portable()}, {"fastest", &detail::edge_steps()}};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")) {
        all.push_back({"avx2", &detail::edge_steps_avx2()});
    }
#endif
    return all;
}

struct Graph {
    std::vector<float> x, y, z;
    std::vector<std::uint64_t> module_id;
    std::vector<std::int64_t> source, target;
    TripletModel model = rheinfall::default_triplet_model();

    [[nodiscard]] rheinfall::HitsView hits() const { return {x, y, z, module_id}; }
    [[nodiscard]] EdgesView edges() const { return {source, target}; }

    /// Tracks of the layers of a toy detector, joined with their neighbours too, so that some continue well and most do
    /// not; hits on the beam line, equal ones, and what @p odd adds: not a number, infinite, far out.
    static Graph random(unsigned seed, std::size_t n_hits, std::size_t n_edges, bool odd = false) {
        std::mt19937 engine(seed);
        std::uniform_real_distribution<float> uniform(0.0F, 1.0F);
        Graph g;
        for (std::size_t i = 0; i < n_hits; ++i) {
            const float r = 30.0F * static_cast<float>(1 + i % 8);
            const float phi = 0.3F * static_cast<float>(i / 8) + 1e-3F * r * uniform(engine);
            g.x.push_back(r * std::cos(phi));
            g.y.push_back(r * std::sin(phi));
            g.z.push_back(r * (static_cast<float>(i / 8 % 7) - 3.0F) + uniform(engine));
            g.module_id.push_back((std::uint64_t{engine() % 256} << 56) + i % 8);
        }
        const auto pick = [&] { return static_cast<std::size_t>(engine() % n_hits); };
        for (std::size_t i = 0; n_hits > 0 && i < n_hits / 16; ++i) g.x[pick()] = g.y[pick()] = 0;
        const float bad[] = {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 1e30F};
        for (std::size_t i = 0; odd && i < n_hits / 8; ++i) {
            for (auto* v : {&g.x, &g.y, &g.z}) (*v)[pick()] = bad[engine() % 3];
        }
        std::vector<std::pair<std::int64_t, std::int64_t>> pairs;
        for (std::size_t i = 0; n_hits > 0 && i < n_edges; ++i) {
            const std::size_t a = pick();
            const std::size_t b = engine() % 3 == 0 ? pick() : std::min(n_hits - 1, a + 1 + engine() % 9);
            pairs.emplace_back(a, b);
        }
        std::ranges::sort(pairs);
        for (const auto& [a, b] : pairs) {
            g.source.push_back(a);
            g.target.push_back(b);
        }
        return g;
    }
};

/// One row of values for each of the four.
struct Rows {
    std::vector<float> values;
    std::size_t n;

    explicit Rows(std::size_t length) : values(4 * length, -1.0F), n(length) {}
    [[nodiscard]] ContinuationChi2 view() {
        const std::span<float> all(values);
        return {all.subspan(0, n), all.subspan(n, n), all.subspan(2 * n, n), all.subspan(3 * n, n)};
    }
    /// The first @p count of each row.
    [[nodiscard]] std::vector<float> front(std::size_t count) const {
        std::vector<float> all;
        for (std::size_t row = 0; row < 4; ++row) {
            const auto first = values.begin() + static_cast<std::ptrdiff_t>(row * n);
            all.insert(all.end(), first, first + static_cast<std::ptrdiff_t>(count));
        }
        return all;
    }
};

/// Of what is not a number any bits are.
void expect_same_bits(const std::vector<float>& found, const std::vector<float>& expected, const std::string& what) {
    ASSERT_EQ(found.size(), expected.size()) << what;
    for (std::size_t i = 0; i < found.size(); ++i) {
        if (std::isnan(found[i]) && std::isnan(expected[i])) continue;
        ASSERT_EQ(std::bit_cast<std::uint32_t>(found[i]), std::bit_cast<std::uint32_t>(expected[i]))
            << what << ", value " << i << ": " << found[i] << ", expected " << expected[i];
    }
}

/// A workspace for every function of a graph.
struct Room {
    rheinfall::Workspace workspace;

    explicit Room(const Graph& g) {
        const std::size_t n = g.x.size();
        workspace.reserve(std::max({rheinfall::prune_edges_workspace_size(n, g.source.size()),
                                    rheinfall::edge_features_workspace_size(n),
                                    detail::triplet_chi2_workspace_size_plain(n, g.source.size())}));
    }
};

void expect_plain_features(const Graph& g, const Version& v, const ParallelFor& threads) {
    Room room(g);
    const std::size_t n = g.source.size();
    Rows expected(n);
    Rows found(n);
    const Status status = detail::triplet_chi2_plain(g.hits(), g.edges(), g.model, expected.view(), room.workspace);
    const std::string what = v.name + " on " + std::to_string(threads.n_threads()) + " threads";
    EXPECT_EQ(detail::triplet_chi2_by(*v.steps, g.hits(), g.edges(), g.model, found.view(), room.workspace, threads),
              status);
    expect_same_bits(found.values, expected.values, "chi2, " + what);

    std::vector<float> nodes(4 * g.x.size()), plain_nodes(nodes.size());
    detail::node_features_plain(g.hits(), plain_nodes);
    detail::node_features_by(*v.steps, g.hits(), nodes, threads);
    expect_same_bits(nodes, plain_nodes, "nodes, " + what);

    std::vector<float> rows(10 * n, -1.0F), plain_rows(10 * n, -1.0F);
    detail::edge_features_plain(g.hits(), g.edges(), expected.view(), plain_rows);
    detail::edge_features_by(*v.steps, g.hits(), g.edges(), expected.view(), rows, room.workspace, threads);
    expect_same_bits(rows, plain_rows, "edges, " + what);
}

PruneResult expect_plain_pruning(const Graph& g, const Version& v, const ParallelFor& threads, float chi2_max) {
    Room room(g);
    Graph expected = g;
    Graph found = g;
    Rows expected_chi2(g.source.size());
    Rows found_chi2(g.source.size());
    const PruneResult plain = detail::prune_edges_plain(g.hits(), {expected.source, expected.target}, g.model, chi2_max,
                                                        expected_chi2.view(), room.workspace);
    const PruneResult result = detail::prune_edges_by(*v.steps, g.hits(), {found.source, found.target}, g.model,
                                                      {chi2_max}, found_chi2.view(), room.workspace, threads);
    const std::string what = "pruned by " + v.name + " on " + std::to_string(threads.n_threads()) + " threads";
    EXPECT_EQ(result.status, plain.status) << what;
    EXPECT_EQ(result.n_edges, plain.n_edges) << what;
    for (std::size_t e = 0; e < std::min(result.n_edges, plain.n_edges); ++e) {
        EXPECT_EQ(found.source[e], expected.source[e]) << what << ", edge " << e;
        EXPECT_EQ(found.target[e], expected.target[e]) << what << ", edge " << e;
    }
    expect_same_bits(found_chi2.front(result.n_edges), expected_chi2.front(plain.n_edges), what);
    return result;
}

TEST(EdgeFeatures, EveryVersionHasThePlainBits) {
    rheinfall::StdThreads two(2);
    rheinfall::StdThreads eight(8);
    for (unsigned seed = 0; seed < 40; ++seed) {
        const Graph g = Graph::random(seed, 1 + seed * 7, seed * 23, seed % 2 == 1);
        for (const Version& v : versions()) {
            for (const ParallelFor& threads : {ParallelFor(), two.parallel_for(), eight.parallel_for()}) {
                expect_plain_features(g, v, threads);
                for (const float chi2_max : {0.5F, 25.0F, 9999.0F, 10000.0F, 10001.0F}) {
                    expect_plain_pruning(g, v, threads, chi2_max);
                }
            }
        }
    }
}

TEST(EdgeFeatures, PruningLeavesAndDropsSome) {
    const Graph g = Graph::random(3, 400, 1500);
    const PruneResult result = expect_plain_pruning(g, versions().front(), {}, 25.0F);
    EXPECT_GT(result.n_edges, 100U);
    EXPECT_LT(result.n_edges, 1400U);
    for (const float none : {0.0F, -1.0F, std::numeric_limits<float>::quiet_NaN()}) {
        const PruneResult empty = expect_plain_pruning(g, versions().front(), {}, none);
        EXPECT_EQ(empty.n_edges, 0U);
        EXPECT_EQ(empty.status, Status::empty);
    }
}

struct Pruned {
    PruneResult result;
    std::vector<std::int64_t> source, target;
    std::vector<float> chi2;

    Pruned(const Graph& g, const detail::EdgeSteps& steps, const rheinfall::PruneCuts& cuts,
           const ParallelFor& threads = {}) {
        Graph edges = g;
        Rows rows(g.source.size());
        rheinfall::Workspace workspace;
        workspace.reserve(rheinfall::prune_edges_workspace_size(g.x.size(), g.source.size(), cuts.n_triplets));
        result = detail::prune_edges_by(steps, g.hits(), {edges.source, edges.target}, g.model, cuts, rows.view(),
                                        workspace, threads);
        source.assign(edges.source.begin(), edges.source.begin() + static_cast<std::ptrdiff_t>(result.n_edges));
        target.assign(edges.target.begin(), edges.target.begin() + static_cast<std::ptrdiff_t>(result.n_edges));
        chi2 = rows.front(result.n_edges);
    }
};

/// Exactly enough room is enough, one less says what is needed and leaves the edges. The NumPy reference is compared
/// with in tests/python/test_edge_features.py.
void expect_same_pruning(const Graph& g, const Version& v, const ParallelFor& threads, const Pruned& expected,
                         float quadruplet_chi2_max) {
    const std::string what = v.name + " on " + std::to_string(threads.n_threads()) + " threads";
    const std::size_t n = expected.result.n_triplets;
    const Pruned pruned(g, *v.steps, {1.0F, quadruplet_chi2_max, n}, threads);
    EXPECT_EQ(pruned.result.status, expected.result.status) << what;
    EXPECT_EQ(pruned.result.n_triplets, n) << what;
    EXPECT_EQ(pruned.source, expected.source) << what;
    EXPECT_EQ(pruned.target, expected.target) << what;
    expect_same_bits(pruned.chi2, expected.chi2, what);
    if (n == 0) return;
    const Pruned refused(g, *v.steps, {1.0F, quadruplet_chi2_max, n - 1}, threads);
    EXPECT_EQ(refused.result.status, Status::capacity_exceeded) << what;
    EXPECT_EQ(refused.result.n_triplets, n) << what;
    EXPECT_EQ(refused.source, g.source) << what;
    EXPECT_EQ(refused.target, g.target) << what;
}

TEST(EdgeFeatures, QuadrupletsKeepTheSameEdgesInEveryVersion) {
    rheinfall::StdThreads two(2);
    rheinfall::StdThreads eight(8);
    std::size_t n_saved = 0;
    for (unsigned seed = 0; seed < 40; seed += 3) {
        const Graph g = Graph::random(seed, 1 + seed * 7, seed * 40, seed % 2 == 1);
        const Pruned beam_line(g, detail::edge_steps(), {1.0F});
        for (const float chi2_max : {4.0F, 1000.0F}) {
            const Pruned expected(g, detail::edge_steps_portable(), {1.0F, chi2_max, 100000});
            n_saved += expected.result.n_edges - beam_line.result.n_edges;
            for (const Version& v : versions()) {
                for (const ParallelFor& threads : {ParallelFor(), two.parallel_for(), eight.parallel_for()}) {
                    expect_same_pruning(g, v, threads, expected, chi2_max);
                }
            }
        }
    }
    EXPECT_GT(n_saved, 300U);
}

/// More edges leave a hit, or enter one, than a batch of pairs holds.
TEST(EdgeFeatures, AHitWithThousandsOfEdges) {
    constexpr std::int64_t n = 2600;
    Graph g = Graph::random(5, n, 0);
    for (std::int64_t a = 1; a < 4; ++a) {  // 1, 2, 3 -> 0
        g.source.push_back(a);
        g.target.push_back(0);
    }
    std::vector<std::pair<std::int64_t, std::int64_t>> edges{{1, 0}, {2, 0}, {3, 0}};
    for (std::int64_t b = 4; b < n; ++b) {
        edges.emplace_back(0, b);
        if (b > 1300) edges.emplace_back(b, 4);
    }
    edges.emplace_back(4, 5);
    std::ranges::sort(edges);
    g.source.clear();
    g.target.clear();
    for (const auto& [a, b] : edges) {
        g.source.push_back(a);
        g.target.push_back(b);
    }
    rheinfall::StdThreads two(2);
    for (const Version& v : versions()) {
        expect_plain_features(g, v, {});
        expect_plain_features(g, v, two.parallel_for());
        expect_plain_pruning(g, v, {}, 25.0F);
        expect_same_pruning(g, v, {}, Pruned(g, detail::edge_steps_portable(), {1.0F, 1e6F, 100000}), 1e6F);
    }
}

TEST(EdgeFeatures, NothingAllocatesAndTooSmallAWorkspaceSaysSo) {
    const Graph g = Graph::random(7, 300, 900);
    Graph pruned = g;
    Rows chi2(g.source.size());
    std::vector<float> rows(rheinfall::n_edge_features * g.source.size());
    Room room(g);
    room.workspace.reserve(rheinfall::prune_edges_workspace_size(g.x.size(), g.source.size(), 4000));
    const AllocationCounter allocations;
    const PruneResult result = rheinfall::prune_edges(g.hits(), {pruned.source, pruned.target}, g.model,
                                                      {25.0F, 12.0F, 4000}, chi2.view(), room.workspace);
    const EdgesView left{{pruned.source.data(), result.n_edges}, {pruned.target.data(), result.n_edges}};
    const Status features = rheinfall::edge_features(g.hits(), left, chi2.view(), rows, room.workspace);
    EXPECT_EQ(allocations.count(), 0U);
    EXPECT_EQ(result.status, Status::ok);
    EXPECT_EQ(features, Status::ok);

    rheinfall::Workspace none;
    pruned = g;
    const PruneResult refused =
        rheinfall::prune_edges(g.hits(), {pruned.source, pruned.target}, g.model, {25.0F}, chi2.view(), none);
    EXPECT_EQ(refused.status, Status::capacity_exceeded);
    EXPECT_EQ(refused.n_edges, g.source.size());
    EXPECT_EQ(pruned.source, g.source);
    EXPECT_EQ(rheinfall::edge_features(g.hits(), g.edges(), chi2.view(), rows, none), Status::capacity_exceeded);
    EXPECT_EQ(rheinfall::edge_features(g.hits(), {}, chi2.view(), rows, none), Status::empty);
}

}  // namespace
