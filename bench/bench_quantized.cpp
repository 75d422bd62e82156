// Latency and throughput of quantized networks in C++: of the documents that bench/quantized_networks.py writes.
//
//     python bench/quantized_networks.py FOLDER && RHEINFALL_NETWORKS=FOLDER bench_quantized
//
// Every network is compared with the exact executor on 1,000 events before it is timed. Events are integers, uniform in
// the whole input type, in the narrowest integer type that holds it. Counters, in ns an event: p50 and p99 of
//   chained       the next event is chosen by the last result, 32 events between two looks at the clock
//   back_to_back  the same, without the dependency
//   l1_cold       each event behind a walk over 96 KB: plan, workspace and event come from L2
//   dram_cold     each event through another copy of the network, 128 MB of them in turn: only code is warm
// and batches of 10,000 and 100,000 events. `vnni` is the ceiling: multiply-adds of one core in registers.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <rheinfall/quantized/network.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "quantized_twin.hpp"

namespace {

using namespace rheinfall;
using namespace rheinfall::quantized;

double now() {
    return 1e9 * std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Times one call of @p f, with everything before and after it done; what an empty call takes is subtracted.
template <class F>
double time_once(F&& f) {
#if defined(__x86_64__)
    static const double ns_per_tick = [] {
        const double t = now();
        const auto ticks = __rdtsc();
        while (now() - t < 2e7) {
        }
        return (now() - t) / static_cast<double>(__rdtsc() - ticks);
    }();
    const auto measure = [](auto&& g) {
        _mm_mfence();
        _mm_lfence();
        const auto begin = __rdtsc();
        _mm_lfence();
        g();
        _mm_lfence();
        return static_cast<double>(__rdtsc() - begin);
    };
    static const double empty = [&] {
        double least = 1e9;
        for (int i = 0; i < 1000; ++i) least = std::min(least, measure([] {}));
        return least;
    }();
    return (measure(f) - empty) * ns_per_tick;
#else
    const double t = now();
    f();
    return now() - t;
#endif
}

/// Arrays of one network: events as the narrowest integers, and a workspace.
struct Case {
    std::string text;
    Network net;
    ElementType type;
    std::size_t width;  // bytes of an input
    std::vector<std::byte> in;
    std::vector<std::int32_t> out;
    Workspace workspace;

    Case(std::string document, std::size_t n_events)
        : text(std::move(document)), net(Network::from_json(text)), out(n_events * net.n_outputs()) {
        const FixedType t = net.inputs()[0].type;
        width = t.width <= 8 ? 1 : t.width <= 16 ? 2 : 4;
        type = width == 1 ? ElementType::int8 : width == 2 ? ElementType::int16 : ElementType::int32;
        in.resize(n_events * net.n_inputs() * width);
        std::mt19937 random(7);
        const std::int32_t limit = 1 << (t.width - 1);
        std::uniform_int_distribution<std::int32_t> any(-limit, limit - 1);
        for (std::size_t i = 0; i < in.size(); i += width) {
            const std::int32_t q = any(random);
            std::memcpy(&in[i], &q, width);  // little-endian
        }
        workspace.reserve(net.workspace_size(n_events));
    }

    Status run(const Network& network, std::size_t event, std::size_t n) {
        return network.run({in.data() + event * net.n_inputs() * width, type},
                           {out.data() + event * net.n_outputs(), ElementType::int32}, n, workspace);
    }

    /// True if single events and batches give what the exact executor gives.
    bool is_right(std::size_t n) {
        const Network exact = Network::from_json(text, {}, {Isa::exact});
        Workspace room;
        room.reserve(exact.workspace_size(n));
        std::vector<std::int32_t> expected(n * net.n_outputs());
        if (exact.run({in.data(), type}, {expected.data(), ElementType::int32}, n, room) != Status::ok) return false;
        run(net, 0, n);
        bool right = std::equal(expected.begin(), expected.end(), out.begin());
        std::fill(out.begin(), out.end(), -1);
        for (std::size_t e = 0; e < n; ++e) run(net, e, 1);
        return right && std::equal(expected.begin(), expected.end(), out.begin());
    }
};

void report(benchmark::State& state, std::vector<double>& times) {
    std::sort(times.begin(), times.end());
    state.counters["p50"] = times[times.size() / 2];
    state.counters["p99"] = times[times.size() * 99 / 100];
    state.counters["min"] = times.front();
}

constexpr std::size_t block = 32;

void chained(benchmark::State& state, Case& c) {
    std::vector<double> times;
    for (auto _ : state) {
        std::size_t event = 0;
        const double t = now();
        for (std::size_t i = 0; i < block; ++i) {
            c.run(c.net, event, 1);
            std::int32_t y = c.out[event * c.net.n_outputs()] & 0;
            benchmark::DoNotOptimize(y);
            event = (i + 1) % block + static_cast<std::size_t>(y);
        }
        times.push_back((now() - t) / block);
    }
    report(state, times);
}

void back_to_back(benchmark::State& state, Case& c) {
    std::vector<double> times;
    for (auto _ : state) {
        const double t = now();
        for (std::size_t i = 0; i < block; ++i) c.run(c.net, i, 1);
        times.push_back((now() - t) / block);
    }
    report(state, times);
}

void l1_cold(benchmark::State& state, Case& c) {
    std::vector<double> times;
    std::vector<std::uint64_t> other(96 * 1024 / 8, 1);
    std::size_t event = 0;
    for (auto _ : state) {
        std::uint64_t sum = 0;
        for (std::size_t i = 0; i < other.size(); i += 8) sum += other[i];
        benchmark::DoNotOptimize(sum);
        times.push_back(time_once([&] { c.run(c.net, event, 1); }));
        event = (event + 1) % 1000;
    }
    report(state, times);
}

void dram_cold(benchmark::State& state, Case& c) {
    std::vector<double> times;
    std::vector<Network> copies;
    // A plan takes 64 KB blocks of parameters and more.
    for (int i = 0; i < 2048; ++i) copies.push_back(Network::from_json(c.text));
    std::size_t k = 0;
    for (auto _ : state) {
        const Network& copy = copies[k * 769 % copies.size()];
        times.push_back(time_once([&] { c.run(copy, k % 1000, 1); }));
        ++k;
    }
    report(state, times);
}

void batch(benchmark::State& state, Case& c, std::size_t n) {
    std::vector<double> times;
    for (auto _ : state) {
        const double t = now();
        c.run(c.net, 0, n);
        times.push_back((now() - t) / static_cast<double>(n));
    }
    report(state, times);
    state.counters["events_per_us"] = 1e3 / times[times.size() / 2];
}

void twin(benchmark::State& state, Case& c, bool chain) {
    auto fixed = std::make_unique<bench::JetTwin>(c.net.graph());
    std::vector<std::int32_t> y(c.net.n_outputs() + 16);
    const auto* x = reinterpret_cast<const std::int8_t*>(c.in.data());
    for (std::size_t e = 0; e < 1000; ++e) {
        c.run(c.net, e, 1);
        fixed->run(x + e * 16, y.data());
        if (!std::equal(y.begin(), y.begin() + 5, c.out.begin() + static_cast<std::ptrdiff_t>(e * 5)))
            return state.SkipWithError("the shape-fixed kernel gives other bits");
    }
    std::vector<double> times;
    for (auto _ : state) {
        std::size_t event = 0;
        const double t = now();
        for (std::size_t i = 0; i < block; ++i) {
            fixed->run(x + event * 16, y.data());
            std::int32_t zero = chain ? y[0] & 0 : 0;
            benchmark::DoNotOptimize(zero);
            event = (i + 1) % block + static_cast<std::size_t>(zero);
        }
        times.push_back((now() - t) / block);
    }
    report(state, times);
}

/// Multiply-adds in registers: what the products of a network cannot be faster than.
#if defined(__x86_64__)
__attribute__((target("avx512f,avx512vnni"))) void vnni(benchmark::State& state) {
    std::vector<double> times;
    for (auto _ : state) {
        const double t = now();
        for (int i = 0; i < 1000; ++i) {
            // What the registers hold does not matter.
            asm volatile(
                "vpdpbusd %%zmm10, %%zmm11, %%zmm0\n vpdpbusd %%zmm10, %%zmm11, %%zmm1\n"
                "vpdpbusd %%zmm10, %%zmm11, %%zmm2\n vpdpbusd %%zmm10, %%zmm11, %%zmm3\n"
                "vpdpbusd %%zmm10, %%zmm11, %%zmm4\n vpdpbusd %%zmm10, %%zmm11, %%zmm5\n"
                "vpdpbusd %%zmm10, %%zmm11, %%zmm6\n vpdpbusd %%zmm10, %%zmm11, %%zmm7\n"
                "vpdpbusd %%zmm10, %%zmm11, %%zmm8\n vpdpbusd %%zmm10, %%zmm11, %%zmm9\n" ::
                    : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9");
        }
        times.push_back((now() - t) / 1e4);
    }
    report(state, times);
    const double ns = times[times.size() / 2];
    state.counters["u8_macs_per_ns"] = 64 / ns;
    state.counters["s16_macs_per_ns"] = 32 / ns;
}
#endif

}  // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    const char* folder = std::getenv("RHEINFALL_NETWORKS");
    if (folder == nullptr) {
        std::fprintf(stderr, "set RHEINFALL_NETWORKS to the folder that bench/quantized_networks.py wrote\n");
        return 1;
    }
#if defined(__x86_64__)
    const bool has_vnni = __builtin_cpu_supports("avx512vnni") != 0;
    if (has_vnni) benchmark::RegisterBenchmark("vnni", vnni)->Iterations(2000);
#else
    const bool has_vnni = false;
#endif
    std::vector<std::unique_ptr<Case>> cases;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        if (entry.path().extension() != ".json") continue;
        std::ostringstream text;
        text << std::ifstream(entry.path()).rdbuf();
        cases.push_back(std::make_unique<Case>(text.str(), 100'000));
        Case& c = *cases.back();
        const std::string name = entry.path().stem().string();
        const double begin = now();
        const Network again = Network::from_json(c.text);
        std::printf("%s: loaded in %.2f ms, %s\n", name.c_str(), (now() - begin) / 1e6,
                    c.net.plan() != nullptr ? "by a plan" : c.net.plan_refusal().c_str());
        if (!c.is_right(1000)) {
            std::fprintf(stderr, "%s: differs from the exact executor\n", name.c_str());
            return 1;
        }
        const auto add = [&](const char* what, auto f, std::int64_t iterations) {
            benchmark::RegisterBenchmark((name + "/" + what).c_str(), f)->Iterations(iterations);
        };
        add("chained", [&c](benchmark::State& s) { chained(s, c); }, 20'000);
        add("back_to_back", [&c](benchmark::State& s) { back_to_back(s, c); }, 20'000);
        add("l1_cold", [&c](benchmark::State& s) { l1_cold(s, c); }, 20'000);
        add("dram_cold", [&c](benchmark::State& s) { dram_cold(s, c); }, 4'000);
        add("batch_10k", [&c](benchmark::State& s) { batch(s, c, 10'000); }, 300);
        add("batch_100k", [&c](benchmark::State& s) { batch(s, c, 100'000); }, 50);
        if (has_vnni && bench::JetTwin::fits(c.net.graph())) {
            add("shape_fixed_chained", [&c](benchmark::State& s) { twin(s, c, true); }, 20'000);
            add("shape_fixed_back_to_back", [&c](benchmark::State& s) { twin(s, c, false); }, 20'000);
        }
    }
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
