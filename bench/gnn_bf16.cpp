// What bf16 could give the fused engine: its linear operation of 67 inputs and 67 outputs on a tile of 48 rows, in
// float32 and by AVX512-BF16's products of pairs, both without anything around them. Prints JSON. Not part of the
// build:
//
//     g++ -std=c++20 -O3 -march=x86-64-v4 -mavx512bf16 bench/gnn_bf16.cpp -o /tmp/gnn_bf16 && /tmp/gnn_bf16
#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace {

constexpr int rows = 48;
constexpr int width = 67;
constexpr int pairs = (width + 1) / 2;
constexpr int block = 8;
constexpr int n_vectors = rows / 16;
constexpr int padded = (width + block - 1) / block * block;

alignas(64) float in[rows * (width + 1)];
alignas(64) float out[rows * padded];
alignas(64) float weights[padded * width];
alignas(64) std::uint32_t in_pairs[rows * pairs];
alignas(64) std::uint32_t weight_pairs[padded * pairs];

void single(const float* w, float* to) {
    __m512 sum[block][n_vectors] = {};
    const float* x = in;
    for (int k = 0; k < width; ++k, x += rows, w += block) {
        __m512 value[n_vectors];
        for (int l = 0; l < n_vectors; ++l) value[l] = _mm512_load_ps(x + 16 * l);
#pragma GCC unroll 8
        for (int o = 0; o < block; ++o) {
            const __m512 factor = _mm512_set1_ps(w[o]);
            for (int l = 0; l < n_vectors; ++l) sum[o][l] = _mm512_fmadd_ps(value[l], factor, sum[o][l]);
        }
    }
    for (int o = 0; o < block; ++o) {
        for (int l = 0; l < n_vectors; ++l) _mm512_store_ps(to + o * rows + 16 * l, sum[o][l]);
    }
}

void in_bf16(const std::uint32_t* w, float* to) {
    __m512 sum[block][n_vectors] = {};
    const std::uint32_t* x = in_pairs;
    for (int k = 0; k < pairs; ++k, x += rows, w += block) {
        __m512bh value[n_vectors];
        for (int l = 0; l < n_vectors; ++l) value[l] = (__m512bh)_mm512_load_si512(x + 16 * l);
#pragma GCC unroll 8
        for (int o = 0; o < block; ++o) {
            const auto factor = (__m512bh)_mm512_set1_epi32(static_cast<int>(w[o]));
            for (int l = 0; l < n_vectors; ++l) sum[o][l] = _mm512_dpbf16_ps(sum[o][l], value[l], factor);
        }
    }
    for (int o = 0; o < block; ++o) {
        for (int l = 0; l < n_vectors; ++l) _mm512_store_ps(to + o * rows + 16 * l, sum[o][l]);
    }
}

/// Rounds the tile's columns to bf16, two side by side.
void pack() {
    alignas(64) std::uint16_t places[32];
    for (int i = 0; i < 32; ++i) places[i] = static_cast<std::uint16_t>(i / 2 + (i % 2) * 16);
    const __m512i order = _mm512_load_si512(places);
    for (int k = 0; k < pairs; ++k) {
        for (int l = 0; l < n_vectors; ++l) {
            const float* x = in + 2 * k * rows + 16 * l;
            const auto both = (__m512i)_mm512_cvtne2ps_pbh(_mm512_load_ps(x + rows), _mm512_load_ps(x));
            _mm512_store_si512(in_pairs + k * rows + 16 * l, _mm512_permutexvar_epi16(order, both));
        }
    }
}

/// Microseconds of a call: the median of nine times 4,000.
template <class F>
double time_of(F&& f) {
    std::vector<double> times;
    for (int repetition = 0; repetition < 9; ++repetition) {
        const auto start = std::chrono::steady_clock::now();
        for (int i = 0; i < 4000; ++i) {
            f();
            asm volatile("" ::: "memory");
        }
        times.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count() /
                        4000);
    }
    std::sort(times.begin(), times.end());
    return times[4];
}

}  // namespace

int main() {
    std::fill(std::begin(in), std::end(in), 0.5F);
    std::fill(std::begin(weights), std::end(weights), 0.25F);
    std::fill(std::begin(weight_pairs), std::end(weight_pairs), 0x3e803e80U);
    const double single_us = time_of([] {
        for (int o = 0; o < padded; o += block) single(weights + o * width, out + o * rows);
    });
    const double bf16_us = time_of([] {
        for (int o = 0; o < padded; o += block) in_bf16(weight_pairs + o * pairs, out + o * rows);
    });
    const double pack_us = time_of(pack);
    const double gigaflop = 2e-3 * rows * width * padded;
    std::printf(
        "{\"float32_us\": %.3f, \"bf16_us\": %.3f, \"rounding_us\": %.3f, \"float32_GFLOP_per_s\": %.1f, "
        "\"bf16_GFLOP_per_s\": %.1f, \"ratio\": %.2f}\n",
        single_us, bf16_us, pack_us, gigaflop / single_us, gigaflop / bf16_us, single_us / (bf16_us + pack_us));
}
