// Compiled and linked, but not yet run on a GPU: the functions of detail/layer_event.hpp are tested on the host
// (tests/cpp); the launch, its shared memory, the waits between layers and the atomic flag are not.
#include <algorithm>
#include <bit>
#include <stdexcept>
#include <string>

#include "quantized/detail/layer_event.hpp"
#include "quantized/layers.hpp"

namespace rheinfall::quantized {
namespace {

constexpr unsigned most_threads = 256;
constexpr unsigned fewest_lanes = 8;

/// Events side by side along y, the values of one along x: every thread computes each n_lanes-th value of a layer, and
/// all wait for the layer before the next. An event's values lie in shared memory.
template <class Word>
__global__ void __launch_bounds__(most_threads)
    run_layers(const __grid_constant__ detail::LayerProgram program, LaunchEvents events, int event_bytes) {
    extern __shared__ std::byte shared[];
    auto* values = reinterpret_cast<Word*>(shared + static_cast<std::size_t>(threadIdx.y) * event_bytes);
    const auto lane = static_cast<int>(threadIdx.x), n_lanes = static_cast<int>(blockDim.x);
    const auto row = static_cast<std::size_t>(detail::row_bytes(events.format, program.n_in, program.packed_width));
    const auto n_out = static_cast<std::size_t>(program.n_out);
    std::uint32_t flags = 0;
    for (std::size_t first = std::size_t{blockIdx.x} * blockDim.y; first < events.n;
         first += std::size_t{gridDim.x} * blockDim.y) {
        const std::size_t event = first + threadIdx.y;
        const bool is_there = event < events.n;  // the waits are for all threads of a block
        if (is_there)
            detail::read_layer_inputs(program, events.in + event * row, events.format, values, lane, n_lanes, flags);
        __syncthreads();
        for (int s = 0; s < program.n_steps; ++s) {
            if (is_there) detail::run_layer(program, program.steps[s], values, lane, n_lanes);
            __syncthreads();
        }
        if (is_there)
            detail::write_layer_outputs(program, values, events.out, event * n_out, events.out_type, lane, n_lanes);
        __syncthreads();
    }
    if (flags != 0 && events.flags != nullptr) atomicOr(events.flags, flags);
}

template <class T>
DeviceBuffer<T> upload(const std::vector<T>& values) {
    DeviceBuffer<T> buffer(values.size());
    if (!values.empty()) buffer.copy_from(values, nullptr);
    return buffer;
}

}  // namespace

DeviceLayers::DeviceLayers(const LayerCode& code)
    : steps_(upload(code.steps)),
      inputs_(upload(code.inputs)),
      outputs_(upload(code.outputs)),
      pool_(upload(code.pool)),
      program_(code.program()),
      n_multiprocessors_(device_attribute(cudaDevAttrMultiProcessorCount)) {
    program_.steps = steps_.span().data();
    program_.inputs = inputs_.span().data();
    program_.outputs = outputs_.span().data();
    program_.pool = pool_.span().data();
    const int limit = device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
    constexpr std::size_t line = 16;
    event_bytes_ = static_cast<int>((code.event_bytes() + line - 1) / line * line);
    if (event_bytes_ > limit)
        throw std::invalid_argument("DeviceNetwork: an event needs " + std::to_string(event_bytes_) +
                                    " bytes of shared memory, and the device has " + std::to_string(limit));
    n_lanes_ = std::bit_ceil(std::clamp(static_cast<unsigned>(program_.n_lanes), fewest_lanes, most_threads));
    // Four blocks a multiprocessor, if events are small enough.
    n_together_ = static_cast<unsigned>(std::max(1, limit / 4 / std::max(event_bytes_, 1)));
    n_together_ = std::min(n_together_, most_threads / n_lanes_);
    if (program_.is_wide) {
        allow_shared_memory(run_layers<std::int64_t>);
    } else {
        allow_shared_memory(run_layers<std::int32_t>);
    }
}

void DeviceLayers::run(CudaStream stream, const LaunchEvents& events) const {
    const unsigned n_blocks = count_blocks(events.n, n_together_, n_multiprocessors_);
    const dim3 block(n_lanes_, n_together_);
    const std::size_t bytes = static_cast<std::size_t>(event_bytes_) * n_together_;
    if (program_.is_wide) {
        run_layers<std::int64_t><<<n_blocks, block, bytes, stream>>>(program_, events, event_bytes_);
    } else {
        run_layers<std::int32_t><<<n_blocks, block, bytes, stream>>>(program_, events, event_bytes_);
    }
    RHEINFALL_CUDA_CHECK(cudaGetLastError());
}

}  // namespace rheinfall::quantized
