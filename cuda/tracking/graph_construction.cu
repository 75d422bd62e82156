// Compiled and linked, but not yet run on a GPU: the bodies of the kernels are tested on the host (tests/cpp), in the
// order of build_device_graph; the launches, the CUB calls and the tags that several threads store are not.
#include <rheinfall/tracking/graph_construction_cuda.hpp>

#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/check.hpp"
#include "core/device_buffer.hpp"
#include "core/executor.hpp"
#include "tracking/detail/device_graph_steps.hpp"
#include "tracking/graph_construction_device.hpp"

namespace rheinfall {

struct DeviceModuleMap::Impl {
    DeviceBuffer<std::uint64_t> modules;
    DeviceBuffer<std::uint32_t> first_doublet, doublet_outer, triplet_offsets, triplet_outer;
    DeviceBuffer<DoubletLimits> doublet_limits;
    DeviceBuffer<ModuleMap::TripletCodes> triplet_codes;
    Bend bend;
    bool doublets_only;

    explicit Impl(const ModuleMap& map)
        : modules(map.n_modules()),
          first_doublet(map.n_modules() + 1),
          doublet_outer(map.n_doublets()),
          triplet_offsets(map.n_doublets() + 1),
          triplet_outer(map.n_triplets()),
          doublet_limits(map.n_doublets()),
          triplet_codes(map.n_triplets()),
          bend(map.bend_convention()),
          doublets_only(map.doublets_only()) {
        const std::vector<std::uint32_t> first = detail::first_doublets(map);
        modules.copy_from(map.modules(), nullptr);
        first_doublet.copy_from(first, nullptr);
        doublet_outer.copy_from(map.doublet_outer(), nullptr);
        triplet_offsets.copy_from(map.triplet_offsets(), nullptr);
        triplet_outer.copy_from(map.triplet_outer(), nullptr);
        doublet_limits.copy_from(map.doublet_limits(), nullptr);
        triplet_codes.copy_from(map.triplet_codes(), nullptr);
        RHEINFALL_CUDA_CHECK(cudaStreamSynchronize(nullptr));
    }

    [[nodiscard]] detail::DeviceMapView view() const noexcept {
        return {modules.span().data(),
                first_doublet.span().data(),
                doublet_outer.span().data(),
                doublet_limits.span().data(),
                triplet_offsets.span().data(),
                triplet_outer.span().data(),
                triplet_codes.span().data(),
                static_cast<std::uint32_t>(modules.span().size()),
                bend,
                doublets_only};
    }
};

DeviceModuleMap::DeviceModuleMap(const ModuleMap& map) : impl_(std::make_shared<const Impl>(map)) {}

std::size_t DeviceModuleMap::n_modules() const noexcept {
    return impl_->modules.span().size();
}

std::size_t DeviceModuleMap::bytes() const noexcept {
    const Impl& m = *impl_;
    return m.modules.span().size_bytes() + m.first_doublet.span().size_bytes() + m.doublet_outer.span().size_bytes() +
           m.triplet_offsets.span().size_bytes() + m.triplet_outer.span().size_bytes() +
           m.doublet_limits.span().size_bytes() + m.triplet_codes.span().size_bytes();
}

namespace {

std::size_t scratch_bytes(const detail::DeviceMapView& map, const GraphLimits& limits) {
    detail::MeasuringArena nowhere;
    detail::ScratchMeter meter;
    detail::build_device_graph(meter, detail::take_device_graph(nowhere, map, limits.n_hits, limits.n_doublets));
    return meter.bytes();
}

}  // namespace

std::size_t graph_workspace_size(const DeviceModuleMap& map, const GraphLimits& limits) {
    detail::check_device_graph_limits(limits);
    const detail::DeviceMapView view = map.impl().view();
    detail::MeasuringArena arena;
    static_cast<void>(detail::take_device_graph(arena, view, limits.n_hits, limits.n_doublets));
    static_cast<void>(arena.take<std::byte>(scratch_bytes(view, limits)));
    return arena.bytes();
}

void build_graph(CudaStream stream, const DeviceModuleMap& map, const DeviceHits& hits, const GraphLimits& limits,
                 EdgesBuffer edges, Workspace& workspace, GraphResult* result) {
    detail::check_device_graph(hits, limits, edges, result);
    const detail::DeviceMapView view = map.impl().view();
    const std::size_t left = workspace.capacity() - workspace.mark();
    const WorkspaceScope scope(workspace);
    detail::WorkspaceArena arena(workspace);
    // In the sizes of the limits, so that the scratch memory of CUB is what was asked for.
    detail::DeviceGraph g = detail::take_device_graph(arena, view, limits.n_hits, limits.n_doublets);
    const auto scratch = workspace.take<std::byte>(scratch_bytes(view, limits));
    if (workspace.overflowed()) {
        throw std::invalid_argument("workspace: expected " + std::to_string(graph_workspace_size(map, limits)) +
                                    " bytes left, got " + std::to_string(left));
    }
    detail::set_device_graph(g, hits, edges, result);
    detail::CudaExecutor executor(stream, scratch);
    detail::build_device_graph(executor, g);
}

}  // namespace rheinfall
