#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <rheinfall/quantized/network.hpp>
#include <string_view>
#include <vector>

#include "quantized/summary.hpp"

/// What a text may do to the reader of networks: be refused with a ModelError, or make a network that runs, the same on
/// the readable executor and on the best kernels. Whatever else happens is a crash. Returns whether it was accepted.
inline bool fuzz_network(std::string_view text) {
    using namespace rheinfall::quantized;
    try {
        const Network exact = Network::from_json(text, "fuzz", {Isa::exact});
        const Network best = Network::from_json(text, "fuzz", {Isa::best});
        std::int64_t work = 0;
        for (const LayerSummary& layer : summarize(exact.graph(), exact.ranges())) {
            std::int64_t size = 1;
            for (const std::int64_t extent : layer.shape) size *= extent;
            work += layer.macs + size;
        }
        if (work > 1'000'000 || exact.n_inputs() > 10'000) return true;  // correct, but too slow for a fuzzer
        constexpr std::size_t n_events = 20;
        std::vector<std::int32_t> x(n_events * exact.n_inputs());
        for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<std::int32_t>(i * 2654435761U) >> (i % 31);
        std::vector<double> y(n_events * exact.n_outputs());
        std::vector<double> z(y.size());
        rheinfall::Workspace workspace;
        workspace.reserve(std::max(exact.workspace_size(n_events), best.workspace_size(n_events)));
        const auto a = exact.run({x.data(), ElementType::int32}, {y.data(), ElementType::float64}, n_events, workspace);
        const auto b = best.run({x.data(), ElementType::int32}, {z.data(), ElementType::float64}, n_events, workspace);
        if (a != b || std::memcmp(y.data(), z.data(), y.size() * sizeof(double)) != 0) std::abort();
        return true;
    } catch (const ModelError&) {
        return false;
    }
}
