// Graph networks on a GPU, from device memory: first the bits against the CPU, launched, in flight, and from a CUDA
// graph that replays on other features and edges; then times by the device's events beside what its memory and its
// arithmetic allow, as JSON.
//   gpu_gnn OUT.json FOLDER [NAME NETWORK GRAPH]...    GRAPH: a file of hits and edges, or NODESxEDGES (gnn_cases.hpp);
//                                                      FOLDER gets NAME.case, which gpu_gnn_torch.py reads
//   gpu_gnn --turns NETWORK GRAPH                      prints "ready", then the ms of a call for each line that it
//   reads
#include <cuda_runtime_api.h>

#include <array>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <rheinfall/adapters/std_threads.hpp>
#include <rheinfall/gnn/edge_classifier_cuda.hpp>
#include <string>
#include <thread>
#include <vector>

#include "core/device_buffer.hpp"
#include "core/file.hpp"
#include "gnn/ir_reader.hpp"
#include "gnn/plan.hpp"
#include "gnn_cases.hpp"
#include "gpu_timing.hpp"

namespace {

using namespace rheinfall;
using bench::GnnGraph;
using bench::upload;

/// The logits of the CPU.
struct OnCpu {
    std::vector<float> logits;
    Status status = Status::ok;
    double ms = 0;

    OnCpu(const EdgeClassifier& network, const GnnGraph& graph) : logits(graph.source.size()) {
        const std::size_t n_threads = std::max(1U, std::thread::hardware_concurrency());
        Workspace workspace;
        workspace.reserve(network.workspace_size(graph.limits(), n_threads));
        StdThreads threads(n_threads);
        const auto start = bench::Clock::now();
        status = network.run(workspace, graph.view(), EdgeOutput::logits, logits, threads.parallel_for());
        ms = bench::ms_since(start);
    }
};

/// One graph in flight.
struct InFlight {
    bench::Stream on;
    Workspace workspace{device_memory()};
    std::size_t n_nodes;
    DeviceBuffer<float> nodes, features;
    DeviceBuffer<std::int64_t> source, target;
    DeviceBuffer<float> logits;
    DeviceBuffer<Status> status;

    InFlight(const DeviceEdgeClassifier& network, const GnnGraph& graph)
        : n_nodes(graph.n_nodes),
          nodes(upload(graph.nodes, on.stream)),
          features(upload(graph.features, on.stream)),
          source(upload(graph.source, on.stream)),
          target(upload(graph.target, on.stream)),
          logits(graph.source.size()),
          status(1) {
        workspace.reserve(network.workspace_size(graph.limits()));
    }
    /// Puts another graph of the same size into the same arrays.
    void set(const GnnGraph& graph) {
        nodes.copy_from(graph.nodes, on.stream);
        if (!graph.features.empty()) features.copy_from(graph.features, on.stream);
        source.copy_from(graph.source, on.stream);
        target.copy_from(graph.target, on.stream);
        RHEINFALL_CUDA_CHECK(cudaStreamSynchronize(on.stream));
    }
    void run(const DeviceEdgeClassifier& network) {
        const EdgeClassifierInput input{n_nodes, nodes.span(), {source.span(), target.span()}, features.span()};
        network.run(on.stream, workspace, {input}, EdgeOutput::logits, logits.span(), status.span().data());
    }
    /// How many logits have other bits than the CPU's; all of them if the statuses differ.
    [[nodiscard]] std::size_t n_unlike(const OnCpu& cpu) const {
        if (status.to_host(on.stream)[0] != cpu.status) return cpu.logits.size();
        const std::vector<float> found = logits.to_host(on.stream);
        std::size_t n = 0;
        for (std::size_t e = 0; e < found.size(); ++e) {
            n += std::bit_cast<std::uint32_t>(found[e]) == std::bit_cast<std::uint32_t>(cpu.logits[e]) ? 0U : 1U;
        }
        return n;
    }
};

/// Float32 multiply-adds that the current device does at its clock, as FLOP/s.
double fp32_peak() {
    const auto attribute = [](cudaDeviceAttr which) {
        int device = 0, value = 0;
        RHEINFALL_CUDA_CHECK(cudaGetDevice(&device));
        RHEINFALL_CUDA_CHECK(cudaDeviceGetAttribute(&value, which, device));
        return value;
    };
    const int capability =
        10 * attribute(cudaDevAttrComputeCapabilityMajor) + attribute(cudaDevAttrComputeCapabilityMinor);
    const double lanes = capability == 80 ? 64 : 128;  // of a multiprocessor (CUDA C++ Programming Guide)
    return 2.0 * lanes * attribute(cudaDevAttrMultiProcessorCount) * attribute(cudaDevAttrClockRate) * 1e3;
}

struct Case {
    std::string name, network_path, graph_text;
    std::shared_ptr<const detail::Bytes> bytes = detail::map_file(network_path);
    EdgeClassifier network = EdgeClassifier::parse(bytes->view(), network_path);
    GnnGraph graph = bench::make_graph(graph_text, network_path, network);

