// Track building on a GPU, from scores to tracks in device memory: first the tracks against the CPU, then times by the
// device's events, as JSON. Every method, with the hits, and without where it can do without.
//   gpu_tracks OUT.json GRAPH...          GRAPH: see scored_graph.hpp
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <rheinfall/tracking/track_building_cuda.hpp>
#include <string>
#include <vector>

#include "core/device_buffer.hpp"
#include "gpu_timing.hpp"
#include "scored_graph.hpp"

namespace {

using namespace rheinfall;
using bench::upload;

/// A graph and room for its tracks, on the device.
struct OnDevice {
    bench::Stream on;
    std::size_t n_nodes;
    DeviceBuffer<std::int64_t> source, target;
    DeviceBuffer<float> scores, x, y, z;
    DeviceBuffer<std::uint64_t> module_id;
    DeviceBuffer<std::int64_t> offsets, hits, labels;
    DeviceBuffer<TracksResult> result;
    Workspace workspace{device_memory()};

    explicit OnDevice(const bench::Graph& graph)
        : n_nodes(graph.n_nodes),
          source(upload(graph.source, on.stream)),
          target(upload(graph.target, on.stream)),
          scores(upload(graph.scores, on.stream)),
          x(upload(graph.x, on.stream)),
          y(upload(graph.y, on.stream)),
          z(upload(graph.z, on.stream)),
          module_id(upload(graph.module_id, on.stream)),
          offsets(n_nodes + 1),
          hits(n_nodes),
          labels(n_nodes),
          result(1) {}

    void run(const TrackBuildingPlan& plan, bool with_hits) {
        DeviceScoredGraph graph{{{source.span(), target.span()}, scores.span(), n_nodes, {}}};
        if (with_hits) graph.graph.hits = {x.span(), y.span(), z.span(), module_id.span()};
        build_tracks(on.stream, plan, workspace, graph,
                     {offsets.span(), hits.span(), labels.span(), result.span().data()});
    }
    [[nodiscard]] bool has(const bench::CpuTracks& tracks) const {
        const TracksResult found = result.to_host(on.stream)[0];
        const auto begins_with = [this](const DeviceBuffer<std::int64_t>& buffer, const auto& values) {
            const std::vector<std::int64_t> all = buffer.to_host(on.stream);
            return std::equal(values.begin(), values.end(), all.begin());
        };
        return found.status == tracks.status && found.n_tracks == tracks.buffers.n_tracks &&
               found.n_hits == tracks.buffers.n_hits && begins_with(offsets, tracks.offsets) &&
               begins_with(hits, tracks.hits) && begins_with(labels, tracks.labels);
    }
};

std::string time_method(const bench::NamedMethod& named, bool with_hits, const bench::Graph& graph, OnDevice& gpu,
                        bool& failed) {
    const auto plan = TrackBuildingPlan::defaults(named.method);
    const bench::CpuTracks cpu(plan, graph.view(with_hits));
    gpu.workspace.reserve(track_building_workspace_size(plan, {graph.n_nodes, graph.source.size()}, with_hits));
    bool equal = true;
    for (int i = 0; i < 5; ++i) {
        gpu.run(plan, with_hits);
        equal = equal && gpu.has(cpu);
    }
    failed = failed || !equal;
    const double launched = bench::time_median([&] { gpu.run(plan, with_hits); }, gpu.on.stream);
    const bench::CapturedGraph captured(gpu.on.stream, [&] { gpu.run(plan, with_hits); });
    const double replayed = bench::time_median([&] { captured.launch(gpu.on.stream); }, gpu.on.stream);
    char text[320];
    std::snprintf(text, sizeof text,
                  "{\"method\": \"%s\", \"hits\": %s, \"tracks\": %zu, \"tracks_of_the_cpu\": %s, \"ms_launched\": "
                  "%.4f, \"ms_cuda_graph\": %.4f, \"workspace_MB\": %.1f}",
                  named.name, with_hits ? "true" : "false", cpu.buffers.n_tracks, equal ? "true" : "false",
                  launched * 1e3, replayed * 1e3, static_cast<double>(gpu.workspace.capacity()) * 1e-6);
    return text;
}

std::string time_graph(const char* path, bool& failed) {
    const bench::Graph graph(path);
    OnDevice gpu(graph);
    std::string runs;
    for (const bool with_hits : {true, false}) {
        for (const bench::NamedMethod& named : bench::track_methods) {
            if (!with_hits && named.method == TrackMethod::layer_merge) continue;
            runs += (runs.empty() ? "\n   " : ",\n   ") + time_method(named, with_hits, graph, gpu, failed);
        }
    }
    return "{\"graph\": \"" + std::filesystem::path(path).filename().string() +
           "\", \"hits\": " + std::to_string(graph.n_nodes) + ", \"edges\": " + std::to_string(graph.source.size()) +
           ", \"runs\": [" + runs + "]}";
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: gpu_tracks OUT.json GRAPH...\n");
        return 2;
    }
    if (!cuda_available()) {
        std::fprintf(stderr, "gpu_tracks: no CUDA device\n");
        return 3;
    }
    bool failed = false;
    std::string graphs;
    for (int i = 2; i < argc; ++i) graphs += (graphs.empty() ? "\n  " : ",\n  ") + time_graph(argv[i], failed);
    if (failed) std::fprintf(stderr, "gpu_tracks: tracks differ from those of the CPU\n");
    return bench::write_report(argv[1], "{\"graphs\": [" + graphs + "]}\n") && !failed ? 0 : 1;
}
