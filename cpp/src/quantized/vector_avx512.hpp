#pragma once

#include <immintrin.h>

#include "quantized/plan_step.hpp"

/// Sixteen 32-bit lanes. Arithmetic is modulo 2^32.
namespace rheinfall::quantized::avx512 {

struct V {
    static constexpr int n = 16;
    __m512i v;
};

inline V load(const void* p) noexcept {
    return {_mm512_loadu_si512(p)};
}
inline void store(void* p, V x) noexcept {
    _mm512_storeu_si512(p, x.v);
}
inline V set1(std::int32_t x) noexcept {
    return {_mm512_set1_epi32(x)};
}
/// One number of bits for all lanes.
using Count = V;
inline Count count1(std::int32_t n) noexcept {
    return set1(n);
}
inline V zero() noexcept {
    return {_mm512_setzero_si512()};
}
inline V add(V a, V b) noexcept {
    return {_mm512_add_epi32(a.v, b.v)};
}
inline V sub(V a, V b) noexcept {
    return {_mm512_sub_epi32(a.v, b.v)};
}
inline V mul(V a, V b) noexcept {
    return {_mm512_mullo_epi32(a.v, b.v)};
}
inline V bit_and(V a, V b) noexcept {
    return {_mm512_and_si512(a.v, b.v)};
}
inline V bit_or(V a, V b) noexcept {
    return {_mm512_or_si512(a.v, b.v)};
}
inline V shl(V a, V n) noexcept {
    return {_mm512_sllv_epi32(a.v, n.v)};
}
inline V sar(V a, V n) noexcept {
    return {_mm512_srav_epi32(a.v, n.v)};
}
inline V shr(V a, V n) noexcept {
    return {_mm512_srlv_epi32(a.v, n.v)};
}
template <int N>
V shl_by(V a) noexcept {
    return {_mm512_slli_epi32(a.v, N)};
}
template <int N>
V sar_by(V a) noexcept {
    return {_mm512_srai_epi32(a.v, N)};
}
inline V min(V a, V b) noexcept {
    return {_mm512_min_epi32(a.v, b.v)};
}
inline V max(V a, V b) noexcept {
    return {_mm512_max_epi32(a.v, b.v)};
}
/// a > b ? x : y
inline V select_greater(V a, V b, V x, V y) noexcept {
    return {_mm512_mask_blend_epi32(_mm512_cmpgt_epi32_mask(a.v, b.v), y.v, x.v)};
}
/// table[i]
inline V look_up(const std::int32_t* table, V i) noexcept {
    return {_mm512_i32gather_epi32(i.v, table, 4)};
}
/// x with the lowest bit cleared in the lanes where u & mask is zero.
inline V clear_odd_where_zero(V x, V u, V mask) noexcept {
    return {_mm512_mask_and_epi32(x.v, _mm512_testn_epi32_mask(u.v, mask.v), x.v, _mm512_set1_epi32(-2))};
}
inline bool any_outside(V low, V high, V lo, V hi) noexcept {
    return (_mm512_cmplt_epi32_mask(low.v, lo.v) | _mm512_cmpgt_epi32_mask(high.v, hi.v)) != 0;
}
/// Bytes a, b, c, d of each lane, each clamped to [0, 255].
inline V pack_u8_saturated(V a, V b, V c, V d) noexcept {
    const __m512i bytes = _mm512_packus_epi16(_mm512_packs_epi32(a.v, b.v), _mm512_packs_epi32(c.v, d.v));
    const __m512i order = _mm512_set4_epi32(0x0f0b0703, 0x0e0a0602, 0x0d090501, 0x0c080400);
    return {_mm512_shuffle_epi8(bytes, order)};
}
inline void store_u8_saturated(void* p, V x) noexcept {
    _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_cvtusepi32_epi8(_mm512_max_epi32(x.v, _mm512_setzero_si512())));
}
inline std::int32_t sum(V x) noexcept {
    return _mm512_reduce_add_epi32(x.v);
}

