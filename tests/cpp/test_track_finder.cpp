#include <gtest/gtest.h>
#include <rheinfall/rheinfall.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <rheinfall/adapters/std_threads.hpp>
#include <rheinfall/tracking/track_finder.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "allocation_counter.hpp"
#include "straight_tracks.hpp"
#include "tracking/detail/float_math.hpp"
#include "tracking/hit_order.hpp"

namespace {

using namespace straight_tracks_test;
using rheinfall::EdgeScoringInput;
using rheinfall::Status;

TrackFinder make_finder() {
    rheinfall::TrackFinderOptions options;
    options.chi2_max = 25.0f;
    options.building.min_length = n_layers;
    return {cylinders(), options};
}

TEST(TrackFinder, finds_straight_tracks_whatever_the_order_of_their_hits) {
    const TrackFinder finder = make_finder();
    const Event event = straight_tracks(200, 1);
    Host host(finder, limits_for(event));
    const auto result = host.run(finder, event);
    EXPECT_EQ(result.status, Status::ok);
    EXPECT_GE(result.n_edges, 200u * (n_layers - 1));
    EXPECT_LE(result.n_pruned_edges, result.n_edges);
    std::size_t n_exact = 0;
    for (std::size_t t = 0; t < host.tracks.n_tracks; ++t) {
        const auto begin = static_cast<std::size_t>(host.offsets[t]);
        bool exact = static_cast<std::size_t>(host.offsets[t + 1]) == begin + n_layers;
        for (std::size_t i = 0; exact && i < n_layers; ++i) {
            const auto hit = static_cast<std::size_t>(host.hits[begin + i]);
            exact = event.track[hit] == event.track[static_cast<std::size_t>(host.hits[begin])] && hit % n_layers == i;
            EXPECT_EQ(host.labels[hit], static_cast<std::int64_t>(t));
        }
        n_exact += exact ? 1 : 0;
    }
    EXPECT_GE(n_exact, 190u);  // tracks closer than the resolution may merge

    const Event other = event.take(shuffled(event.x.size(), 2));
    Host other_host(finder, limits_for(other));
    EXPECT_EQ(other_host.run(finder, other).n_tracks, result.n_tracks);
    EXPECT_EQ(positions(other_host, other), positions(host, event));
}

TEST(TrackFinder, runs_events_at_once_with_the_same_tracks_and_no_allocation) {
    const TrackFinder finder = make_finder();
    const Event events[2] = {straight_tracks(150, 3), straight_tracks(170, 4)};
    Host alone[2] = {{finder, limits_for(events[0])}, {finder, limits_for(events[1])}};
    for (std::size_t i = 0; i < 2; ++i) alone[i].run(finder, events[i]);

    Host together[2] = {{finder, limits_for(events[0])}, {finder, limits_for(events[1])}};
    std::size_t n_allocations[2] = {1, 1};
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < 2; ++i) {
            threads.emplace_back([&, i] {
                const AllocationCounter counter;
                for (int repeat = 0; repeat < 5; ++repeat) together[i].run(finder, events[i]);
                n_allocations[i] = counter.count();
            });
        }
    }
    for (std::size_t i = 0; i < 2; ++i) {
        EXPECT_EQ(n_allocations[i], 0u);
        EXPECT_EQ(together[i].hits, alone[i].hits);
        EXPECT_EQ(together[i].offsets, alone[i].offsets);
        EXPECT_EQ(together[i].labels, alone[i].labels);
    }
}

TEST(TrackFinder, gives_the_same_tracks_on_several_threads) {
    const TrackFinder finder = make_finder();
    const Event event = straight_tracks(200, 5);
    Host serial(finder, limits_for(event));
    serial.run(finder, event);
    rheinfall::StdThreads threads(3);
    Host parallel(finder, limits_for(event), 3);
    EXPECT_EQ(parallel.run(finder, event, {}, threads.parallel_for()).status, Status::ok);
    EXPECT_EQ(parallel.hits, serial.hits);
    EXPECT_EQ(parallel.labels, serial.labels);
}

