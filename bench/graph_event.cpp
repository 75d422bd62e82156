// Graph construction of one event by every version, interleaved, on one thread and on two; run by
// graph_construction.py.
//
// graph_event HITS MAP REPETITIONS          prints JSON
// graph_event HITS MAP --for SECONDS        prints events a second of the fastest version on one thread
//
// HITS: uint64 n, then module ids (uint64), x, y, z (float32).
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <memory>
#include <rheinfall/adapters/std_threads.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "event_file.hpp"
#include "tracking/graph_construction_plain.hpp"
#include "tracking/graph_construction_work.hpp"

namespace {

namespace detail = rheinfall::detail;
using bench::Clock;
using bench::Event;
using bench::ms_since;

/// One way to build the graph, with what it found and how long it took.
struct Version {
    using Build = std::function<rheinfall::GraphResult(rheinfall::EdgesBuffer, rheinfall::Workspace&)>;

    Version(std::string label, std::size_t threads, std::size_t bytes, Build how)
        : name(std::move(label)), n_threads(threads), workspace_bytes(bytes), build(std::move(how)) {}

    std::string name;
    std::size_t n_threads;
    std::size_t workspace_bytes;
    Build build;
    rheinfall::Workspace workspace;
    std::vector<std::int64_t> source, target;
    rheinfall::GraphResult result;
    std::vector<double> wall_ms, cpu_ms;

    void prepare(std::size_t n_edges) {
        workspace.reserve(workspace_bytes);
        source.resize(n_edges);
        target.resize(n_edges);
        run();
        source.resize(result.n_edges);
        target.resize(result.n_edges);
    }
    void run() { result = build({source, target}, workspace); }
    void time() {
        const std::clock_t cpu = std::clock();
        const auto start = Clock::now();
        run();
        wall_ms.push_back(ms_since(start));
        cpu_ms.push_back(1e3 * static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC);
    }
};

double median(const std::vector<double>& values) {
    return bench::quantile(values, 0.5);
}

struct Bench {
    Event event;
    rheinfall::ModuleMap map;
    rheinfall::GraphLimits limits{};
    rheinfall::StdThreads two{2};
    std::vector<std::unique_ptr<Version>> versions;

    Bench(const char* hits, const char* map_path) : event(hits), map(rheinfall::ModuleMap::load(map_path)) {
        limits = {event.x.size(), 0};
        rheinfall::Workspace workspace;
        workspace.reserve(rheinfall::graph_workspace_size(map, limits));
        limits.n_doublets = rheinfall::build_graph(map, event.view(), limits, {}, workspace).n_doublets;
        limits.n_doublets += limits.n_doublets / 4;  // as hosts have that reserve for the largest event
    }

    void add(const char* name, const detail::GraphSteps& steps, std::size_t n_threads) {
        auto build = [this, &steps, n_threads](rheinfall::EdgesBuffer edges, rheinfall::Workspace& workspace) {
            return detail::build_graph_by(steps, map, event.view(), limits, edges, workspace,
                                          n_threads == 1 ? rheinfall::ParallelFor() : two.parallel_for());
        };
        const std::size_t bytes = rheinfall::graph_workspace_size(map, limits, n_threads);
        versions.push_back(std::make_unique<Version>(name, n_threads, bytes, std::move(build)));
    }
    void add_plain() {
        auto build = [this](rheinfall::EdgesBuffer edges, rheinfall::Workspace& workspace) {
            return detail::build_graph_plain(map, event.view(), limits, edges, workspace);
        };
        const std::size_t bytes = detail::graph_workspace_size_plain(map, limits);
        versions.push_back(std::make_unique<Version>("plain", 1, bytes, std::move(build)));
    }
};

/// Steps that add the time they take to a phase of their own, on one thread.
struct Phases {
    static inline const detail::GraphSteps* steps = nullptr;
    static inline double place_ms = 0, find_ms = 0, tag_ms = 0;

