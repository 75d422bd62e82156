// Compiled and linked, but not yet run on a GPU: the bodies of the kernels are tested on the host (tests/cpp), in the
// order of prune_device_edges and make_device_features; the launches and the CUB calls are not.
#include <rheinfall/tracking/edge_features_cuda.hpp>

#include <stdexcept>
#include <string>

#include "core/executor.hpp"
#include "tracking/detail/device_features_steps.hpp"
#include "tracking/edge_features_device.hpp"

namespace rheinfall {
namespace {

std::size_t scratch_bytes(std::size_t n_hits, std::size_t n_edges) {
    detail::MeasuringArena nowhere;
    detail::ScratchMeter meter;
    detail::prune_device_edges(meter, {}, detail::take_device_pruner(nowhere, n_hits, n_edges));
    return meter.bytes();
}

void require_room(const Workspace& workspace, std::size_t needed, std::size_t left) {
    if (!workspace.overflowed()) return;
    throw std::invalid_argument("workspace: expected " + std::to_string(needed) + " bytes left, got " +
                                std::to_string(left));
}

}  // namespace

std::size_t prune_edges_device_workspace_size(std::size_t n_hits, std::size_t n_edges) {
    detail::check_device_edge_limits(n_hits, n_edges);
    detail::MeasuringArena arena;
    static_cast<void>(detail::take_device_pruner(arena, n_hits, n_edges));
    static_cast<void>(arena.take<std::byte>(scratch_bytes(n_hits, n_edges)));
    return arena.bytes();
}

void prune_edges(CudaStream stream, const HitsView& hits, const DeviceEdges& edges, const TripletModel& model,
                 const PruneCuts& cuts, EdgesBuffer left, ContinuationChi2 out, Workspace& workspace,
                 PruneResult* result) {
    detail::check_device_pruning(hits, edges, cuts, left, out, result);
    const std::size_t n_edges = edges.arrays.size();
    const std::size_t room = workspace.capacity() - workspace.mark();
    const WorkspaceScope scope(workspace);
    detail::WorkspaceArena arena(workspace);
    detail::DevicePruner g = detail::take_device_pruner(arena, hits.size(), n_edges);
    const auto scratch = workspace.take<std::byte>(scratch_bytes(hits.size(), n_edges));
    if (workspace.overflowed()) require_room(workspace, prune_edges_device_workspace_size(hits.size(), n_edges), room);
    detail::set_device_pruner(g, hits, edges, cuts, left, out, result);
    const detail::CudaExecutor executor(stream, scratch);
    detail::prune_device_edges(executor, model, g);
}

void graph_features(CudaStream stream, const DeviceHits& hits, const DeviceEdges& edges, const ContinuationChi2& chi2,
                    std::span<float> node_rows, std::span<float> edge_rows, Workspace& workspace) {
    detail::check_device_features(hits, edges, chi2, node_rows, edge_rows);
    const std::size_t n_hits = hits.arrays.size();
    const std::size_t room = workspace.capacity() - workspace.mark();
    const WorkspaceScope scope(workspace);
    detail::DeviceFeatures g = detail::device_features(hits, edges, chi2, node_rows, edge_rows);
    g.points = workspace.take<detail::DevicePoint>(n_hits).data();
    require_room(workspace, edge_features_workspace_size(n_hits), room);
    const detail::CudaExecutor executor(stream, {});
    detail::make_device_features(executor, g);
}

}  // namespace rheinfall
