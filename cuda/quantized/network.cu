// Compiled and linked, but not yet run on a GPU: the bodies of both kernels are tested on the host (tests/cpp), with
// the tensor-core instruction replaced by its definition; launches, staging and the instruction itself are not.
#include <cuda_pipeline.h>

#include <optional>
#include <rheinfall/core/cuda_device.hpp>
#include <rheinfall/quantized/network_cuda.hpp>
#include <stdexcept>
#include <string>

#include "core/device_buffer.hpp"
#include "quantized/detail/device_event.hpp"
#include "quantized/detail/device_tile.hpp"
#include "quantized/device_lowering.hpp"
#include "quantized/launch.hpp"
#include "quantized/layers.hpp"

namespace rheinfall::quantized {
namespace kernels {
namespace {

using detail::DeviceFormat;
using detail::DeviceProgram;

constexpr int n_threads = 128;
constexpr int n_warps = n_threads / 32;
constexpr int line = tensor_core_alignment;  // bytes of an asynchronous copy

__device__ const std::int32_t* load_pool(const std::int32_t* pool, int n, std::byte* shared) {
    auto* copy = reinterpret_cast<std::int32_t*>(shared);
    for (int i = static_cast<int>(threadIdx.x); i < n; i += n_threads) copy[i] = pool[i];
    __syncthreads();
    return copy;
}

__host__ __device__ constexpr int whole_lines(int bytes) {
    return (bytes + line - 1) / line * line;
}

/// One thread per event, blocks go on until all events are done. Shared memory: the constants, if they fit, and each
/// thread's activations, word after word of all threads.
__global__ void __launch_bounds__(n_threads)
    run_events(const __grid_constant__ DeviceProgram program, const std::int32_t* __restrict__ pool, bool shares_pool,
               LaunchEvents events) {
    extern __shared__ std::byte shared[];
    const int pool_bytes = shares_pool ? whole_lines(program.n_pool * 4) : 0;
    const std::int32_t* constants = shares_pool ? load_pool(pool, program.n_pool, shared) : pool;
    const detail::ThreadWords words{reinterpret_cast<std::uint32_t*>(shared + pool_bytes) + threadIdx.x, n_threads};
    const auto row =
        static_cast<std::size_t>(detail::row_bytes(events.format, program.n_inputs, program.input_type.width));
    std::uint32_t flags = 0;
    for (std::size_t i = std::size_t{blockIdx.x} * n_threads + threadIdx.x; i < events.n;
         i += std::size_t{gridDim.x} * n_threads) {
        flags |= detail::run_event(program, constants, events.in + i * row, events.format, words, events.out,
                                   i * static_cast<std::size_t>(program.n_outputs), events.out_type);
    }
    if (flags != 0 && events.flags != nullptr) atomicOr(events.flags, flags);
}

/// Copies the rows of a tile, a multiple of 16 bytes from its begin but for the last tile's end.
__device__ void stage_tile(const LaunchEvents& events, std::size_t tile, std::size_t n_tiles, int row,
                           std::byte* buffer) {
    if (tile >= n_tiles) return;
    const auto lane = static_cast<int>(threadIdx.x % 32);
    const std::size_t first = tile * detail::mma_events;
    const int n_rows = static_cast<int>(min(std::size_t{detail::mma_events}, events.n - first));
    const std::byte* rows = events.in + first * static_cast<std::size_t>(row);
    const int n_bytes = n_rows * row, n_whole = n_bytes / line * line;
    for (int at = lane * line; at < n_whole; at += 32 * line) __pipeline_memcpy_async(buffer + at, rows + at, line);
    for (int at = n_whole + lane; at < n_bytes; at += 32) buffer[at] = rows[at];
}

/// One warp per sixteen events, warps go on until all are done; while one tile is computed, the next is on its way to
/// shared memory, which also holds the constants.
template <int K, int N, int L>
__global__ void __launch_bounds__(n_threads) run_tiles(const __grid_constant__ DeviceProgram program,
                                                       const std::int32_t* __restrict__ pool, LaunchEvents events) {
    extern __shared__ std::byte shared[];
    const std::int32_t* constants = load_pool(pool, program.n_pool, shared);
    const int row = detail::row_bytes(events.format, program.n_inputs, program.input_type.width);
    const int stage_bytes = detail::mma_events * row;
    const int warp = static_cast<int>(threadIdx.x / 32);
    const int words_bytes = whole_lines(detail::tile_words(program) * 4);
    std::byte* stages = shared + whole_lines(program.n_pool * 4) + warp * (2 * stage_bytes + words_bytes);
    auto* words = reinterpret_cast<std::uint32_t*>(stages + 2 * stage_bytes);
    const std::size_t n_tiles = (events.n + detail::mma_events - 1) / detail::mma_events;
    const std::size_t step = std::size_t{gridDim.x} * n_warps;
    std::size_t tile = std::size_t{blockIdx.x} * n_warps + static_cast<std::size_t>(warp);
    std::uint32_t flags = 0;
    int current = 0;
    stage_tile(events, tile, n_tiles, row, stages);
    __pipeline_commit();
    for (; tile < n_tiles; tile += step, current ^= 1) {
        stage_tile(events, tile + step, n_tiles, row, stages + (current ^ 1) * stage_bytes);
        __pipeline_commit();
        __pipeline_wait_prior(1);
        __syncwarp();
        const std::size_t first = tile * detail::mma_events;
        const int n_rows = static_cast<int>(min(std::size_t{detail::mma_events}, events.n - first));
        flags |= detail::run_tile<K, N, L>(program, constants, stages + current * stage_bytes, events.format, n_rows,
                                           words, events.out, first, events.out_type, detail::DeviceWarp{});
        __syncwarp();
    }
    if (flags != 0 && events.flags != nullptr) atomicOr(events.flags, flags);
}

}  // namespace
}  // namespace kernels

namespace {

using TileKernel = void (*)(detail::DeviceProgram, const std::int32_t*, LaunchEvents);

/// The smallest instance that holds a program.
TileKernel tile_kernel(const detail::DeviceProgram& program) noexcept {
    if (program.max_n_tiles <= 4) {
        return program.max_x_limbs <= 2 ? kernels::run_tiles<2, 4, 2> : kernels::run_tiles<2, 4, 3>;
    }
    return program.max_x_limbs <= 1 ? kernels::run_tiles<2, 8, 1> : kernels::run_tiles<2, 8, 3>;
}

/// The kernels for dense chains, with a program that lies on the current device.
class DeviceChains {
public:
    DeviceChains(const DeviceCode& code, DeviceKernel kernel)
        : program_(code.program), kernel_(kernel), pool_(code.pool.size()) {
        n_multiprocessors_ = device_attribute(cudaDevAttrMultiProcessorCount);
        const int limit = device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
        shares_pool_ = pool_bytes() + scratch_bytes() <= limit / 2;
        if (kernel_ == DeviceKernel::dot_products) {
            prepare(kernels::run_events, events_bytes(), limit);
        } else {
            prepare(tile_kernel(program_), tiles_bytes({ElementType::int64, false}), limit);
        }
        pool_.copy_from(code.pool, nullptr);
    }