TEST(TrackFinder, asks_the_scorer_of_the_host) {
    const TrackFinder finder = make_finder();
    const Event event = straight_tracks(100, 6);
    Host host(finder, limits_for(event));
    auto radius_grows = [&](const EdgeScoringInput& graph, std::span<float> scores) {
        EXPECT_EQ(graph.node_features.size(), rheinfall::n_node_features * event.x.size());
        EXPECT_EQ(graph.edge_features.size(), rheinfall::n_edge_features * scores.size());
        for (std::size_t e = 0; e < scores.size(); ++e) {
            EXPECT_GT(graph.edge_features[rheinfall::n_edge_features * e], 0.0f);  // dr
            scores[e] = 0.0f;
        }
        return true;
    };
    const auto none = host.run(finder, event, EdgeScorer(radius_grows));
    EXPECT_GT(none.n_pruned_edges, 0u);
    EXPECT_EQ(none.n_tracks, 0u);

    auto gives_up = [](const EdgeScoringInput&, std::span<float>) { return false; };
    EXPECT_EQ(host.run(finder, event, EdgeScorer(gives_up)).status, Status::scoring_failed);
    auto throws = [](const EdgeScoringInput&, std::span<float>) -> bool { throw std::runtime_error("no engine"); };
    EXPECT_EQ(host.run(finder, event, EdgeScorer(throws)).status, Status::scoring_failed);
    EXPECT_EQ(host.run(finder, event).status, Status::ok);
}

TEST(TrackFinder, says_by_status_what_is_too_small) {
    const TrackFinder finder = make_finder();
    const Event event = straight_tracks(50, 7);
    Host reference(finder, limits_for(event));
    const auto needed = reference.run(finder, event);

    for (const int which : {0, 1, 2}) {
        TrackFinderLimits limits = limits_for(event);
        (which == 0 ? limits.n_hits : which == 1 ? limits.n_doublets : limits.n_edges) = 10;
        Host small(finder, limits);
        small.offsets.resize(event.x.size() + 1);
        small.hits.resize(event.x.size());
        small.labels.resize(event.x.size());
        small.tracks = {small.offsets, small.hits, small.labels};
        const auto result = small.run(finder, event);
        EXPECT_EQ(result.status, Status::capacity_exceeded) << which;
        EXPECT_EQ(result.n_tracks, 0u);
        if (which == 1) {
            EXPECT_GE(result.n_doublets, needed.n_doublets);
        }
        if (which == 2) {
            EXPECT_EQ(result.n_edges, needed.n_edges);
        }
    }
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{1000}, std::size_t{100000}}) {
        Host host(finder, limits_for(event));
        rheinfall::Workspace workspace;
        workspace.reserve(bytes);
        EXPECT_EQ(finder.run(workspace, event.view(), host.limits, host.tracks).status, Status::capacity_exceeded);
    }
    Host host(finder, limits_for(event));
    host.tracks.hits = host.tracks.hits.first(5);
    const auto result = host.run(finder, event);
    EXPECT_EQ(result.status, Status::capacity_exceeded);
    EXPECT_EQ(result.n_track_hits, needed.n_track_hits);
}

TEST(TrackFinder, keeps_quadruplets_and_says_how_many_triplets_they_need) {
    rheinfall::TrackFinderOptions options;
    options.chi2_max = 1e-9f;
    options.building.min_length = n_layers;
    const Event event = straight_tracks(100, 11);
    const TrackFinder strict(cylinders(), options);
    Host none(strict, limits_for(event));
    EXPECT_LT(none.run(strict, event).n_tracks, 50u);

    options.quadruplet_chi2_max = 16.0f;
    const TrackFinder finder(cylinders(), options);
    Host host(finder, limits_for(event));
    const auto result = host.run(finder, event);
    EXPECT_EQ(result.status, Status::ok);
    EXPECT_GT(result.n_tracks, 90u);
    EXPECT_GT(result.n_triplets, 100u);
    for (const std::size_t less : {0u, 1u}) {
        auto limits = limits_for(event);
        limits.n_triplets = result.n_triplets - less;
        Host tight(finder, limits);
        const auto again = tight.run(finder, event);
        EXPECT_EQ(again.status, less == 0 ? Status::ok : Status::capacity_exceeded);
        EXPECT_EQ(again.n_triplets, result.n_triplets);
    }
}

