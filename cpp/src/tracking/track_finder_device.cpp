#include "tracking/track_finder_device.hpp"

#include <algorithm>
#include <stdexcept>

#include "core/require.hpp"
#include "tracking/graph_construction_device.hpp"

namespace rheinfall::detail {
namespace {

constexpr std::size_t most_edges = (std::size_t{1} << 31) - 49;  // of a network

}  // namespace

void check_finder_network(std::size_t n_nodes_read, std::size_t n_edges_read) {
    if (n_nodes_read != n_node_features) throw std::invalid_argument("network: expected 4 node features");
    if (n_edges_read != n_edge_features && n_edges_read != 0) {
        throw std::invalid_argument("network: expected 10 edge features, or none");
    }
}

void check_device_finder_options(const TrackFinderOptions& options) {
    if (options.quadruplet_chi2_max > 0.0F) {
        throw std::invalid_argument("quadruplet_chi2_max: quadruplets have no device version; expected 0");
    }
}

TrackFinderLimits device_finder_limits(const TrackFinderLimits& limits) {
    check_device_graph_limits({limits.n_hits, limits.n_doublets});
    require_at_most("limits.n_edges", limits.n_edges, most_edges);
    return {std::max<std::size_t>(limits.n_hits, 1), limits.n_doublets, limits.n_edges, 0};
}

void check_device_finder(const DeviceHits& hits, const TrackFinderLimits& limits, const DeviceTracks& tracks,
                         const TrackFinderResult* result) {
    const std::size_t n = hits.arrays.size();
    require_size("hits.y", hits.arrays.y.size(), n);
    require_size("hits.z", hits.arrays.z.size(), n);
    require_size("hits.module_id", hits.arrays.module_id.size(), n);
    require_at_most("hits", n, limits.n_hits);
    if (!tracks.labels.empty()) require_size("labels", tracks.labels.size(), n);
    if (result == nullptr) throw std::invalid_argument("result: expected a device address, got nullptr");
}

void set_device_finder(DeviceFinder& g, const DeviceHits& hits, const DeviceTracks& tracks,
                       TrackFinderResult* result) noexcept {
    g.x = hits.arrays.x.data();
    g.y = hits.arrays.y.data();
    g.z = hits.arrays.z.data();
    g.module_id = hits.arrays.module_id.data();
    g.n_given = static_cast<std::uint32_t>(hits.arrays.size());
    g.n_hits_given = hits.n_hits;
    g.track_hits = tracks.hits.data();
    g.labels = tracks.labels.data();
    g.n_track_hits = tracks.hits.size();
    g.n_labels = tracks.labels.size();
    g.tracks_out = tracks.result;
    g.result = result;
}

}  // namespace rheinfall::detail
