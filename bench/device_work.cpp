// What the CUDA kernels of graph construction and of the radius graph have to do, counted on the host by their own
// bodies; and whether those find the edges of the CPU. Needs no GPU.
//
// device_work [HITS MAP]...          prints JSON; HITS: see event_file.hpp
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <rheinfall/rheinfall.hpp>
#include <string>
#include <vector>

#include "cpu_graph.hpp"
#include "embedded_points.hpp"
#include "event_file.hpp"
#include "host_executor.hpp"
#include "tracking/detail/device_graph_steps.hpp"
#include "tracking/detail/device_radius_steps.hpp"
#include "tracking/graph_construction_device.hpp"

namespace {

using namespace rheinfall;
using Numbers = std::vector<std::int64_t>;

std::string graph_report(const char* hits_path, const char* map_path) {
    const bench::Event event(hits_path);
    const ModuleMap map = ModuleMap::load(map_path);
    const bench::CpuGraph cpu(map, event.view());
    const std::vector<std::uint32_t> first = detail::first_doublets(map);
    const detail::DeviceMapView view{map.modules().data(),         first.data(),
                                     map.doublet_outer().data(),   map.doublet_limits().data(),
                                     map.triplet_offsets().data(), map.triplet_outer().data(),
                                     map.triplet_codes().data(),   static_cast<std::uint32_t>(map.n_modules()),
                                     map.bend_convention(),        map.doublets_only()};
    detail::MeasuringArena meter;
    static_cast<void>(detail::take_device_graph(meter, view, event.x.size(), cpu.result.n_doublets));
    Workspace workspace;
    workspace.reserve(meter.bytes());
    detail::WorkspaceArena arena(workspace);
    detail::DeviceGraph g = detail::take_device_graph(arena, view, event.x.size(), cpu.result.n_doublets);
    GraphResult result;
    Numbers source(cpu.source.size()), target(cpu.target.size());
    g.x = event.x.data();
    g.y = event.y.data();
    g.z = event.z.data();
    g.module_id = event.module_id.data();
    g.edge_capacity = source.size();
    g.edge_source = source.data();
    g.edge_target = target.data();
    g.result = &result;
    HostExecutor on;
    detail::build_device_graph(on, g);

    std::uint64_t n_touched = 0, n_pairs = 0, n_triplets = 0;
    for (std::uint32_t i = 0; i < g.n_places(); ++i) {
        const std::uint32_t m = g.sorted_bucket[i];
        for (std::uint32_t d = first[m]; d < first[m + 1]; ++d) {
            const std::uint32_t outer = map.doublet_outer()[d];
            ++n_touched;
            n_pairs += g.module_offsets[outer + 1] - g.module_offsets[outer];
        }
    }
    for (std::uint64_t c = 0; c < g.n_candidates(); ++c) {
        const std::uint32_t d = g.doublet[c];
        n_triplets += map.triplet_offsets()[d + 1] - map.triplet_offsets()[d];
    }
    const bool equal = source == cpu.source && target == cpu.target && result.status == cpu.result.status;
    char text[640];
    std::snprintf(text, sizeof text,
                  "{\"hits\": %zu, \"map_doublets\": %zu, \"map_triplets\": %zu, \"doublets_of_hits\": %llu, "
                  "\"hit_pairs\": %llu, \"doublets\": %zu, \"triplets_of_doublets\": %llu, \"edges\": %zu, "
                  "\"map_MB\": %.1f, \"workspace_MB\": %.1f, \"edges_of_the_cpu\": %s}",
                  event.x.size(), map.n_doublets(), map.n_triplets(), static_cast<unsigned long long>(n_touched),
                  static_cast<unsigned long long>(n_pairs), result.n_doublets,
                  static_cast<unsigned long long>(n_triplets), result.n_edges,
                  static_cast<double>(map.bytes().size()) * 1e-6, static_cast<double>(meter.bytes()) * 1e-6,
                  equal ? "true" : "false");
    if (!equal) std::fprintf(stderr, "%s: the bodies do not find the edges of the CPU\n", hits_path);
    return text;
}

/// Tiles of 32 by 32 points that the leaves of a sample look at, and how many of those some point looks into.
struct Tiles {
    double by_box = 0, by_point = 0;

