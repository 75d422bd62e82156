// The body of the CUDA kernel `layers`, run on the host: the same bits as the exact executor, for every operation.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <rheinfall/quantized/network.hpp>
#include <string>
#include <variant>
#include <vector>

#include "quantized/detail/layer_event.hpp"
#include "quantized/layer_lowering.hpp"
#include "quantized_graphs.hpp"
#include "source_files.hpp"

#if defined(RHEINFALL_WITH_CUDA)
#include <rheinfall/quantized/network_cuda.hpp>

#include "core/device_buffer.hpp"
#endif

namespace {

using namespace rheinfall::quantized;
using rheinfall::Status;

/// Bytes of an array of any type.
struct Array {
    ElementType type = ElementType::int64;
    std::vector<std::byte> bytes;

    Array(ElementType of, std::size_t n)
        : type(of), bytes(n * static_cast<std::size_t>(detail::bytes_of(of)), std::byte{77}) {}
    void set(std::size_t i, double real, std::int64_t integer) {
        if (type == ElementType::float32) {
            put(i, static_cast<float>(real));
        } else if (type == ElementType::float64) {
            put(i, real);
        } else {
            std::memcpy(&bytes[i * static_cast<std::size_t>(detail::bytes_of(type))], &integer,
                        static_cast<std::size_t>(detail::bytes_of(type)));
        }
    }

private:
    template <class T>
    void put(std::size_t i, T value) {
        std::memcpy(&bytes[i * sizeof value], &value, sizeof value);
    }
};

/// Events by the kernel's body: lanes in a shuffled order, each step complete before the next, as the kernel waits.
template <class Word>
std::uint32_t run_layers(const LayerCode& code, const Array& in, Array& out, std::size_t n_events, int n_lanes,
                         unsigned seed) {
    const detail::LayerProgram program = code.program();
    std::mt19937 random(seed);
    std::vector<int> lanes(static_cast<std::size_t>(n_lanes));
    std::iota(lanes.begin(), lanes.end(), 0);
    std::vector<Word> values(static_cast<std::size_t>(program.n_values), Word{77});
    const detail::DeviceFormat format{in.type, false};
    const auto row = static_cast<std::size_t>(program.n_in * detail::bytes_of(in.type));
    std::uint32_t flags = 0;
    for (std::size_t event = 0; event < n_events; ++event) {
        std::shuffle(lanes.begin(), lanes.end(), random);
        for (const int lane : lanes)
            detail::read_layer_inputs(program, in.bytes.data() + event * row, format, values.data(), lane, n_lanes,
                                      flags);
        for (int s = 0; s < program.n_steps; ++s) {
            std::shuffle(lanes.begin(), lanes.end(), random);
            for (const int lane : lanes) detail::run_layer(program, program.steps[s], values.data(), lane, n_lanes);
        }
        for (const int lane : lanes)
            detail::write_layer_outputs(program, values.data(), out.bytes.data(),
                                        event * static_cast<std::size_t>(program.n_out), out.type, lane, n_lanes);
    }
    return flags;
}

std::uint32_t run_layers(const LayerCode& code, const Array& in, Array& out, std::size_t n_events, int n_lanes,
                         unsigned seed) {
    return code.is_wide ? run_layers<std::int64_t>(code, in, out, n_events, n_lanes, seed)
                        : run_layers<std::int32_t>(code, in, out, n_events, n_lanes, seed);
}

/// Random events in and somewhat outside the inputs' types, as integers and as floats.
Array random_events(const Network& network, ElementType type, std::size_t n_events, unsigned seed) {
    rheinfall::quantized::testing::GraphBuilder random(seed);
    constexpr double infinity = std::numeric_limits<double>::infinity();
    Array in(type, n_events * network.n_inputs());
    std::size_t at = 0;
    for (std::size_t event = 0; event < n_events; ++event) {
        for (const Port& port : network.inputs()) {
            for (std::size_t i = 0; i < n_elements(port.shape); ++i) {
                const std::int64_t q = random.stored(port.type);
                double real = std::ldexp(static_cast<double>(q), -port.type.fraction());
                if (random.uniform(0, 9) == 0) real *= 1.37;
                if (event % 8 == 7 && random.uniform(0, 99) == 0)
                    real = random.pick({infinity, -infinity, std::nan("")});
                const bool outside = event % 8 == 5 && random.uniform(0, 3) == 0;
                in.set(at++, real, outside ? random.uniform(INT64_MIN, INT64_MAX) : q);
            }
        }
    }
    return in;
}

ElementType narrowest_integer(const Network& network) {
    for (const ElementType type : {ElementType::int8, ElementType::uint8, ElementType::int16, ElementType::int32})
        if (network.fits_output(type)) return type;
    return network.fits_output(ElementType::int64) ? ElementType::int64 : ElementType::uint64;
}

void expect_same_bits(const std::string& document, std::size_t n_events, unsigned seed) {
    const Network network = Network::from_json(document, "test", {Isa::exact});
    const LayerCode code = lower_layers(network.graph(), network.ranges());
    rheinfall::Workspace workspace;
    workspace.reserve(network.workspace_size(n_events));
    for (const ElementType type : {ElementType::int64, ElementType::int16, ElementType::uint8, ElementType::uint64,
                                   ElementType::float32, ElementType::float64}) {
        const Array in = random_events(network, type, n_events, seed);
        const ElementType integer = narrowest_integer(network);
        const ElementType real = type == ElementType::float32 ? ElementType::float32 : ElementType::float64;
        Array expected(is_floating(type) ? real : integer, n_events * network.n_outputs());
        Array got = expected;
        const Status status =
            network.run({in.bytes.data(), type}, {expected.bytes.data(), expected.type}, n_events, workspace);
        const int n_lanes = static_cast<int>(1 + seed % 40);
        const std::uint32_t flags = run_layers(code, in, got, n_events, n_lanes, seed);
        ASSERT_EQ(got.bytes, expected.bytes) << "array type " << static_cast<int>(type);
        EXPECT_EQ((flags & detail::device_not_finite) != 0, status == Status::not_finite);
        EXPECT_EQ((flags & detail::device_out_of_range) != 0, status == Status::out_of_range);
    }
}

std::string text_of(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// The documents of a folder, by name.
std::map<std::string, std::string> documents_of(const std::string& folder) {
    std::map<std::string, std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
        if (entry.path().extension() == ".json") found[entry.path().filename().string()] = text_of(entry.path());
    return found;
}

/// Every operation that the format has is in these documents (tests/python/random_networks.py wrote them). The variable
/// RHEINFALL_DOCUMENTS names a folder of more of them: tools/exactness_device.py fills one.
TEST(QuantizedLayers, DocumentsOfEveryOperation) {
    const char* more = std::getenv("RHEINFALL_DOCUMENTS");
    std::map<std::size_t, int> operations;
    int n_documents = 0;
    unsigned seed = 0;
    for (const std::string& folder : {corpus_folder(), std::string(more == nullptr ? "" : more)}) {
        if (folder.empty()) continue;
        for (const auto& [name, document] : documents_of(folder)) {
            SCOPED_TRACE(name);
            expect_same_bits(document, folder == corpus_folder() ? 200 : 24, ++seed);
            if (HasFatalFailure()) return;
            const Network network = Network::from_json(document);
            for (const Layer& layer : network.graph().layers) ++operations[layer.operation.index()];
            ++n_documents;
        }
    }
    std::printf("%d documents, %zu operations\n", n_documents, operations.size());
    EXPECT_EQ(operations.size(), std::variant_size_v<Operation>);
}

TEST(QuantizedLayers, PlacesAreUsedAgain) {
    rheinfall::quantized::testing::GraphBuilder b(1);
    const FixedType type = rheinfall::quantized::testing::fixed(8, 4);
    int v = b.input({100}, type);
    for (int i = 0; i < 10; ++i) v = b.relu(v, type);
    b.output(v);
    const LayerCode code = lower_layers(b.graph, prove_ranges(b.graph));
    EXPECT_EQ(code.n_values, 200);
    EXPECT_FALSE(code.is_wide);
    EXPECT_EQ(code.event_bytes(), 800u);
}

TEST(QuantizedLayers, EventsBeyondSharedMemoryAreRefusedByLayer) {
    rheinfall::quantized::testing::GraphBuilder b(1);
    const FixedType type = rheinfall::quantized::testing::fixed(8, 4);
    int v = b.input({40'000}, type);
    v = b.relu(v, type);
    b.output(v);
    const Ranges ranges = prove_ranges(b.graph);
    try {
        lower_layers(b.graph, ranges, "net.json");
        FAIL() << "320 KB of values were taken";
    } catch (const ModelError& error) {
        EXPECT_NE(std::string(error.what())
                      .find("net.json: layer 'layer0': the CUDA kernels cannot compute it: its "
                            "event needs 80000 values"),
                  std::string::npos)
            << error.what();
    }
}

#if defined(RHEINFALL_WITH_CUDA)

/// The kernel itself, through a CUDA graph, integers and floats, with the flags.
void expect_same_bits_on_the_device(const std::string& document, std::size_t n_events, unsigned seed) {
    const Network network = Network::from_json(document);
    const DeviceNetwork device(network, DeviceKernel::layers);
    rheinfall::Workspace workspace;
    workspace.reserve(network.workspace_size(n_events));
    cudaStream_t stream = nullptr;
    RHEINFALL_CUDA_CHECK(cudaStreamCreate(&stream));
    for (const ElementType type : {ElementType::int64, ElementType::int16, ElementType::float32}) {
        const Array in = random_events(network, type, n_events, seed);
        Array expected(is_floating(type) ? type : narrowest_integer(network), n_events * network.n_outputs());
        const Status status =
            network.run({in.bytes.data(), type}, {expected.bytes.data(), expected.type}, n_events, workspace);
        rheinfall::DeviceBuffer<std::byte> x(in.bytes.size()), y(expected.bytes.size());
        rheinfall::DeviceBuffer<std::uint32_t> flags(1);
        const std::vector<std::uint32_t> none{0};
        x.copy_from(in.bytes, stream);
        flags.copy_from(none, stream);
        RHEINFALL_CUDA_CHECK(cudaStreamSynchronize(stream));
        cudaGraph_t graph = nullptr;
        cudaGraphExec_t launch = nullptr;
        RHEINFALL_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
        device.run(stream, {x.span().data(), type}, {y.span().data(), expected.type}, n_events, flags.span().data());
        RHEINFALL_CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
        RHEINFALL_CUDA_CHECK(cudaGraphInstantiate(&launch, graph, 0));
        RHEINFALL_CUDA_CHECK(cudaGraphLaunch(launch, stream));
        EXPECT_EQ(y.to_host(stream), expected.bytes) << "array type " << static_cast<int>(type);
        const std::uint32_t noted = flags.to_host(stream)[0];
        EXPECT_EQ((noted & DeviceNetwork::not_finite) != 0, status == Status::not_finite);
        EXPECT_EQ((noted & DeviceNetwork::out_of_range) != 0, status == Status::out_of_range);
        RHEINFALL_CUDA_CHECK(cudaGraphExecDestroy(launch));
        RHEINFALL_CUDA_CHECK(cudaGraphDestroy(graph));
    }
    RHEINFALL_CUDA_CHECK(cudaStreamDestroy(stream));
}

TEST(QuantizedLayers, CudaGivesTheBitsOfTheCpu) {
    if (!rheinfall::cuda_available()) GTEST_SKIP() << "no CUDA device";
    const char* more = std::getenv("RHEINFALL_DOCUMENTS");
    unsigned seed = 0;
    for (const std::string& folder : {corpus_folder(), std::string(more == nullptr ? "" : more)}) {
        if (folder.empty()) continue;
        for (const auto& [name, document] : documents_of(folder)) {
            SCOPED_TRACE(name);
            for (const std::size_t n : {1u, 37u, 5000u}) expect_same_bits_on_the_device(document, n, ++seed);
        }
    }
}

#endif

}  // namespace
