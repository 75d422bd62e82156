// Track building on a GPU, from scores to tracks in device memory: first the tracks against the CPU, launched, in
// flight, and from a CUDA graph that replays on other scores; then times by the device's events beside the time in
// which its memory reads each input and writes each output once, as JSON. Every method, with the hits, and without
// where it can do without.
//   gpu_tracks OUT.json GRAPH...          GRAPH: see scored_graph.hpp
#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
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

/// A graph in flight, and room for its tracks.
struct InFlight {
    bench::Stream on;
    std::size_t n_nodes;
    DeviceBuffer<std::int64_t> source, target;
    DeviceBuffer<float> scores, x, y, z;
    DeviceBuffer<std::uint64_t> module_id;
    DeviceBuffer<std::int64_t> offsets, hits, labels;
    DeviceBuffer<TracksResult> result;
    Workspace workspace{device_memory()};

    explicit InFlight(const bench::Graph& graph)
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

    void set_scores(const bench::Graph& graph) {
        scores.copy_from(graph.scores, on.stream);
        RHEINFALL_CUDA_CHECK(cudaStreamSynchronize(on.stream));
    }
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

/// Bytes of all inputs that a method reads and of all that it writes, once each.
double least_bytes(const bench::Graph& graph, bool with_hits) {
    const double per_edge = 2 * sizeof(std::int64_t) + sizeof(float);
    const double per_hit = 3 * sizeof(std::int64_t) + (with_hits ? 3 * sizeof(float) + sizeof(std::uint64_t) : 0);
    return per_edge * static_cast<double>(graph.source.size()) + per_hit * static_cast<double>(graph.n_nodes);
}

/// A graph, the same with its scores in the opposite order, and four of them in flight.
struct Graphs {
    bench::Graph graph, other;
    std::array<InFlight, 4> events;

    explicit Graphs(const char* path)
        : graph(path), other(graph), events{InFlight(graph), InFlight(graph), InFlight(graph), InFlight(graph)} {
        std::ranges::reverse(other.scores);
    }
};

std::string time_method(const bench::NamedMethod& named, bool with_hits, Graphs& graphs, double copy_rate,
                        bool& failed) {
    const auto plan = TrackBuildingPlan::defaults(named.method);
    const bench::CpuTracks cpu(plan, graphs.graph.view(with_hits)), other(plan, graphs.other.view(with_hits));
    const std::size_t bytes =
        track_building_workspace_size(plan, {graphs.graph.n_nodes, graphs.graph.source.size()}, with_hits);
    bool equal = true;
    for (std::size_t k = 0; k < graphs.events.size(); ++k) {
        graphs.events[k].workspace.reserve(bytes);
        graphs.events[k].set_scores(k % 2 == 0 ? graphs.graph : graphs.other);
    }
    const auto run = [&plan, with_hits](InFlight& e) { e.run(plan, with_hits); };
    for (int i = 0; i < 2; ++i) {  // all in flight at once
        for (InFlight& e : graphs.events) run(e);
        for (std::size_t k = 0; k < graphs.events.size(); ++k) {
            equal = equal && graphs.events[k].has(k % 2 == 0 ? cpu : other);
        }
    }
    InFlight& gpu = graphs.events[0];
    const bench::Times launched = bench::time_calls([&] { run(gpu); }, gpu.on.stream);
    const bench::CapturedGraph captured(gpu.on.stream, [&] { run(gpu); });
    gpu.set_scores(graphs.other);
    captured.launch(gpu.on.stream);
    bool replayed_equal = gpu.has(other);
    gpu.set_scores(graphs.graph);
    const bench::Times replayed = bench::time_calls([&] { captured.launch(gpu.on.stream); }, gpu.on.stream);
    replayed_equal = replayed_equal && gpu.has(cpu);
    failed = failed || !equal || !replayed_equal;
    const double floor = least_bytes(graphs.graph, with_hits) / copy_rate;
    char text[512];
    std::snprintf(text, sizeof text,
                  "{\"method\": \"%s\", \"hits\": %s, \"tracks\": %zu, \"tracks_of_the_cpu\": %s, "
                  "\"replayed_tracks_of_the_cpu\": %s, \"ms_floor_of_memory\": %.4f, \"share_of_the_ceiling\": %.3f, "
                  "\"workspace_MB\": %.1f, ",
                  named.name, with_hits ? "true" : "false", cpu.buffers.n_tracks, equal ? "true" : "false",
                  replayed_equal ? "true" : "false", floor * 1e3, floor / replayed.median,
                  static_cast<double>(gpu.workspace.capacity()) * 1e-6);
    return text + bench::times_json("ms_launched", launched) + ", " + bench::times_json("ms_cuda_graph", replayed) +
           ", " + bench::rates_json(graphs.events, run) + "}";
}

std::string time_graph(const char* path, double copy_rate, bool& failed) {
    Graphs graphs(path);
    std::string runs;
    for (const bool with_hits : {true, false}) {
        for (const bench::NamedMethod& named : bench::track_methods) {
            if (!with_hits && named.method == TrackMethod::layer_merge) continue;
            runs += (runs.empty() ? "\n   " : ",\n   ") + time_method(named, with_hits, graphs, copy_rate, failed);
        }
    }
    return "{\"graph\": \"" + std::filesystem::path(path).filename().string() +
           "\", \"hits\": " + std::to_string(graphs.graph.n_nodes) +
           ", \"edges\": " + std::to_string(graphs.graph.source.size()) + ", \"runs\": [" + runs + "]}";
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
    const double copy_rate = bench::measure_copy_rate();
    std::string graphs;
    for (int i = 2; i < argc; ++i) {
        graphs += (graphs.empty() ? "\n  " : ",\n  ") + time_graph(argv[i], copy_rate, failed);
    }
    if (failed) std::fprintf(stderr, "gpu_tracks: tracks differ from those of the CPU\n");
    return bench::write_report(argv[1], "{\"copy_bytes_per_second\": " + std::to_string(copy_rate) + ", \"graphs\": [" +
                                            graphs + "]}\n") &&
                   !failed
               ? 0
               : 1;
}
