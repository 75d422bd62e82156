// Compiled and linked, but not yet run on a GPU: the bodies of the kernels are tested on the host (tests/cpp), in the
// order of build_device_radius; the launches and the CUB calls are not.
#include <rheinfall/tracking/radius_graph_cuda.hpp>

#include <stdexcept>
#include <string>

#include "core/executor.hpp"
#include "tracking/detail/device_radius_steps.hpp"

namespace rheinfall {
namespace {

std::size_t scratch_bytes(const RadiusGraphPlan& plan, std::size_t n_points, std::size_t dimension,
                          std::size_t edge_capacity) {
    detail::MeasuringArena nowhere;
    detail::ScratchMeter meter;
    detail::DeviceRadius s = detail::take_device_radius(nowhere, plan, n_points, dimension);
    s.capacity = edge_capacity;
    detail::build_device_radius(meter, s);
    return meter.bytes();
}

}  // namespace

std::size_t radius_graph_workspace_size(const RadiusGraphPlan& plan, std::size_t n_points, std::size_t dimension,
                                        std::size_t edge_capacity) {
    detail::check_device_radius_limits(plan, n_points, dimension, edge_capacity);
    detail::MeasuringArena arena;
    static_cast<void>(detail::take_device_radius(arena, plan, n_points, dimension));
    static_cast<void>(arena.take<std::byte>(scratch_bytes(plan, n_points, dimension, edge_capacity)));
    return arena.bytes();
}

void build_radius_graph(CudaStream stream, const RadiusGraphPlan& plan, Workspace& workspace, const PointsView& points,
                        std::span<std::int64_t> counts, std::span<std::int64_t> source, std::span<std::int64_t> target,
                        RadiusGraphResult* result) {
    detail::check_device_radius(plan, points, counts, source, target, result);
    const std::size_t left = workspace.capacity() - workspace.mark();
    const WorkspaceScope scope(workspace);
    detail::WorkspaceArena arena(workspace);
    detail::DeviceRadius s = detail::take_device_radius(arena, plan, points.n_points, points.dimension);
    const auto scratch =
        workspace.take<std::byte>(scratch_bytes(plan, points.n_points, points.dimension, source.size()));
    if (workspace.overflowed()) {
        const std::size_t needed = radius_graph_workspace_size(plan, points.n_points, points.dimension, source.size());
        throw std::invalid_argument("workspace: expected " + std::to_string(needed) + " bytes left, got " +
                                    std::to_string(left));
    }
    s.coordinates = points.coordinates.data();
    s.counts = counts.data();
    s.capacity = source.size();
    s.edge_source = source.data();
    s.edge_target = target.data();
    s.result = result;
    const detail::CudaExecutor executor(stream, scratch);
    detail::build_device_radius(executor, s);
}

}  // namespace rheinfall
