#pragma once

/// @file
/// Events and a map for the benchmarks of single stages: straight tracks through ten cylinders of modules, so that no
/// input has to be fetched and the right answer is known. bench/run.py times the stages on simulated and real events.

#include <cmath>
#include <cstdint>
#include <random>
#include <rheinfall/rheinfall.hpp>
#include <utility>
#include <vector>

namespace toy {

inline constexpr std::size_t n_layers = 10;
inline constexpr int n_phi = 64;
inline constexpr int n_z = 24;
inline constexpr double module_length = 100.0;  // mm

inline double radius(std::size_t layer) {
    return 40.0 + 60.0 * static_cast<double>(layer);
}

inline std::uint64_t module_of(std::size_t layer, int phi, int z) {
    return std::uint64_t{8} << 56 | (2 * layer + 2) << 36 | static_cast<std::uint64_t>(phi * n_z + z + 1) << 8;
}

struct Event {
    std::vector<float> x, y, z;
    std::vector<std::uint64_t> module_id;

    [[nodiscard]] rheinfall::HitsView view() const { return {x, y, z, module_id}; }
};

/// Hit t * n_layers + i is that of track t on layer i.
inline Event make_event(std::size_t n_tracks) {
    std::mt19937 random(1);
    std::uniform_real_distribution<double> angle(0.0, 2 * 3.14159265358979);
    std::uniform_real_distribution<double> slope(-1.9, 1.9);
    std::normal_distribution<double> smear(0.0, 0.05);
    Event event;
    for (std::size_t t = 0; t < n_tracks; ++t) {
        const double phi = angle(random);
        const double cot_theta = slope(random);
        const int sector = static_cast<int>(phi / (2 * 3.1415927) * n_phi);
        for (std::size_t layer = 0; layer < n_layers; ++layer) {
            const double r = radius(layer);
            const double phi_hit = phi + smear(random) / r;
            const double z = r * cot_theta + smear(random);
            event.x.push_back(static_cast<float>(r * std::cos(phi_hit)));
            event.y.push_back(static_cast<float>(r * std::sin(phi_hit)));
            event.z.push_back(static_cast<float>(z));
            // The module that the exact line crosses: the map holds no other.
            const int zi = static_cast<int>((r * cot_theta + 0.5 * n_z * module_length) / module_length);
            event.module_id.push_back(module_of(layer, sector, zi));
        }
    }
    return event;
}

/// Modules of `layer + 1` that straight lines from the origin reach through z module @p zi of `layer`, and neighbours.
inline std::pair<int, int> reach(std::size_t layer, int zi) {
    const double scale = radius(layer + 1) / radius(layer);
    const double low = (zi - 0.5 * n_z) * module_length;
    const auto index = [](double z) { return static_cast<int>(std::floor(z / module_length + 0.5 * n_z)); };
    const double a = std::min(low * scale, low);
    const double b = std::max((low + module_length) * scale, low + module_length);
    return {std::max(index(a), 0), std::min(index(b), n_z - 1)};
}

inline rheinfall::ModuleMap make_map() {
    const rheinfall::DoubletLimits pair{{-10.0f, 10.0f}, {-0.02f, 0.02f}, {-3e-4f, 3e-4f}, {-0.1f, 0.1f}};
    std::vector<rheinfall::ModuleMap::Triplet> triplets;
    for (std::size_t layer = 0; layer + 2 < n_layers; ++layer) {
        for (int phi = 0; phi < n_phi; ++phi) {
            for (int a = 0; a < n_z; ++a) {
                const auto [b_first, b_last] = reach(layer, a);
                for (int b = b_first; b <= b_last; ++b) {
                    const auto [c_first, c_last] = reach(layer + 1, b);
                    for (int c = c_first; c <= c_last; ++c) {
                        triplets.push_back(
                            {{module_of(layer, phi, a), module_of(layer + 1, phi, b), module_of(layer + 2, phi, c)},
                             1,
                             {pair, pair, {-0.05f, 0.05f}, {-0.05f, 0.05f}}});
                    }
                }
            }
        }
    }
    return rheinfall::ModuleMap::from_triplets(std::move(triplets), rheinfall::Bend::angle);
}

}  // namespace toy