TEST(TrackFinder, survives_odd_events) {
    const TrackFinder finder = make_finder();
    Event event = straight_tracks(50, 8);
    Host host(finder, limits_for(event));
    const auto before = host.run(finder, event).n_tracks;
    EXPECT_EQ(host.run(finder, Event()).status, Status::empty);
    event.module_id[0] = 1;
    const auto unknown = host.run(finder, event);
    EXPECT_EQ(unknown.status, Status::unknown_modules);
    EXPECT_EQ(unknown.n_unknown_modules, 1u);
    event.x[n_layers] = std::numeric_limits<float>::quiet_NaN();
    event.z[2 * n_layers] = std::numeric_limits<float>::infinity();
    const auto result = host.run(finder, event);
    EXPECT_EQ(result.status, Status::not_finite);
    EXPECT_EQ(result.n_not_finite, 2u);
    EXPECT_EQ(result.n_tracks, before - 3);  // each lost one of the hits that min_length asks for
}

TEST(TrackFinder, refuses_senseless_options) {
    auto options = rheinfall::TrackFinderOptions();
    options.chi2_scale = 0.0f;
    EXPECT_THROW(TrackFinder(cylinders(), options), std::invalid_argument);
    options = {};
    options.quadruplet_chi2_max = 12.0f;
    EXPECT_THROW(TrackFinder(cylinders(), options), std::invalid_argument);
    options.chi2_max = 25.0f;
    EXPECT_NO_THROW(TrackFinder(cylinders(), options));
    options.quadruplet_chi2_max = -1.0f;
    EXPECT_THROW(TrackFinder(cylinders(), options), std::invalid_argument);
    options = {};
    options.building.min_length = 0;
    EXPECT_THROW(TrackFinder(cylinders(), options), std::invalid_argument);
    EXPECT_THROW(static_cast<void>(make_finder().workspace_size({std::size_t{1} << 40, 1, 1})), std::invalid_argument);
}

TEST(HitOrder, agrees_with_a_comparison_sort) {
    std::mt19937 random(9);
    std::uniform_int_distribution<int> few(0, 4);
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const std::array<float, 5> values = {-1.5f, -0.0f, 0.0f, 2.0f, nan};
    Event event;
    for (int i = 0; i < 3000; ++i) {
        event.x.push_back(values[static_cast<std::size_t>(few(random))]);
        event.y.push_back(values[static_cast<std::size_t>(few(random))]);
        event.z.push_back(values[static_cast<std::size_t>(few(random))]);
        event.module_id.push_back(
            module_of(static_cast<std::size_t>(few(random)), static_cast<std::size_t>(few(random))));
    }
    // NaN last, zeros alike.
    const auto key = [nan](float v) { return std::pair(std::isnan(v), std::isnan(v) ? 0.0f : v + 0.0f); };
    const auto fields = [&](std::uint32_t i) {
        const float phi =
            std::isnan(event.x[i]) || std::isnan(event.y[i]) ? nan : rheinfall::detail::atan2(event.y[i], event.x[i]);
        return std::tuple(event.module_id[i], key(event.z[i]), key(phi), key(event.x[i]), key(event.y[i]), i);
    };
    std::vector<std::uint32_t> expected(event.x.size());
    std::iota(expected.begin(), expected.end(), 0u);
    std::ranges::sort(expected, {}, fields);

    std::vector<std::uint32_t> order(event.x.size());
    rheinfall::Workspace workspace;
    EXPECT_FALSE(rheinfall::detail::canonical_hit_order(event.view(), order, workspace));
    workspace.reserve(rheinfall::detail::hit_order_workspace_size(order.size()));
    ASSERT_TRUE(rheinfall::detail::canonical_hit_order(event.view(), order, workspace));
    EXPECT_EQ(order, expected);
}

// --- the C interface ---

/// A map in a file that is removed at the end.
struct MapFile {
    std::string path = testing::TempDir() + "rheinfall_track_finder.rfmap";
    MapFile() { cylinders().save(path); }
    ~MapFile() { std::remove(path.c_str()); }
};

