#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace rheinfall::gnn::avx512 {

/// 16 float32 lanes.
struct Vector {
    static constexpr int lanes = 16;
    static constexpr int tile_vectors = 3;  ///< of the tile that a linear kernel takes at once
    static constexpr int tile_outputs = 8;  ///< outputs at once
    __m512 v;
};
struct Mask {
    __mmask16 m;
};

inline Vector load(const float* p) {
    return {_mm512_loadu_ps(p)};
}
inline void store(float* p, Vector a) {
    _mm512_storeu_ps(p, a.v);
}
/// Nothing to the machine: the compiler keeps what was loaded, where it would load for each use anew.
inline Vector held(Vector a) {
    asm("" : "+v"(a.v));
    return a;
}
inline Vector load_first(const float* p, int n) {
    return {_mm512_maskz_loadu_ps(static_cast<__mmask16>((1U << static_cast<unsigned>(n)) - 1U), p)};
}
inline void store_first(float* p, int n, Vector a) {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1U << static_cast<unsigned>(n)) - 1U), a.v);
}
inline Vector all(float x) {
    return {_mm512_set1_ps(x)};
}
/// Without a branch: what it hangs on is not foreseen.
inline Mask everywhere(bool yes) {
    return {static_cast<__mmask16>(-static_cast<int>(yes))};
}
inline Vector operator+(Vector a, Vector b) {
    return {_mm512_add_ps(a.v, b.v)};
}
inline Vector operator-(Vector a, Vector b) {
    return {_mm512_sub_ps(a.v, b.v)};
}
inline Vector operator*(Vector a, Vector b) {
    return {_mm512_mul_ps(a.v, b.v)};
}
inline Vector operator/(Vector a, Vector b) {
    return {_mm512_div_ps(a.v, b.v)};
}
inline Vector fma(Vector a, Vector b, Vector c) {
    return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
inline Vector sqrt(Vector a) {
    return {_mm512_sqrt_ps(a.v)};
}
/// a > b ? a : b, so b where one is not a number.
inline Vector max(Vector a, Vector b) {
    return {_mm512_max_ps(a.v, b.v)};
}
inline Vector min(Vector a, Vector b) {
    return {_mm512_min_ps(a.v, b.v)};
}
inline Mask less(Vector a, Vector b) {
    return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)};
}
inline Mask not_number(Vector a) {
    return {_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q)};
}
inline Vector select(Mask m, Vector yes, Vector no) {
    return {_mm512_mask_blend_ps(m.m, no.v, yes.v)};
}
/// a · 2^n for the n in the lowest bits of the float @p shifted = n + 1.5 · 2^23.
inline Vector scale_by_power(Vector a, Vector shifted) {
    const __m512i n = _mm512_slli_epi32(_mm512_castps_si512(shifted.v), 23);
    return {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a.v), n))};
}
/// Mantissa in [0.5, 1) and exponent of a normal positive number.
inline Vector mantissa(Vector a, Vector& exponent) {
    const __m512i bits = _mm512_castps_si512(a.v);
    exponent.v = _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_srli_epi32(bits, 23), _mm512_set1_epi32(126)));
    return {_mm512_castsi512_ps(
        _mm512_or_epi32(_mm512_and_epi32(bits, _mm512_set1_epi32(0x007fffff)), _mm512_set1_epi32(0x3f000000)))};
}

/// Bits rounded to those of a bf16, to nearest even.
inline Vector round_bits(Vector a) {
    const __m512i bits = _mm512_castps_si512(a.v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i up = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    return {_mm512_castsi512_ps(_mm512_and_si512(up, _mm512_set1_epi32(-0x10000)))};
}

[[gnu::always_inline]] inline void transpose(Vector* r) {
    __m512 t[16];
    for (std::ptrdiff_t i = 0; i < 8; ++i) {
        t[2 * i] = _mm512_unpacklo_ps(r[2 * i].v, r[2 * i + 1].v);
        t[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i].v, r[2 * i + 1].v);
    }
    __m512 u[16];
    for (std::ptrdiff_t i = 0; i < 4; ++i) {
        const __m512d a = _mm512_castps_pd(t[4 * i]);
        const __m512d b = _mm512_castps_pd(t[4 * i + 1]);
        const __m512d c = _mm512_castps_pd(t[4 * i + 2]);
        const __m512d d = _mm512_castps_pd(t[4 * i + 3]);
        u[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
        u[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
        u[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
        u[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
    }
    for (std::ptrdiff_t i = 0; i < 4; ++i) {
        const __m512 a = _mm512_shuffle_f32x4(u[i], u[4 + i], 0x88);
        const __m512 b = _mm512_shuffle_f32x4(u[8 + i], u[12 + i], 0x88);
        const __m512 c = _mm512_shuffle_f32x4(u[i], u[4 + i], 0xdd);
        const __m512 d = _mm512_shuffle_f32x4(u[8 + i], u[12 + i], 0xdd);
        r[i].v = _mm512_shuffle_f32x4(a, b, 0x88);
        r[4 + i].v = _mm512_shuffle_f32x4(c, d, 0x88);
        r[8 + i].v = _mm512_shuffle_f32x4(a, b, 0xdd);
        r[12 + i].v = _mm512_shuffle_f32x4(c, d, 0xdd);
    }
}

}  // namespace rheinfall::gnn::avx512
