// Graph networks on a GPU, from device memory: first the bits against the CPU, launched, in flight, and from a CUDA
// graph that replays on other features and edges; then times by the device's events beside what its memory and its
// arithmetic allow, as JSON. In bf16 the same, but for the bits, which are compared with those of the first call; its
// logits fail where they lie further from the CPU's than twice what bf16 itself changes there.
//   gpu_gnn OUT.json FOLDER [NAME NETWORK GRAPH]...    GRAPH: a file of hits and edges, or NODESxEDGES (gnn_cases.hpp);
//                                                      FOLDER gets NAME.case, which gpu_gnn_torch.py reads
//   gpu_gnn --turns NETWORK GRAPH fp32|bf16            prints "ready", then the ms of a call for each line that it
//   reads
#include <cuda_runtime_api.h>

#include <array>
#include <bit>
#include <cmath>
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

/// The logits of a graph; the CPU's, with its time, if a network is given.
struct Logits {
    std::vector<float> logits;
    Status status = Status::ok;
    double ms = 0;

    Logits(std::vector<float> values, Status given) : logits(std::move(values)), status(given) {}
    Logits(const EdgeClassifier& network, const GnnGraph& graph) : logits(graph.source.size()) {
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
    [[nodiscard]] std::size_t n_unlike(const Logits& cpu) const {
        if (status.to_host(on.stream)[0] != cpu.status) return cpu.logits.size();
        const std::vector<float> found = logits.to_host(on.stream);
        std::size_t n = 0;
        for (std::size_t e = 0; e < found.size(); ++e) {
            n += std::bit_cast<std::uint32_t>(found[e]) == std::bit_cast<std::uint32_t>(cpu.logits[e]) ? 0U : 1U;
        }
        return n;
    }
};

/// FLOP/s of the current device at its clock: multiply-adds in float32, and those of tensor cores in bf16.
struct Peak {
    double fp32 = 0, bf16 = 0;

    static Peak of_device() {
        const auto attribute = [](cudaDeviceAttr which) {
            int device = 0, value = 0;
            RHEINFALL_CUDA_CHECK(cudaGetDevice(&device));
            RHEINFALL_CUDA_CHECK(cudaDeviceGetAttribute(&value, which, device));
            return value;
        };
        const int capability =
            10 * attribute(cudaDevAttrComputeCapabilityMajor) + attribute(cudaDevAttrComputeCapabilityMinor);
        const double cycles = 1e3 * attribute(cudaDevAttrClockRate) * attribute(cudaDevAttrMultiProcessorCount);
        // Of a multiprocessor and cycle (CUDA C++ Programming Guide; data sheets of A100, L40S and H100, dense).
        const double lanes = capability == 80 ? 64 : 128;
        const double tensor = capability == 80 ? 2048 : capability == 90 ? 4096 : 1024;
        return {2.0 * lanes * cycles, tensor * cycles};
    }
    /// Seconds that arithmetic takes at least.
    [[nodiscard]] double floor(const gnn::Work& work) const {
        return (work.flops - work.bf16_flops) / fp32 + work.bf16_flops / bf16;
    }
};

struct Case {
    std::string name, network_path, graph_text;
    std::shared_ptr<const detail::Bytes> bytes = detail::map_file(network_path);
    EdgeClassifier network = EdgeClassifier::parse(bytes->view(), network_path);
    GnnGraph graph = bench::make_graph(graph_text, network_path, network);

