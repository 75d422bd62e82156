#include "tracking/edge_features_device.hpp"

#include <stdexcept>

#include "core/require.hpp"

namespace rheinfall::detail {
namespace {

constexpr std::size_t most = (std::size_t{1} << 31) - 2;  // CUB counts in int, and one more than there are edges

void check_arrays(const HitsView& hits, const EdgesView& edges, const ContinuationChi2& chi2) {
    check_device_edge_limits(hits.size(), edges.size());
    require_size("hits.y", hits.y.size(), hits.size());
    require_size("hits.z", hits.z.size(), hits.size());
    require_size("hits.module_id", hits.module_id.size(), hits.size());
    require_size("edges.target", edges.target.size(), edges.size());
    for (const auto& values : {chi2.out_best, chi2.out_second, chi2.in_best, chi2.in_second}) {
        require_size("chi2", values.size(), edges.size());
    }
}

}  // namespace

void check_device_edge_limits(std::size_t n_hits, std::size_t n_edges) {
    require_at_most("hits", n_hits, most);
    require_at_most("edges", n_edges, most);
}

void check_device_pruning(const HitsView& hits, const DeviceEdges& edges, const PruneCuts& cuts,
                          const EdgesBuffer& left, const ContinuationChi2& out, const PruneResult* result) {
    check_arrays(hits, edges.arrays, out);
    require_size("left.source", left.source.size(), edges.arrays.size());
    require_size("left.target", left.target.size(), edges.arrays.size());
    if (cuts.quadruplet_chi2_max > 0.0F) {
        throw std::invalid_argument("quadruplet_chi2_max: quadruplets have no device version; expected 0");
    }
    if (result == nullptr) throw std::invalid_argument("result: expected a device address, got nullptr");
}

void set_device_pruner(DevicePruner& g, const HitsView& hits, const DeviceEdges& edges, const PruneCuts& cuts,
                       const EdgesBuffer& left, const ContinuationChi2& out, PruneResult* result) noexcept {
    g.chi2_max = cuts.chi2_max;
    g.x = hits.x.data();
    g.y = hits.y.data();
    g.z = hits.z.data();
    g.module_id = hits.module_id.data();
    g.source_in = edges.arrays.source.data();
    g.target_in = edges.arrays.target.data();
    g.n_edges_given = edges.n_edges;
    g.source_out = left.source.data();
    g.target_out = left.target.data();
    g.out_best = out.out_best.data();
    g.out_second = out.out_second.data();
    g.in_best = out.in_best.data();
    g.in_second = out.in_second.data();
    g.result = result;
}

void check_device_features(const DeviceHits& hits, const DeviceEdges& edges, const ContinuationChi2& chi2,
                           std::span<float> node_rows, std::span<float> edge_rows) {
    check_arrays(hits.arrays, edges.arrays, chi2);
    if (!node_rows.empty()) require_size("node_rows", node_rows.size(), n_node_features * hits.arrays.size());
    if (!edge_rows.empty()) require_size("edge_rows", edge_rows.size(), n_edge_features * edges.arrays.size());
}

DeviceFeatures device_features(const DeviceHits& hits, const DeviceEdges& edges, const ContinuationChi2& chi2,
                               std::span<float> node_rows, std::span<float> edge_rows) noexcept {
    DeviceFeatures g{};
    g.n_hits = static_cast<std::uint32_t>(hits.arrays.size());
    g.edge_capacity = static_cast<std::uint32_t>(edges.arrays.size());
    g.x = hits.arrays.x.data();
    g.y = hits.arrays.y.data();
    g.z = hits.arrays.z.data();
    g.n_hits_given = hits.n_hits;
    g.source = edges.arrays.source.data();
    g.target = edges.arrays.target.data();
    g.n_edges_given = edges.n_edges;
    g.out_best = chi2.out_best.data();
    g.out_second = chi2.out_second.data();
    g.in_best = chi2.in_best.data();
    g.in_second = chi2.in_second.data();
    g.node_rows = node_rows.empty() ? nullptr : node_rows.data();
    g.edge_rows = edge_rows.empty() ? nullptr : edge_rows.data();
    return g;
}

}  // namespace rheinfall::detail