/// The sums over the bytes (u8 × s8) or shorts (s16 × s16) of each lane, added to a.
template <Lanes L>
V dot(V a, V x, V w) noexcept {
    if constexpr (L == Lanes::u8)
        return {_mm512_dpbusd_epi32(a.v, x.v, w.v)};
    else if constexpr (L == Lanes::s16)
        return {_mm512_dpwssd_epi32(a.v, x.v, w.v)};
    else
        return add(a, mul(x, w));
}

/// Sixteen bytes, four times; and dword K of them in all lanes.
inline V load_quad(const void* p) noexcept {
    return {_mm512_broadcast_i32x4(_mm_loadu_si128(static_cast<const __m128i*>(p)))};
}
template <int K>
V splat(V quad) noexcept {
    return {_mm512_shuffle_epi32(quad.v, static_cast<_MM_PERM_ENUM>(K * 0x55))};
}

inline V load_u8(const void* p) noexcept {
    return {_mm512_cvtepu8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)))};
}
inline V load_s16(const void* p) noexcept {
    return {_mm512_cvtepi16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
}
inline void store_u8(void* p, V x) noexcept {
    _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_cvtepi32_epi8(x.v));
}
inline void store_s16(void* p, V x) noexcept {
    _mm256_storeu_si256(static_cast<__m256i*>(p), _mm512_cvtepi32_epi16(x.v));
}
/// The lanes of @p mask side by side, the rest 0.
inline V compress(V x, std::uint16_t mask) noexcept {
    return {_mm512_maskz_compress_epi32(mask, x.v)};
}

/// The first @p n elements of an array of integers, the other lanes 0; nothing behind them is read.
inline V load_first(const std::int8_t* p, int n) noexcept {
    return {_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(static_cast<__mmask16>((1u << n) - 1), p))};
}
inline V load_first(const std::uint8_t* p, int n) noexcept {
    return {_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(static_cast<__mmask16>((1u << n) - 1), p))};
}
inline V load_first(const std::int16_t* p, int n) noexcept {
    return {_mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << n) - 1), p))};
}
inline V load_first(const std::uint16_t* p, int n) noexcept {
    return {_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << n) - 1), p))};
}
inline V load_first(const std::int32_t* p, int n) noexcept {
    return {_mm512_maskz_loadu_epi32(static_cast<__mmask16>((1u << n) - 1), p)};
}

inline __mmask16 first_lanes(int n) noexcept {
    return static_cast<__mmask16>((1u << n) - 1);
}
inline void store_first(std::int8_t* p, V x, int n) noexcept {
    _mm_mask_storeu_epi8(p, first_lanes(n), _mm512_cvtepi32_epi8(x.v));
}
inline void store_first(std::int16_t* p, V x, int n) noexcept {
    _mm256_mask_storeu_epi16(p, first_lanes(n), _mm512_cvtepi32_epi16(x.v));
}
inline void store_first(std::int32_t* p, V x, int n) noexcept {
    _mm512_mask_storeu_epi32(p, first_lanes(n), x.v);
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
V load_all(const T* p) noexcept {
    if constexpr (sizeof(T) == 4)
        return load(p);
    else
        return load_first(p, V::n);
}

/// Sixteen rows of sixteen dwords, transposed; of the columns only the first @p n are written.
inline void transpose(const std::byte* rows, std::size_t stride, std::size_t n, std::byte* out,
                      std::size_t out_stride) noexcept {
    __m512i r[16], t[16];
    for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_si512(rows + static_cast<std::size_t>(i) * stride);
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; ++i) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    }
    for (int i = 0; i < 8; ++i) {
        // t[i] holds quarters 0 and 2 (i < 4) or 1 and 3 of the rows 0-7; t[i + 8] those of the rows 8-15.
        const auto column = static_cast<std::size_t>((i & 3) + (i < 4 ? 0 : 4));
        if (column < n) _mm512_storeu_si512(out + column * out_stride, _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88));
        if (column + 8 < n)
            _mm512_storeu_si512(out + (column + 8) * out_stride, _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd));
    }
}

}  // namespace rheinfall::quantized::avx512
