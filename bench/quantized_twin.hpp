#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "quantized/ir.hpp"

#if defined(__x86_64__)
// gcc 12 warns about the deliberately undefined operands of its own intrinsics (gcc bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>
#endif

/// What generality costs: the jet tagger 16-64-32-32-5 with every shape and shift known to the compiler, as somebody
/// would write it by hand for this one network. Inputs ap_fixed<8,4>, weights ap_fixed<8,1>, accumulators
/// ap_fixed<24,12> (which hold every sum of these weights), activations ap_ufixed<8,4,RND_CONV,SAT>;
/// bench/quantized_networks.py.
namespace rheinfall::bench {

struct JetTwin {
    static constexpr int sizes[5] = {16, 64, 32, 32, 5};

    static bool fits(const quantized::Graph& graph) {
        if (graph.name != "jet" || graph.layers.size() != 7) return false;
        for (std::size_t i = 0; i < 4; ++i) {
            const auto* dense = std::get_if<quantized::Dense>(&graph.layers[2 * i].operation);
            if (dense == nullptr || dense->weight.shape[0] != sizes[i] || dense->weight.shape[1] != sizes[i + 1])
                return false;
        }
        return true;
    }

    explicit JetTwin(const quantized::Graph& graph) {
        pack<16, 64>(graph, 0, w0, b0, -128);
        pack<64, 32>(graph, 2, w1, b1, 0);
        pack<32, 32>(graph, 4, w2, b2, 0);
        pack<32, 5>(graph, 6, w3, b3, 0);
    }

#if defined(__x86_64__)
#define RHEINFALL_TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))

    RHEINFALL_TARGET void run(const std::int8_t* x, std::int32_t* y) const {
        alignas(64) std::uint8_t a[64], b[64], c[64], d[64];
        const __m128i flipped =
            _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x)), _mm_set1_epi8(-128));
        _mm_store_si128(reinterpret_cast<__m128i*>(a), flipped);
        layer<4, 4>(a, w0, b0, b);
        layer<16, 2>(b, w1, b1, c);
        layer<8, 2>(c, w2, b2, d);
        __m512i acc[1];
        sums<8, 1>(d, w3, b3, acc);
        // From the products' 11 fraction bits to the accumulator's 12.
        _mm512_mask_storeu_epi32(y, 31, _mm512_slli_epi32(acc[0], 1));
    }

private:
    template <int Groups, int NV>
    RHEINFALL_TARGET static inline void sums(const std::uint8_t* x, const std::int8_t* w, const std::int32_t* bias,
                                             __m512i (&acc)[NV]) {
        constexpr int chains = NV >= 4 ? 1 : 4 / NV;
        __m512i part[chains][NV];
#pragma GCC unroll 8
        for (int k = 0; k < chains; ++k)
#pragma GCC unroll 8
            for (int i = 0; i < NV; ++i)
                part[k][i] = k == 0 ? _mm512_load_si512(bias + 16 * i) : _mm512_setzero_si512();
#pragma GCC unroll 16
        for (int g = 0; g < Groups; ++g) {
            std::int32_t four;
            std::memcpy(&four, x + 4 * g, 4);
            const __m512i v = _mm512_set1_epi32(four);
#pragma GCC unroll 8
            for (int i = 0; i < NV; ++i)
                part[g % chains][i] =
                    _mm512_dpbusd_epi32(part[g % chains][i], v, _mm512_load_si512(w + 64 * (g * NV + i)));
        }
#pragma GCC unroll 8
        for (int i = 0; i < NV; ++i) {
            acc[i] = part[0][i];
#pragma GCC unroll 8
            for (int k = 1; k < chains; ++k) acc[i] = _mm512_add_epi32(acc[i], part[k][i]);
        }
    }

    template <int Groups, int NV>
    RHEINFALL_TARGET static inline void layer(const std::uint8_t* x, const std::int8_t* w, const std::int32_t* bias,
                                              std::uint8_t* y) {
        __m512i acc[NV];
        sums<Groups, NV>(x, w, bias, acc);
        // ReLU, round to nearest even by 7 bits, saturate to a byte: the 64 to be added is in the bias.
#pragma GCC unroll 8
        for (int i = 0; i < NV; ++i) {
            const __mmask16 tie = _mm512_testn_epi32_mask(acc[i], _mm512_set1_epi32(127));
            __m512i r = _mm512_srai_epi32(acc[i], 7);
            r = _mm512_mask_and_epi32(r, tie, r, _mm512_set1_epi32(-2));
            r = _mm512_max_epi32(r, _mm512_setzero_si512());
            _mm_store_si128(reinterpret_cast<__m128i*>(y + 16 * i), _mm512_cvtusepi32_epi8(r));
        }
    }
#undef RHEINFALL_TARGET
#else
    void run(const std::int8_t*, std::int32_t*) const {}

private:
#endif
    template <int NIn, int NOut>
    static void pack(const quantized::Graph& graph, std::size_t at, std::int8_t* w, std::int32_t* b, int offset) {
        const auto& dense = std::get<quantized::Dense>(graph.layers[at].operation);
        constexpr int padded = (NOut + 15) / 16 * 16;
        for (int o = 0; o < NOut; ++o) {
            // The bias has 7 fraction bits, the products 11; the last layer is not rounded.
            const auto k = static_cast<std::size_t>(o);
            b[o] = static_cast<std::int32_t>(dense.bias->data[k] * 16) + (at == 6 ? 0 : 64);
            for (int i = 0; i < NIn; ++i) {
                const auto v = static_cast<std::int8_t>(dense.weight.data[static_cast<std::size_t>(i * NOut + o)]);
                w[(i / 4 * padded + o) * 4 + i % 4] = v;
                b[o] += offset * v;
            }
        }
    }

    alignas(64) std::int8_t w0[16 * 64] = {}, w1[64 * 32] = {}, w2[32 * 32] = {}, w3[32 * 16] = {};
    alignas(64) std::int32_t b0[64] = {}, b1[32] = {}, b2[32] = {}, b3[16] = {};
};

}  // namespace rheinfall::bench
