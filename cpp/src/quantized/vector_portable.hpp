#pragma once

#include "quantized/plan_step.hpp"

/// Eight 32-bit lanes as loops that a compiler turns into whatever vectors the baseline has. Arithmetic is modulo 2^32,
/// so it is done on unsigned numbers.
namespace rheinfall::quantized::portable {

struct V {
    static constexpr int n = 8;
    std::int32_t v[8];
};

template <class F>
V each(F f) noexcept {
    V r;
    for (int i = 0; i < V::n; ++i) r.v[i] = f(i);
    return r;
}
constexpr std::uint32_t u(std::int32_t x) noexcept {
    return static_cast<std::uint32_t>(x);
}
constexpr std::int32_t s(std::uint32_t x) noexcept {
    return static_cast<std::int32_t>(x);
}

inline V load(const void* p) noexcept {
    V r;
    __builtin_memcpy(r.v, p, sizeof r.v);
    return r;
}
inline void store(void* p, const V& x) noexcept {
    __builtin_memcpy(p, x.v, sizeof x.v);
}
inline V set1(std::int32_t x) noexcept {
    return each([&](int) { return x; });
}
inline V zero() noexcept {
    return set1(0);
}
inline V add(const V& a, const V& b) noexcept {
    return each([&](int i) { return s(u(a.v[i]) + u(b.v[i])); });
}
inline V sub(const V& a, const V& b) noexcept {
    return each([&](int i) { return s(u(a.v[i]) - u(b.v[i])); });
}
inline V mul(const V& a, const V& b) noexcept {
    return each([&](int i) { return s(u(a.v[i]) * u(b.v[i])); });
}
inline V bit_and(const V& a, const V& b) noexcept {
    return each([&](int i) { return a.v[i] & b.v[i]; });
}
inline V bit_or(const V& a, const V& b) noexcept {
    return each([&](int i) { return a.v[i] | b.v[i]; });
}
inline V shl(const V& a, const V& n) noexcept {
    return each([&](int i) { return s(u(a.v[i]) << (n.v[i] & 31)); });
}
inline V sar(const V& a, const V& n) noexcept {
    return each([&](int i) { return a.v[i] >> (n.v[i] & 31); });
}
inline V shr(const V& a, const V& n) noexcept {
    return each([&](int i) { return s(u(a.v[i]) >> (n.v[i] & 31)); });
}
template <int N>
V shl_by(const V& a) noexcept {
    return each([&](int i) { return s(u(a.v[i]) << N); });
}
template <int N>
V sar_by(const V& a) noexcept {
    return each([&](int i) { return a.v[i] >> N; });
}
inline V min(const V& a, const V& b) noexcept {
    return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline V max(const V& a, const V& b) noexcept {
    return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
/// a > b ? x : y
inline V select_greater(const V& a, const V& b, const V& x, const V& y) noexcept {
    return each([&](int i) { return a.v[i] > b.v[i] ? x.v[i] : y.v[i]; });
}
/// x with the lowest bit cleared in the lanes where t is zero.
inline V clear_odd_where_zero(const V& x, const V& t) noexcept {
    return each([&](int i) { return t.v[i] == 0 ? x.v[i] & ~1 : x.v[i]; });
}
inline bool any_outside(const V& x, const V& lo, const V& hi) noexcept {
    bool any = false;
    for (int i = 0; i < V::n; ++i) any |= x.v[i] < lo.v[i] || x.v[i] > hi.v[i];
    return any;
}
inline std::int32_t sum(const V& x) noexcept {
    std::uint32_t total = 0;
    for (int i = 0; i < V::n; ++i) total += u(x.v[i]);
    return s(total);
}

template <Lanes L>
V dot(const V& a, const V& x, const V& w) noexcept {
    static_assert(L != Lanes::u8, "s16 lanes serve here");
    if constexpr (L == Lanes::s16) {
        return each([&](int i) {
            const std::int32_t low = static_cast<std::int16_t>(x.v[i]) * static_cast<std::int16_t>(w.v[i]);
            const std::int32_t high = (x.v[i] >> 16) * (w.v[i] >> 16);
            return s(u(a.v[i]) + u(low) + u(high));
        });
    } else {
        return add(a, mul(x, w));
    }
}

template <class T>
V load_as(const void* p) noexcept {
    T t[V::n];
    __builtin_memcpy(t, p, sizeof t);
    return each([&](int i) { return std::int32_t{t[i]}; });
}
template <class T>
void store_as(void* p, const V& x) noexcept {
    T t[V::n];
    for (int i = 0; i < V::n; ++i) t[i] = static_cast<T>(x.v[i]);
    __builtin_memcpy(p, t, sizeof t);
}
inline V load_u8(const void* p) noexcept {
    return load_as<std::uint8_t>(p);
}
inline V load_s16(const void* p) noexcept {
    return load_as<std::int16_t>(p);
}
inline void store_u8(void* p, const V& x) noexcept {
    store_as<std::uint8_t>(p, x);
}
inline void store_s16(void* p, const V& x) noexcept {
    store_as<std::int16_t>(p, x);
}
inline V compress(const V& x, std::uint16_t mask) noexcept {
    V r = zero();
    for (int i = 0, k = 0; i < V::n; ++i)
        if ((mask >> i & 1) != 0) r.v[k++] = x.v[i];
    return r;
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

}  // namespace rheinfall::quantized::portable
