// The bodies of the CUDA kernels, run on the host: the same bits as the exact executor.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <random>
#include <rheinfall/quantized/network.hpp>
#include <rheinfall/quantized/network_cuda.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "quantized/detail/device_event.hpp"
#include "quantized/detail/device_tile.hpp"
#include "quantized/device_lowering.hpp"
#include "quantized_documents.hpp"

#if defined(RHEINFALL_WITH_CUDA)
#include "core/device_buffer.hpp"
#endif

namespace {

using namespace rheinfall::quantized;
using Integers = std::vector<std::int64_t>;
using rheinfall::test::axol1tl_v4;
using rheinfall::test::axol1tl_v5;
using rheinfall::test::jet_tagger;
using rheinfall::test::random_chain;

/// Stored integers of the type, limits and small numbers more often.
Integers random_inputs(const FixedType& type, std::size_t n, unsigned seed) {
    std::mt19937_64 random(seed);
    const std::int64_t lo = detail::smallest(type), hi = static_cast<std::int64_t>(detail::largest(type));
    std::uniform_int_distribution<std::int64_t> any(lo, hi), small(-9, 9);
    Integers x(n);
    for (std::int64_t& q : x) {
        const auto kind = random() % 8;
        q = kind == 0 ? lo : kind == 1 ? hi : kind == 2 ? std::clamp(small(random), lo, hi) : any(random);
    }
    return x;
}

Integers run_exactly(const Network& network, const Integers& x) {
    const std::size_t n = x.size() / network.n_inputs();
    Integers y(n * network.n_outputs());
    rheinfall::Workspace workspace;
    workspace.reserve(network.workspace_size(n));
    const auto status = network.run({x.data(), ElementType::int64}, {y.data(), ElementType::int64}, n, workspace);
    EXPECT_EQ(status, rheinfall::Status::ok);
    return y;
}

/// Events as the device reads them.
std::vector<std::byte> pack(const Integers& x, const detail::DeviceFormat& format, int n_inputs, int width) {
    const auto row = static_cast<std::size_t>(detail::row_bytes(format, n_inputs, width));
    const auto n = static_cast<std::size_t>(n_inputs);
    std::vector<std::byte> bytes(x.size() / n * row);
    for (std::size_t event = 0; event * n < x.size(); ++event) {
        for (std::size_t i = 0; i < n; ++i) {
            const auto q = static_cast<std::uint64_t>(x[event * n + i]);
            if (format.is_packed) {
                for (std::size_t bit = 0; bit < static_cast<std::size_t>(width); ++bit) {
                    const std::size_t at = i * static_cast<std::size_t>(width) + bit;
                    if ((q >> bit & 1u) != 0) bytes[event * row + at / 8] |= std::byte{1} << (at % 8);
                }
            } else {
                const auto size = static_cast<std::size_t>(detail::bytes_of(format.type));
                std::memcpy(&bytes[event * row + i * size], &q, size);  // little-endian, as every host of CUDA
            }
        }
    }
    return bytes;
}

struct HostRun {
    const DeviceCode& code;
    detail::DeviceFormat format;
    std::vector<std::byte> rows;
    std::size_t n_events;

    HostRun(const DeviceCode& of, const Integers& x, const detail::DeviceFormat& as)
        : code(of),
          format(as),
          rows(pack(x, as, of.program.n_inputs, of.program.input_type.width)),
          n_events(x.size() / static_cast<std::size_t>(of.program.n_inputs)) {}

    [[nodiscard]] const std::byte* row(std::size_t event) const {
        return rows.data() + event * static_cast<std::size_t>(detail::row_bytes(format, code.program.n_inputs,
                                                                                code.program.input_type.width));
    }

    /// The thread-per-event kernel, events in a shuffled order, the scratch of several threads interleaved.
    [[nodiscard]] Integers by_events(unsigned seed) const {
        Integers y(n_events * static_cast<std::size_t>(code.program.n_outputs), 77);
        constexpr int n_threads = 3;
        std::vector<std::uint32_t> scratch(static_cast<std::size_t>(detail::event_words(code.program)) * n_threads,
                                           77u);
        std::vector<std::size_t> order(n_events);
        std::iota(order.begin(), order.end(), std::size_t{0});
        if (seed != 0) std::shuffle(order.begin(), order.end(), std::mt19937(seed));
        for (std::size_t i = 0; i < n_events; ++i) {
            const std::size_t event = order[i];
            const detail::ThreadWords words{scratch.data() + i % n_threads, n_threads};
            EXPECT_EQ(0u,
                      detail::run_event(code.program, code.pool.data(), row(event), format, words, y.data(),
                                        event * static_cast<std::size_t>(code.program.n_outputs), ElementType::int64));
        }
        return y;
    }

