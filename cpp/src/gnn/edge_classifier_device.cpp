#include "gnn/edge_classifier_device.hpp"

#include <stdexcept>
#include <string>

namespace rheinfall::gnn {
namespace {

void expect(const char* what, std::size_t expected, std::size_t got) {
    if (expected != got) {
        throw std::invalid_argument(std::string(what) + ": expected " + std::to_string(expected) + " values, got " +
                                    std::to_string(got));
    }
}

}  // namespace

PlanOptions device_plan_options(GnnPrecision precision) noexcept {
    return {precision == GnnPrecision::bf16, Bf16Weights::fragments};
}

void check_device_limits(const EdgeClassifierLimits& limits) {
    constexpr std::size_t most = 0x7fffffff - tile_rows;
    if (limits.n_nodes > most || limits.n_edges > most) {
        throw std::invalid_argument("limits: expected at most 2^31 - 49 nodes and edges");
    }
}

void check_device_call(const DeviceNetwork& network, const EdgeClassifierInput& input, std::span<const float> out,
                       const Status* status) {
    const std::size_t n_edges = input.edges.size();
    check_device_limits({input.n_nodes, n_edges});
    expect("edges.target", n_edges, input.edges.target.size());
    expect("node_features", input.n_nodes * static_cast<std::size_t>(network.n_node_features),
           input.node_features.size());
    expect("edge_features", n_edges * static_cast<std::size_t>(network.n_edge_features), input.edge_features.size());
    expect("out", n_edges, out.size());
    if (status == nullptr) throw std::invalid_argument("status: expected a pointer, got null");
}

void set_caller(DeviceEvent& g, const DeviceEdgeClassifierInput& on_device, EdgeOutput output, std::span<float> out,
                Status* status) noexcept {
    const EdgeClassifierInput& input = on_device.graph;
    g.n_nodes_given = on_device.n_nodes;
    g.n_edges_given = on_device.n_edges;
    g.source_in = input.edges.source.data();
    g.target_in = input.edges.target.data();
    g.node_features = input.node_features.data();
    g.edge_features = input.edge_features.data();
    g.out = out.data();
    g.scores = output == EdgeOutput::scores;
    g.status = status;
}

}  // namespace rheinfall::gnn
