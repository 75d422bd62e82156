// Track building of one graph by every method, interleaved; run by track_building.py.
//
// track_building_event GRAPH REPETITIONS THREADS [RUN]   prints JSON; RUN: only those whose name begins so.
// 0 repetitions: once, without a warm-up, hits ordered by distance only.
// GRAPH: see scored_graph.hpp
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <rheinfall/adapters/huge_pages.hpp>
#include <rheinfall/adapters/std_threads.hpp>
#include <rheinfall/tracking/track_building.hpp>
#include <string_view>
#include <vector>

#include "scored_graph.hpp"

namespace {

using rheinfall::TrackBuildingPlan;
using rheinfall::TrackMethod;

double cpu_ms(clockid_t clock) {
    timespec t{};
    clock_gettime(clock, &t);
    return 1e3 * static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_nsec);
}

struct Run {
    const char* name;
    TrackMethod method;
    bool with_hits = true;  ///< hits of a track ordered by distance, else topologically
    std::vector<double> cpu = {}, wall = {};
    rheinfall::TracksBuffers tracks = {};
    rheinfall::Status status = {};
};

void print(const Run& run, const std::vector<std::int64_t>& hits, bool last) {
    unsigned long long sum = 0;  // of the track list, to compare thread counts and releases
    for (std::size_t i = 0; i < run.tracks.n_hits; ++i) {
        sum = sum * 1099511628211ULL + static_cast<unsigned long long>(hits[i]) + 1;
    }
    const auto quantile = [](std::vector<double> v, double q) {
        std::ranges::sort(v);
        return v[static_cast<std::size_t>(q * static_cast<double>(v.size() - 1))];
    };
    std::printf(R"(  "%s, %s": {"cpu_ms": %.4f, "cpu_ms_p95": %.4f, "wall_ms": %.4f, "tracks": %zu, "hits": %zu, )"
                R"("status": "%s", "checksum": "%016llx"}%s)"
                "\n",
                run.name, run.with_hits ? "by distance" : "topological", quantile(run.cpu, 0.5),
                quantile(run.cpu, 0.95), quantile(run.wall, 0.5), run.tracks.n_tracks, run.tracks.n_hits,
                rheinfall::to_string(run.status), sum, last ? "" : ",");
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4 && argc != 5) {
        return std::fprintf(stderr, "usage: track_building_event GRAPH REPETITIONS THREADS [RUN]\n"), 1;
    }
    const bench::Graph graph(argv[1]);
    const int repetitions = std::max(0, std::atoi(argv[2]));
    const auto n_nodes = graph.n_nodes;
    std::vector<Run> runs;
    for (const bool with_hits : {true, false}) {
        if (repetitions == 0 && !with_hits) break;
        runs.push_back({"components", TrackMethod::components, with_hits});
        runs.push_back({"mutual_best", TrackMethod::mutual_best, with_hits});
        runs.push_back({"junction_removal", TrackMethod::junction_removal, with_hits});
        if (with_hits) runs.push_back({"layer_merge", TrackMethod::layer_merge, with_hits});
        runs.push_back({"cc_and_walk", TrackMethod::cc_and_walk, with_hits});
        runs.push_back({"walk", TrackMethod::walk, with_hits});
        runs.push_back({"d_walk", TrackMethod::d_walk, with_hits});
    }
    if (argc == 5)
        std::erase_if(runs, [&](const Run& run) { return !std::string_view(run.name).starts_with(argv[4]); });
    rheinfall::HugePages huge_pages;
    rheinfall::Workspace workspace(&huge_pages);
    workspace.reserve(rheinfall::track_building_workspace_size({n_nodes, graph.source.size()}));
    rheinfall::StdThreads threads(static_cast<std::size_t>(std::max(1, std::atoi(argv[3]))));
    std::vector<std::vector<std::int64_t>> hits(runs.size(), std::vector<std::int64_t>(n_nodes));
    std::vector<std::int64_t> offsets(n_nodes + 1);
    std::vector<std::int64_t> labels(n_nodes);
    for (int i = repetitions == 0 ? 0 : -1; i < std::max(1, repetitions); ++i) {
        for (std::size_t r = 0; r < runs.size(); ++r) {
            Run& run = runs[r];
            run.tracks = {offsets, hits[r], labels};
            const auto view = graph.view(run.with_hits);
            const double cpu = cpu_ms(CLOCK_PROCESS_CPUTIME_ID);
            const double wall = cpu_ms(CLOCK_MONOTONIC);
            run.status = rheinfall::build_tracks(TrackBuildingPlan::defaults(run.method), workspace, view, run.tracks,
                                                 threads.parallel_for());
            if (i < 0) continue;
            run.cpu.push_back(cpu_ms(CLOCK_PROCESS_CPUTIME_ID) - cpu);
            run.wall.push_back(cpu_ms(CLOCK_MONOTONIC) - wall);
        }
    }
    std::printf("{\n");
    for (std::size_t r = 0; r < runs.size(); ++r) print(runs[r], hits[r], r + 1 == runs.size());
    std::printf("}\n");
}
