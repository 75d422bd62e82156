// Calls of track building and of the whole chain on a device: repeated, in flight beside another, captured and
// replayed. By the bodies of their kernels on the host, and by the same checks on a GPU where there is one.
#include <gtest/gtest.h>

#include <rheinfall/tracking/track_building_cuda.hpp>
#include <rheinfall/tracking/track_finder_cuda.hpp>
#include <vector>

#include "device_calls.hpp"
#include "straight_tracks.hpp"
#include "track_events.hpp"

namespace {

using namespace rheinfall;

// Track building.

using ScoredEvent = track_events::Event;

Words words_of(const TracksResult& result, const std::vector<std::int64_t>& offsets,
               const std::vector<std::int64_t>& hits, const std::vector<std::int64_t>& labels) {
    Words words;
    words.add_number(static_cast<std::uint64_t>(result.status));
    words.add_number(result.n_tracks);
    words.add_number(result.n_hits);
    words.add(offsets, result.n_tracks + 1);
    words.add(hits, result.n_hits);
    words.add(labels, labels.size());
    return words;
}

Words tracks_of_cpu(const TrackBuildingPlan& plan, const ScoredEvent& event) {
    track_events::Output output(event.n_nodes);
    Workspace workspace;
    workspace.reserve(track_building_workspace_size({event.n_nodes, event.source.size()}));
    const Status status = build_tracks(plan, workspace, event.view(), output.buffers);
    return words_of(TracksResult{status, output.buffers.n_tracks, output.buffers.n_hits}, output.offsets, output.hits,
                    output.labels);
}

struct HostBuilder {
    struct Memory {
        explicit Memory(const HostBuilder& /*stage*/, const ScoredEvent& /*event*/) {}
    };
    HostChain chain;

    explicit HostBuilder(const TrackBuildingPlan& plan) { chain.options.building = plan; }
    void run(HostPlatform::Stream& stream, Memory& /*memory*/, const ScoredGraph& graph,
             const DeviceTracks& tracks) const {
        stream.submit([this, graph, tracks] { chain.stages().build_tracks({graph}, tracks); });
    }
};

template <class Platform, class Stage>
struct BuilderFlight {
    template <class T>
    using Buffer = typename Platform::template Buffer<T>;

    const Stage& stage;
    std::size_t n_nodes;
    typename Stage::Memory memory;
    typename Platform::Stream stream;
    Buffer<std::int64_t> source, target;
    Buffer<float> scores, x, y, z;
    Buffer<std::uint64_t> module_id;
    Buffer<std::int64_t> offsets, hits, labels;
    Buffer<TracksResult> left{1};

    BuilderFlight(const Stage& used, const ScoredEvent& event)
        : stage(used),
          n_nodes(event.n_nodes),
          memory(used, event),
          source(event.source.size()),
          target(event.source.size()),
          scores(event.source.size()),
          x(n_nodes),
          y(n_nodes),
          z(n_nodes),
          module_id(n_nodes),
          offsets(n_nodes + 1),
          hits(n_nodes),
          labels(n_nodes) {
        set(event);
    }
    void set(const ScoredEvent& event) {
        stream.copy(event.source, source);
        stream.copy(event.target, target);
        stream.copy(event.scores, scores);
        stream.copy(event.x, x);
        stream.copy(event.y, y);
        stream.copy(event.z, z);
        stream.copy(event.module_id, module_id);
    }
    void run() {
        stage.run(
            stream, memory,
            {{source.span(), target.span()}, scores.span(), n_nodes, {x.span(), y.span(), z.span(), module_id.span()}},
            {offsets.span(), hits.span(), labels.span(), left.span().data()});
    }
    [[nodiscard]] Words result() {
        return words_of(stream.read(left)[0], stream.read(offsets), stream.read(hits), stream.read(labels));
    }
};

template <class Platform, class Stage>
void check_builder() {
    const ScoredEvent first = track_events::layered_event(10, 40, 1), second = track_events::layered_event(10, 40, 2);
    for (const TrackMethod method : track_events::methods_with_hits) {
        SCOPED_TRACE(testing::Message() << "method " << static_cast<int>(method));
        const auto plan = TrackBuildingPlan::defaults(method);
        expect_same_bits_in_every_call<Platform, BuilderFlight<Platform, Stage>>(
            Stage(plan), first, second, tracks_of_cpu(plan, first), tracks_of_cpu(plan, second));
    }
}

TEST(DeviceCalls, BodiesOfTrackBuilding) {
    check_builder<HostPlatform, HostBuilder>();
}

// The whole chain.

using HitEvent = straight_tracks_test::Event;

TrackFinderOptions finder_options() {
    TrackFinderOptions options;
    options.chi2_max = 25.0F;
    options.building = TrackBuildingPlan::defaults(TrackMethod::layer_merge);
    options.building.score_cut = 0.01F;  // the network knows another detector
    return options;
}

Words words_of(const TrackFinderResult& result, const std::vector<std::int64_t>& offsets,
               const std::vector<std::int64_t>& hits, const std::vector<std::int64_t>& labels) {
    Words words = words_of(TracksResult{result.status, result.n_tracks, result.n_track_hits}, offsets, hits, labels);
    words.add_number(result.n_doublets);
    words.add_number(result.n_edges);
    words.add_number(result.n_pruned_edges);
    return words;
}

Words found_by_cpu(const TrackFinder& finder, const HitEvent& event) {
    straight_tracks_test::Host host(finder, straight_tracks_test::limits_for(event));
    const TrackFinderResult result = host.run(finder, event);
    return words_of(result, host.offsets, host.hits, host.labels);
}

struct HostFinder {
    struct Memory {
        explicit Memory(const HostFinder& /*stage*/, const HitEvent& /*event*/) {}
    };
    HostChain chain{.options = {}, .network = detail::map_file(shipped_network())};

