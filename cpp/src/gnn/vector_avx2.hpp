#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace rheinfall::gnn::avx2 {

/// 8 float32 lanes.
struct Vector {
    static constexpr int lanes = 8;
    static constexpr int tile_vectors = 3;
    static constexpr int tile_outputs = 4;
    __m256 v;
};
struct Mask {
    __m256 m;
};

inline __m256i first_lanes(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline Vector load(const float* p) {
    return {_mm256_loadu_ps(p)};
}
inline void store(float* p, Vector a) {
    _mm256_storeu_ps(p, a.v);
}
inline Vector held(Vector a) {
    asm("" : "+x"(a.v));
    return a;
}
inline Vector load_first(const float* p, int n) {
    return {_mm256_maskload_ps(p, first_lanes(n))};
}
inline void store_first(float* p, int n, Vector a) {
    _mm256_maskstore_ps(p, first_lanes(n), a.v);
}
inline Vector all(float x) {
    return {_mm256_set1_ps(x)};
}
inline Mask everywhere(bool yes) {
    return {_mm256_castsi256_ps(_mm256_set1_epi32(-static_cast<int>(yes)))};
}
inline Vector operator+(Vector a, Vector b) {
    return {_mm256_add_ps(a.v, b.v)};
}
inline Vector operator-(Vector a, Vector b) {
    return {_mm256_sub_ps(a.v, b.v)};
}
inline Vector operator*(Vector a, Vector b) {
    return {_mm256_mul_ps(a.v, b.v)};
}
inline Vector operator/(Vector a, Vector b) {
    return {_mm256_div_ps(a.v, b.v)};
}
inline Vector fma(Vector a, Vector b, Vector c) {
    return {_mm256_fmadd_ps(a.v, b.v, c.v)};
}
inline Vector sqrt(Vector a) {
    return {_mm256_sqrt_ps(a.v)};
}
inline Vector max(Vector a, Vector b) {
    return {_mm256_max_ps(a.v, b.v)};
}
inline Vector min(Vector a, Vector b) {
    return {_mm256_min_ps(a.v, b.v)};
}
inline Mask less(Vector a, Vector b) {
    return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)};
}
inline Mask not_number(Vector a) {
    return {_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q)};
}
inline Vector select(Mask m, Vector yes, Vector no) {
    return {_mm256_blendv_ps(no.v, yes.v, m.m)};
}
inline Vector scale_by_power(Vector a, Vector shifted) {
    const __m256i n = _mm256_slli_epi32(_mm256_castps_si256(shifted.v), 23);
    return {_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a.v), n))};
}
inline Vector mantissa(Vector a, Vector& exponent) {
    const __m256i bits = _mm256_castps_si256(a.v);
    exponent.v = _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_srli_epi32(bits, 23), _mm256_set1_epi32(126)));
    return {_mm256_castsi256_ps(
        _mm256_or_si256(_mm256_and_si256(bits, _mm256_set1_epi32(0x007fffff)), _mm256_set1_epi32(0x3f000000)))};
}

inline Vector round_bits(Vector a) {
    const __m256i bits = _mm256_castps_si256(a.v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    return {_mm256_castsi256_ps(_mm256_and_si256(up, _mm256_set1_epi32(-0x10000)))};
}

[[gnu::always_inline]] inline void transpose(Vector* r) {
    __m256 t[8];
    for (std::ptrdiff_t i = 0; i < 4; ++i) {
        t[2 * i] = _mm256_unpacklo_ps(r[2 * i].v, r[2 * i + 1].v);
        t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i].v, r[2 * i + 1].v);
    }
    __m256 u[8];
    for (std::ptrdiff_t i = 0; i < 2; ++i) {
        u[4 * i] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
        u[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xee);
        u[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
        u[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xee);
    }
    for (std::ptrdiff_t i = 0; i < 4; ++i) {
        r[i].v = _mm256_permute2f128_ps(u[i], u[4 + i], 0x20);
        r[4 + i].v = _mm256_permute2f128_ps(u[i], u[4 + i], 0x31);
    }
}

}  // namespace rheinfall::gnn::avx2