/// The C interface fits the tracks as `fit_tracks` does by the defaults, and refuses what it must.
void expect_c_fits_as_cpp(const rf_finder* finder, const rf_hits& hits, const rf_tracks& tracks, std::size_t n_tracks) {
    ASSERT_GT(n_tracks, 0U);
    std::vector<float> c_values(13 * n_tracks);
    std::vector<std::uint8_t> c_status(n_tracks);
    rf_track_parameters p;
    rf_track_parameters_defaults(&p);
    EXPECT_EQ(rf_finder_fit(finder, &hits, &tracks, n_tracks, nullptr, 1, &p), RF_CAPACITY_EXCEEDED);
    p.capacity = n_tracks;
    EXPECT_EQ(rf_finder_fit(finder, &hits, &tracks, n_tracks, nullptr, 1, &p), RF_INVALID_ARGUMENT);
    float** const fields[] = {
        &p.q_over_pt, &p.phi,      &p.cot_theta, &p.d0,  &p.z0,  &p.sigma_q_over_pt, &p.sigma_phi, &p.sigma_cot_theta,
        &p.sigma_d0,  &p.sigma_z0, &p.pt,        &p.eta, &p.chi2};
    for (std::size_t i = 0; i < 13; ++i) *fields[i] = c_values.data() + i * n_tracks;
    p.status = c_status.data();
    EXPECT_EQ(rf_finder_fit(finder, &hits, &tracks, 0, nullptr, 1, &p), RF_EMPTY);
    EXPECT_EQ(rf_finder_fit(finder, &hits, &tracks, n_tracks, nullptr, 1, &p), RF_OK);

    std::vector<float> values(13 * n_tracks);
    std::vector<rheinfall::TrackFitStatus> status(n_tracks);
    const auto row = [&](std::size_t i) { return std::span(values).subspan(i * n_tracks, n_tracks); };
    const rheinfall::TrackParametersView out{row(0), row(1), row(2), row(3),  row(4),  row(5),  row(6),
                                             row(7), row(8), row(9), row(10), row(11), row(12), status};
    const auto n_track_hits = static_cast<std::size_t>(tracks.offsets[n_tracks]);
    rheinfall::fit_tracks(
        {{hits.x, hits.n_hits}, {hits.y, hits.n_hits}, {hits.z, hits.n_hits}, {hits.module_id, hits.n_hits}},
        {{tracks.offsets, n_tracks + 1}, {tracks.hits, n_track_hits}}, rheinfall::TrackFinderOptions().fit_model, out);
    EXPECT_EQ(std::memcmp(values.data(), c_values.data(), 4 * values.size()), 0);
    EXPECT_EQ(std::memcmp(status.data(), c_status.data(), n_tracks), 0);

    std::swap(tracks.hits[0], tracks.offsets[n_tracks]);  // offsets no more
    EXPECT_EQ(rf_finder_fit(finder, &hits, &tracks, n_tracks, nullptr, 1, &p), RF_INVALID_ARGUMENT);
    std::swap(tracks.hits[0], tracks.offsets[n_tracks]);
    EXPECT_EQ(rf_finder_fit(finder, &hits, &tracks, tracks.offsets_capacity, nullptr, 1, &p), RF_CAPACITY_EXCEEDED);
    EXPECT_EQ(rf_finder_fit(nullptr, &hits, &tracks, n_tracks, nullptr, 1, &p), RF_INVALID_ARGUMENT);
    p.struct_size = 0;
    EXPECT_EQ(rf_finder_fit(finder, &hits, &tracks, n_tracks, nullptr, 1, &p), RF_INVALID_ARGUMENT);
}

int count_edges_and_fail(void* context, const rf_graph* graph, float*) {
    *static_cast<std::size_t*>(context) = graph->n_edges;
    return 1;
}

class CInterfaceCuts : public testing::TestWithParam<rheinfall::PruneCuts> {};