    explicit HostFinder(const TrackFinder& cpu) { chain.options = cpu.options(); }
    void run(HostPlatform::Stream& stream, Memory& /*memory*/, const HitsView& hits, const TrackFinderLimits& given,
             const DeviceTracks& tracks, TrackFinderResult* result) const {
        stream.submit([this, hits, given, tracks, result] {
            HostChain with_limits = chain;
            with_limits.limits = detail::device_finder_limits(given);
            detail::check_device_finder({hits}, given, tracks, result);
            HostStages<HostExecutor> stages = with_limits.stages();
            HostArena arena;
            detail::DeviceFinder g = detail::take_device_finder(arena, with_limits.options, with_limits.limits,
                                                                stages.has_network(), stages.has_edge_rows());
            detail::set_device_finder(g, {hits}, tracks, result);
            detail::find_device_tracks(stages, with_limits.options, tracks, g);
        });
    }
};

template <class Platform, class Stage>
struct FinderFlight {
    template <class T>
    using Buffer = typename Platform::template Buffer<T>;

    const Stage& stage;
    TrackFinderLimits limits;
    typename Stage::Memory memory;
    typename Platform::Stream stream;
    Buffer<float> x, y, z;
    Buffer<std::uint64_t> module_id;
    Buffer<std::int64_t> offsets, hits, labels;
    Buffer<TrackFinderResult> left{1};

    FinderFlight(const Stage& used, const HitEvent& event)
        : stage(used),
          limits(straight_tracks_test::limits_for(event)),
          memory(used, event),
          x(event.x.size()),
          y(event.x.size()),
          z(event.x.size()),
          module_id(event.x.size()),
          offsets(event.x.size() + 1),
          hits(event.x.size()),
          labels(event.x.size()) {
        set(event);
    }
    void set(const HitEvent& event) {
        stream.copy(event.x, x);
        stream.copy(event.y, y);
        stream.copy(event.z, z);
        stream.copy(event.module_id, module_id);
    }
    void run() {
        stage.run(stream, memory, {x.span(), y.span(), z.span(), module_id.span()}, limits,
                  {offsets.span(), hits.span(), labels.span()}, left.span().data());
    }
    [[nodiscard]] Words result() {
        return words_of(stream.read(left)[0], stream.read(offsets), stream.read(hits), stream.read(labels));
    }
};

template <class Platform, class Stage>
void check_finder() {
    const TrackFinder cpu(straight_tracks_test::cylinders(), finder_options(), EdgeClassifier::load(shipped_network()));
    const HitEvent first = straight_tracks_test::straight_tracks(25, 1);
    const HitEvent second = straight_tracks_test::straight_tracks(25, 2);
    expect_same_bits_in_every_call<Platform, FinderFlight<Platform, Stage>>(
        Stage(cpu), first, second, found_by_cpu(cpu, first), found_by_cpu(cpu, second));
}

TEST(DeviceCalls, BodiesFromHitsToTracks) {
    check_finder<HostPlatform, HostFinder>();
}

#if defined(RHEINFALL_WITH_CUDA)

struct CudaBuilder {
    using Memory = CudaMemory;
    TrackBuildingPlan plan;

    explicit CudaBuilder(const TrackBuildingPlan& given) : plan(given) {}
    [[nodiscard]] std::size_t bytes_for(const ScoredEvent& event) const {
        return track_building_workspace_size(plan, {event.n_nodes, event.source.size()}, true);
    }
    void run(const CudaPlatform::Stream& stream, Memory& memory, const ScoredGraph& graph,
             const DeviceTracks& tracks) const {
        build_tracks(stream.get(), plan, memory.workspace, {graph}, tracks);
    }
};

struct CudaFinder {
    using Memory = CudaMemory;
    DeviceTrackFinder finder;

    explicit CudaFinder(const TrackFinder& cpu)
        : finder(straight_tracks_test::cylinders(), cpu.options(), DeviceEdgeClassifier::load(shipped_network())) {}
    [[nodiscard]] std::size_t bytes_for(const HitEvent& event) const {
        return finder.workspace_size(straight_tracks_test::limits_for(event));
    }
    void run(const CudaPlatform::Stream& stream, Memory& memory, const HitsView& hits, const TrackFinderLimits& limits,
             const DeviceTracks& tracks, TrackFinderResult* result) const {
        finder.run(stream.get(), memory.workspace, {hits}, limits, tracks, result);
    }
};

TEST(DeviceCalls, CudaTrackBuilding) {
    if (!cuda_available()) GTEST_SKIP() << "no CUDA device";
    check_builder<CudaPlatform, CudaBuilder>();
}

TEST(DeviceCalls, CudaFromHitsToTracks) {
    if (!cuda_available()) GTEST_SKIP() << "no CUDA device";
    check_finder<CudaPlatform, CudaFinder>();
}

#endif

}  // namespace
