// Track finding on a device, hits to tracks: every body of the chain run on the host, against the finder of the CPU;
// the same on a GPU where there is one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <rheinfall/core/cuda_device.hpp>
#include <rheinfall/tracking/track_finder_cuda.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/file.hpp"
#include "event_file.hpp"
#include "host_stages.hpp"
#include "source_files.hpp"
#include "straight_tracks.hpp"
#include "tracking/bundle.hpp"

#if defined(RHEINFALL_WITH_CUDA)
#include "core/device_buffer.hpp"
#endif

namespace {

using namespace straight_tracks_test;
using rheinfall::HitsView;
using rheinfall::Status;
using rheinfall::TrackFinderOptions;
using rheinfall::TrackFinderResult;
namespace detail = rheinfall::detail;

constexpr std::int64_t untouched = -7;

/// Everything that a finder leaves.
struct Found {
    TrackFinderResult result{};
    std::vector<std::int64_t> offsets, hits, labels;

    explicit Found(std::size_t n_hits)
        : offsets(n_hits + 1, untouched), hits(n_hits, untouched), labels(n_hits, untouched) {}
    void expect_equal(const Found& other) const {
        const TrackFinderResult& a = result;
        const TrackFinderResult& b = other.result;
        EXPECT_EQ(a.status, b.status) << to_string(a.status) << ", expected " << to_string(b.status);
        EXPECT_EQ(a.n_tracks, b.n_tracks);
        EXPECT_EQ(a.n_track_hits, b.n_track_hits);
        EXPECT_EQ(a.n_edges, b.n_edges);
        EXPECT_EQ(a.n_pruned_edges, b.n_pruned_edges);
        EXPECT_EQ(a.n_doublets, b.n_doublets);
        EXPECT_EQ(a.n_unknown_modules, b.n_unknown_modules);
        EXPECT_EQ(a.n_not_finite, b.n_not_finite);
        if (b.status == Status::capacity_exceeded) return;  // the buffers are not defined
        const auto begins = [](const auto& x, const auto& y, std::size_t n) {
            return std::equal(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(n), y.begin());
        };
        EXPECT_TRUE(begins(offsets, other.offsets, b.n_tracks + 1));
        EXPECT_TRUE(begins(hits, other.hits, b.n_track_hits));
        EXPECT_EQ(labels, other.labels);
    }
};

/// A finder of the CPU, and what the bodies need to do the same.
struct Finder {
    ModuleMap map;
    TrackFinderOptions options;
    std::shared_ptr<const detail::Bytes> network = nullptr;
    rheinfall::EdgeOutput output = rheinfall::EdgeOutput::scores;
    std::optional<rheinfall::TrackFinder> cpu = std::nullopt;

