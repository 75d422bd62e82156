// Graphs on a GPU, from device memory: first the bits against the CPU, then times by the device's events, as JSON.
// Module-map graphs of the given events, and the radius graph of 271,663 generated points in 12 dimensions.
//   gpu_tracking OUT.json [HITS MAP]...          HITS: see event_file.hpp
#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <rheinfall/tracking/graph_construction_cuda.hpp>
#include <rheinfall/tracking/radius_graph_cuda.hpp>
#include <string>
#include <vector>

#include "core/device_buffer.hpp"
#include "cpu_graph.hpp"
#include "embedded_points.hpp"
#include "event_file.hpp"
#include "gpu_timing.hpp"

namespace {

using namespace rheinfall;
using bench::upload;
using Numbers = std::vector<std::int64_t>;

/// One event in flight, with room for what the CPU found.
struct InFlight {
    bench::Stream on;
    Workspace workspace{device_memory()};
    DeviceBuffer<float> x, y, z;
    DeviceBuffer<std::uint64_t> module_id;
    DeviceBuffer<std::int64_t> source, target;
    DeviceBuffer<GraphResult> result;
    GraphLimits limits;

    InFlight(const DeviceModuleMap& map, const bench::Event& event, const GraphResult& needed)
        : x(upload(event.x, on.stream)),
          y(upload(event.y, on.stream)),
          z(upload(event.z, on.stream)),
          module_id(upload(event.module_id, on.stream)),
          source(needed.n_edges),
          target(needed.n_edges),
          result(1),
          limits{event.x.size(), needed.n_doublets} {
        workspace.reserve(graph_workspace_size(map, limits));
    }
    void run(const DeviceModuleMap& map) {
        build_graph(on.stream, map, {{x.span(), y.span(), z.span(), module_id.span()}}, limits,
                    {source.span(), target.span()}, workspace, result.span().data());
    }
};

/// Events a second with some of them in flight, by the host's clock.
double measure_rate(const DeviceModuleMap& map, const bench::Event& event, const GraphResult& needed) {
    std::array<InFlight, 4> events{InFlight(map, event, needed), InFlight(map, event, needed),
                                   InFlight(map, event, needed), InFlight(map, event, needed)};
    return bench::measure_rate(events, [&map](InFlight& e) { e.run(map); });
}

std::string time_graph(const char* hits_path, const char* map_path, bool& failed) {
    const bench::Event event(hits_path);
    const ModuleMap host_map = ModuleMap::load(map_path);
    const bench::CpuGraph cpu(host_map, event.view());
    const DeviceModuleMap map(host_map);
    InFlight gpu(map, event, cpu.result);
    bool equal = true;
    for (int i = 0; i < 5; ++i) {
        gpu.run(map);
        const GraphResult result = gpu.result.to_host(gpu.on.stream)[0];
        equal = equal && result.status == cpu.result.status && result.n_doublets == cpu.result.n_doublets &&
                gpu.source.to_host(gpu.on.stream) == cpu.source && gpu.target.to_host(gpu.on.stream) == cpu.target;
    }
    failed = failed || !equal;
    const double launched = bench::time_median([&] { gpu.run(map); }, gpu.on.stream);
    const bench::CapturedGraph captured(gpu.on.stream, [&] { gpu.run(map); });
    const double replayed = bench::time_median([&] { captured.launch(gpu.on.stream); }, gpu.on.stream);
    char text[512];
    std::snprintf(text, sizeof text,
                  "{\"event\": \"%s\", \"hits\": %zu, \"doublets\": %zu, \"edges\": %zu, \"edges_of_the_cpu\": %s, "
                  "\"ms_launched\": %.4f, \"ms_cuda_graph\": %.4f, \"events_per_second_4_streams\": %.1f, "
                  "\"workspace_MB\": %.1f, \"map_MB\": %.1f}",
                  std::filesystem::path(hits_path).filename().c_str(), event.x.size(), cpu.result.n_doublets,
                  cpu.result.n_edges, equal ? "true" : "false", launched * 1e3, replayed * 1e3,
                  measure_rate(map, event, cpu.result), static_cast<double>(gpu.workspace.capacity()) * 1e-6,
                  static_cast<double>(map.bytes()) * 1e-6);
    return text;
}

std::string time_radius_graph(bool& failed) {
    using Case = bench::EmbeddedCase;
    const std::vector<float> points = bench::embedded_points(Case::n_points, Case::dimension, Case::seed);
    const PointsView view{points, Case::n_points, Case::dimension};
    const RadiusGraphPlan plan{Case::radius};
    Numbers counts(Case::n_points);
    RadiusGraphBuffers none;
    {
        Workspace workspace;
        workspace.reserve(radius_graph_workspace_size({Case::n_points, Case::dimension, 0}));
        build_radius_graph(plan, workspace, view, counts, none);
    }
    Numbers source(none.n_edges), target(none.n_edges);
    {
        Workspace workspace;
        workspace.reserve(radius_graph_workspace_size({Case::n_points, Case::dimension, 0}));
        RadiusGraphBuffers edges{source, target};
        build_radius_graph(plan, workspace, view, counts, edges);
    }
    const bench::Stream on;
    Workspace workspace(device_memory());
    workspace.reserve(radius_graph_workspace_size(plan, Case::n_points, Case::dimension, none.n_edges));
    const DeviceBuffer<float> coordinates = upload(points, on.stream);
    const DeviceBuffer<std::int64_t> device_counts(Case::n_points), device_source(none.n_edges),
        device_target(none.n_edges);
    const DeviceBuffer<RadiusGraphResult> result(1);
    const auto run = [&] {
        build_radius_graph(on.stream, plan, workspace, {coordinates.span(), Case::n_points, Case::dimension},
                           device_counts.span(), device_source.span(), device_target.span(), result.span().data());
    };
    run();
    const bool equal = result.to_host(on.stream)[0].status == Status::ok &&
                       device_counts.to_host(on.stream) == counts && device_source.to_host(on.stream) == source &&
                       device_target.to_host(on.stream) == target;
    failed = failed || !equal;
    const double launched = bench::time_median(run, on.stream);
    const bench::CapturedGraph captured(on.stream, run);
    const double replayed = bench::time_median([&] { captured.launch(on.stream); }, on.stream);
    char text[512];
    std::snprintf(text, sizeof text,
                  "{\"points\": %zu, \"dimension\": %zu, \"seed\": %llu, \"radius\": %g, \"edges\": %zu, "
                  "\"edges_of_the_cpu\": %s, \"ms_launched\": %.3f, \"ms_cuda_graph\": %.3f, \"workspace_MB\": %.1f}",
                  Case::n_points, Case::dimension, static_cast<unsigned long long>(Case::seed), Case::radius,
                  none.n_edges, equal ? "true" : "false", launched * 1e3, replayed * 1e3,
                  static_cast<double>(workspace.capacity()) * 1e-6);
    return text;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc % 2 != 0) {
        std::fprintf(stderr, "usage: gpu_tracking OUT.json [HITS MAP]...\n");
        return 2;
    }
    if (!cuda_available()) {
        std::fprintf(stderr, "gpu_tracking: no CUDA device\n");
        return 3;
    }
    bool failed = false;
    std::string events;
    for (int i = 2; i + 1 < argc; i += 2) {
        events += (events.empty() ? "\n  " : ",\n  ") + time_graph(argv[i], argv[i + 1], failed);
    }
    const std::string radius = time_radius_graph(failed);
    const std::string json = "{\"copy_bytes_per_second\": " + std::to_string(bench::measure_copy_rate()) +
                             ", \"events\": [" + events + "], \"radius_graph\": " + radius + "}\n";
    if (failed) std::fprintf(stderr, "gpu_tracking: edges differ from those of the CPU\n");
    return bench::write_report(argv[1], json) && !failed ? 0 : 1;
}
