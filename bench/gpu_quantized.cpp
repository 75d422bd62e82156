// Networks of triggers on a GPU, from device memory: first the bits against the CPU, then events a second beside the
// copy rate of the same device, as JSON.
//   gpu_quantized OUT.json [EVENTS TO CHECK = 10^7]
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <rheinfall/quantized/network_cuda.hpp>
#include <string>
#include <vector>

#include "core/device_buffer.hpp"
#include "gpu_timing.hpp"
#include "quantized_documents.hpp"

namespace {

using namespace rheinfall::quantized;
using bench::measure_copy_rate;
using bench::time_median;
using rheinfall::DeviceBuffer;

constexpr std::size_t n_timed = std::size_t{1} << 24;

/// Random bits as packed events: every pattern of W bits is an integer of the type.
std::vector<std::uint32_t> random_events(std::size_t n_words, unsigned seed) {
    std::mt19937_64 random(seed);
    std::vector<std::uint32_t> words(n_words);
    for (std::uint32_t& w : words) w = static_cast<std::uint32_t>(random());
    return words;
}

/// The integers of packed events, for the CPU.
std::vector<std::int32_t> unpack(const std::vector<std::uint32_t>& words, std::size_t n_events, std::size_t row,
                                 std::size_t n, const FixedType& type) {
    const auto width = static_cast<std::size_t>(type.width);
    std::vector<std::int32_t> x(n_events * n);
    for (std::size_t event = 0; event < n_events; ++event) {
        for (std::size_t i = 0; i < n; ++i) {
            std::uint32_t q = 0;
            for (std::size_t b = 0; b < width; ++b) {
                const std::size_t bit = i * width + b;
                q |= (words[event * row + bit / 32] >> (bit % 32) & 1u) << b;
            }
            const auto top = static_cast<std::int32_t>(q << (32 - width));
            x[event * n + i] = type.is_signed ? top >> (32 - width) : static_cast<std::int32_t>(q);
        }
    }
    return x;
}

/// Differing values among @p n_events events, which go to the device in pieces.
std::size_t count_wrong(const Network& network, const DeviceNetwork& device, std::size_t n_events) {
    const std::size_t row = device.packed_bytes() / 4, piece = std::size_t{1} << 17;
    rheinfall::Workspace workspace;
    workspace.reserve(network.workspace_size(piece));
    DeviceBuffer<std::uint32_t> in(piece * row);
    DeviceBuffer<std::int32_t> out(piece * device.n_outputs());
    std::vector<std::int32_t> expected(piece * device.n_outputs());
    std::size_t n_wrong = 0;
    for (std::size_t first = 0; first < n_events; first += piece) {
        const std::size_t n = std::min(piece, n_events - first);
        const auto words = random_events(piece * row, static_cast<unsigned>(first));
        in.copy_from(words, nullptr);
        device.run(nullptr, {in.span().data(), ElementType::int32, true}, {out.span().data(), ElementType::int32}, n);
        const auto x = unpack(words, n, row, device.n_inputs(), network.inputs()[0].type);
        if (network.run({x.data(), ElementType::int32}, {expected.data(), ElementType::int32}, n, workspace) !=
            rheinfall::Status::ok)
            return n_events;
        const std::vector<std::int32_t> y = out.to_host(nullptr);
        for (std::size_t i = 0; i < n * device.n_outputs(); ++i) n_wrong += y[i] != expected[i] ? 1u : 0u;
    }
    return n_wrong;
}

struct Case {
    const char* name;
    std::string document;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) {
        std::fprintf(stderr, "usage: gpu_quantized OUT.json [EVENTS TO CHECK]\n");
        return 2;
    }
    if (!rheinfall::cuda_available()) {
        std::fprintf(stderr, "gpu_quantized: no CUDA device\n");
        return 3;
    }
    const auto n_checked = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 10'000'000ull;
    const double copy_rate = measure_copy_rate();
    std::printf("copy within the device: %.2f TB/s read and written\n", copy_rate * 1e-12);
    const Case cases[] = {{"jet 16-64-32-32-5", rheinfall::test::jet_tagger(1)},
                          {"AXOL1TL v4 from 18-bit inputs", rheinfall::test::axol1tl_v4(2)},
                          {"AXOL1TL v5", rheinfall::test::axol1tl_v5(3)}};
    std::string json = "{\"copy_bytes_per_second\": " + std::to_string(copy_rate) + ", \"networks\": [";
    bool failed = false;
    const char* separator = "";
    for (const Case& c : cases) {
        const Network network = Network::from_json(c.document);
        for (const DeviceKernel kernel :
             {DeviceKernel::tensor_cores, DeviceKernel::dot_products, DeviceKernel::layers}) {
            const DeviceNetwork device(network, kernel);
            const char* kernel_name = kernel == DeviceKernel::tensor_cores   ? "tensor_cores"
                                      : kernel == DeviceKernel::dot_products ? "dot_products"
                                                                             : "layers";
            const std::size_t n_wrong = count_wrong(network, device, n_checked);
            failed = failed || n_wrong > 0;
            const std::size_t row = device.packed_bytes();
            DeviceBuffer<std::uint32_t> in(n_timed * row / 4);
            DeviceBuffer<std::int32_t> out(n_timed * device.n_outputs());
            const auto words = random_events(std::size_t{1} << 22, 9);
            for (std::size_t at = 0; at < in.span().size(); at += words.size()) {
                const std::size_t n = std::min(words.size(), in.span().size() - at);
                RHEINFALL_CUDA_CHECK(cudaMemcpy(in.span().data() + at, words.data(), n * 4, cudaMemcpyHostToDevice));
            }
            const double seconds = time_median([&] {
                device.run(nullptr, {in.span().data(), ElementType::int32, true},
                           {out.span().data(), ElementType::int32}, n_timed);
            });
            const double rate = static_cast<double>(n_timed) / seconds;
            const double bytes = static_cast<double>(row + 4 * device.n_outputs());
            char line[512];
            std::snprintf(line, sizeof line,
                          "{\"network\": \"%s\", \"kernel\": \"%s\", \"packing\": \"%d bits, %zu bytes an event\", "
                          "\"events_checked\": %llu, \"wrong_values\": %zu, \"events_per_second\": %.4g, "
                          "\"share_of_copy_rate\": %.3f}",
                          c.name, kernel_name, network.inputs()[0].type.width, row, n_checked, n_wrong, rate,
                          rate * bytes / copy_rate);
            std::printf("%s\n", line);
            json += std::string(separator) + "\n  " + line;
            separator = ",";
        }
    }
    json += "]}\n";
    std::FILE* file = std::fopen(argv[1], "w");
    if (file == nullptr || std::fputs(json.c_str(), file) < 0 || std::fclose(file) != 0) {
        std::perror(argv[1]);
        return 1;
    }
    return failed ? 1 : 0;
}
