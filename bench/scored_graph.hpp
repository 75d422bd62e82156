#pragma once

/// @file
/// Graphs that track building is timed on, as track_graphs.write_graph writes them.

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <rheinfall/tracking/track_building.hpp>
#include <vector>

namespace bench {

/// A file of int64 hits, int64 edges, sources, targets (int64), scores, x, y, z (float32), module ids (uint64); ends
/// the program if it cannot be read.
struct Graph {
    std::size_t n_nodes = 0;
    std::vector<std::int64_t> source, target;
    std::vector<float> scores, x, y, z;
    std::vector<std::uint64_t> module_id;

    explicit Graph(const char* path) {
        std::ifstream in(path, std::ios::binary);
        const auto read = [&](auto* to, std::size_t count) {
            in.read(reinterpret_cast<char*>(to), static_cast<std::streamsize>(count * sizeof(*to)));
        };
        std::array<std::int64_t, 2> sizes{};
        read(sizes.data(), 2);
        n_nodes = static_cast<std::size_t>(sizes[0]);
        for (auto* v : {&source, &target}) v->resize(static_cast<std::size_t>(sizes[1]));
        scores.resize(source.size());
        for (auto* v : {&x, &y, &z}) v->resize(n_nodes);
        for (auto* v : {&source, &target}) read(v->data(), v->size());
        for (auto* v : {&scores, &x, &y, &z}) read(v->data(), v->size());
        module_id.resize(x.size());
        read(module_id.data(), module_id.size());
        if (!in) {
            std::fprintf(stderr, "%s: cannot read\n", path);
            std::exit(1);
        }
    }

    [[nodiscard]] rheinfall::ScoredGraph view(bool with_hits) const {
        rheinfall::ScoredGraph graph{{source, target}, scores, n_nodes, {}};
        if (with_hits) graph.hits = {x, y, z, module_id};
        return graph;
    }
};

/// The tracks of a graph by the CPU.
struct CpuTracks {
    std::vector<std::int64_t> offsets, hits, labels;
    rheinfall::TracksBuffers buffers;
    rheinfall::Status status;

    CpuTracks(const rheinfall::TrackBuildingPlan& plan, const rheinfall::ScoredGraph& graph)
        : offsets(graph.n_nodes + 1), hits(graph.n_nodes), labels(graph.n_nodes), buffers{offsets, hits, labels} {
        rheinfall::Workspace workspace;
        workspace.reserve(rheinfall::track_building_workspace_size({graph.n_nodes, graph.edges.size()}));
        status = rheinfall::build_tracks(plan, workspace, graph, buffers);
        offsets.resize(buffers.n_tracks + 1);
        hits.resize(buffers.n_hits);
    }
    CpuTracks(const CpuTracks&) = delete;
    CpuTracks& operator=(const CpuTracks&) = delete;
};

struct NamedMethod {
    const char* name;
    rheinfall::TrackMethod method;
};
inline constexpr NamedMethod track_methods[] = {
    {"components", rheinfall::TrackMethod::components},
    {"mutual_best", rheinfall::TrackMethod::mutual_best},
    {"junction_removal", rheinfall::TrackMethod::junction_removal},
    {"layer_merge", rheinfall::TrackMethod::layer_merge},
    {"cc_and_walk", rheinfall::TrackMethod::cc_and_walk},
    {"walk", rheinfall::TrackMethod::walk},
    {"d_walk", rheinfall::TrackMethod::d_walk},
};

}  // namespace bench