    Finder(const ModuleMap& module_map, const TrackFinderOptions& given)
        : map(module_map), options(given), cpu(TrackFinder(module_map, given)) {
        options = cpu->options();
    }
    explicit Finder(const std::string& folder) : Finder(detail::read_bundle(folder)) {
        cpu = TrackFinder::load_bundle(folder);
        options = cpu->options();
    }
    explicit Finder(const detail::Bundle& bundle)
        : map(ModuleMap::load(bundle.map_path)),
          options(bundle.options),
          network(detail::map_file(bundle.network_path)),
          output(bundle.output) {}
};

Found on_cpu(const Finder& finder, const HitsView& hits, const TrackFinderLimits& limits) {
    Found found(hits.size());
    rheinfall::Workspace workspace;
    workspace.reserve(finder.cpu->workspace_size(limits));
    rheinfall::TracksBuffers tracks{found.offsets, found.hits, found.labels};
    found.result = finder.cpu->run(workspace, hits, limits, tracks);
    return found;
}

/// @p hits may have room for more hits than the word says.
template <class Executor>
Found by_bodies(const Finder& finder, const HitsView& hits, const TrackFinderLimits& given, Executor on,
                const std::uint32_t* n_hits = nullptr) {
    Found found(hits.size());
    const rheinfall::DeviceTracks tracks{found.offsets, found.hits, found.labels};
    detail::check_device_finder({hits, n_hits}, given, tracks, &found.result);
    const TrackFinderLimits limits = detail::device_finder_limits(given);
    HostStages stages(finder.map, finder.options, limits, on);
    if (finder.network) stages.use_network(finder.network->view(), finder.output);
    HostArena arena;
    detail::DeviceFinder g =
        detail::take_device_finder(arena, finder.options, limits, stages.has_network(), stages.has_edge_rows());
    detail::set_device_finder(g, {hits, n_hits}, tracks, &found.result);
    detail::find_device_tracks(stages, finder.options, tracks, g);
    return found;
}

Finder plain_finder(rheinfall::TrackMethod method = rheinfall::TrackMethod::mutual_best, float chi2_max = 25.0F) {
    TrackFinderOptions options;
    options.chi2_max = chi2_max;
    options.building = rheinfall::TrackBuildingPlan::defaults(method);
    return {cylinders(), options};
}

/// Tracks in any order; some hits are twice there, not finite, or on modules that nobody knows.
Event strange_event(std::size_t n_tracks, unsigned seed, bool strange) {
    Event event = straight_tracks(n_tracks, seed).take(shuffled(n_layers * n_tracks, seed));
    std::mt19937 random(seed);
    const std::size_t n = event.x.size();
    for (std::size_t i = 0; strange && i < n; ++i) {
        const std::size_t j = random() % n;
        switch (random() % 40) {
            case 0: event.x[i] = std::numeric_limits<float>::quiet_NaN(); break;
            case 1: event.z[i] = -std::numeric_limits<float>::infinity(); break;
            case 2: event.module_id[i] = random() % 2 == 0 ? std::numeric_limits<std::uint64_t>::max() : 0; break;
            case 3: event.z[i] = std::numeric_limits<float>::quiet_NaN(); break;
            case 4:
            case 5:
                event.z[i] = event.z[j];
                event.module_id[i] = event.module_id[j];
                if (random() % 2 == 0) event.x[i] = event.x[j];
                if (random() % 2 == 0) event.y[i] = event.y[j];
                break;
            default: break;
        }
    }
    return event;
}

TEST(DeviceTrackFinder, BodiesGiveTheTracksOfTheCpu) {
    std::size_t n_tracks = 0;
    for (const auto method :
         {rheinfall::TrackMethod::components, rheinfall::TrackMethod::mutual_best,
          rheinfall::TrackMethod::junction_removal, rheinfall::TrackMethod::layer_merge, rheinfall::TrackMethod::walk,
          rheinfall::TrackMethod::cc_and_walk, rheinfall::TrackMethod::d_walk}) {
        for (const float chi2_max : {25.0F, 1e-9F, std::numeric_limits<float>::infinity()}) {
            Finder finder = plain_finder(method, chi2_max);
            for (unsigned seed = 0; seed < 6; ++seed) {
                SCOPED_TRACE(testing::Message() << "method " << static_cast<int>(method) << ", seed " << seed);
                const Event event = strange_event(seed < 3 ? seed * 5 : 60, seed, seed % 2 == 1);
                const Found expected = on_cpu(finder, event.view(), limits_for(event));
                by_bodies(finder, event.view(), limits_for(event), HostExecutor(seed)).expect_equal(expected);
                n_tracks += expected.result.n_tracks;
            }
        }
    }
    EXPECT_GT(n_tracks, 1000U);
}

TEST(DeviceTrackFinder, ANetworkScoresOnTheDevice) {
    const std::string path = shipped_bundle("demo/edge_classifier.rfgnn");
    Finder finder = plain_finder();
    finder.options.building.score_cut = 0.01F;  // the network knows another detector
    finder.network = detail::map_file(path);
    finder.cpu = TrackFinder(cylinders(), finder.options, rheinfall::EdgeClassifier::load(path));
    finder.options = finder.cpu->options();
    for (unsigned seed = 0; seed < 4; ++seed) {
        const Event event = strange_event(50, seed, seed > 1);
        const Found expected = on_cpu(finder, event.view(), limits_for(event));
        EXPECT_GT(expected.result.n_tracks, 5U);
        by_bodies(finder, event.view(), limits_for(event), HostExecutor(seed)).expect_equal(expected);
    }
}

TEST(DeviceTrackFinder, BodiesGiveTheTracksOfTheCpuOnManyThreads) {
    const Event event = strange_event(500, 4, true);
    for (const auto method : {rheinfall::TrackMethod::mutual_best, rheinfall::TrackMethod::layer_merge}) {
        const Finder finder = plain_finder(method);
        const Found expected = on_cpu(finder, event.view(), limits_for(event));
        EXPECT_GT(expected.result.n_tracks, 100U);
        by_bodies(finder, event.view(), limits_for(event), ThreadedExecutor(4)).expect_equal(expected);
    }
}

TEST(DeviceTrackFinder, LooksAtNoHitBehindTheirNumber) {
    for (const auto method : {rheinfall::TrackMethod::components, rheinfall::TrackMethod::layer_merge}) {
        Finder finder = plain_finder(method);
        finder.options.building.min_length = 1;  // hits alone are tracks
        finder.cpu = TrackFinder(finder.map, finder.options);
        for (unsigned seed = 0; seed < 6; ++seed) {
            const Event event = strange_event(seed * 6, seed, seed % 2 == 1);
            Event roomy = event;
            for (auto* axis : {&roomy.x, &roomy.y, &roomy.z}) axis->resize(axis->size() + 9, 3.0F);
            roomy.module_id.resize(roomy.x.size(), std::numeric_limits<std::uint64_t>::max());
            const auto n = static_cast<std::uint32_t>(event.x.size());
            TrackFinderLimits limits = limits_for(roomy);
            limits.n_hits += 5;
            Found expected = on_cpu(finder, event.view(), limits);
            expected.offsets.resize(roomy.x.size() + 1, untouched);
            expected.hits.resize(roomy.x.size(), untouched);
            expected.labels.resize(roomy.x.size(), -1);
            by_bodies(finder, roomy.view(), limits, HostExecutor(seed), &n).expect_equal(expected);

            const auto many = static_cast<std::uint32_t>(roomy.x.size() + 1);
            const Found none = by_bodies(finder, roomy.view(), limits, HostExecutor(seed), &many);
            EXPECT_EQ(none.result.status, Status::capacity_exceeded);
            EXPECT_EQ(none.result.n_tracks, 0U);
        }
    }
}

TEST(DeviceTrackFinder, SaysByStatusWhatIsTooSmall) {
    const Finder finder = plain_finder();
    const Event event = straight_tracks(50, 7);
    const TrackFinderLimits enough = limits_for(event);
    const Found needed = on_cpu(finder, event.view(), enough);
    for (const int which : {0, 1, 2, 3}) {
        TrackFinderLimits limits = enough;
        if (which == 0) limits.n_doublets = 10;
        if (which == 1) limits.n_edges = needed.result.n_edges - 1;
        if (which == 2) limits.n_edges = needed.result.n_edges;
        if (which == 3) limits = {event.x.size(), needed.result.n_doublets, needed.result.n_edges};
        const Found expected = on_cpu(finder, event.view(), limits);
        EXPECT_EQ(expected.result.status == Status::capacity_exceeded, which < 2);
        by_bodies(finder, event.view(), limits, HostExecutor(1)).expect_equal(expected);
    }
    Found small(event.x.size());
    small.hits.resize(5);
    const rheinfall::DeviceTracks tracks{small.offsets, small.hits, {}};
    HostStages stages(finder.map, finder.options, enough, HostExecutor());
    HostArena arena;
    detail::DeviceFinder g = detail::take_device_finder(arena, finder.options, enough, false, false);
    detail::set_device_finder(g, {event.view()}, tracks, &small.result);
    detail::find_device_tracks(stages, finder.options, tracks, g);
    EXPECT_EQ(small.result.status, Status::capacity_exceeded);
    EXPECT_EQ(small.result.n_track_hits, needed.result.n_track_hits);
}

TEST(DeviceTrackFinder, RefusesWrongCalls) {
    TrackFinderResult word;
    const Event event = straight_tracks(2, 1);
    const auto check = [&](const HitsView& hits, std::size_t n_labels, std::size_t limit, TrackFinderResult* result) {
        std::vector<std::int64_t> labels(n_labels);
        detail::check_device_finder({hits}, {limit, 1, 1}, {{}, {}, labels}, result);
    };
    const std::size_t n = event.x.size();
    EXPECT_NO_THROW(check(event.view(), n, n, &word));
    EXPECT_NO_THROW(check(event.view(), 0, n, &word));
    EXPECT_THROW(check(event.view(), n, n - 1, &word), std::invalid_argument);
    EXPECT_THROW(check(event.view(), n - 1, n, &word), std::invalid_argument);
    EXPECT_THROW(check(event.view(), n, n, nullptr), std::invalid_argument);
    EXPECT_THROW(detail::device_finder_limits({1, 1, std::size_t{1} << 31}), std::invalid_argument);
    EXPECT_THROW(detail::device_finder_limits({std::size_t{1} << 29, 1, 1}), std::invalid_argument);
    TrackFinderOptions options;
    options.quadruplet_chi2_max = 5.0F;
    EXPECT_THROW(detail::check_device_finder_options(options), std::invalid_argument);
}

/// Of events in files, BUNDLE-NAME.hits (bench/event_file.hpp), which test_device_finder.py writes.
TEST(DeviceTrackFinder, BodiesGiveTheTracksOfTheCpuOnEventsOfFiles) {
    const char* folder = std::getenv("RHEINFALL_EVENTS");
    if (folder == nullptr) GTEST_SKIP() << "RHEINFALL_EVENTS names no folder; tests/python/test_device_finder.py does";
    std::size_t n_events = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        const std::string name = entry.path().stem().string();
        SCOPED_TRACE(name);
        const Finder finder(shipped_bundle(name.substr(0, name.find('-'))));
        const bench::Event event(entry.path().c_str());
        const TrackFinderLimits limits{event.x.size(), 60 * event.x.size() + 1000, 20 * event.x.size() + 1000};
        const Found expected = on_cpu(finder, event.view(), limits);
        EXPECT_GT(expected.result.n_tracks, 100U);
        by_bodies(finder, event.view(), limits, HostExecutor(1)).expect_equal(expected);
        std::printf("%s: %zu hits, %zu edges, %zu pruned, %zu tracks\n", name.c_str(), event.x.size(),
                    expected.result.n_edges, expected.result.n_pruned_edges, expected.result.n_tracks);
        ++n_events;
    }
    EXPECT_GT(n_events, 0U);
}

