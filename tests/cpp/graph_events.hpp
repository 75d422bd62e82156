#pragma once

/// @file
/// Maps and events for the tests of graph construction.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <rheinfall/tracking/graph_construction.hpp>
#include <utility>
#include <vector>

namespace graph_events {

using rheinfall::Bend;
using rheinfall::DoubletLimits;
using rheinfall::Interval;
using rheinfall::ModuleMap;

inline constexpr Interval any{-1e30F, 1e30F};
inline constexpr DoubletLimits any_pair{any, any, any, any};

struct Event {
    std::vector<float> x, y, z;
    std::vector<std::uint64_t> module_id;

    void add(std::uint64_t module, float px, float py, float pz) {
        x.push_back(px);
        y.push_back(py);
        z.push_back(pz);
        module_id.push_back(module);
    }
    [[nodiscard]] rheinfall::HitsView view() const { return {x, y, z, module_id}; }
    [[nodiscard]] std::size_t size() const { return x.size(); }
};

inline ModuleMap chain_map() {
    return ModuleMap::from_triplets({{{1, 2, 3}, 1, {any_pair, any_pair, any, any}},
                                     {{2, 3, 4}, 1, {any_pair, any_pair, any, {-0.1F, 0.1F}}},
                                     {{3, 4, 5}, 1, {any_pair, any_pair, any, any}}},
                                    Bend::angle);
}

inline Event random_event(std::size_t n_hits, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> spread(0.0F, 3.0F);
    Event event;
    for (std::size_t i = 0; i < n_hits; ++i) {
        const auto module = 1 + random() % 6;  // module 6 is unknown to the map
        event.add(module, 30.0F * static_cast<float>(module) + spread(random), spread(random), spread(random));
    }
    return event;
}

/// A map of @p n_modules modules of which each sees the @p reach next ones, with limits drawn at random.
inline ModuleMap random_map(std::uint64_t n_modules, std::uint64_t reach, unsigned seed) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> width(0.0F, 1.0F);
    const auto interval = [&](float scale) {
        return Interval{-scale * width(random) * width(random), scale * width(random)};
    };
    const float steepness = seed % 2 == 0 ? 1.0F : 1e4F;
    const auto pair = [&] {
        return DoubletLimits{interval(800 * steepness), interval(2), interval(0.2F * steepness), interval(3)};
    };
    std::vector<ModuleMap::Triplet> triplets;
    for (std::uint64_t a = 1; a + 2 <= n_modules; ++a) {
        for (std::uint64_t b = a + 1; b <= std::min(a + reach, n_modules - 1); ++b) {
            for (std::uint64_t c = b + 1; c <= std::min(b + reach, n_modules); ++c) {
                if (random() % 3 == 0) continue;
                triplets.push_back({{a, b, c}, 1, {pair(), pair(), interval(40 * steepness), interval(2)}});
            }
        }
    }
    return ModuleMap::from_triplets(std::move(triplets), Bend::angle);
}

/// Hits all around; on some modules of almost one radius, so that dz/dr is beyond any 16-bit number of steps.
inline Event event_around(std::size_t n_hits, std::uint64_t n_modules, unsigned seed) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> turn(-3.14159265F, 3.14159265F);
    std::normal_distribution<float> spread(0.0F, 1.0F);
    Event event;
    for (std::size_t i = 0; i < n_hits; ++i) {
        const std::uint64_t module = 1 + random() % n_modules;
        const float r = 30.0F + (seed % 2 == 0 ? 10.0F : 1e-3F) * static_cast<float>(module) + 1e-4F * spread(random);
        const float phi = turn(random);
        event.add(module, r * std::cos(phi), r * std::sin(phi), 50.0F * spread(random));
    }
    return event;
}

}  // namespace graph_events
