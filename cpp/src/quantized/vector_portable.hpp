#pragma once

#include "quantized/plan_step.hpp"
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/// Four 32-bit lanes in the vector extension of gcc and clang, which every machine has. Arithmetic is modulo 2^32, so
/// it is done on unsigned numbers.
namespace rheinfall::quantized::portable {

using Int4 = std::int32_t __attribute__((vector_size(16)));
using UInt4 = std::uint32_t __attribute__((vector_size(16)));

struct V {
    static constexpr int n = 4;
    Int4 v;
};
/// One number of bits for all lanes.
struct Count {
    int n;
};

inline UInt4 u(V x) noexcept {
    return reinterpret_cast<UInt4>(x.v);
}
inline V s(UInt4 x) noexcept {
    return {reinterpret_cast<Int4>(x)};
}

inline V load(const void* p) noexcept {
    V r;
    __builtin_memcpy(&r.v, p, sizeof r.v);
    return r;
}
inline void store(void* p, V x) noexcept {
    __builtin_memcpy(p, &x.v, sizeof x.v);
}
inline V set1(std::int32_t x) noexcept {
    return {Int4{x, x, x, x}};
}
inline Count count1(std::int32_t n) noexcept {
    return {n};
}
inline V zero() noexcept {
    return {Int4{}};
}
inline V add(V a, V b) noexcept {
    return s(u(a) + u(b));
}
inline V sub(V a, V b) noexcept {
    return s(u(a) - u(b));
}
inline V mul(V a, V b) noexcept {
    return s(u(a) * u(b));
}
inline V bit_and(V a, V b) noexcept {
    return {a.v & b.v};
}
inline V bit_or(V a, V b) noexcept {
    return {a.v | b.v};
}
inline V shl(V a, Count k) noexcept {
    return s(u(a) << static_cast<unsigned>(k.n));
}
inline V sar(V a, Count k) noexcept {
    return {a.v >> k.n};
}
inline V shr(V a, Count k) noexcept {
    return s(u(a) >> static_cast<unsigned>(k.n));
}
inline V shl(V a, V k) noexcept {
    return s(u(a) << u(k));
}
inline V sar(V a, V k) noexcept {
    return {a.v >> k.v};
}
template <int N>
V shl_by(V a) noexcept {
    return shl(a, Count{N});
}
template <int N>
V sar_by(V a) noexcept {
    return sar(a, Count{N});
}
/// mask ? a : b, the mask being 0 or -1.
inline V choose(Int4 mask, V a, V b) noexcept {
    return {(a.v & mask) | (b.v & ~mask)};
}
inline V min(V a, V b) noexcept {
    return choose(a.v < b.v, a, b);
}
inline V max(V a, V b) noexcept {
    return choose(a.v > b.v, a, b);
}
/// a > b ? x : y
inline V select_greater(V a, V b, V x, V y) noexcept {
    return choose(a.v > b.v, x, y);
}
/// table[i]
inline V look_up(const std::int32_t* table, V i) noexcept {
    V x = i;
    for (int k = 0; k < V::n; ++k) x.v[k] = table[i.v[k]];
    return x;
}
/// x with the lowest bit cleared in the lanes where u & mask is zero.
inline V clear_odd_where_zero(V x, V middle, V mask) noexcept {
    return {x.v & ~(((middle.v & mask.v) == 0) & 1)};
}
inline bool any_outside(V low, V high, V lo, V hi) noexcept {
    const Int4 out = (low.v < lo.v) | (high.v > hi.v);
    return (out[0] | out[1] | out[2] | out[3]) != 0;
}
inline std::int32_t sum(V x) noexcept {
    const UInt4 t = u(x);
    return static_cast<std::int32_t>(t[0] + t[1] + t[2] + t[3]);
}

template <Lanes L>
V dot(V a, V x, V w) noexcept {
    static_assert(L != Lanes::u8, "s16 lanes serve here");
    if constexpr (L == Lanes::s16) {
#if defined(__SSE2__)
        return add(
            a,
            {reinterpret_cast<Int4>(_mm_madd_epi16(reinterpret_cast<__m128i>(x.v), reinterpret_cast<__m128i>(w.v)))});
#else
        const V low = mul(sar_by<16>(shl_by<16>(x)), sar_by<16>(shl_by<16>(w)));
        return add(a, add(low, mul(sar_by<16>(x), sar_by<16>(w))));
#endif
    } else {
        return add(a, mul(x, w));
    }
}

/// Sixteen bytes; and dword K of them in all lanes.
inline V load_quad(const void* p) noexcept {
    return load(p);
}
template <int K>
V splat(V quad) noexcept {
    return set1(quad.v[K]);
}

template <class T>
V load_as(const void* p) noexcept {
    T t[V::n];
    __builtin_memcpy(t, p, sizeof t);
    return {Int4{t[0], t[1], t[2], t[3]}};
}
template <class T>
void store_as(void* p, V x) noexcept {
    const T t[V::n] = {static_cast<T>(x.v[0]), static_cast<T>(x.v[1]), static_cast<T>(x.v[2]), static_cast<T>(x.v[3])};
    __builtin_memcpy(p, t, sizeof t);
}
inline V load_u8(const void* p) noexcept {
    return load_as<std::uint8_t>(p);
}
inline V load_s16(const void* p) noexcept {
    return load_as<std::int16_t>(p);
}
inline void store_u8(void* p, V x) noexcept {
    store_as<std::uint8_t>(p, x);
}
inline void store_s16(void* p, V x) noexcept {
    store_as<std::int16_t>(p, x);
}

template <class T>
V load_first(const T* p, int n) noexcept {
    V r = zero();
    for (int i = 0; i < n; ++i) r.v[i] = p[i];
    return r;
}
template <class T>
V load_all(const T* p) noexcept {
    return load_as<T>(p);
}
template <class T>
void store_first(T* p, V x, int n) noexcept {
    for (int i = 0; i < n; ++i) p[i] = static_cast<T>(x.v[i]);
}
template <class T>
void store_all(T* p, V x) noexcept {
    store_as<T>(p, x);
}

}  // namespace rheinfall::quantized::portable