#if defined(RHEINFALL_WITH_CUDA)

template <class T>
rheinfall::DeviceBuffer<T> uploaded(const std::vector<T>& values) {
    rheinfall::DeviceBuffer<T> buffer(values.size());
    buffer.copy_from(values, nullptr);
    return buffer;
}

/// One event in flight.
struct InFlight {
    rheinfall::DeviceBuffer<float> x, y, z;
    rheinfall::DeviceBuffer<std::uint64_t> module_id;
    rheinfall::DeviceBuffer<std::int64_t> offsets, hits, labels;
    rheinfall::DeviceBuffer<TrackFinderResult> result{1};
    TrackFinderLimits limits;
    rheinfall::Workspace workspace{rheinfall::device_memory()};
    cudaStream_t stream = nullptr;

    InFlight(const rheinfall::DeviceTrackFinder& finder, const Event& event)
        : x(uploaded(event.x)),
          y(uploaded(event.y)),
          z(uploaded(event.z)),
          module_id(uploaded(event.module_id)),
          offsets(uploaded(std::vector(event.x.size() + 1, untouched))),
          hits(uploaded(std::vector(event.x.size(), untouched))),
          labels(uploaded(std::vector(event.x.size(), untouched))),
          limits(limits_for(event)) {
        workspace.reserve(finder.workspace_size(limits));
        RHEINFALL_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
        RHEINFALL_CUDA_CHECK(cudaDeviceSynchronize());
    }
    ~InFlight() { static_cast<void>(cudaStreamDestroy(stream)); }
    InFlight(const InFlight&) = delete;
    InFlight& operator=(const InFlight&) = delete;

