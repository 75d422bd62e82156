#include "tracking/graph_construction_device.hpp"

#include "core/require.hpp"

namespace rheinfall::detail {
namespace {

constexpr std::size_t most_hits = (std::size_t{1} << 29) - 1;      // four sums each, which CUB counts in int
constexpr std::size_t most_doublets = (std::size_t{1} << 31) - 1;  // likewise

}  // namespace

std::vector<std::uint32_t> first_doublets(const ModuleMap& map) {
    std::vector<std::uint32_t> first(map.n_modules() + 1, 0);
    for (const std::uint32_t inner : map.doublet_inner()) ++first[inner + 1];
    for (std::size_t m = 0; m < map.n_modules(); ++m) first[m + 1] += first[m];
    return first;
}

void check_device_graph_limits(const GraphLimits& limits) {
    require_at_most("limits.n_hits", limits.n_hits, most_hits);
    require_at_most("limits.n_doublets", limits.n_doublets, most_doublets);
}

void check_device_graph(const DeviceHits& hits, const GraphLimits& limits, const EdgesBuffer& edges,
                        const GraphResult* result) {
    check_device_graph_limits(limits);
    const std::size_t n_hits = hits.arrays.size();
    require_size("hits.y", hits.arrays.y.size(), n_hits);
    require_size("hits.z", hits.arrays.z.size(), n_hits);
    require_size("hits.module_id", hits.arrays.module_id.size(), n_hits);
    require_at_most("hits", n_hits, limits.n_hits);
    require_size("edges.target", edges.target.size(), edges.source.size());
    if (result == nullptr) throw std::invalid_argument("result: expected a device address, got nullptr");
}

void set_device_graph(DeviceGraph& g, const DeviceHits& hits, const EdgesBuffer& edges, GraphResult* result) noexcept {
    g.n_hits = static_cast<std::uint32_t>(hits.arrays.size());
    g.x = hits.arrays.x.data();
    g.y = hits.arrays.y.data();
    g.z = hits.arrays.z.data();
    g.module_id = hits.arrays.module_id.data();
    g.n_hits_given = hits.n_hits;
    g.edge_capacity = edges.source.size();
    g.edge_source = edges.source.data();
    g.edge_target = edges.target.data();
    g.result = result;
}

}  // namespace rheinfall::detail
