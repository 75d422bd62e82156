// A trigger that runs a quantized network on every event: loads it once, reserves once, then neither allocates nor
// throws; several threads share the network, each with its own workspace.
//   trigger_host NETWORK.json CUT [N_EVENTS]      (a document that Network.save of Python wrote)
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <random>
#include <rheinfall/rheinfall.hpp>
#include <thread>
#include <vector>

#include "counted_allocations.hpp"

namespace quantized = rheinfall::quantized;

struct Stream {
    std::uint32_t seed = 0;
    std::size_t n_accepted = 0, n_bad = 0, n_allocations = 0;
    double ns_per_event = 0;
};

static void run_events(const quantized::Network& network, std::size_t n_events, double cut, Stream& stream) {
    rheinfall::Workspace workspace;  // one per thread
    workspace.reserve(network.workspace_size(1));
    std::vector<float> x(network.n_inputs()), y(network.n_outputs());
    std::minstd_rand random(stream.seed);
    const std::size_t before = n_allocations;
    const auto start = std::chrono::steady_clock::now();
    for (std::size_t event = 0; event < n_events; ++event) {
        for (float& value : x) value = static_cast<float>(random() % 4096) / 256.0F - 8.0F;  // the detector's data
        const auto status = network.run({x.data(), quantized::ElementType::float32},
                                        {y.data(), quantized::ElementType::float32}, 1, workspace);
        if (status != rheinfall::Status::ok) ++stream.n_bad;
        if (static_cast<double>(y[0]) > cut) ++stream.n_accepted;
    }
    const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - start;
    stream.ns_per_event = time.count() / static_cast<double>(n_events);
    stream.n_allocations = n_allocations - before;
}

int main(int argc, char** argv) try {
    if (argc < 3) return std::fprintf(stderr, "usage: trigger_host NETWORK.json CUT [N_EVENTS]\n"), 2;
    const auto network = quantized::Network::load(argv[1]);
    const double cut = std::atof(argv[2]);
    const std::size_t n_events = argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 100'000;
    std::array<Stream, 2> streams{{{.seed = 1}, {.seed = 2}}};
    {
        const std::jthread first([&] { run_events(network, n_events, cut, streams[0]); });
        const std::jthread second([&] { run_events(network, n_events, cut, streams[1]); });
    }
    std::size_t total = 0;
    for (const Stream& s : streams) {
        std::printf("%zu of %zu events accepted, %zu bad, %.0f ns an event with its random numbers\n", s.n_accepted,
                    n_events, s.n_bad, s.ns_per_event);
        total += s.n_allocations;
    }
    std::printf("allocations in the event loop: %zu\n", total);
    return total == 0 ? 0 : 1;
} catch (const std::exception& error) {
    std::fprintf(stderr, "trigger_host: %s\n", error.what());
    return 2;
}
