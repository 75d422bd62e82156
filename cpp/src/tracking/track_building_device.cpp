#include "tracking/track_building_device.hpp"

#include <stdexcept>
#include <string>

#include "core/require.hpp"

namespace rheinfall::detail {
namespace {

constexpr std::size_t most = (std::size_t{1} << 31) - 2;  // CUB counts in int, and one more than there are hits

}  // namespace

void check_device_track_limits(const TrackBuildingLimits& limits) {
    require_at_most("n_nodes", limits.n_nodes, most);
    require_at_most("edges", limits.n_edges, most);
}

void check_device_tracks(const TrackBuildingPlan& plan, const ScoredGraph& graph, const DeviceTracks& tracks) {
    check_track_building_shape(plan, graph);
    check_device_track_limits({graph.n_nodes, graph.edges.size()});
    if (!tracks.labels.empty() && tracks.labels.size() != graph.n_nodes) {
        throw std::invalid_argument("labels: expected " + std::to_string(graph.n_nodes) + " values or none, got " +
                                    std::to_string(tracks.labels.size()));
    }
    if (tracks.result == nullptr) throw std::invalid_argument("result: expected a device address, got nullptr");
}

void set_device_tracks(const DeviceScoredGraph& on_device, const DeviceTracks& tracks, DeviceTrackBuilder& t) noexcept {
    const ScoredGraph& graph = on_device.graph;
    t.edge_source = graph.edges.source.data();
    t.edge_target = graph.edges.target.data();
    t.score = graph.scores.data();
    t.n_edges_given = on_device.n_edges;
    t.n_nodes_given = on_device.n_nodes;
    t.x = graph.hits.x.data();
    t.y = graph.hits.y.data();
    t.z = graph.hits.z.data();
    t.module_id = graph.hits.module_id.data();
    t.n_offsets = tracks.offsets.size();
    t.n_hits = tracks.hits.size();
    t.n_labels = tracks.labels.size();
    t.offsets = tracks.offsets.data();
    t.hits = tracks.hits.data();
    t.labels = tracks.labels.data();
    t.result = tracks.result;
}

}  // namespace rheinfall::detail
