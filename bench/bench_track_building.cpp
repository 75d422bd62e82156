// Track building from scored edges: chains of ten hits with true scores above 0.8, and as many false edges below 0.3.
#include <benchmark/benchmark.h>

#include <random>
#include <rheinfall/rheinfall.hpp>
#include <vector>

namespace {

constexpr std::size_t chain = 10;

struct Graph {
    explicit Graph(std::size_t n) : n_nodes(n), offsets(n + 1), hits(n) {
        std::mt19937 random(1);
        std::uniform_int_distribution<std::size_t> any(0, n - 1);
        std::uniform_real_distribution<float> good(0.8f, 1.0f);
        std::uniform_real_distribution<float> bad(0.05f, 0.3f);
        for (std::size_t i = 0; i < n; ++i) {
            if (i % chain + 1 < chain) add(i, i + 1, good(random));
            const std::size_t other = any(random);
            if (other > i + 1) add(i, other, bad(random));
        }
        workspace.reserve(rheinfall::track_building_workspace_size({n, source.size()}));
    }

    void add(std::size_t a, std::size_t b, float score) {
        source.push_back(static_cast<std::int64_t>(a));
        target.push_back(static_cast<std::int64_t>(b));
        scores.push_back(score);
    }

    rheinfall::Status build(const rheinfall::TrackBuildingPlan& plan) {
        tracks = {offsets, hits, {}};
        return rheinfall::build_tracks(plan, workspace, {{source, target}, scores, n_nodes, {}}, tracks);
    }

    /// Each chain is a track.
    [[nodiscard]] bool right() const {
        if (tracks.n_tracks != n_nodes / chain || tracks.n_hits != n_nodes) return false;
        for (std::size_t i = 0; i < n_nodes; ++i) {
            if (hits[i] != static_cast<std::int64_t>(i)) return false;
        }
        return true;
    }

    std::size_t n_nodes;
    std::vector<std::int64_t> source, target, offsets, hits;
    std::vector<float> scores;
    rheinfall::Workspace workspace;
    rheinfall::TracksBuffers tracks;
};

void build_tracks(benchmark::State& state, rheinfall::TrackMethod method) {
    auto plan = rheinfall::TrackBuildingPlan::defaults(method);
    plan.score_cut = 0.5f;
    plan.walk_min = 0.5f;
    Graph graph(static_cast<std::size_t>(state.range(0)));
    if (graph.build(plan) != rheinfall::Status::ok || !graph.right()) return state.SkipWithError("wrong tracks");
    for (auto _ : state) benchmark::DoNotOptimize(graph.build(plan));
    const auto n_edges = static_cast<std::int64_t>(graph.source.size());
    state.SetItemsProcessed(state.iterations() * n_edges);
    state.SetBytesProcessed(state.iterations() * (20 * n_edges + 16 * state.range(0)));  // edges in, tracks out
}

BENCHMARK_CAPTURE(build_tracks, components, rheinfall::TrackMethod::components)
    ->Arg(100000)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(build_tracks, mutual_best, rheinfall::TrackMethod::mutual_best)
    ->Arg(100000)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(build_tracks, cc_and_walk, rheinfall::TrackMethod::cc_and_walk)
    ->Arg(100000)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(build_tracks, walk, rheinfall::TrackMethod::walk)->Arg(100000)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(build_tracks, d_walk, rheinfall::TrackMethod::d_walk)->Arg(100000)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(build_tracks, junction_removal, rheinfall::TrackMethod::junction_removal)
    ->Arg(100000)
    ->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