    static void place(const rheinfall::HitsView& hits, std::span<const std::uint32_t> order,
                      const detail::PointArrays& points, std::size_t begin, std::size_t end) noexcept {
        const auto start = Clock::now();
        steps->place_points(hits, order, points, begin, end);
        place_ms += ms_since(start);
    }
    static void find(const detail::GraphWork& work, std::size_t first, std::size_t last, detail::CandidateRoom& room,
                     detail::Partners& partners) noexcept {
        const auto start = Clock::now();
        steps->find_candidates(work, first, last, room, partners);
        find_ms += ms_since(start);
    }
    static void tag(const detail::GraphWork& work, std::size_t first, std::size_t last,
                    detail::TagMemory& memory) noexcept {
        const auto start = Clock::now();
        steps->tag_triplets(work, first, last, memory);
        tag_ms += ms_since(start);
    }
};

/// Medians of the phases of the fastest version; `rest` is serial on any number of threads but for writing edges.
void print_phases(Bench& bench, int repetitions) {
    static constexpr detail::GraphSteps timed{Phases::place, Phases::find, Phases::tag};
    Phases::steps = &detail::graph_steps();
    bench.versions.clear();
    bench.add("phases", timed, 1);
    Version& v = *bench.versions.front();
    v.prepare(1 << 20);
    std::vector<double> place, find, tag, rest;
    for (int repetition = 0; repetition < repetitions; ++repetition) {
        Phases::place_ms = Phases::find_ms = Phases::tag_ms = 0;
        v.time();
        place.push_back(Phases::place_ms);
        find.push_back(Phases::find_ms);
        tag.push_back(Phases::tag_ms);
        rest.push_back(v.wall_ms.back() - Phases::place_ms - Phases::find_ms - Phases::tag_ms);
    }
    std::printf(" \"phases_ms\": {\"place\": %.2f, \"find\": %.2f, \"tag\": %.2f, \"rest\": %.2f}}\n", median(place),
                median(find), median(tag), median(rest));
}

int print_times(Bench& bench, int repetitions) {
    bench.add_plain();
    bench.add("portable", detail::graph_steps_portable(), 1);
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")) {
        bench.add("avx2", detail::graph_steps_avx2(), 1);
    }
#endif
    bench.add("fastest", detail::graph_steps(), 1);
    bench.add("fastest", detail::graph_steps(), 2);
    for (auto& v : bench.versions) {
        v->prepare(1 << 20);
        const Version& plain = *bench.versions.front();
        if (v->source != plain.source || v->target != plain.target) {
            std::fprintf(stderr, "%s on %zu threads: other edges than the plain version\n", v->name.c_str(),
                         v->n_threads);
            return 1;
        }
    }
    for (int repetition = 0; repetition < repetitions; ++repetition) {
        for (auto& v : bench.versions) v->time();
    }
    const Version& plain = *bench.versions.front();
    std::printf("{\"hits\": %zu, \"map_doublets\": %zu, \"map_triplets\": %zu, \"doublets\": %zu, \"edges\": %zu,\n",
                bench.event.x.size(), bench.map.n_doublets(), bench.map.n_triplets(), plain.result.n_doublets,
                plain.result.n_edges);
    std::printf(" \"versions\": [");
    for (const auto& v : bench.versions) {
        std::printf(
            "%s\n  {\"name\": \"%s\", \"threads\": %zu, \"median_ms\": %.2f, \"best_ms\": %.2f, "
            "\"cpu_median_ms\": %.2f, \"plain_over_this\": %.2f, \"workspace_MB\": %.1f}",
            v == bench.versions.front() ? "" : ",", v->name.c_str(), v->n_threads, median(v->wall_ms),
            *std::ranges::min_element(v->wall_ms), median(v->cpu_ms), median(plain.wall_ms) / median(v->wall_ms),
            static_cast<double>(v->workspace_bytes) / 1e6);
    }
    std::printf("],\n");
    print_phases(bench, repetitions);
    return 0;
}

int print_rate(Bench& bench, double seconds) {
    bench.add("fastest", detail::graph_steps(), 1);
    Version& v = *bench.versions.front();
    v.prepare(1 << 20);
    int n = 0;
    const auto start = Clock::now();
    for (; ms_since(start) < 1e3 * seconds; ++n) v.run();
    std::printf("%.2f\n", 1e3 * n / ms_since(start));
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 4) {
        std::fprintf(stderr, "usage: graph_event HITS MAP (REPETITIONS | --for SECONDS)\n");
        return 2;
    }
    Bench bench(argv[1], argv[2]);
    if (argc > 4 && std::strcmp(argv[3], "--for") == 0) return print_rate(bench, std::atof(argv[4]));
    return print_times(bench, std::max(1, std::atoi(argv[3])));
}