    [[nodiscard]] gnn::Work work(GnnPrecision precision = GnnPrecision::fp32) const {
        gnn::PlanOptions options;
        options.bf16 = precision == GnnPrecision::bf16;
        const gnn::Plan plan = gnn::make_plan(gnn::read_graph(bytes->view(), network_path), network_path, options);
        return gnn::count_work(plan, static_cast<double>(graph.n_nodes), static_cast<double>(graph.source.size()));
    }
};

/// What needs no GPU: sizes, work, the CPU's time.
std::string describe(const Case& c, const Logits& cpu) {
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

/// Of the logits of one graph.
struct Difference {
    double largest = 0, root_mean_square = 0;

    Difference(const std::vector<float>& a, const std::vector<float>& b) {
        for (std::size_t e = 0; e < a.size(); ++e) {
            const double off = std::abs(static_cast<double>(a[e]) - static_cast<double>(b[e]));
            largest = std::max(largest, off);
            root_mean_square += off * off;
        }
        root_mean_square = std::sqrt(root_mean_square / static_cast<double>(std::max<std::size_t>(a.size(), 1)));
    }
};

const char* name_of(GnnPrecision precision) {
    return precision == GnnPrecision::bf16 ? "bf16" : "fp32";
}

/// A case and the same with other features and edges, in one precision; the CPU's logits in that.
struct Inputs {
    const Case& c;
    GnnPrecision precision;
    GnnGraph changed = c.graph.changed();
    EdgeClassifier network = EdgeClassifier::parse(c.bytes->view(), c.network_path, GnnIsa::best, precision);
    Logits cpu{network, c.graph};
    Logits changed_on_cpu{network, changed};
};

/// In one precision; @p fp32 are the CPU's logits in float32.
std::string time_case(const Inputs& in, const Logits& fp32, double copy_rate, bool& failed) {
    const GnnGraph& graph = in.c.graph;
    const DeviceEdgeClassifier network =
        DeviceEdgeClassifier::parse(in.c.bytes->view(), in.c.network_path, in.precision);
    std::array<InFlight, 4> events{InFlight(network, graph), InFlight(network, graph), InFlight(network, graph),
                                   InFlight(network, graph)};
    InFlight& gpu = events[0];
    const auto run = [&network](InFlight& e) { e.run(network); };
    // In bf16 the order in which tensor cores add is their own: what is expected is what the first call gives.
    const auto expected = [&](const GnnGraph& of, const Logits& on_cpu) {
        if (in.precision == GnnPrecision::fp32) return on_cpu;
        gpu.set(of);
        run(gpu);
        return Logits(gpu.logits.to_host(gpu.on.stream), gpu.status.to_host(gpu.on.stream)[0]);
    };
    const Logits first = expected(graph, in.cpu), second = expected(in.changed, in.changed_on_cpu);
    for (std::size_t k = 0; k < events.size(); ++k) events[k].set(k % 2 == 0 ? graph : in.changed);
    std::size_t n_unlike = 0;
    for (int i = 0; i < 2; ++i) {  // all in flight at once
        for (InFlight& e : events) run(e);
        for (std::size_t k = 0; k < events.size(); ++k) n_unlike += events[k].n_unlike(k % 2 == 0 ? first : second);
    }
    const Difference to_cpu(gpu.logits.to_host(gpu.on.stream), in.cpu.logits), of_bf16(in.cpu.logits, fp32.logits);
    const bench::Times launched = bench::time_calls([&] { run(gpu); }, gpu.on.stream);
    const bench::CapturedGraph captured(gpu.on.stream, [&] { run(gpu); });
    gpu.set(in.changed);
    captured.launch(gpu.on.stream);
    std::size_t n_unlike_replayed = gpu.n_unlike(second);
    gpu.set(graph);
    const bench::Times replayed = bench::time_calls([&] { captured.launch(gpu.on.stream); }, gpu.on.stream);
    n_unlike_replayed += gpu.n_unlike(first);
    const bool is_near = to_cpu.root_mean_square <= 2 * of_bf16.root_mean_square;  // of float32: has no difference
    failed = failed || !is_near || n_unlike + n_unlike_replayed > 0 || first.status != in.cpu.status ||
             second.status != in.changed_on_cpu.status;
    const std::string rates = bench::rates_json(events, run);
    const gnn::Work work = in.c.work(in.precision);
    const double memory = work.bytes / copy_rate, arithmetic = Peak::of_device().floor(work);
    char text[768];
    std::snprintf(text, sizeof text,
                  "{\"precision\": \"%s\", \"max_difference_to_the_cpu\": %.3g, \"rms_difference_to_the_cpu\": %.3g, "
                  "\"rms_of_the_precision_on_the_cpu\": %.3g, \"values_unlike_the_expected\": %zu, "
                  "\"replayed_unlike_the_expected\": %zu, \"ms_floor_of_memory\": %.3f, "
                  "\"ms_floor_of_arithmetic\": %.3f, \"share_of_the_ceiling\": %.3f, \"workspace_MB\": %.1f, "
                  "\"ms_cpu\": %.1f, ",
                  name_of(in.precision), to_cpu.largest, to_cpu.root_mean_square, of_bf16.root_mean_square, n_unlike,
                  n_unlike_replayed, memory * 1e3, arithmetic * 1e3, std::max(memory, arithmetic) / replayed.median,
                  static_cast<double>(gpu.workspace.capacity()) * 1e-6, in.cpu.ms);
    return text + bench::times_json("ms_launched", launched) + ", " + bench::times_json("ms_cuda_graph", replayed) +
           ", " + rates + "}";
}

/// Times a call whenever a line comes, so that another program may take turns with this one.
int take_turns(const std::string& network_path, const std::string& graph, GnnPrecision precision) {
    const Case c{"turns", network_path, graph};
    const DeviceEdgeClassifier network = DeviceEdgeClassifier::parse(c.bytes->view(), network_path, precision);
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
    const Logits cpu(c.network, c.graph);
    std::string text = describe(c, cpu);
    if (!bench::write_case(folder / (c.name + ".case"), c.graph, cpu.logits)) {
        throw std::runtime_error((folder / (c.name + ".case")).string() + ": cannot be written");
    }
    if (copy_rate > 0) {
        text += ", \"precisions\": [" + time_case(Inputs{c, GnnPrecision::fp32}, cpu, copy_rate, failed) + ",\n   " +
                time_case(Inputs{c, GnnPrecision::bf16}, cpu, copy_rate, failed) + "]";
    }
    return text + "}";
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> given(argv + 1, argv + argc);
    const bool turns = given.size() == 4 && given[0] == "--turns" &&
                       (given[3] == name_of(GnnPrecision::fp32) || given[3] == name_of(GnnPrecision::bf16));
    if (!turns && (given.size() < 2 || given.size() % 3 != 2 || given[0] == "--turns")) {
        std::fprintf(
            stderr,
            "usage: gpu_gnn OUT.json FOLDER [NAME NETWORK GRAPH]...\n       gpu_gnn --turns NETWORK GRAPH fp32|bf16\n");
        return 2;
    }
    const bool has_device = cuda_available();
    if (turns && has_device) {
        return take_turns(given[1], given[2], given[3] == "bf16" ? GnnPrecision::bf16 : GnnPrecision::fp32);
    }
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
    const Peak peak = has_device ? Peak::of_device() : Peak();
    char rates[192];
    std::snprintf(rates, sizeof rates,
                  "{\"copy_bytes_per_second\": %.4g, \"fp32_flops_per_second\": %.4g, "
                  "\"bf16_flops_per_second\": %.4g, \"cases\": [",
                  copy_rate, peak.fp32, peak.bf16);
    return bench::write_report(given[0].c_str(), rates + cases + "]}\n") && !failed ? 0 : 1;
}
