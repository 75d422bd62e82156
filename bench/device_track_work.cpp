// What the CUDA kernels of track building have to do, counted on the host by their own bodies: how large the components
// are, how many rounds the methods need, how far a search goes, which components are left to one thread; and whether
// the bodies find the tracks of the CPU. Needs no GPU.
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

/// Counts what a GPU would launch: kernels, and calls of CUB, which launch some each.
struct CountingExecutor : HostExecutor {
    std::size_t n_calls = 0;

    template <class Body>
    void for_each(std::uint64_t n, const Body& body) {
        ++n_calls;
        HostExecutor::for_each(n, body);
    }
    template <class Body>
    void for_each_row(std::uint64_t n, std::int32_t n_columns, const Body& body) {
        ++n_calls;
        HostExecutor::for_each_row(n, n_columns, body);
    }
    void exclusive_sum(const std::uint64_t* in, std::uint64_t* out, std::uint64_t n) {
        ++n_calls;
        HostExecutor::exclusive_sum(in, out, n);
    }
    template <class Key>
    void sort_pairs(const Key* keys, Key* sorted, const std::uint32_t* values, std::uint32_t* sorted_values,
                    std::uint64_t n, int n_bits) {
        ++n_calls;
        HostExecutor::sort_pairs(keys, sorted, values, sorted_values, n, n_bits);
    }
};

/// Components that have edges, and those among them that are left to one thread.
struct Sizes {
    std::uint32_t n = 0, most_hits = 0, most_edges = 0, left = 0, most_edges_left = 0, depth = 0;
    std::vector<std::uint32_t> edges;

    explicit Sizes(const detail::DeviceTrackBuilder& t) {
        for (std::uint32_t c = 0; t.needs_rows() && c < t.component[t.n_nodes]; ++c) {
            const detail::ComponentOfTracks component(t, c);
            if (component.n_edges == 0) continue;
            ++n;
            most_hits = std::max(most_hits, component.n_hits);
            most_edges = std::max(most_edges, component.n_edges);
            edges.push_back(component.n_edges);
            if (!t.must_look_into(c)) continue;
            ++left;
            most_edges_left = std::max(most_edges_left, component.n_edges);
        }
        std::ranges::sort(edges);
        if (t.deepens()) depth = *std::max_element(t.depth, t.depth + t.n_nodes);
    }
    /// Edges of the component below which there is such a share of them.
    [[nodiscard]] std::uint32_t quantile(double share) const {
        return edges.empty() ? 0 : edges[static_cast<std::size_t>(share * static_cast<double>(edges.size() - 1))];
    }
};

/// Rounds in which some thread found work.
std::uint32_t rounds_of(const detail::EventFlags& flags) {
    std::uint32_t rounds = 0;
    while (rounds < detail::EventFlags::most_rounds && flags.busy[rounds + 1] != 0) ++rounds;
    return rounds;
}

/// The largest search, in hits that it reaches and in edges that these have; of every hit, while all are free.
struct Searches {
    std::uint32_t most_hits = 0, most_edges = 0;

    explicit Searches(const detail::DeviceTrackBuilder& t) {
        if (!detail::needs_no_cycles(t.plan.method) || !t.deepened()) return;
        std::vector<float> columns(detail::SearchNodes::n_far_columns);
        for (std::uint32_t i = 0; i < t.n_nodes; ++i) {
            detail::SearchNodes nodes(columns.data(), 1, detail::SearchNodes::most_far);
            if (t.plan.method == TrackMethod::d_walk) {
                detail::search_best_path(detail::HeaviestPathOfRound{t, 0}, i, nodes);
            } else {
                detail::search_best_path(detail::LongestPathOfStart{t, 0}, i, nodes);
            }
            std::uint32_t n_edges = 0;
            for (std::uint32_t node = 0; node < nodes.size; ++node) {
                const std::uint32_t v = nodes.get(node, detail::SearchNodes::hit);
                n_edges += t.row_begin[v + 1] - t.row_begin[v];
            }
            most_hits = std::max(most_hits, nodes.size);
            most_edges = std::max(most_edges, n_edges);
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
    CountingExecutor on;
    detail::build_device_tracks(on, t);
    offsets.resize(cpu.offsets.size());
    hits.resize(cpu.hits.size());
    const bool equal = result.status == cpu.status && result.n_tracks == cpu.buffers.n_tracks &&
                       offsets == cpu.offsets && hits == cpu.hits && labels == cpu.labels;
    if (!equal) std::fprintf(stderr, "%s: the bodies do not find the tracks of the CPU\n", named.name);
    failed = failed || !equal;
    const Sizes sizes(t);
    const Searches searches(t);
    char text[640];
    std::snprintf(text, sizeof text,
                  "{\"method\": \"%s\", \"components\": %u, \"hits_of_the_largest\": %u, \"edges_of_the_largest\": %u, "
                  "\"edges_median\": %u, \"edges_99_percent\": %u, "
                  "\"depth\": %u, \"rounds\": %u, \"hits_of_the_largest_search\": %u, "
                  "\"edges_of_the_largest_search\": %u, \"left_to_one_thread\": %u, \"edges_of_the_largest_left\": %u, "
                  "\"launches\": %zu, \"tracks\": %zu, \"workspace_MB\": %.1f, \"tracks_of_the_cpu\": %s}",
                  named.name, sizes.n, sizes.most_hits, sizes.most_edges, sizes.quantile(0.5), sizes.quantile(0.99),
                  sizes.depth, rounds_of(*t.flags), searches.most_hits, searches.most_edges, sizes.left,
                  sizes.most_edges_left, on.n_calls, result.n_tracks, static_cast<double>(meter.bytes()) * 1e-6,
                  equal ? "true" : "false");
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
