// The whole chain on a GPU, hits to tracks in device memory: first the tracks against the CPU's finder, then times by
// the device's events, as JSON: launched, as a CUDA graph, and with one, two and four events in flight; the
// host's time of a call; the CPU's time on one thread.
//   gpu_finder OUT.json [HITS BUNDLE]...          HITS: see event_file.hpp
#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <rheinfall/tracking/track_finder_cuda.hpp>
#include <string>
#include <vector>

#include "core/device_buffer.hpp"
#include "event_file.hpp"
#include "gpu_timing.hpp"

namespace {

using namespace rheinfall;
using bench::upload;
using Numbers = std::vector<std::int64_t>;

/// What the CPU finds, with the room that the event needs and no more.
struct CpuTracks {
    Numbers offsets, hits, labels;
    TrackFinderLimits limits;
    TrackFinderResult result;
    double ms = 0;

    CpuTracks(const TrackFinder& finder, const HitsView& event)
        : offsets(event.size() + 1), hits(event.size()), labels(event.size()), limits{event.size(), 1, 1} {
        do {
            Workspace workspace;
            workspace.reserve(finder.workspace_size(limits));
            TracksBuffers tracks{offsets, hits, labels};
            const auto start = bench::Clock::now();
            result = finder.run(workspace, event, limits, tracks);
            ms = bench::ms_since(start);
            limits.n_doublets = std::max(limits.n_doublets, result.n_doublets);
            limits.n_edges = std::max(limits.n_edges, result.n_edges);
        } while (result.status == Status::capacity_exceeded);
        offsets.resize(result.n_tracks + 1);
        hits.resize(result.n_track_hits);
    }
};

/// One event in flight.
struct InFlight {
    bench::Stream on;
    Workspace workspace{device_memory()};
    DeviceBuffer<float> x, y, z;
    DeviceBuffer<std::uint64_t> module_id;
    DeviceBuffer<std::int64_t> offsets, hits, labels;
    DeviceBuffer<TrackFinderResult> result;
    TrackFinderLimits limits;

    InFlight(const DeviceTrackFinder& finder, const bench::Event& event, const TrackFinderLimits& needed)
        : x(upload(event.x, on.stream)),
          y(upload(event.y, on.stream)),
          z(upload(event.z, on.stream)),
          module_id(upload(event.module_id, on.stream)),
          offsets(event.x.size() + 1),
          hits(event.x.size()),
          labels(event.x.size()),
          result(1),
          limits(needed) {
        workspace.reserve(finder.workspace_size(limits));
    }
    void run(const DeviceTrackFinder& finder) {
        finder.run(on.stream, workspace, {{x.span(), y.span(), z.span(), module_id.span()}}, limits,
                   {offsets.span(), hits.span(), labels.span()}, result.span().data());
    }
    [[nodiscard]] bool has(const CpuTracks& cpu) const {
        const TrackFinderResult found = result.to_host(on.stream)[0];
        const auto begins_with = [this](const DeviceBuffer<std::int64_t>& buffer, const Numbers& values) {
            const Numbers all = buffer.to_host(on.stream);
            return std::equal(values.begin(), values.end(), all.begin());
        };
        return found.status == cpu.result.status && found.n_tracks == cpu.result.n_tracks &&
               found.n_pruned_edges == cpu.result.n_pruned_edges && begins_with(offsets, cpu.offsets) &&
               begins_with(hits, cpu.hits) && begins_with(labels, cpu.labels);
    }
};

std::string time_event(const char* hits_path, const char* bundle, bool& failed) {
    const bench::Event event(hits_path);
    const CpuTracks cpu(TrackFinder::load_bundle(bundle), event.view());
    const DeviceTrackFinder finder = DeviceTrackFinder::load_bundle(bundle);
    std::array<InFlight, 4> events{InFlight(finder, event, cpu.limits), InFlight(finder, event, cpu.limits),
                                   InFlight(finder, event, cpu.limits), InFlight(finder, event, cpu.limits)};
    bool equal = true;
    for (int i = 0; i < 3; ++i) {  // all in flight at once
        for (InFlight& e : events) e.run(finder);
        for (const InFlight& e : events) equal = equal && e.has(cpu);
    }
    InFlight& gpu = events[0];
    const bench::Times launched = bench::time_calls([&] { gpu.run(finder); }, gpu.on.stream);
    const auto start = bench::Clock::now();
    for (int i = 0; i < 10; ++i) gpu.run(finder);
    const double host = bench::ms_since(start) / 10;  // of a call, which returns at once, until the queue is full
    RHEINFALL_CUDA_CHECK(cudaStreamSynchronize(gpu.on.stream));
    const bench::CapturedGraph captured(gpu.on.stream, [&] { gpu.run(finder); });
    const bench::Times replayed = bench::time_calls([&] { captured.launch(gpu.on.stream); }, gpu.on.stream);
    equal = equal && gpu.has(cpu);
    failed = failed || !equal;
    const std::string rates = bench::rates_json(events, [&finder](InFlight& e) { e.run(finder); });
    char text[640];
    std::snprintf(text, sizeof text,
                  "{\"event\": \"%s\", \"hits\": %zu, \"doublets\": %zu, \"edges\": %zu, \"pruned_edges\": %zu, "
                  "\"tracks\": %zu, \"tracks_of_the_cpu\": %s, \"ms_host_of_a_call\": %.4f, \"workspace_MB\": %.1f, "
                  "\"ms_cpu_one_thread\": %.1f, ",
                  std::filesystem::path(hits_path).filename().c_str(), event.x.size(), cpu.result.n_doublets,
                  cpu.result.n_edges, cpu.result.n_pruned_edges, cpu.result.n_tracks, equal ? "true" : "false", host,
                  static_cast<double>(gpu.workspace.capacity()) * 1e-6, cpu.ms);
    return text + bench::times_json("ms_launched", launched) + ", " + bench::times_json("ms_cuda_graph", replayed) +
           ", " + rates + "}";
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2 || argc % 2 != 0) {
        std::fprintf(stderr, "usage: gpu_finder OUT.json [HITS BUNDLE]...\n");
        return 2;
    }
    if (!cuda_available()) {
        std::fprintf(stderr, "gpu_finder: no CUDA device\n");
        return 3;
    }
    bool failed = false;
    std::string events;
    for (int i = 2; i + 1 < argc; i += 2) {
        events += (events.empty() ? "\n  " : ",\n  ") + time_event(argv[i], argv[i + 1], failed);
    }
    if (failed) std::fprintf(stderr, "gpu_finder: tracks differ from those of the CPU\n");
    return bench::write_report(argv[1], "{\"events\": [" + events + "]}\n") && !failed ? 0 : 1;
}
