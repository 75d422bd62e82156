// Graph construction with a module map, and the triplet chi2 of its edges, on toy events of 10,000 and 100,000 hits.
#include <benchmark/benchmark.h>

#include <algorithm>

#include "toy_event.hpp"

namespace {

struct Graph {
    explicit Graph(std::size_t n_tracks)
        : map(toy::make_map()),
          event(toy::make_event(n_tracks)),
          limits{event.x.size(), 60 * event.x.size()},
          source(10 * event.x.size()),
          target(source.size()) {
        workspace.reserve(std::max(rheinfall::graph_workspace_size(map, limits),
                                   rheinfall::triplet_chi2_workspace_size(event.x.size(), source.size())));
        result = build();
    }

    rheinfall::GraphResult build() {
        return rheinfall::build_graph(map, event.view(), limits, {source, target}, workspace);
    }
    [[nodiscard]] rheinfall::EdgesView edges() const {
        return {std::span(source).first(result.n_edges), std::span(target).first(result.n_edges)};
    }

    /// Every pair of successive hits of a track is an edge.
    [[nodiscard]] bool complete() const {
        if (result.status != rheinfall::Status::ok) return false;
        std::vector<bool> found(event.x.size());
        for (std::size_t e = 0; e < result.n_edges; ++e) {
            if (target[e] == source[e] + 1) found[static_cast<std::size_t>(source[e])] = true;
        }
        for (std::size_t i = 0; i < found.size(); ++i) {
            if (i % toy::n_layers + 1 < toy::n_layers && !found[i]) return false;
        }
        return true;
    }

    rheinfall::ModuleMap map;
    toy::Event event;
    rheinfall::GraphLimits limits;
    std::vector<std::int64_t> source, target;
    rheinfall::Workspace workspace;
    rheinfall::GraphResult result;
};

void build_graph(benchmark::State& state) {
    Graph graph(static_cast<std::size_t>(state.range(0)) / toy::n_layers);
    if (!graph.complete()) return state.SkipWithError("the graph lacks true edges");
    for (auto _ : state) benchmark::DoNotOptimize(graph.build());
    state.SetItemsProcessed(state.iterations() * state.range(0));
    // Hits in once; a candidate pair written and read once; edges out.
    state.SetBytesProcessed(state.iterations() *
                            static_cast<std::int64_t>(20 * graph.event.x.size() + 64 * graph.result.n_doublets +
                                                      16 * graph.result.n_edges));
    state.counters["edges"] = static_cast<double>(graph.result.n_edges);
    state.counters["doublets"] = static_cast<double>(graph.result.n_doublets);
}

void triplet_chi2(benchmark::State& state) {
    Graph graph(static_cast<std::size_t>(state.range(0)) / toy::n_layers);
    const std::size_t n = graph.result.n_edges;
    std::vector<float> values(4 * n);
    const std::span<float> all(values);
    const rheinfall::ContinuationChi2 out{all.subspan(0, n), all.subspan(n, n), all.subspan(2 * n, n),
                                          all.subspan(3 * n, n)};
    const auto model = rheinfall::default_triplet_model();
    const auto run = [&] {
        return rheinfall::triplet_chi2(graph.event.view(), graph.edges(), model, out, graph.workspace);
    };
    if (run() != rheinfall::Status::ok) return state.SkipWithError("triplet_chi2 failed");
    for (std::size_t e = 0; e < n; ++e) {
        const auto hit = static_cast<std::size_t>(graph.source[e]);
        const bool true_edge = graph.target[e] == graph.source[e] + 1 && hit % toy::n_layers + 2 < toy::n_layers;
        if (true_edge && !(out.out_best[e] < 100.0f)) return state.SkipWithError("a true edge does not continue");
    }
    for (auto _ : state) benchmark::DoNotOptimize(run());
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(n));
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(60 * n));
}

BENCHMARK(build_graph)->Arg(10000)->Arg(100000)->Unit(benchmark::kMillisecond);
BENCHMARK(triplet_chi2)->Arg(10000)->Arg(100000)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