    void run(const rheinfall::DeviceTrackFinder& finder) {
        finder.run(stream, workspace, {{x.span(), y.span(), z.span(), module_id.span()}}, limits,
                   {offsets.span(), hits.span(), labels.span()}, result.span().data());
    }
    [[nodiscard]] Found found() const {
        Found all(hits.span().size());
        all.result = result.to_host(stream)[0];
        all.offsets = offsets.to_host(stream);
        all.hits = hits.to_host(stream);
        all.labels = labels.to_host(stream);
        return all;
    }
};

TEST(DeviceTrackFinder, CudaGivesTheTracksOfTheCpuForEventsInFlight) {
    if (!rheinfall::cuda_available()) GTEST_SKIP() << "no CUDA device";
    const std::string path = shipped_bundle("demo/edge_classifier.rfgnn");
    TrackFinderOptions options = plain_finder().options;
    options.building.score_cut = 0.01F;
    const rheinfall::DeviceTrackFinder plain(cylinders(), plain_finder().options);
    const rheinfall::DeviceTrackFinder scored(cylinders(), options, rheinfall::DeviceEdgeClassifier::load(path));
    Finder network(cylinders(), options);
    network.cpu = TrackFinder(cylinders(), options, rheinfall::EdgeClassifier::load(path));
    const Event events[2] = {strange_event(200, 1, false), strange_event(120, 2, true)};
    for (const rheinfall::DeviceTrackFinder* finder : {&plain, &scored}) {
        InFlight first(*finder, events[0]);
        InFlight second(*finder, events[1]);
        for (int i = 0; i < 3; ++i) {
            first.run(*finder);
            second.run(*finder);
        }
        const Finder cpu = finder == &plain ? plain_finder() : network;
        first.found().expect_equal(on_cpu(cpu, events[0].view(), first.limits));
        second.found().expect_equal(on_cpu(cpu, events[1].view(), second.limits));

        cudaGraph_t graph = nullptr;
        cudaGraphExec_t ready = nullptr;
        RHEINFALL_CUDA_CHECK(cudaStreamBeginCapture(first.stream, cudaStreamCaptureModeThreadLocal));
        first.run(*finder);
        RHEINFALL_CUDA_CHECK(cudaStreamEndCapture(first.stream, &graph));
        RHEINFALL_CUDA_CHECK(cudaGraphInstantiate(&ready, graph, 0));
        const Event other = strange_event(200, 3, true);
        first.x.copy_from(other.x, first.stream);
        first.y.copy_from(other.y, first.stream);
        first.z.copy_from(other.z, first.stream);
        first.module_id.copy_from(other.module_id, first.stream);
        RHEINFALL_CUDA_CHECK(cudaGraphLaunch(ready, first.stream));
        first.found().expect_equal(on_cpu(cpu, other.view(), first.limits));
        RHEINFALL_CUDA_CHECK(cudaGraphExecDestroy(ready));
        RHEINFALL_CUDA_CHECK(cudaGraphDestroy(graph));
    }
}

TEST(DeviceTrackFinder, CudaRefusesWithoutADevice) {
    if (rheinfall::cuda_available()) GTEST_SKIP() << "there is a CUDA device";
    EXPECT_THROW(rheinfall::DeviceTrackFinder(cylinders(), TrackFinderOptions()), rheinfall::CudaError);
}

#else

TEST(DeviceTrackFinder, RefusesWithoutCuda) {
    EXPECT_THROW(rheinfall::DeviceTrackFinder(cylinders(), TrackFinderOptions()), rheinfall::CudaError);
    EXPECT_THROW(rheinfall::DeviceTrackFinder::load_bundle(shipped_bundle("demo")), rheinfall::CudaError);
}

#endif

}  // namespace
