// Edge features with sixteen edges at a time. Every function here has internal linkage, so that no AVX-512 code ends up
// in a function that other files share.
#if defined(__x86_64__)
#include "tracking/target_avx512.hpp"

// The instructions are chosen: what follows is compiled with them.
#include "tracking/graph_construction_generic.hpp"
#include "tracking/quadruplet_lanes.hpp"

namespace rheinfall::detail {
namespace {

using Floats [[gnu::vector_size(64)]] = float;
using Ints [[gnu::vector_size(64)]] = std::uint32_t;
using Masks [[gnu::vector_size(64)]] = std::int32_t;

using FewFloats [[gnu::vector_size(32)]] = float;
using FewInts [[gnu::vector_size(32)]] = std::uint32_t;
using FewMasks [[gnu::vector_size(32)]] = std::int32_t;

/// What lists are written by: few edges leave a hit, and stores of 64 bytes at any place cross a cache line each.
struct Few : Generic<FewFloats, FewInts, FewMasks> {
    static void pack(std::uint32_t* to, const std::uint32_t* from, std::uint32_t chosen) {
        const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                            _mm256_maskz_compress_epi32(static_cast<__mmask8>(chosen), v));
    }
};

struct Avx512 : Generic<Floats, Ints, Masks> {
    using Few = detail::Few;
    static std::uint32_t bits(Mask mask) { return _mm512_movepi32_mask(reinterpret_cast<__m512i>(mask)); }
    /// The chosen ones of the values at @p from, moved together.
    static void pack(std::uint32_t* to, const std::uint32_t* from, std::uint32_t chosen) {
        const __m512i v = _mm512_loadu_si512(from);
        _mm512_storeu_si512(to, _mm512_maskz_compress_epi32(static_cast<__mmask16>(chosen), v));
    }
    static Mask first(std::size_t count) {
        const auto lanes_below = static_cast<__mmask16>(count >= n ? 0xffffu : (1u << count) - 1u);
        return reinterpret_cast<Mask>(_mm512_movm_epi32(lanes_below));
    }
    static Float root(Float v) { return _mm512_sqrt_ps(v); }

    /// 4 x 4 floats, in each quarter of the vectors on its own.
    static void transpose(Float& a, Float& b, Float& c, Float& d) {
        const Float ab_low = _mm512_unpacklo_ps(a, b);
        const Float ab_high = _mm512_unpackhi_ps(a, b);
        const Float cd_low = _mm512_unpacklo_ps(c, d);
        const Float cd_high = _mm512_unpackhi_ps(c, d);
        a = _mm512_shuffle_ps(ab_low, cd_low, 0x44);
        b = _mm512_shuffle_ps(ab_low, cd_low, 0xee);
        c = _mm512_shuffle_ps(ab_high, cd_high, 0x44);
        d = _mm512_shuffle_ps(ab_high, cd_high, 0xee);
    }
    /// Four floats at from + stride * index, one vector for each of the four.
    static void gather_four(const float* from, std::size_t stride, const std::uint32_t* index, Float* to) {
        for (std::size_t k = 0; k < 4; ++k) {
            Float v = _mm512_castps128_ps512(_mm_loadu_ps(from + stride * index[k]));
            v = _mm512_insertf32x4(v, _mm_loadu_ps(from + stride * index[k + 4]), 1);
            v = _mm512_insertf32x4(v, _mm_loadu_ps(from + stride * index[k + 8]), 2);
            to[k] = _mm512_insertf32x4(v, _mm_loadu_ps(from + stride * index[k + 12]), 3);
        }
        transpose(to[0], to[1], to[2], to[3]);
    }
    /// The same of eight floats, and a stride of eight: a load for each index.
    static void gather_eight(const float* from, const std::uint32_t* index, Float* to) {
        Float rows[8];
        for (std::size_t k = 0; k < 8; ++k) {
            const std::uint32_t* at = index + k + (k < 4 ? 0 : 4);  // 0 to 3 and 4 to 7, 8 to 11 and 12 to 15
            const auto low = _mm256_castps_pd(_mm256_loadu_ps(from + std::size_t{8} * at[0]));
            const auto high = _mm256_castps_pd(_mm256_loadu_ps(from + std::size_t{8} * at[4]));
            rows[k] = _mm512_castpd_ps(_mm512_insertf64x4(_mm512_castpd256_pd512(low), high, 1));
        }
        transpose(rows[0], rows[1], rows[2], rows[3]);
        transpose(rows[4], rows[5], rows[6], rows[7]);
        for (std::size_t k = 0; k < 4; ++k) {
            to[k] = _mm512_shuffle_f32x4(rows[k], rows[k + 4], 0x88);
            to[k + 4] = _mm512_shuffle_f32x4(rows[k], rows[k + 4], 0xdd);
        }
    }
    static void scatter_four(float* to, std::size_t stride, const Float* columns) {
        Float rows[4] = {columns[0], columns[1], columns[2], columns[3]};
        transpose(rows[0], rows[1], rows[2], rows[3]);
        for (std::size_t k = 0; k < 4; ++k) {
            _mm_storeu_ps(to + stride * k, _mm512_castps512_ps128(rows[k]));
            _mm_storeu_ps(to + stride * (k + 4), _mm512_extractf32x4_ps(rows[k], 1));
            _mm_storeu_ps(to + stride * (k + 8), _mm512_extractf32x4_ps(rows[k], 2));
            _mm_storeu_ps(to + stride * (k + 12), _mm512_extractf32x4_ps(rows[k], 3));
        }
    }
};

}  // namespace

const EdgeSteps& edge_steps_avx512() noexcept {
    static constexpr EdgeSteps steps = edge_steps_of<Avx512>();
    return steps;
}

}  // namespace rheinfall::detail

#include "tracking/target_end.hpp"
#endif