TEST_P(CInterfaceCuts, finds_the_same_tracks) {
    const MapFile file;
    const Event event = straight_tracks(100, 10);
    rheinfall::TrackFinderOptions cpp_options;
    cpp_options.chi2_max = GetParam().chi2_max;
    cpp_options.quadruplet_chi2_max = GetParam().quadruplet_chi2_max;
    cpp_options.building.min_length = n_layers;
    const TrackFinder finder(cylinders(), cpp_options);
    Host host(finder, limits_for(event));
    const auto expected = host.run(finder, event);
    ASSERT_GT(expected.n_tracks, 50u);

    rf_finder_options options;
    rf_finder_options_defaults(&options);
    EXPECT_EQ(options.quadruplet_chi2_max, 0.0f);
    options.chi2_max = cpp_options.chi2_max;
    options.quadruplet_chi2_max = cpp_options.quadruplet_chi2_max;
    options.min_length = n_layers;
    rf_error error;
    rf_finder* c_finder = rf_finder_load(file.path.c_str(), &options, &error);
    ASSERT_NE(c_finder, nullptr) << error.reason;
    const std::size_t n = event.x.size();
    const rf_limits limits{host.limits.n_hits, host.limits.n_doublets, host.limits.n_edges, 1};
    rf_workspace* workspace = rf_workspace_create(rf_finder_workspace_size(c_finder, &limits), nullptr, &error);
    ASSERT_NE(workspace, nullptr) << error.reason;
    std::vector<std::int64_t> offsets(n + 1), found(n), labels(n);
    const rf_hits hits{event.x.data(), event.y.data(), event.z.data(), event.module_id.data(), n};
    const rf_tracks tracks{offsets.data(), offsets.size(), found.data(), found.size(), labels.data()};
    rf_result result{};
    EXPECT_EQ(rf_finder_run(c_finder, workspace, &hits, &limits, nullptr, nullptr, &tracks, &result), RF_OK);
    EXPECT_EQ(result.n_tracks, expected.n_tracks);
    EXPECT_EQ(found, host.hits);
    EXPECT_EQ(labels, host.labels);

    std::size_t n_scored = 0;
    expect_c_fits_as_cpp(c_finder, hits, tracks, result.n_tracks);
    const rf_edge_scorer scorer{count_edges_and_fail, &n_scored};
    EXPECT_EQ(rf_finder_run(c_finder, workspace, &hits, &limits, &scorer, nullptr, &tracks, &result),
              RF_SCORING_FAILED);
    EXPECT_EQ(n_scored, expected.n_pruned_edges);
    EXPECT_EQ(rf_finder_run(c_finder, workspace, nullptr, &limits, nullptr, nullptr, &tracks, &result),
              RF_INVALID_ARGUMENT);
    rf_workspace_free(workspace);
    rf_finder_free(c_finder);
}

// By the second pair of cuts no edge would be left without quadruplets.
INSTANTIATE_TEST_SUITE_P(All, CInterfaceCuts,
                         testing::Values(rheinfall::PruneCuts{25.0f}, rheinfall::PruneCuts{1e-9f, 16.0f}));

TEST(CInterface, every_failure_to_load_is_an_error_object) {
    const MapFile file;
    rf_error error;
    EXPECT_EQ(rf_finder_load("/no/such/map.rfmap", nullptr, &error), nullptr);
    EXPECT_STREQ(error.file, "/no/such/map.rfmap");
    EXPECT_STRNE(error.reason, "");

    std::FILE* damaged = std::fopen(file.path.c_str(), "r+b");
    ASSERT_NE(damaged, nullptr);
    std::fseek(damaged, 200, SEEK_SET);
    std::fputc(0x5a, damaged);
    std::fclose(damaged);
    EXPECT_EQ(rf_finder_load(file.path.c_str(), nullptr, &error), nullptr);
    EXPECT_STREQ(error.file, file.path.c_str());
    EXPECT_STREQ(error.key, "checksum");

    rf_finder_options options;
    rf_finder_options_defaults(&options);
    options.min_length = 0;
    cylinders().save(file.path);
    EXPECT_EQ(rf_finder_load(file.path.c_str(), &options, &error), nullptr);
    EXPECT_STREQ(error.file, "");
    EXPECT_STREQ(error.key, "min_length");
    rf_finder_options_defaults(&options);
    options.quadruplet_chi2_max = 12.0f;  // with an infinite chi2_max
    EXPECT_EQ(rf_finder_load(file.path.c_str(), &options, &error), nullptr);
    EXPECT_STREQ(error.key, "quadruplet_chi2_max");
    options.chi2_max = 25.0f;
    options.quadruplet_chi2_max = std::numeric_limits<float>::quiet_NaN();
    EXPECT_EQ(rf_finder_load(file.path.c_str(), &options, &error), nullptr);
    EXPECT_STREQ(error.key, "quadruplet_chi2_max");
    options.struct_size = 3;
    EXPECT_EQ(rf_finder_load(file.path.c_str(), &options, nullptr), nullptr);
    EXPECT_EQ(rf_finder_load(nullptr, nullptr, &error), nullptr);
    EXPECT_STREQ(error.key, "map_path");
}

void* refuse_memory(void*, std::size_t, std::size_t) {
    return nullptr;
}

TEST(CInterface, takes_memory_from_the_caller) {
    rf_error error;
    const rf_allocator none{refuse_memory, nullptr, nullptr};
    EXPECT_EQ(rf_workspace_create(100, &none, &error), nullptr);
    EXPECT_STREQ(error.key, "workspace");
    EXPECT_STREQ(rf_status_string(RF_CAPACITY_EXCEEDED), "capacity_exceeded");
    EXPECT_STREQ(rf_status_string(RF_INVALID_ARGUMENT), "invalid_argument");
}

}  // namespace
