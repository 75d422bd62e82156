// Compiled and linked, but not yet run on a GPU: the bodies of both kernels are tested on the host (tests/cpp), with
// the tensor-core instruction replaced by its definition; launches, staging and the instruction itself are not.
#include <cuda_pipeline.h>

#include <algorithm>
#include <rheinfall/quantized/network_cuda.hpp>
#include <stdexcept>
#include <string>

#include "core/device_buffer.hpp"
#include "quantized/detail/device_event.hpp"
#include "quantized/detail/device_tile.hpp"
#include "quantized/device_lowering.hpp"

namespace rheinfall::quantized {
namespace kernels {
namespace {

using detail::DeviceFormat;
using detail::DeviceProgram;

constexpr int n_threads = 128;
constexpr int n_warps = n_threads / 32;
constexpr int line = 16;  // bytes of an asynchronous copy

/// What a launch is about.
struct Events {
    const std::byte* in;
    DeviceFormat format;
    void* out;
    ElementType out_type;
    std::size_t n;
    std::uint32_t* out_of_range;
};

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
               Events events) {
    extern __shared__ std::byte shared[];
    const int pool_bytes = shares_pool ? whole_lines(program.n_pool * 4) : 0;
    const std::int32_t* constants = shares_pool ? load_pool(pool, program.n_pool, shared) : pool;
    const detail::ThreadWords words{reinterpret_cast<std::uint32_t*>(shared + pool_bytes) + threadIdx.x, n_threads};
    const auto row =
        static_cast<std::size_t>(detail::row_bytes(events.format, program.n_inputs, program.input_type.width));
    bool out_of_range = false;
    for (std::size_t i = std::size_t{blockIdx.x} * n_threads + threadIdx.x; i < events.n;
         i += std::size_t{gridDim.x} * n_threads) {
        out_of_range |= detail::run_event(program, constants, events.in + i * row, events.format, words, events.out,
                                          i * static_cast<std::size_t>(program.n_outputs), events.out_type);
    }
    if (out_of_range && events.out_of_range != nullptr) atomicOr(events.out_of_range, 1u);
}

/// Copies the rows of a tile, a multiple of 16 bytes from its begin but for the last tile's end.
__device__ void stage_tile(const Events& events, std::size_t tile, std::size_t n_tiles, int row, std::byte* buffer) {
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
__global__ void __launch_bounds__(n_threads)
    run_tiles(const __grid_constant__ DeviceProgram program, const std::int32_t* __restrict__ pool, Events events) {
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
    bool out_of_range = false;
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
        out_of_range |=
            detail::run_tile<K, N, L>(program, constants, stages + current * stage_bytes, events.format, n_rows, words,
                                      events.out, first, events.out_type, detail::DeviceWarp{});
        __syncwarp();
    }
    if (out_of_range && events.out_of_range != nullptr) atomicOr(events.out_of_range, 1u);
}

}  // namespace
}  // namespace kernels

namespace {

using TileKernel = void (*)(detail::DeviceProgram, const std::int32_t*, kernels::Events);

/// The smallest instance that holds a program.
TileKernel tile_kernel(const detail::DeviceProgram& program) noexcept {
    if (program.max_n_tiles <= 4) {
        return program.max_x_limbs <= 2 ? kernels::run_tiles<2, 4, 2> : kernels::run_tiles<2, 4, 3>;
    }
    return program.max_x_limbs <= 1 ? kernels::run_tiles<2, 8, 1> : kernels::run_tiles<2, 8, 3>;
}

int attribute(cudaDeviceAttr which, int device) {
    int value = 0;
    RHEINFALL_CUDA_CHECK(cudaDeviceGetAttribute(&value, which, device));
    return value;
}

bool is_wide_enough(ElementType type, const FixedType& stored) noexcept {
    if (is_floating(type)) return false;
    const bool is_unsigned = type >= ElementType::uint8;
    if (stored.is_signed && is_unsigned) return false;
    return detail::bytes_of(type) * 8 >= stored.width + (!stored.is_signed && !is_unsigned ? 1 : 0);
}

}  // namespace

struct DeviceNetwork::Impl {
    DeviceCode code;
    DeviceKernel kernel;
    DeviceBuffer<std::int32_t> pool;
    bool shares_pool = true;  ///< of dot_products
    int n_blocks = 0;         ///< that fill the device, for rows of the largest element
    int n_multiprocessors = 0;
    int shared_limit = 0;

    Impl(const Network& network, DeviceKernel wanted)
        : code(lower_for_device(network.graph(), network.ranges())),
          kernel(choose(code, wanted)),
          pool(code.pool.size()) {
        int device = 0;
        RHEINFALL_CUDA_CHECK(cudaGetDevice(&device));
        n_multiprocessors = attribute(cudaDevAttrMultiProcessorCount, device);
        shared_limit = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
        shares_pool = events_bytes() <= shared_limit / 2;
        if (kernel == DeviceKernel::dot_products) {
            prepare(kernels::run_events, shares_pool ? events_bytes() : scratch_bytes());
        } else {
            prepare(tile_kernel(code.program), tiles_bytes({ElementType::int64, false}));
        }
        pool.copy_from(code.pool, nullptr);
        RHEINFALL_CUDA_CHECK(cudaStreamSynchronize(nullptr));
    }

