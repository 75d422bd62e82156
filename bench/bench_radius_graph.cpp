// Fixed-radius neighbours in 3, 8 and 12 dimensions: clusters of ten points, as an embedding places the hits of a
// track.
#include <benchmark/benchmark.h>

#include <numeric>
#include <random>
#include <rheinfall/rheinfall.hpp>
#include <vector>

namespace {

struct Search {
    Search(std::size_t n, std::size_t dimension) : coordinates(n * dimension), counts(n), points{{}, n, dimension} {
        std::mt19937 random(1);
        std::uniform_real_distribution<float> centre(-1.0f, 1.0f);
        std::normal_distribution<float> spread(0.0f, 0.01f);
        std::vector<float> middle(dimension);
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t d = 0; d < dimension; ++d) {
                if (i % 10 == 0) middle[d] = centre(random);
                coordinates[i * dimension + d] = middle[d] + spread(random);
            }
        }
        points.coordinates = coordinates;
        plan.radius = 0.04;
        workspace.reserve(rheinfall::radius_graph_workspace_size({n, dimension, 0}));
        run();  // to learn how many edges there are
        source.resize(edges.n_edges);
        target.resize(edges.n_edges);
        edges = {source, target};
    }

    rheinfall::Status run() { return rheinfall::build_radius_graph(plan, workspace, points, counts, edges); }

    /// The neighbours of a hundred points, by comparing each with all.
    [[nodiscard]] bool right() const {
        if (edges.n_edges != source.size()) return false;
        for (std::size_t i = 0; i < points.n_points; i += points.n_points / 100) {
            std::int64_t expected = -1;  // itself
            for (std::size_t j = 0; j < points.n_points; ++j) {
                double distance2 = 0.0;
                for (std::size_t d = 0; d < points.dimension; ++d) {
                    const double a = coordinates[i * points.dimension + d];
                    const double b = coordinates[j * points.dimension + d];
                    distance2 += (a - b) * (a - b);
                }
                if (distance2 <= plan.radius * plan.radius) ++expected;
            }
            if (counts[i] != expected) return false;
        }
        return true;
    }

    std::vector<float> coordinates;
    std::vector<std::int64_t> counts, source, target;
    rheinfall::PointsView points;
    rheinfall::RadiusGraphPlan plan;
    rheinfall::RadiusGraphBuffers edges;
    rheinfall::Workspace workspace;
};

/// Finding alone, then the whole; what writing adds is their difference.
void run_stage(benchmark::State& state, bool write) {
    Search search(static_cast<std::size_t>(state.range(0)), static_cast<std::size_t>(state.range(1)));
    if (search.run() != rheinfall::Status::ok || !search.right()) return state.SkipWithError("wrong neighbours");
    std::vector<std::uint64_t> first(search.points.n_points);
    std::vector<std::uint32_t> targets(2 * search.source.size());
    rheinfall::NeighbourLists lists{search.counts, first, targets};
    for (auto _ : state) {
        if (write) {
            benchmark::DoNotOptimize(search.run());
        } else {
            benchmark::DoNotOptimize(rheinfall::find_neighbours(search.plan, search.workspace, search.points, lists));
        }
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
    state.counters["edges"] = static_cast<double>(search.source.size());
}

void find_neighbours(benchmark::State& state) {
    run_stage(state, false);
}

void build_radius_graph(benchmark::State& state) {
    run_stage(state, true);
}

BENCHMARK(find_neighbours)->Args({100000, 3})->Args({100000, 8})->Args({100000, 12})->Unit(benchmark::kMillisecond);
BENCHMARK(build_radius_graph)->Args({100000, 3})->Args({100000, 8})->Args({100000, 12})->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