    [[nodiscard]] gnn::Work work() const {
        const gnn::Plan plan = gnn::make_plan(gnn::read_graph(bytes->view(), network_path), network_path);
        return gnn::count_work(plan, static_cast<double>(graph.n_nodes), static_cast<double>(graph.source.size()));
    }
};

/// What needs no GPU: sizes, work, the CPU's time.
std::string describe(const Case& c, const OnCpu& cpu) {
    const gnn::Work work = c.work();
    char text[512];
    std::snprintf(text, sizeof text,
                  "{\"case\": \"%s\", \"nodes\": %zu, \"edges\": %zu, \"node_features\": %zu, \"edge_features\": %zu, "
                  "\"status\": \"%s\", \"GFLOP\": %.3f, \"GB_moved\": %.3f, \"ms_cpu\": %.1f, \"cpu_threads\": %u",
                  c.name.c_str(), c.graph.n_nodes, c.graph.source.size(), c.network.n_node_features(),
                  c.network.n_edge_features(), to_string(cpu.status), work.flops * 1e-9, work.bytes * 1e-9, cpu.ms,
                  std::thread::hardware_concurrency());
    return text;
}

std::string time_case(const Case& c, const OnCpu& cpu, double copy_rate, bool& failed) {
    const GnnGraph changed = c.graph.changed();
    const OnCpu changed_on_cpu(c.network, changed);
    const DeviceEdgeClassifier network = DeviceEdgeClassifier::parse(c.bytes->view(), c.network_path);
    std::array<InFlight, 4> events{InFlight(network, c.graph), InFlight(network, c.graph), InFlight(network, c.graph),
                                   InFlight(network, c.graph)};
    events[1].set(changed);
    events[3].set(changed);
    std::size_t n_unlike = 0;
    for (int i = 0; i < 2; ++i) {  // all in flight at once
        for (InFlight& e : events) e.run(network);
        for (std::size_t k = 0; k < events.size(); ++k) {
            n_unlike += events[k].n_unlike(k % 2 == 0 ? cpu : changed_on_cpu);
        }
    }
    InFlight& gpu = events[0];
    const bench::Times launched = bench::time_calls([&] { gpu.run(network); }, gpu.on.stream);
    const bench::CapturedGraph captured(gpu.on.stream, [&] { gpu.run(network); });
    gpu.set(changed);
    captured.launch(gpu.on.stream);
    std::size_t n_unlike_replayed = gpu.n_unlike(changed_on_cpu);
    gpu.set(c.graph);
    const bench::Times replayed = bench::time_calls([&] { captured.launch(gpu.on.stream); }, gpu.on.stream);
    n_unlike_replayed += gpu.n_unlike(cpu);
    failed = failed || n_unlike + n_unlike_replayed > 0;
    const std::string rates = bench::rates_json(events, [&network](InFlight& e) { e.run(network); });
    const gnn::Work work = c.work();
    const double memory = work.bytes / copy_rate, arithmetic = work.flops / fp32_peak();
    char text[512];
    std::snprintf(text, sizeof text,
                  ", \"precision\": \"fp32\", \"values_unlike_the_cpu\": %zu, \"replayed_unlike_the_cpu\": %zu, "
                  "\"ms_floor_of_memory\": %.3f, \"ms_floor_of_arithmetic\": %.3f, \"share_of_the_ceiling\": %.3f, "
                  "\"workspace_MB\": %.1f, ",
                  n_unlike, n_unlike_replayed, memory * 1e3, arithmetic * 1e3,
                  std::max(memory, arithmetic) / replayed.median, static_cast<double>(gpu.workspace.capacity()) * 1e-6);
    return text + bench::times_json("ms_launched", launched) + ", " + bench::times_json("ms_cuda_graph", replayed) +
           ", " + rates;
}

/// Times a call whenever a line comes, so that another program may take turns with this one.
int take_turns(const std::string& network_path, const std::string& graph) {
    const Case c{"turns", network_path, graph};
    const DeviceEdgeClassifier network = DeviceEdgeClassifier::parse(c.bytes->view(), network_path);
    InFlight gpu(network, c.graph);
    gpu.run(network);
    const bench::CapturedGraph captured(gpu.on.stream, [&] { gpu.run(network); });
    std::cout << "ready" << std::endl;
    for (std::string line; std::getline(std::cin, line);) {
        const bench::Times times = bench::time_calls([&] { captured.launch(gpu.on.stream); }, gpu.on.stream, 5);
        std::cout << times.median * 1e3 << std::endl;
    }
    return 0;
}

/// A case's figures; where it fails, why, so that the others are timed all the same.
std::string report(const Case& c, const std::filesystem::path& folder, double copy_rate, bool& failed) {
    const OnCpu cpu(c.network, c.graph);
    std::string text = describe(c, cpu);
    if (!bench::write_case(folder / (c.name + ".case"), c.graph, cpu.logits)) {
        throw std::runtime_error((folder / (c.name + ".case")).string() + ": cannot be written");
    }
    if (copy_rate > 0) text += time_case(c, cpu, copy_rate, failed);
    return text + "}";
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> given(argv + 1, argv + argc);
    const bool turns = given.size() == 3 && given[0] == "--turns";
    if (!turns && (given.size() < 2 || given.size() % 3 != 2)) {
        std::fprintf(stderr,
                     "usage: gpu_gnn OUT.json FOLDER [NAME NETWORK GRAPH]...\n       gpu_gnn --turns NETWORK GRAPH\n");
        return 2;
    }
    const bool has_device = cuda_available();
    if (turns && has_device) return take_turns(given[1], given[2]);
    bool failed = false;
    const double copy_rate = has_device ? bench::measure_copy_rate() : 0;
    std::string cases;
    for (std::size_t i = 2; !turns && i + 2 < given.size(); i += 3) {
        std::string text;
        try {
            text = report({given[i], given[i + 1], given[i + 2]}, given[1], copy_rate, failed);
        } catch (const std::exception& error) {
            failed = true;
            std::fprintf(stderr, "gpu_gnn: %s: %s\n", given[i].c_str(), error.what());
            text.assign("{\"case\": \"").append(given[i]).append("\", \"failed\": true}");
        }
        cases.append(cases.empty() ? "\n  " : ",\n  ").append(text);
    }
    if (!has_device && !failed) {
        std::printf("{\"cases\": [%s]}\n", cases.c_str());
        static_cast<void>(std::fflush(stdout));
        std::fprintf(stderr, "gpu_gnn: no CUDA device\n");
        return 3;
    }
    if (failed) std::fprintf(stderr, "gpu_gnn: logits differ from those of the CPU, or a case failed\n");
    char rates[128];
    std::snprintf(rates, sizeof rates,
                  "{\"copy_bytes_per_second\": %.4g, \"fp32_flops_per_second\": %.4g, \"cases\": [", copy_rate,
                  has_device ? fp32_peak() : 0.0);
    return bench::write_report(given[0].c_str(), rates + cases + "]}\n") && !failed ? 0 : 1;
}
