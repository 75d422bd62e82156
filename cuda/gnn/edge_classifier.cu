// Compiled and linked, but not yet run on a GPU: the bodies of the kernels are tested on the host (tests/cpp), in the
// order of run_device_network; the launches, the shared memory and the CUB calls are not.
#include <rheinfall/gnn/edge_classifier_cuda.hpp>

#include <stdexcept>
#include <utility>
#include <vector>

#include "core/device_buffer.hpp"
#include "core/executor.hpp"
#include "core/file.hpp"
#include "gnn/device_steps.hpp"
#include "gnn/edge_classifier_device.hpp"
#include "gnn/ir_reader.hpp"
#include "tracking/detail/device_arena.hpp"

namespace rheinfall {

struct DeviceEdgeClassifier::Impl {
    gnn::DeviceNetwork network;
    DeviceBuffer<float> weights;
    DeviceBuffer<gnn::Instruction> instructions;
    DeviceBuffer<gnn::DeviceArray> arrays;
    DeviceBuffer<gnn::DeviceBufferShape> buffers;
    GnnPrecision precision;

    Impl(std::span<const std::byte> bytes, std::string_view name, GnnPrecision p)
        : network(gnn::flatten(gnn::make_plan(gnn::read_graph(bytes, name), name, gnn::device_plan_options(p)))),
          weights(network.weights.size()),
          instructions(network.instructions.size()),
          arrays(network.arrays.size()),
          buffers(network.buffers.size()),
          precision(p) {
        gnn::check_tile_bytes(network, detail::shared_memory().of_block, name);
        if (p == GnnPrecision::bf16) check_tensor_cores(name);
        network.move_weights(network.weights.data(), weights.span().data());
        weights.copy_from(network.weights, nullptr);
        instructions.copy_from(network.instructions, nullptr);
        arrays.copy_from(network.arrays, nullptr);
        buffers.copy_from(network.buffers, nullptr);
        RHEINFALL_CUDA_CHECK(cudaStreamSynchronize(nullptr));
    }

    static void check_tensor_cores(std::string_view name) {
        int device = 0;
        int major = 0;
        RHEINFALL_CUDA_CHECK(cudaGetDevice(&device));
        RHEINFALL_CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
        if (major >= 8) return;
        throw std::invalid_argument(std::string(name) + ": precision bf16: expected a device of compute capability 8 " +
                                    "or later, got " + std::to_string(major));
    }

    /// Scratch of CUB for a graph of these sizes.
    [[nodiscard]] std::size_t scratch_bytes(const EdgeClassifierLimits& graph) const {
        detail::MeasuringArena nowhere;
        detail::ScratchMeter meter;
        gnn::sort_device_edges(meter, gnn::take_device_event(nowhere, network, graph.n_nodes, graph.n_edges));
        return meter.bytes();
    }
};

DeviceEdgeClassifier DeviceEdgeClassifier::load(const std::string& path, GnnPrecision precision) {
    return parse(detail::map_file(path)->view(), path, precision);
}

DeviceEdgeClassifier DeviceEdgeClassifier::parse(std::span<const std::byte> bytes, std::string_view name,
                                                 GnnPrecision precision) {
    return DeviceEdgeClassifier(std::make_shared<const Impl>(bytes, name, precision));
}

GnnPrecision DeviceEdgeClassifier::precision() const noexcept {
    return impl_->precision;
}

std::size_t DeviceEdgeClassifier::n_node_features() const noexcept {
    return static_cast<std::size_t>(impl_->network.n_node_features);
}

std::size_t DeviceEdgeClassifier::n_edge_features() const noexcept {
    return static_cast<std::size_t>(impl_->network.n_edge_features);
}

std::size_t DeviceEdgeClassifier::workspace_size(const EdgeClassifierLimits& limits) const {
    gnn::check_device_limits(limits);
    detail::MeasuringArena arena;
    static_cast<void>(gnn::take_device_event(arena, impl_->network, limits.n_nodes, limits.n_edges));
    static_cast<void>(arena.take<std::byte>(impl_->scratch_bytes(limits)));
    return arena.bytes();
}

void DeviceEdgeClassifier::run(CudaStream stream, Workspace& workspace, const DeviceEdgeClassifierInput& on_device,
                               EdgeOutput output, std::span<float> out, Status* status) const {
    const EdgeClassifierInput& input = on_device.graph;
    gnn::check_device_call(impl_->network, input, out, status);
    const EdgeClassifierLimits graph{input.n_nodes, input.edges.size()};
    const std::size_t left = workspace.capacity() - workspace.mark();
    const WorkspaceScope scope(workspace);
    detail::WorkspaceArena arena(workspace);
    gnn::DeviceEvent g = gnn::take_device_event(arena, impl_->network, graph.n_nodes, graph.n_edges);
    const auto scratch = workspace.take<std::byte>(impl_->scratch_bytes(graph));
    if (workspace.overflowed()) {
        throw std::invalid_argument("workspace: expected " + std::to_string(workspace_size(graph)) +
                                    " bytes left, got " + std::to_string(left));
    }
    gnn::set_caller(g, on_device, output, out, status);
    g.arrays_in = impl_->arrays.span().data();
    g.buffers = impl_->buffers.span().data();
    const detail::CudaExecutor executor(stream, scratch);
    gnn::run_device_network(executor, impl_->network, impl_->instructions.span().data(), g);
}

}  // namespace rheinfall
