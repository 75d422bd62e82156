#pragma once

#include <immintrin.h>

#include "quantized/plan_step.hpp"

/// Eight 32-bit lanes. Arithmetic is modulo 2^32.
namespace rheinfall::quantized::avx2 {

struct V {
    static constexpr int n = 8;
    __m256i v;
};

inline V load(const void* p) noexcept {
    return {_mm256_loadu_si256(static_cast<const __m256i*>(p))};
}
inline void store(void* p, V x) noexcept {
    _mm256_storeu_si256(static_cast<__m256i*>(p), x.v);
}
inline V set1(std::int32_t x) noexcept {
    return {_mm256_set1_epi32(x)};
}
/// One number of bits for all lanes.
using Count = V;
inline Count count1(std::int32_t n) noexcept {
    return set1(n);
}
inline V zero() noexcept {
    return {_mm256_setzero_si256()};
}
inline V add(V a, V b) noexcept {
    return {_mm256_add_epi32(a.v, b.v)};
}
inline V sub(V a, V b) noexcept {
    return {_mm256_sub_epi32(a.v, b.v)};
}
inline V mul(V a, V b) noexcept {
    return {_mm256_mullo_epi32(a.v, b.v)};
}
inline V bit_and(V a, V b) noexcept {
    return {_mm256_and_si256(a.v, b.v)};
}
inline V bit_or(V a, V b) noexcept {
    return {_mm256_or_si256(a.v, b.v)};
}
inline V shl(V a, V n) noexcept {
    return {_mm256_sllv_epi32(a.v, n.v)};
}
inline V sar(V a, V n) noexcept {
    return {_mm256_srav_epi32(a.v, n.v)};
}
inline V shr(V a, V n) noexcept {
    return {_mm256_srlv_epi32(a.v, n.v)};
}
template <int N>
V shl_by(V a) noexcept {
    return {_mm256_slli_epi32(a.v, N)};
}
template <int N>
V sar_by(V a) noexcept {
    return {_mm256_srai_epi32(a.v, N)};
}
inline V min(V a, V b) noexcept {
    return {_mm256_min_epi32(a.v, b.v)};
}
inline V max(V a, V b) noexcept {
    return {_mm256_max_epi32(a.v, b.v)};
}
/// a > b ? x : y
inline V select_greater(V a, V b, V x, V y) noexcept {
    return {_mm256_blendv_epi8(y.v, x.v, _mm256_cmpgt_epi32(a.v, b.v))};
}
/// table[i]
inline V look_up(const std::int32_t* table, V i) noexcept {
    return {_mm256_i32gather_epi32(table, i.v, 4)};
}
/// x with the lowest bit cleared in the lanes where u & mask is zero.
inline V clear_odd_where_zero(V x, V u, V mask) noexcept {
    const __m256i zeros = _mm256_cmpeq_epi32(_mm256_and_si256(u.v, mask.v), _mm256_setzero_si256());
    return {_mm256_andnot_si256(_mm256_and_si256(zeros, _mm256_set1_epi32(1)), x.v)};
}
inline bool any_outside(V low, V high, V lo, V hi) noexcept {
    return _mm256_movemask_epi8(_mm256_or_si256(_mm256_cmpgt_epi32(lo.v, low.v), _mm256_cmpgt_epi32(high.v, hi.v))) !=
           0;
}
/// Bytes a, b, c, d of each lane, each clamped to [0, 255].
inline V pack_u8_saturated(V a, V b, V c, V d) noexcept {
    const __m256i bytes = _mm256_packus_epi16(_mm256_packs_epi32(a.v, b.v), _mm256_packs_epi32(c.v, d.v));
    const __m256i order = _mm256_setr_epi32(0x0c080400, 0x0d090501, 0x0e0a0602, 0x0f0b0703, 0x0c080400, 0x0d090501,
                                            0x0e0a0602, 0x0f0b0703);
    return {_mm256_shuffle_epi8(bytes, order)};
}
inline std::int32_t sum(V x) noexcept {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(x.v), _mm256_extracti128_si256(x.v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

template <Lanes L>
V dot(V a, V x, V w) noexcept {
    static_assert(L != Lanes::u8, "vpmaddubsw saturates");
    if constexpr (L == Lanes::s16)
        return {_mm256_add_epi32(a.v, _mm256_madd_epi16(x.v, w.v))};
    else
        return add(a, mul(x, w));
}

/// Sixteen bytes, twice; and dword K of them in all lanes.
inline V load_quad(const void* p) noexcept {
    return {_mm256_broadcastsi128_si256(_mm_loadu_si128(static_cast<const __m128i*>(p)))};
}
template <int K>
V splat(V quad) noexcept {
    return {_mm256_shuffle_epi32(quad.v, K * 0x55)};
}

inline V load_u8(const void* p) noexcept {
    return {_mm256_cvtepu8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p)))};
}
inline V load_s16(const void* p) noexcept {
    return {_mm256_cvtepi16_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)))};
}
/// The low byte of each lane.
inline void store_u8(void* p, V x) noexcept {
    const __m256i bytes = _mm256_shuffle_epi8(x.v, _mm256_set1_epi32(0x0c080400));
    const __m128i lo = _mm256_castsi256_si128(bytes);
    const __m128i hi = _mm256_extracti128_si256(bytes, 1);
    _mm_storel_epi64(static_cast<__m128i*>(p), _mm_unpacklo_epi32(lo, hi));
}
inline void store_u8_saturated(void* p, V x) noexcept {
    store_u8(p, min(max(x, zero()), set1(255)));
}
/// The low half of each lane.
inline void store_s16(void* p, V x) noexcept {
    const __m256i halves = _mm256_shuffle_epi8(
        x.v, _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 0, 1, 4, 5, 8, 9, 12, 13)));
    _mm_storeu_si128(static_cast<__m128i*>(p), _mm256_castsi256_si128(_mm256_permute4x64_epi64(halves, 0x08)));
}
inline V compress(V x, std::uint16_t mask) noexcept {
    alignas(32) std::int32_t in[8];
    alignas(32) std::int32_t out[8] = {};
    store(in, x);
    for (int i = 0, k = 0; i < 8; ++i)
        if ((mask >> i & 1) != 0) out[k++] = in[i];
    return load(out);
}

template <class T>
void store_first(T* p, V x, int n) noexcept {
    alignas(32) std::int32_t lanes[8];
    store(lanes, x);
    for (int i = 0; i < n; ++i) p[i] = static_cast<T>(lanes[i]);
}
inline void store_all(std::int8_t* p, V x) noexcept {
    store_u8(p, x);
}
inline void store_all(std::int16_t* p, V x) noexcept {
    store_s16(p, x);
}
inline void store_all(std::int32_t* p, V x) noexcept {
    store(p, x);
}

template <class T>
V load_first(const T* p, int n) noexcept {
    alignas(32) std::int32_t lanes[8] = {};
    for (int i = 0; i < n; ++i) lanes[i] = p[i];
    return load(lanes);
}
inline V load_all(const std::int8_t* p) noexcept {
    return {_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))};
}
inline V load_all(const std::uint8_t* p) noexcept {
    return {_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))};
}
inline V load_all(const std::int16_t* p) noexcept {
    return load_s16(p);
}
inline V load_all(const std::uint16_t* p) noexcept {
    return {_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
inline V load_all(const std::int32_t* p) noexcept {
    return load(p);
}

}  // namespace rheinfall::quantized::avx2