    /// The tensor-core kernel, lanes and tiles in a shuffled order.
    [[nodiscard]] Integers by_tiles(unsigned seed) const {
        Integers y(n_events * static_cast<std::size_t>(code.program.n_outputs), 77);
        std::mt19937 random(seed);
        detail::HostWarp warp{};
        std::vector<std::uint32_t> words(static_cast<std::size_t>(detail::tile_words(code.program)), 77u);
        std::iota(warp.order.begin(), warp.order.end(), 0);
        std::vector<std::size_t> tiles((n_events + 15) / 16);
        std::iota(tiles.begin(), tiles.end(), std::size_t{0});
        if (seed != 0) std::shuffle(tiles.begin(), tiles.end(), random);
        for (const std::size_t tile : tiles) {
            if (seed != 0) std::shuffle(warp.order.begin(), warp.order.end(), random);
            const auto n_rows = static_cast<int>(std::min<std::size_t>(16, n_events - 16 * tile));
            EXPECT_EQ(0u, (detail::run_tile<2, 8, 3>(code.program, code.pool.data(), row(16 * tile), format, n_rows,
                                                     words.data(), y.data(), 16 * tile, ElementType::int64, warp)));
        }
        return y;
    }
};

void expect_same_bits(const std::string& document, bool needs_tiles, std::size_t n_events, unsigned seed) {
    const Network network = Network::from_json(document, "test", {Isa::exact});
    const DeviceCode code = lower_for_device(network.graph(), network.ranges());
    if (needs_tiles) {
        ASSERT_TRUE(fits_tensor_cores(code.program));
    }
    const Integers x = random_inputs(code.program.input_type, n_events * network.n_inputs(), seed);
    const Integers expected = run_exactly(network, x);
    const int width = code.program.input_type.width;
    std::vector<detail::DeviceFormat> formats{{ElementType::int32, true}, {ElementType::int64, false}};
    if (width <= 31) formats.push_back({ElementType::int32, false});
    if (width <= 15) formats.push_back({ElementType::int16, false});
    if (width <= 7) formats.push_back({ElementType::int8, false});
    for (const detail::DeviceFormat& format : formats) {
        const HostRun run(code, x, format);
        EXPECT_EQ(run.by_events(0), expected) << "serial executor";
        EXPECT_EQ(run.by_events(seed + 1), expected) << "shuffled executor";
        if (!fits_tensor_cores(code.program)) continue;
        EXPECT_EQ(run.by_tiles(0), expected) << "tiles, serial";
        EXPECT_EQ(run.by_tiles(seed + 1), expected) << "tiles, shuffled";
    }
}

TEST(QuantizedDevice, TriggerNetworks) {
    for (unsigned seed = 0; seed < 3; ++seed) {
        expect_same_bits(jet_tagger(seed), true, 53, seed);
        expect_same_bits(axol1tl_v4(seed), true, 53, seed);
        expect_same_bits(axol1tl_v5(seed), true, 53, seed);
    }
}

TEST(QuantizedDevice, OneEventAndWholeTiles) {
    for (const std::size_t n : {1u, 15u, 16u, 17u, 32u}) expect_same_bits(axol1tl_v5(9), true, n, 9);
}

TEST(QuantizedDevice, RandomChains) {
    int n_taken = 0;
    for (unsigned seed = 0; seed < 60; ++seed) {
        SCOPED_TRACE(seed);
        const std::string document = random_chain(seed);
        try {
            expect_same_bits(document, false, 20, seed);
            ++n_taken;
        } catch (const ModelError&) {  // what 32-bit lanes do not hold
        }
    }
    EXPECT_GT(n_taken, 45);
}

TEST(QuantizedDevice, IntegersOutsideTheirTypeAreConvertedAndNoted) {
    for (const char* overflow : {"WRAP", "SAT", "SAT_ZERO", "SAT_SYM"}) {
        rheinfall::test::DocumentWriter d(1, 1, std::string("ap_fixed<6,6,TRN,") + overflow + ">");
        d.dense(1, "ap_int<2>", 0, "ap_int<20>", "ap_int<20>");
        const Network network = Network::from_json(d.finish(), "test", {Isa::exact});
        const DeviceCode code = lower_for_device(network.graph(), network.ranges());
        for (const std::int64_t q : {-33, -32, 31, 32, 1000, -1000}) {
            const Integers x{q};
            Integers expected(1), y(1);
            rheinfall::Workspace workspace;
            workspace.reserve(network.workspace_size(1));
            const auto status =
                network.run({x.data(), ElementType::int64}, {expected.data(), ElementType::int64}, 1, workspace);
            std::vector<std::uint32_t> scratch(static_cast<std::size_t>(detail::event_words(code.program)));
            const detail::DeviceFormat format{ElementType::int64, false};
            const std::vector<std::byte> row = pack(x, format, 1, 6);
            const std::uint32_t flags = detail::run_event(code.program, code.pool.data(), row.data(), format,
                                                          {scratch.data(), 1}, y.data(), 0, ElementType::int64);
            EXPECT_EQ(y, expected) << overflow << " " << q;
            EXPECT_EQ(flags == detail::device_out_of_range, status == rheinfall::Status::out_of_range)
                << overflow << " " << q;
        }
    }
}

TEST(QuantizedDevice, WhatTheKernelsCannotComputeIsRefusedByName) {
    rheinfall::test::DocumentWriter d(1, 4, "ap_fixed<8,4>");
    d.dense(3, "ap_int<4>", 7, "ap_fixed<12,9,RND,SAT>", "ap_fixed<8,4>");
    const Network network = Network::from_json(d.finish(), "test", {Isa::exact});
    try {
        lower_for_device(network.graph(), network.ranges(), "net.json");
        FAIL() << "a saturating accumulator was taken";
    } catch (const ModelError& error) {
        EXPECT_NE(std::string(error.what()).find("net.json: layer 'dense0': the CUDA kernels"), std::string::npos)
            << error.what();
    }
}

TEST(QuantizedDevice, WhereIntegersBeginChoosesTheKernel) {
    using enum DeviceKernel;
    alignas(16) const std::array<std::byte, 32> bytes{};
    for (std::size_t offset = 0; offset <= 16; ++offset) {
        const std::byte* in = bytes.data() + offset;
        const bool is_aligned = offset % 16 == 0;
        EXPECT_EQ(kernel_of_call(tensor_cores, best, false, in), is_aligned ? tensor_cores : layers);
        if (is_aligned) {
            EXPECT_EQ(kernel_of_call(tensor_cores, tensor_cores, false, in), tensor_cores);
        } else {
            EXPECT_THROW(static_cast<void>(kernel_of_call(tensor_cores, tensor_cores, false, in)),
                         std::invalid_argument);
        }
        for (const DeviceKernel of_network : {layers, dot_products}) {
            EXPECT_EQ(kernel_of_call(of_network, best, false, in), of_network);
            EXPECT_EQ(kernel_of_call(of_network, of_network, false, in), of_network);
        }
        for (const DeviceKernel of_network : {layers, dot_products, tensor_cores}) {
            EXPECT_EQ(kernel_of_call(of_network, best, true, in), layers);
            EXPECT_EQ(kernel_of_call(of_network, of_network, true, in), layers);
        }
    }
}

#if defined(RHEINFALL_WITH_CUDA)

/// The bits of the CPU from device memory, with both kernels, each packing, whole and broken tiles, through a CUDA
/// graph.
void expect_same_bits_on_the_device(const std::string& document, std::size_t n_events) {
    const Network network = Network::from_json(document);
    const DeviceCode code = lower_for_device(network.graph(), network.ranges());
    const int width = code.program.input_type.width;
    const Integers x = random_inputs(code.program.input_type, n_events * network.n_inputs(), 5);
    const Integers expected = run_exactly(network, x);
    cudaStream_t stream = nullptr;
    RHEINFALL_CUDA_CHECK(cudaStreamCreate(&stream));
    for (const DeviceKernel kernel : {DeviceKernel::dot_products, DeviceKernel::tensor_cores}) {
        const DeviceNetwork device(network, kernel);
        EXPECT_EQ(device.kernel(), kernel);
        for (const detail::DeviceFormat& format :
             {detail::DeviceFormat{ElementType::int32, true}, detail::DeviceFormat{ElementType::int32, false}}) {
            const std::vector<std::byte> bytes = pack(x, format, code.program.n_inputs, width);
            rheinfall::DeviceBuffer<std::byte> in(bytes.size());
            rheinfall::DeviceBuffer<std::int64_t> out(expected.size());
            rheinfall::DeviceBuffer<std::uint32_t> flag(1);
            in.copy_from(bytes, stream);
            flag.copy_from(std::vector<std::uint32_t>{0}, stream);
            RHEINFALL_CUDA_CHECK(cudaStreamSynchronize(stream));
            cudaGraph_t graph = nullptr;
            cudaGraphExec_t launch = nullptr;
            RHEINFALL_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
            device.run(stream, {in.span().data(), format.type, format.is_packed},
                       {out.span().data(), ElementType::int64}, n_events, flag.span().data());
            RHEINFALL_CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
            RHEINFALL_CUDA_CHECK(cudaGraphInstantiate(&launch, graph, 0));
            RHEINFALL_CUDA_CHECK(cudaGraphLaunch(launch, stream));
            EXPECT_EQ(out.to_host(stream), expected);
            EXPECT_EQ(flag.to_host(stream), std::vector<std::uint32_t>{0});
            RHEINFALL_CUDA_CHECK(cudaGraphExecDestroy(launch));
            RHEINFALL_CUDA_CHECK(cudaGraphDestroy(graph));
        }
    }
    RHEINFALL_CUDA_CHECK(cudaStreamDestroy(stream));
}

TEST(QuantizedDevice, CudaGivesTheBitsOfTheCpu) {
    if (!rheinfall::cuda_available()) GTEST_SKIP() << "no CUDA device";
    for (const std::size_t n : {1u, 16u, 1000u, 100'003u}) {
        expect_same_bits_on_the_device(jet_tagger(1), n);
        expect_same_bits_on_the_device(axol1tl_v4(2), n);
        expect_same_bits_on_the_device(axol1tl_v5(3), n);
    }
}

/// All events but the first, as x[1:] of an array: at a multiple of the row's bytes.
TEST(QuantizedDevice, CudaTakesIntegersThatBeginAnywhere) {
    if (!rheinfall::cuda_available()) GTEST_SKIP() << "no CUDA device";
    const Network network = Network::from_json(axol1tl_v5(3));
    const DeviceCode code = lower_for_device(network.graph(), network.ranges());
    const Integers x = random_inputs(code.program.input_type, 100 * network.n_inputs(), 5);
    const detail::DeviceFormat format{ElementType::int16, false};
    const std::vector<std::byte> bytes = pack(x, format, code.program.n_inputs, code.program.input_type.width);
    const std::size_t row = bytes.size() / 100;
    ASSERT_NE(row % 16, 0u);
    Integers expected = run_exactly(network, x);
    expected.erase(expected.begin(), expected.begin() + static_cast<std::ptrdiff_t>(network.n_outputs()));
    rheinfall::DeviceBuffer<std::byte> in(bytes.size());
    rheinfall::DeviceBuffer<std::int64_t> out(expected.size());
    in.copy_from(bytes, nullptr);
    const auto run = [&](const DeviceNetwork& device) {
        return device.run_and_wait(nullptr, {in.span().data() + row, format.type},
                                   {out.span().data(), ElementType::int64}, 99);
    };
    const DeviceNetwork device(network);
    EXPECT_EQ(device.kernel(), DeviceKernel::tensor_cores);
    EXPECT_EQ(run(device), rheinfall::Status::ok);
    EXPECT_EQ(out.to_host(nullptr), expected);
    const DeviceNetwork by_name(network, DeviceKernel::tensor_cores);
    EXPECT_THROW(static_cast<void>(run(by_name)), std::invalid_argument);
}

#else

TEST(QuantizedDevice, WithoutCudaItIsRefused) {
    const Network network = Network::from_json(jet_tagger(1));
    EXPECT_THROW(DeviceNetwork{network}, rheinfall::CudaError);
}

#endif

}  // namespace
