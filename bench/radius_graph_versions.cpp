// The radius graph, or the nearest neighbours, of the same points by every version, in turns, on one thread and on two;
// run by radius_graph_peers.py.
//
// radius_graph_versions POINTS RADIUS MAX_NEIGHBOURS REPETITIONS SECONDS EDGES          prints JSON
//
// POINTS: uint64 n and dimension, then rows of float32. RADIUS may be inf; MAX_NEIGHBOURS 0: no cap. EDGES: uint64 n,
// then source and target (int64), which every version must give. Buffers have been written to before. After SECONDS no
// further repetition begins, save for the first.
#include <cstring>
#include <numeric>
#include <rheinfall/adapters/std_threads.hpp>
#include <rheinfall/rheinfall.hpp>
#include <string>
#include <utility>

#include "core/instruction_sets.hpp"
#include "event_file.hpp"
#include "tracking/radius_graph_work.hpp"

namespace {

namespace detail = rheinfall::detail;
using bench::Clock;
using rheinfall::ParallelFor;

template <class T>
std::vector<T> read(std::ifstream& in, std::size_t n, const char* path) {
    std::vector<T> values(n);
    in.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(n * sizeof(T)));
    if (!in) {
        std::fprintf(stderr, "%s: cannot read\n", path);
        std::exit(1);
    }
    return values;
}

struct Search {
    std::vector<float> coordinates;
    rheinfall::PointsView points;
    rheinfall::RadiusGraphPlan plan;
    std::vector<std::int64_t> expected_source, expected_target;

    Search(const char* points_path, const char* edges_path) {
        std::ifstream in(points_path, std::ios::binary);
        const auto shape = read<std::uint64_t>(in, 2, points_path);
        coordinates = read<float>(in, shape[0] * shape[1], points_path);
        points = {coordinates, shape[0], shape[1]};
        std::ifstream edges(edges_path, std::ios::binary);
        const auto n = read<std::uint64_t>(edges, 1, edges_path)[0];
        expected_source = read<std::int64_t>(edges, n, edges_path);
        expected_target = read<std::int64_t>(edges, n, edges_path);
    }
};

struct Version {
    std::string name;
    const detail::RadiusSteps* steps;
    ParallelFor threads;
    std::vector<double> ms;
};

/// What all versions write to.
struct Buffers {
    std::vector<std::int64_t> counts, source, target;
    rheinfall::Workspace workspace;

    explicit Buffers(const Search& search)
        : counts(search.points.n_points), source(search.expected_source.size()), target(source.size()) {
        workspace.reserve(rheinfall::radius_graph_workspace_size(
            {search.points.n_points, search.points.dimension, search.plan.max_neighbours}));
    }
};

/// Times one run and compares its edges with those expected.
bool run(const Search& search, Version& version, Buffers& b) {
    rheinfall::RadiusGraphBuffers edges{b.source, b.target};
    const auto start = Clock::now();
    detail::build_radius_graph(*version.steps, search.plan, b.workspace, search.points, b.counts, edges,
                               version.threads);
    version.ms.push_back(bench::ms_since(start));
    return edges.n_edges == search.expected_source.size() && b.source == search.expected_source &&
           b.target == search.expected_target;
}

std::vector<Version> versions_of(const ParallelFor& two) {
    std::vector<std::pair<std::string, const detail::RadiusSteps*>> steps{
        {"portable", &detail::radius_steps_portable()}};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        steps.emplace_back("avx2", &detail::radius_steps_avx2());
    }
    if (detail::has_avx512()) {
        steps.emplace_back("avx512", &detail::radius_steps_avx512());
    }
#endif
    std::vector<Version> versions;
    for (const auto& [name, of] : steps) {
        versions.push_back({name, of, {}, {}});
        versions.push_back({name, of, two, {}});
    }
    return versions;
}

/// ms that copying as many bytes as edges are written takes.
double copy_ms(Buffers& b) {
    const auto start = Clock::now();
    std::memcpy(b.source.data(), b.target.data(), b.target.size() * sizeof(std::int64_t));
    std::memcpy(b.target.data(), b.source.data(), b.source.size() * sizeof(std::int64_t));
    return bench::ms_since(start);
}

void print(const std::vector<double>& ms) {
    std::printf("{\"median_ms\": %.4f, \"p5_ms\": %.4f, \"p95_ms\": %.4f}", bench::quantile(ms, 0.5),
                bench::quantile(ms, 0.05), bench::quantile(ms, 0.95));
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 7) {
        std::fprintf(stderr, "usage: radius_graph_versions POINTS RADIUS MAX_NEIGHBOURS REPETITIONS SECONDS EDGES\n");
        return 2;
    }
    Search search(argv[1], argv[6]);
    search.plan.radius = std::strtod(argv[2], nullptr);
    const auto cap = std::strtoull(argv[3], nullptr, 10);
    if (cap != 0) search.plan.max_neighbours = cap;
    const int repetitions = std::max(1, std::atoi(argv[4]));
    Buffers buffers(search);
    rheinfall::StdThreads two(2);
    std::vector<Version> versions = versions_of(two.parallel_for());
    std::vector<double> copies;
    const double at_most_ms = 1e3 * std::strtod(argv[5], nullptr);
    const auto start = Clock::now();
    for (int repetition = -1; repetition < repetitions; ++repetition) {  // the first is not timed
        if (repetition > 0 && bench::ms_since(start) > at_most_ms) break;
        for (Version& v : versions) {
            if (!run(search, v, buffers)) {
                std::fprintf(stderr, "%s on %zu threads: other edges\n", v.name.c_str(), v.threads.n_threads());
                return 1;
            }
            if (repetition < 0) v.ms.clear();
        }
        copies.push_back(copy_ms(buffers));
    }
    std::printf("{\"edges\": %zu, \"repetitions\": %zu, \"copy\": ", buffers.source.size(), versions[0].ms.size());
    print(copies);
    std::printf(", \"versions\": [");
    for (const Version& v : versions) {
        std::printf("%s{\"name\": \"%s\", \"threads\": %zu, \"times\": ", &v == versions.data() ? "" : ", ",
                    v.name.c_str(), v.threads.n_threads());
        print(v.ms);
        std::printf("}");
    }
    std::printf("]}\n");
    return 0;
}
