#pragma once

/// @file
/// Graphs that graph networks are timed on without Python, with the features that the network asks for.

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <rheinfall/gnn/edge_classifier.hpp>
#include <rheinfall/tracking/edge_features.hpp>
#include <rheinfall/tracking/track_finder.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "embedded_points.hpp"
#include "scored_graph.hpp"

namespace bench {

/// A graph with its features.
struct GnnGraph {
    std::size_t n_nodes = 0;
    std::vector<float> nodes, features;
    std::vector<std::int64_t> source, target;

    [[nodiscard]] rheinfall::EdgeClassifierInput view() const { return {n_nodes, nodes, {source, target}, features}; }
    [[nodiscard]] rheinfall::EdgeClassifierLimits limits() const { return {n_nodes, source.size()}; }

    /// As large, with other features and other edges: every source one higher or lower, features of the other end.
    [[nodiscard]] GnnGraph changed() const {
        GnnGraph other = *this;
        for (float& x : other.nodes) x = 0.25F - 0.75F * x;
        for (float& x : other.features) x = 0.125F - 0.5F * x;
        for (std::int64_t& node : other.source) node ^= node + 1 < static_cast<std::int64_t>(n_nodes) ? 1 : 0;
        return other;
    }
};

/// Edges from drawn nodes to ones not far behind, on average as far as a layer of a detector is large; features
/// uniform in [-1, 1].
inline GnnGraph generated_graph(std::size_t n_nodes, std::size_t n_edges, std::size_t n_node_features,
                                std::size_t n_edge_features) {
    if (n_nodes < 2) throw std::invalid_argument("generated graph: expected at least 2 nodes");
    Normal draw(20240607);
    GnnGraph graph;
    graph.n_nodes = n_nodes;
    graph.nodes.resize(n_nodes * n_node_features);
    graph.features.resize(n_edges * n_edge_features);
    for (auto* features : {&graph.nodes, &graph.features}) {
        for (float& x : *features) x = static_cast<float>(draw.uniform(-1.0, 1.0));
    }
    const std::uint64_t layer = n_nodes / 10 + 1;
    for (std::size_t e = 0; e < n_edges; ++e) {
        const std::uint64_t from = draw.below(n_nodes);
        const std::uint64_t to = (from + 1 + draw.below(2 * layer)) % n_nodes;  // round, so that no node has many
        graph.source.push_back(static_cast<std::int64_t>(from));
        graph.target.push_back(static_cast<std::int64_t>(to));
    }
    return graph;
}

/// The hits and edges of a file (scored_graph.hpp) with the features of the finder; @p bundle tells what chi2 needs to
/// know of the detector. Fewer columns than the finder's are its first ones.
inline GnnGraph graph_of_hits(const char* path, const std::string& bundle, std::size_t n_node_columns,
                              std::size_t n_edge_columns) {
    using namespace rheinfall;
    Graph file(path);
    GnnGraph graph;
    graph.n_nodes = file.n_nodes;
    const std::size_t n_edges = file.source.size();
    const HitsView hits{file.x, file.y, file.z, file.module_id};
    std::vector<float> nodes(file.n_nodes * n_node_features), rows;
    node_features(hits, nodes);
    if (n_edge_columns > 0) {
        const TripletModel model = TrackFinder::load_bundle(bundle).options().triplet_model;
        std::vector<float> chi2(4 * n_edges);
        const std::span<float> all(chi2);
        const ContinuationChi2 view{all.subspan(0, n_edges), all.subspan(n_edges, n_edges),
                                    all.subspan(2 * n_edges, n_edges), all.subspan(3 * n_edges, n_edges)};
        rows.resize(n_edges * n_edge_features);
        Workspace workspace;
        workspace.reserve(triplet_chi2_workspace_size(file.n_nodes, n_edges) +
                          edge_features_workspace_size(file.n_nodes));
        const EdgesView edges{file.source, file.target};
        if (triplet_chi2(hits, edges, model, view, workspace) != Status::ok ||
            edge_features(hits, edges, view, rows, workspace) != Status::ok) {
            throw std::runtime_error(std::string(path) + ": its edges have no features");
        }
    }
    const auto first_columns = [](const std::vector<float>& from, std::size_t width, std::size_t wanted) {
        if (wanted > width) throw std::invalid_argument("the network asks for more features than hits have");
        std::vector<float> columns;
        for (std::size_t i = 0; i < from.size(); ++i) {
            if (i % width < wanted) columns.push_back(from[i]);
        }
        return columns;
    };
    graph.nodes = first_columns(nodes, n_node_features, n_node_columns);
    graph.features = first_columns(rows, n_edge_features, n_edge_columns);
    graph.source = std::move(file.source);
    graph.target = std::move(file.target);
    return graph;
}

/// The graph that @p text names: NODESxEDGES, generated, or a file of hits and edges; with what @p network reads.
inline GnnGraph make_graph(const std::string& text, const std::string& network_path,
                           const rheinfall::EdgeClassifier& network) {
    const std::size_t n_columns = network.n_node_features(), n_rows = network.n_edge_features();
    if (std::filesystem::exists(text)) {
        const std::string bundle = std::filesystem::path(network_path).parent_path().string();
        return graph_of_hits(text.c_str(), bundle, n_columns, n_rows);
    }
    const std::size_t times = text.find('x');
    if (times == std::string::npos || text.find_first_not_of("0123456789x") != std::string::npos) {
        throw std::invalid_argument(text + ": expected a file, or NODESxEDGES");
    }
    return generated_graph(std::stoul(text.substr(0, times)), std::stoul(text.substr(times + 1)), n_columns, n_rows);
}

/// For bench/gpu_gnn_torch.py: int64 nodes, edges, features of a node and of an edge; both features (float32), sources,
/// targets (int64), logits (float32). False if it cannot be written.
inline bool write_case(const std::filesystem::path& path, const GnnGraph& graph, const std::vector<float>& logits) {
    std::FILE* file = std::fopen(path.c_str(), "wb");
    if (file == nullptr) return false;
    const std::size_t n_edges = graph.source.size();
    const std::int64_t sizes[4] = {static_cast<std::int64_t>(graph.n_nodes), static_cast<std::int64_t>(n_edges),
                                   static_cast<std::int64_t>(graph.nodes.size() / graph.n_nodes),
                                   static_cast<std::int64_t>(n_edges == 0 ? 0 : graph.features.size() / n_edges)};
    bool written = std::fwrite(sizes, sizeof sizes, 1, file) == 1;
    const auto put = [&](const auto& values) {
        written = written && std::fwrite(values.data(), sizeof(values[0]), values.size(), file) == values.size();
    };
    put(graph.nodes);
    put(graph.features);
    put(graph.source);
    put(graph.target);
    put(logits);
    return std::fclose(file) == 0 && written;
}

}  // namespace bench
