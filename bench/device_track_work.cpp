// What the CUDA kernels of track building have to do, counted on the host by their own bodies: how large the components
// are that one thread each looks into; and whether the bodies find the tracks of the CPU. Needs no GPU.
//
// device_track_work GRAPH...          prints JSON; GRAPH: see scored_graph.hpp
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <rheinfall/tracking/track_building_cuda.hpp>
#include <string>
#include <vector>

#include "host_executor.hpp"
#include "scored_graph.hpp"
#include "tracking/detail/device_tracks_steps.hpp"
#include "tracking/track_building_device.hpp"

namespace {

using namespace rheinfall;

/// Components that have edges.
struct Sizes {
    std::uint32_t n = 0, most_hits = 0, most_edges = 0;

    explicit Sizes(const detail::DeviceTrackBuilder& t) {
        for (std::uint32_t c = 0; t.needs_rows() && c < t.component[t.n_nodes]; ++c) {
            const detail::ComponentOfTracks component(t, c);
            if (component.n_edges == 0) continue;
            ++n;
            most_hits = std::max(most_hits, component.n_hits);
            most_edges = std::max(most_edges, component.n_edges);
        }
    }
};

std::string method_report(const bench::NamedMethod& named, const bench::Graph& graph, bool& failed) {
    const auto plan = TrackBuildingPlan::defaults(named.method);
    const bench::CpuTracks cpu(plan, graph.view(true));
    const TrackBuildingLimits limits{graph.n_nodes, graph.source.size()};
    detail::MeasuringArena meter;
    static_cast<void>(detail::take_device_tracks(meter, plan, limits, true));
    Workspace workspace;
    workspace.reserve(meter.bytes());
    detail::WorkspaceArena arena(workspace);
    detail::DeviceTrackBuilder t = detail::take_device_tracks(arena, plan, limits, true);
    std::vector<std::int64_t> offsets(graph.n_nodes + 1), hits(graph.n_nodes), labels(graph.n_nodes);
    TracksResult result;
    detail::set_device_tracks({graph.view(true)}, {offsets, hits, labels, &result}, t);
    HostExecutor on;
    detail::build_device_tracks(on, t);
    offsets.resize(cpu.offsets.size());
    hits.resize(cpu.hits.size());
    const bool equal = result.status == cpu.status && result.n_tracks == cpu.buffers.n_tracks &&
                       offsets == cpu.offsets && hits == cpu.hits && labels == cpu.labels;
    if (!equal) std::fprintf(stderr, "%s: the bodies do not find the tracks of the CPU\n", named.name);
    failed = failed || !equal;
    const Sizes sizes(t);
    char text[320];
    std::snprintf(text, sizeof text,
                  "{\"method\": \"%s\", \"components\": %u, \"hits_of_the_largest\": %u, \"edges_of_the_largest\": %u, "
                  "\"tracks\": %zu, \"workspace_MB\": %.1f, \"tracks_of_the_cpu\": %s}",
                  named.name, sizes.n, sizes.most_hits, sizes.most_edges, result.n_tracks,
                  static_cast<double>(meter.bytes()) * 1e-6, equal ? "true" : "false");
    return text;
}

}  // namespace

int main(int argc, char** argv) {
    bool failed = argc < 2;
    if (failed) std::fprintf(stderr, "usage: device_track_work GRAPH...\n");
    std::string graphs;
    for (int i = 1; i < argc; ++i) {
        const bench::Graph graph(argv[i]);
        std::string runs;
        for (const bench::NamedMethod& named : bench::track_methods) {
            runs += (runs.empty() ? "\n   " : ",\n   ") + method_report(named, graph, failed);
        }
        graphs += std::string(graphs.empty() ? "" : ",") + "\n {\"graph\": \"" +
                  std::filesystem::path(argv[i]).filename().string() +
                  "\", \"hits\": " + std::to_string(graph.n_nodes) +
                  ", \"edges\": " + std::to_string(graph.source.size()) + ", \"runs\": [" + runs + "]}";
    }
    std::printf("{\"graphs\": [%s]}\n", graphs.c_str());
    return failed ? 1 : 0;
}