    template <std::uint32_t Quads>
    static Tiles count(const detail::DeviceRadius& s, std::uint32_t n_sample) {
        Tiles tiles;
        const std::uint32_t first = 1U << s.n_levels;
        for (std::uint32_t k = 0; k < n_sample; ++k) {
            const std::uint32_t own = static_cast<std::uint32_t>(std::uint64_t{k} * (s.n_leaves() - 1) / n_sample);
            for (std::uint32_t leaf = 0; leaf < s.n_leaves(); ++leaf) {
                const auto box = [&](const detail::Quad* corners, std::uint32_t l) {
                    return corners + std::size_t{first + l} * Quads;
                };
                if (!(detail::box_distance2<Quads>(box(s.low, own), box(s.high, own), box(s.low, leaf),
                                                   box(s.high, leaf)) <= s.possible)) {
                    continue;
                }
                tiles.by_box += 1;
                bool any = false;
                for (std::uint32_t p = 0; p < s.leaf_size && !any; ++p) {
                    const detail::Quad* point = s.points + (std::size_t{own} * s.leaf_size + p) * Quads;
                    any = detail::box_distance2<Quads>(point, point, box(s.low, leaf), box(s.high, leaf)) <= s.possible;
                }
                tiles.by_point += any ? 1 : 0;
            }
        }
        tiles.by_box /= n_sample;
        tiles.by_point /= n_sample;
        return tiles;
    }
};

std::string radius_report() {
    using Case = bench::EmbeddedCase;
    const std::vector<float> points = bench::embedded_points(Case::n_points, Case::dimension, Case::seed);
    const PointsView view{points, Case::n_points, Case::dimension};
    const RadiusGraphPlan plan{Case::radius};
    Workspace workspace;
    workspace.reserve(radius_graph_workspace_size({Case::n_points, Case::dimension, 0}));
    Numbers counts(Case::n_points);
    RadiusGraphBuffers none;
    build_radius_graph(plan, workspace, view, counts, none);
    Numbers source(none.n_edges), target(none.n_edges);
    RadiusGraphBuffers edges{source, target};
    const Status status = build_radius_graph(plan, workspace, view, counts, edges);

    detail::MeasuringArena meter;
    static_cast<void>(detail::take_device_radius(meter, plan, Case::n_points, Case::dimension));
    workspace.reserve(meter.bytes());
    detail::WorkspaceArena arena(workspace);
    detail::DeviceRadius s = detail::take_device_radius(arena, plan, Case::n_points, Case::dimension);
    Numbers like_counts(Case::n_points), like_source(none.n_edges), like_target(none.n_edges);
    RadiusGraphResult result;
    s.coordinates = points.data();
    s.counts = like_counts.data();
    s.capacity = like_source.size();
    s.edge_source = like_source.data();
    s.edge_target = like_target.data();
    s.result = &result;
    HostExecutor on;
    detail::build_device_radius(on, s);
    const bool equal = status == Status::ok && result.status == status && like_counts == counts &&
                       like_source == source && like_target == target;
    std::size_t n_long = 0;
    for (const std::int64_t n : counts) n_long += n > s.usual_row ? 1U : 0U;
    const Tiles tiles = Tiles::count<(Case::dimension + 3) / 4>(s, 256);
    char text[640];
    std::snprintf(
        text, sizeof text,
        "{\"points\": %zu, \"dimension\": %zu, \"seed\": %llu, \"radius\": %g, \"edges\": %zu, "
        "\"neighbours\": %.2f, \"rows_searched_twice\": %zu, \"leaves\": %u, \"near_leaves_of_a_leaf\": %.1f, "
        "\"near_leaves_of_some_point\": %.1f, \"workspace_MB\": %.1f, \"edges_of_the_cpu\": %s}",
        Case::n_points, Case::dimension, static_cast<unsigned long long>(Case::seed), Case::radius, none.n_edges,
        static_cast<double>(none.n_edges) / static_cast<double>(Case::n_points), n_long, s.n_leaves(), tiles.by_box,
        tiles.by_point, static_cast<double>(meter.bytes()) * 1e-6, equal ? "true" : "false");
    if (!equal) std::fprintf(stderr, "radius graph: the bodies do not find the edges of the CPU\n");
    return text;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc % 2 == 0) {
        std::fprintf(stderr, "usage: device_work [HITS MAP]...\n");
        return 2;
    }
    std::string events;
    for (int i = 1; i + 1 < argc; i += 2) {
        events += (events.empty() ? "\n  " : ",\n  ") + graph_report(argv[i], argv[i + 1]);
    }
    const std::string radius = radius_report();
    std::printf("{\n \"events\": [%s],\n \"radius_graph\": %s\n}\n", events.c_str(), radius.c_str());
    const bool failed = (events + radius).find("\"edges_of_the_cpu\": false") != std::string::npos;
    return failed ? 1 : 0;
}
