#include <gtest/gtest.h>
#include <rheinfall/rheinfall.h>

#include <rheinfall/adapters/std_threads.hpp>
#include <stdexcept>
#include <string>

#include "allocation_counter.hpp"
#include "source_files.hpp"
#include "straight_tracks.hpp"

namespace {

using namespace straight_tracks_test;
using rheinfall::EdgeClassifier;
using rheinfall::Status;

const std::string bundle = shipped_bundle("demo");

rheinfall::TrackFinderOptions options() {
    rheinfall::TrackFinderOptions result;
    result.building.score_cut = 0.01f;  // the network knows another detector
    return result;
}

/// Scores as the finder's own network does, in memory of its own.
struct Scorer {
    const EdgeClassifier& network;

    bool operator()(const rheinfall::EdgeScoringInput& in, std::span<float> scores) const {
        rheinfall::Workspace workspace;
        workspace.reserve(network.workspace_size({in.hits.size(), in.edges.size()}));
        return network.run(workspace, {in.hits.size(), in.node_features, in.edges, in.edge_features},
                           rheinfall::EdgeOutput::scores, scores) == Status::ok;
    }
};

TEST(TrackFinderNetwork, scores_as_the_network_called_from_a_scorer_and_allocates_nothing) {
    const auto network = EdgeClassifier::load(bundle + "/edge_classifier.rfgnn");
    const TrackFinder without(cylinders(), options());
    const TrackFinder with(cylinders(), options(), network);
    EXPECT_FALSE(without.has_network());
    EXPECT_TRUE(with.has_network());
    const Event event = straight_tracks(100, 7);
    Host expected(without, limits_for(event));
    const Scorer scorer{network};
    const auto result = expected.run(without, event, EdgeScorer(scorer));
    EXPECT_EQ(result.status, Status::ok);
    EXPECT_GT(result.n_tracks, 10u);
    for (const std::size_t n_threads : {1u, 2u, 8u}) {
        Host host(with, limits_for(event), n_threads);
        rheinfall::StdThreads threads(n_threads);
        EXPECT_EQ(host.run(with, event, {}, threads.parallel_for()).n_tracks, result.n_tracks);
        EXPECT_EQ(host.hits, expected.hits);
        EXPECT_EQ(host.labels, expected.labels);
        const AllocationCounter counter;
        host.run(with, event);
        EXPECT_EQ(counter.count(), 0u);
    }
    // A scorer takes the network's place.
    Host other(with, limits_for(event));
    const auto refuse = [](const rheinfall::EdgeScoringInput&, std::span<float>) { return false; };
    EXPECT_EQ(other.run(with, event, EdgeScorer(refuse)).status, Status::scoring_failed);
}

TEST(TrackFinderNetwork, loads_a_bundle_in_cpp_and_in_c) {
    const auto finder = TrackFinder::load_bundle(bundle);
    EXPECT_TRUE(finder.has_network());
    EXPECT_THROW((void)TrackFinder::load_bundle("/no/such/bundle"), std::runtime_error);
    rf_error error;
    rf_finder* c_finder = rf_finder_load_bundle(bundle.c_str(), &error);
    ASSERT_NE(c_finder, nullptr) << error.reason;
    const rf_limits limits{1000, 10000, 10000, 1};
    EXPECT_EQ(rf_finder_workspace_size(c_finder, &limits), finder.workspace_size({1000, 10000, 10000}));
    rf_finder_free(c_finder);
    EXPECT_EQ(rf_finder_load_bundle("/no/such/bundle", &error), nullptr);
    EXPECT_STREQ(error.file, "/no/such/bundle");
    EXPECT_EQ(rf_finder_load_bundle(nullptr, &error), nullptr);
    EXPECT_STREQ(error.key, "folder");
}

}  // namespace