    void run(CudaStream stream, const LaunchEvents& events) const {
        const std::int32_t* pool = pool_.span().data();
        if (kernel_ == DeviceKernel::tensor_cores) {
            const auto bytes = static_cast<std::size_t>(tiles_bytes(events.format));
            const unsigned n_blocks =
                count_blocks(events.n, std::size_t{kernels::n_warps} * detail::mma_events, n_multiprocessors_);
            tile_kernel(program_)<<<n_blocks, kernels::n_threads, bytes, stream>>>(program_, pool, events);
        } else {
            const auto bytes = static_cast<std::size_t>(events_bytes());
            const unsigned n_blocks = count_blocks(events.n, kernels::n_threads, n_multiprocessors_);
            kernels::run_events<<<n_blocks, kernels::n_threads, bytes, stream>>>(program_, pool, shares_pool_, events);
        }
        RHEINFALL_CUDA_CHECK(cudaGetLastError());
    }

private:
    [[nodiscard]] int pool_bytes() const { return kernels::whole_lines(program_.n_pool * 4); }
    [[nodiscard]] int scratch_bytes() const { return detail::event_words(program_) * 4 * kernels::n_threads; }
    [[nodiscard]] int events_bytes() const { return scratch_bytes() + (shares_pool_ ? pool_bytes() : 0); }
    [[nodiscard]] int tiles_bytes(const detail::DeviceFormat& format) const {
        const int row = detail::row_bytes(format, program_.n_inputs, program_.input_type.width);
        const int words_bytes = kernels::whole_lines(detail::tile_words(program_) * 4);
        return pool_bytes() + kernels::n_warps * (2 * detail::mma_events * row + words_bytes);
    }

    template <class Kernel>
    static void prepare(Kernel* function, int bytes, int limit) {
        if (bytes > limit)
            throw std::invalid_argument("DeviceNetwork: the kernel needs " + std::to_string(bytes) +
                                        " bytes of shared memory, and the device has " + std::to_string(limit));
        allow_shared_memory(function);
    }

    detail::DeviceProgram program_;
    DeviceKernel kernel_;
    DeviceBuffer<std::int32_t> pool_;
    bool shares_pool_ = true;  ///< of dot_products
    int n_multiprocessors_ = 0;
};

}  // namespace

struct DeviceNetwork::Impl {
    int device;
    Network network;
    LayerCode layer_code;
    DeviceLayers layers;
    std::optional<DeviceCode> chain_code;
    std::optional<DeviceChains> chains;
    DeviceKernel wanted;
    DeviceKernel kernel = DeviceKernel::layers;

