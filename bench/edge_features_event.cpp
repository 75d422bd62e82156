// Pruning by the triplet chi2 and the features of the edges that stay, of one event by every version, interleaved, on
// one thread and on two; run by edge_features.py.
//
// edge_features_event HITS MAP RESOLUTION CHI2_MAX QUADRUPLET_CHI2_MAX REPETITIONS          prints JSON
//
// HITS: see event_file.hpp. RESOLUTION: 256 x 3 float32, by volume.
#include <cstring>
#include <fstream>
#include <functional>
#include <rheinfall/adapters/std_threads.hpp>
#include <rheinfall/tracking/graph_construction.hpp>
#include <rheinfall/tracking/track_finder.hpp>
#include <string>
#include <utility>

#include "event_file.hpp"
#include "tracking/edge_features_plain.hpp"
#include "tracking/edge_features_work.hpp"

namespace {

namespace detail = rheinfall::detail;
using bench::Clock;
using rheinfall::ContinuationChi2;
using rheinfall::EdgesBuffer;
using rheinfall::ParallelFor;

/// The graph of the event, to be pruned again and again.
struct Graph {
    bench::Event event;
    rheinfall::TripletModel model = rheinfall::default_triplet_model();
    std::vector<std::int64_t> source, target;

    Graph(const char* hits, const char* map_path, const char* resolution) : event(hits) {
        std::ifstream in(resolution, std::ios::binary);
        in.read(reinterpret_cast<char*>(model.resolution_by_volume.data()), sizeof(model.resolution_by_volume));
        if (!in) {
            std::fprintf(stderr, "%s: cannot read\n", resolution);
            std::exit(1);
        }
        const auto map = rheinfall::ModuleMap::load(map_path);
        const rheinfall::GraphLimits limits{event.x.size(), std::size_t{1} << 23};
        rheinfall::Workspace workspace;
        workspace.reserve(rheinfall::graph_workspace_size(map, limits));
        source.resize(std::size_t{1} << 20);
        target.resize(source.size());
        const auto n = rheinfall::build_graph(map, event.view(), limits, {source, target}, workspace).n_edges;
        source.resize(n);
        target.resize(n);
    }
};

/// Where a version leaves its results.
struct Buffers {
    std::vector<std::int64_t> source, target;
    std::vector<float> chi2, nodes, edges;
    std::size_t n_left = 0, n_triplets = 0;
    rheinfall::Workspace workspace;

    explicit Buffers(const Graph& graph)
        : source(graph.source.size()),
          target(source.size()),
          chi2(4 * source.size()),
          nodes(rheinfall::n_node_features * graph.event.x.size()),
          edges(rheinfall::n_edge_features * source.size()) {
        workspace.reserve(
            detail::triplet_chi2_workspace_size_plain(graph.event.x.size(), source.size()) +
            rheinfall::prune_edges_workspace_size(graph.event.x.size(), source.size(), 4 * source.size()));
    }
    [[nodiscard]] ContinuationChi2 rows() {
        const std::size_t n = source.size();
        const std::span<float> all(chi2);
        return {all.subspan(0, n), all.subspan(n, n), all.subspan(2 * n, n), all.subspan(3 * n, n)};
    }
    [[nodiscard]] rheinfall::EdgesView left() const {
        return {std::span(source).first(n_left), std::span(target).first(n_left)};
    }
    [[nodiscard]] bool same_bits(const Buffers& other) const {
        const auto same = [](const auto& a, const auto& b, std::size_t n) {
            return std::memcmp(a.data(), b.data(), n * sizeof(a[0])) == 0;
        };
        bool chi2_same = true;
        for (std::size_t row = 0; row < 4; ++row) {
            chi2_same = chi2_same && std::memcmp(&chi2[row * source.size()], &other.chi2[row * source.size()],
                                                 n_left * sizeof(float)) == 0;
        }
        return n_left == other.n_left && same(source, other.source, n_left) && same(target, other.target, n_left) &&
               chi2_same && same(nodes, other.nodes, nodes.size()) &&
               same(edges, other.edges, rheinfall::n_edge_features * n_left);
    }
};

struct Version {
    std::string name;
    std::size_t n_threads;
    float quadruplet_chi2_max;
    std::function<void(Buffers&)> prune, features;
    std::vector<double> prune_ms, features_ms, both_ms;