    static DeviceKernel choose(const DeviceCode& code, DeviceKernel wanted) {
        const bool fits = fits_tensor_cores(code.program);
        if (wanted == DeviceKernel::tensor_cores && !fits)
            throw std::invalid_argument("DeviceNetwork: the network is too large for the kernel tensor_cores");
        if (wanted != DeviceKernel::best) return wanted;
        return fits ? DeviceKernel::tensor_cores : DeviceKernel::dot_products;
    }

    [[nodiscard]] int pool_bytes() const { return kernels::whole_lines(code.program.n_pool * 4); }
    [[nodiscard]] int scratch_bytes() const { return detail::event_words(code.program) * 4 * kernels::n_threads; }
    [[nodiscard]] int events_bytes() const { return pool_bytes() + scratch_bytes(); }
    [[nodiscard]] int tiles_bytes(const detail::DeviceFormat& format) const {
        const int row = detail::row_bytes(format, code.program.n_inputs, code.program.input_type.width);
        const int words_bytes = kernels::whole_lines(detail::tile_words(code.program) * 4);
        return pool_bytes() + kernels::n_warps * (2 * detail::mma_events * row + words_bytes);
    }

    template <class Kernel>
    void prepare(Kernel* function, int shared_bytes) {
        if (shared_bytes > shared_limit)
            throw std::invalid_argument("DeviceNetwork: the kernel needs " + std::to_string(shared_bytes) +
                                        " bytes of shared memory, and the device has " + std::to_string(shared_limit));
        RHEINFALL_CUDA_CHECK(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes));
        RHEINFALL_CUDA_CHECK(cudaFuncSetAttribute(function, cudaFuncAttributePreferredSharedMemoryCarveout,
                                                  cudaSharedmemCarveoutMaxShared));
    }
};

DeviceNetwork::DeviceNetwork(const Network& network, DeviceKernel kernel)
    : impl_(std::make_shared<const Impl>(network, kernel)) {}

std::size_t DeviceNetwork::n_inputs() const noexcept {
    return static_cast<std::size_t>(impl_->code.program.n_inputs);
}
std::size_t DeviceNetwork::n_outputs() const noexcept {
    return static_cast<std::size_t>(impl_->code.program.n_outputs);
}
DeviceKernel DeviceNetwork::kernel() const noexcept {
    return impl_->kernel;
}
std::size_t DeviceNetwork::packed_bytes() const noexcept {
    const detail::DeviceProgram& program = impl_->code.program;
    return static_cast<std::size_t>(
        detail::row_bytes({ElementType::int32, true}, program.n_inputs, program.input_type.width));
}

void DeviceNetwork::run(CudaStream stream, DeviceEvents in, MutableArray out, std::size_t n_events,
                        std::uint32_t* out_of_range) const {
    const detail::DeviceProgram& program = impl_->code.program;
    if (!in.is_packed && is_floating(in.type))
        throw std::invalid_argument("DeviceNetwork::run: in: expected integers, got floating-point numbers");
    if (!is_wide_enough(out.type, program.output_type))
        throw std::invalid_argument("DeviceNetwork::run: out: its type does not hold the outputs' type");
    if (n_events == 0) return;  // a launch of no blocks is an error
    if (in.data == nullptr || out.data == nullptr || reinterpret_cast<std::uintptr_t>(in.data) % kernels::line != 0)
        throw std::invalid_argument("DeviceNetwork::run: expected arrays, `in` aligned to 16 bytes");
    const detail::DeviceFormat format{in.type, in.is_packed};
    const kernels::Events events{
        static_cast<const std::byte*>(in.data), format, out.data, out.type, n_events, out_of_range};
    const bool by_tiles = impl_->kernel == DeviceKernel::tensor_cores;
    const std::size_t per_block = by_tiles ? std::size_t{kernels::n_warps} * detail::mma_events : kernels::n_threads;
    // Blocks go on by themselves, so more of them than fit at once would only load the constants again.
    constexpr std::size_t blocks_per_multiprocessor = 16;
    const auto n_blocks =
        static_cast<unsigned>(std::min((n_events + per_block - 1) / per_block,
                                       static_cast<std::size_t>(impl_->n_multiprocessors) * blocks_per_multiprocessor));
    const std::int32_t* pool = impl_->pool.span().data();
    if (by_tiles) {
        const auto shared_bytes = static_cast<std::size_t>(impl_->tiles_bytes(format));
        tile_kernel(program)<<<n_blocks, kernels::n_threads, shared_bytes, stream>>>(program, pool, events);
    } else {
        const auto shared_bytes =
            static_cast<std::size_t>(impl_->shares_pool ? impl_->events_bytes() : impl_->scratch_bytes());
        kernels::run_events<<<n_blocks, kernels::n_threads, shared_bytes, stream>>>(program, pool, impl_->shares_pool,
                                                                                    events);
    }
    RHEINFALL_CUDA_CHECK(cudaGetLastError());
}

}  // namespace rheinfall::quantized
