#pragma once

/// @file
/// What an embedding network makes of the hits of tracks, as bench/radius_graph_data.py draws it, with the generator of
/// the standard library's definition, so that programs without Python have the same points everywhere.

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace bench {

/// Normal numbers by Box and Muller: the standard library's distribution differs between implementations.
class Normal {
public:
    explicit Normal(std::uint64_t seed) : random_(seed) {}
    double uniform(double low, double high) {
        return low + (high - low) * static_cast<double>(random_() >> 11) * 0x1p-53;
    }
    double operator()(double deviation) {
        const double r = std::sqrt(-2.0 * std::log(1.0 - uniform(0.0, 1.0)));
        return deviation * r * std::cos(uniform(0.0, 6.283185307179586));
    }
    std::uint64_t below(std::uint64_t n) { return random_() % n; }

private:
    std::mt19937_64 random_;
};

/// Hits of tracks, ten each, through a random network of two layers, in random order. A track is four numbers, uniform
/// in [-1, 1]; a hit adds its place along the track, uniform in [-0.25, 0.25]. Layers 5 -> 64 -> @p dimension, tanh
/// between, weights normal with a deviation of 2 / sqrt(5) and 1 / sqrt(64); then normal noise of 0.005.
inline std::vector<float> embedded_points(std::size_t n, std::size_t dimension, std::uint64_t seed) {
    constexpr std::size_t n_hidden = 64;
    Normal draw(seed);
    std::vector<double> first(5 * n_hidden), second(n_hidden * dimension), hidden(n_hidden), at(5);
    for (double& w : first) w = draw(2.0 / std::sqrt(5.0));
    for (double& w : second) w = draw(1.0 / 8.0);
    std::vector<float> points(n * dimension);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t k = 0; k < 4 && i % 10 == 0; ++k) at[k] = draw.uniform(-1.0, 1.0);
        at[4] = draw.uniform(-0.25, 0.25);
        for (std::size_t h = 0; h < n_hidden; ++h) {
            double sum = 0.0;
            for (std::size_t k = 0; k < 5; ++k) sum += at[k] * first[k * n_hidden + h];
            hidden[h] = std::tanh(sum);
        }
        for (std::size_t d = 0; d < dimension; ++d) {
            double sum = draw(0.005);
            for (std::size_t h = 0; h < n_hidden; ++h) sum += hidden[h] * second[h * dimension + d];
            points[i * dimension + d] = static_cast<float>(sum);
        }
    }
    for (std::size_t i = n; i > 1; --i) {
        const std::size_t j = draw.below(i);
        for (std::size_t d = 0; d < dimension; ++d)
            std::swap(points[(i - 1) * dimension + d], points[j * dimension + d]);
    }
    return points;
}

/// The radius graph to be timed on a GPU: the size of a public measurement, and about its 9.28 M directed edges.
struct EmbeddedCase {
    static constexpr std::size_t n_points = 271663, dimension = 12;
    static constexpr std::uint64_t seed = 20240607;
    static constexpr double radius = 0.2385;
};

}  // namespace bench