    void run(const Graph& graph, Buffers& buffers) {
        std::ranges::copy(graph.source, buffers.source.begin());
        std::ranges::copy(graph.target, buffers.target.begin());
        const auto start = Clock::now();
        prune(buffers);
        prune_ms.push_back(bench::ms_since(start));
        const auto middle = Clock::now();
        features(buffers);
        features_ms.push_back(bench::ms_since(middle));
        both_ms.push_back(bench::ms_since(start));
    }
    void clear() {
        for (auto* times : {&prune_ms, &features_ms, &both_ms}) times->clear();
    }
};

Version plain_version(const Graph& graph, float chi2_max) {
    const auto prune = [&graph, chi2_max](Buffers& b) {
        b.n_left = detail::prune_edges_plain(graph.event.view(), {b.source, b.target}, graph.model, chi2_max, b.rows(),
                                             b.workspace)
                       .n_edges;
    };
    const auto features = [&graph](Buffers& b) {
        detail::node_features_plain(graph.event.view(), b.nodes);
        detail::edge_features_plain(graph.event.view(), b.left(), b.rows(), b.edges);
    };
    return {"plain", 1, 0.0F, prune, features, {}, {}, {}};
}

Version vector_version(std::string name, const detail::EdgeSteps& steps, const Graph& graph,
                       const rheinfall::PruneCuts& cuts, const ParallelFor& threads) {
    const auto prune = [&graph, &steps, cuts, threads](Buffers& b) {
        const auto result = detail::prune_edges_by(steps, graph.event.view(), {b.source, b.target}, graph.model, cuts,
                                                   b.rows(), b.workspace, threads);
        b.n_left = result.n_edges;
        b.n_triplets = result.n_triplets;
        if (result.status == rheinfall::Status::capacity_exceeded) {
            std::fprintf(stderr, "%zu triplets are too many\n", result.n_triplets);
            std::exit(1);
        }
    };
    const auto features = [&graph, &steps, threads](Buffers& b) {
        detail::node_features_by(steps, graph.event.view(), b.nodes, threads);
        detail::edge_features_by(steps, graph.event.view(), b.left(), b.rows(), b.edges, b.workspace, threads);
    };
    return {std::move(name), threads.n_threads(), cuts.quadruplet_chi2_max, prune, features, {}, {}, {}};
}

void print(const char* what, const std::vector<double>& ms) {
    std::printf(", \"%s_ms\": {\"median\": %.4f, \"p5\": %.4f, \"p95\": %.4f}", what, bench::quantile(ms, 0.5),
                bench::quantile(ms, 0.05), bench::quantile(ms, 0.95));
}

int print_times(const Graph& graph, std::vector<Version>& versions, int repetitions) {
    Buffers expected(graph);
    Buffers buffers(graph);
    std::size_t n_left = 0;  // without quadruplets, which come last
    float cut = -1.0F;
    for (Version& v : versions) {
        const bool first = v.quadruplet_chi2_max != cut;  // of those with this cut
        cut = v.quadruplet_chi2_max;
        v.run(graph, first ? expected : buffers);
        v.clear();
        if (cut == 0.0F) n_left = expected.n_left;
        if (!first && !buffers.same_bits(expected)) {
            std::fprintf(stderr, "%s on %zu threads: other bits than the first version\n", v.name.c_str(), v.n_threads);
            return 1;
        }
    }
    for (int repetition = 0; repetition < repetitions; ++repetition) {
        for (Version& v : versions) v.run(graph, buffers);
    }
    std::printf(
        "{\"hits\": %zu, \"edges\": %zu, \"edges_left\": %zu, \"edges_left_with_quadruplets\": %zu, \"triplets\": "
        "%zu,\n"
        " \"workspace_MB\": %.1f, \"versions\": [",
        graph.event.x.size(), graph.source.size(), n_left, expected.n_left, expected.n_triplets,
        static_cast<double>(rheinfall::prune_edges_workspace_size(graph.event.x.size(), graph.source.size())) / 1e6);
    for (const Version& v : versions) {
        std::printf("%s\n  {\"name\": \"%s\", \"threads\": %zu, \"quadruplet_chi2_max\": %g",
                    &v == versions.data() ? "" : ",", v.name.c_str(), v.n_threads,
                    static_cast<double>(v.quadruplet_chi2_max));
        print("prune", v.prune_ms);
        print("features", v.features_ms);
        print("both", v.both_ms);
        if (v.quadruplet_chi2_max == 0.0F) {
            std::printf(", \"plain_over_this\": %.2f",
                        bench::quantile(versions.front().both_ms, 0.5) / bench::quantile(v.both_ms, 0.5));
        }
        std::printf("}");
    }
    std::printf("]}\n");
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 7) {
        std::fprintf(stderr,
                     "usage: edge_features_event HITS MAP RESOLUTION CHI2_MAX QUADRUPLET_CHI2_MAX REPETITIONS\n");
        return 2;
    }
    const Graph graph(argv[1], argv[2], argv[3]);
    const float chi2_max = std::strtof(argv[4], nullptr);
    const float quadruplet_chi2_max = std::strtof(argv[5], nullptr);
    rheinfall::StdThreads two(2);
    std::vector<Version> versions{plain_version(graph, chi2_max)};
    for (const float quadruplets : {0.0F, quadruplet_chi2_max}) {
        const rheinfall::PruneCuts cuts{chi2_max, quadruplets, quadruplets > 0 ? 4 * graph.source.size() : 0};
        const auto add = [&](const char* name, const detail::EdgeSteps& steps, const ParallelFor& threads) {
            versions.push_back(vector_version(name, steps, graph, cuts, threads));
        };
        add("portable", detail::edge_steps_portable(), {});
#if defined(__x86_64__)
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")) {
            add("avx2", detail::edge_steps_avx2(), {});
        }
#endif
        add("fastest", detail::edge_steps(), {});
        add("fastest", detail::edge_steps(), two.parallel_for());
    }
    return print_times(graph, versions, std::max(1, std::atoi(argv[6])));
}