    Impl(const Network& given, DeviceKernel asked, int on)
        : device(on),
          network(given),
          layer_code(lower_layers(given.graph(), given.ranges())),
          layers(layer_code),
          wanted(asked) {
        if (wanted != DeviceKernel::layers) chain_code = lower_chain();
        if (chain_code) take_chain();
        RHEINFALL_CUDA_CHECK(cudaStreamSynchronize(nullptr));
    }

    /// With DeviceKernel::best, a chain that the device is too small for is left to `layers`.
    void take_chain() {
        try {
            const DeviceKernel chosen = choose();
            chains.emplace(*chain_code, chosen);
            kernel = chosen;
        } catch (const std::invalid_argument&) {
            if (wanted != DeviceKernel::best) throw;
        }
    }

    /// Nothing if any kernel will do and those for chains do not.
    [[nodiscard]] std::optional<DeviceCode> lower_chain() const {
        try {
            return lower_for_device(network.graph(), network.ranges());
        } catch (const ModelError&) {
            if (wanted == DeviceKernel::best) return {};
            throw;
        }
    }

    [[nodiscard]] DeviceKernel choose() const {
        const bool fits = fits_tensor_cores(chain_code->program);
        if (wanted == DeviceKernel::tensor_cores && !fits)
            throw std::invalid_argument("DeviceNetwork: the network is too large for the kernel tensor_cores");
        if (wanted != DeviceKernel::best) return wanted;
        return fits ? DeviceKernel::tensor_cores : DeviceKernel::dot_products;
    }
};

DeviceNetwork::DeviceNetwork(const Network& network, DeviceKernel kernel, int device) {
    if (device == current_device) device = device_of("DeviceNetwork", nullptr);
    require_cuda_device("DeviceNetwork", device);
    const CurrentDevice scope(device);
    impl_ = std::make_shared<const Impl>(network, kernel, device);
}

std::size_t DeviceNetwork::n_inputs() const noexcept {
    return impl_->network.n_inputs();
}
std::size_t DeviceNetwork::n_outputs() const noexcept {
    return impl_->network.n_outputs();
}
DeviceKernel DeviceNetwork::kernel() const noexcept {
    return impl_->kernel;
}
std::size_t DeviceNetwork::packed_bytes() const noexcept {
    const detail::LayerProgram program = impl_->layer_code.program();
    if (program.packed_width == 0) return 0;
    return static_cast<std::size_t>(detail::row_bytes({ElementType::int32, true}, program.n_in, program.packed_width));
}

void DeviceNetwork::run(CudaStream stream, DeviceEvents in, MutableArray out, std::size_t n_events,
                        std::uint32_t* flags) const {
    if (in.is_packed && packed_bytes() == 0)
        throw std::invalid_argument("DeviceNetwork::run: in: packed events are for one input of at most 32 bits");
    if (!impl_->network.fits_output(out.type))
        throw std::invalid_argument("DeviceNetwork::run: out: its type does not hold the outputs' types");
    if (n_events == 0) return;  // a launch of no blocks is an error
    const std::size_t unit = in.is_packed ? 4 : static_cast<std::size_t>(detail::bytes_of(in.type));
    if (in.data == nullptr || out.data == nullptr || reinterpret_cast<std::uintptr_t>(in.data) % unit != 0 ||
        reinterpret_cast<std::uintptr_t>(out.data) % static_cast<std::size_t>(detail::bytes_of(out.type)) != 0)
        throw std::invalid_argument("DeviceNetwork::run: expected arrays, aligned to their elements");
    const LaunchEvents events{
        static_cast<const std::byte*>(in.data), {in.type, in.is_packed}, out.data, out.type, n_events, flags};
    const CurrentDevice scope(impl_->device);
    const bool has_reals = is_floating(out.type) || (!in.is_packed && is_floating(in.type));
    if (kernel_of_call(impl_->kernel, impl_->wanted, has_reals, in.data) == DeviceKernel::layers) {
        impl_->layers.run(stream, events);
    } else {
        impl_->chains->run(stream, events);
    }
}

Status DeviceNetwork::run_and_wait(CudaStream stream, DeviceEvents in, MutableArray out, std::size_t n_events) const {
    const CurrentDevice scope(impl_->device);
    DeviceBuffer<std::uint32_t> flags(1);
    RHEINFALL_CUDA_CHECK(cudaMemsetAsync(flags.span().data(), 0, sizeof(std::uint32_t), stream));
    run(stream, in, out, n_events, flags.span().data());
    const std::uint32_t noted = flags.to_host(stream)[0];
    if ((noted & not_finite) != 0) return Status::not_finite;
    return (noted & out_of_range) != 0 ? Status::out_of_range : Status::ok;
}

}  // namespace rheinfall::quantized
