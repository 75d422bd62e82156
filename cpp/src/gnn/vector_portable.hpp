#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace rheinfall::gnn::portable {

/// 4 float32 lanes, as loops that compilers turn into what the machine has.
struct Vector {
    static constexpr int lanes = 4;
    static constexpr int tile_vectors = 3;
    static constexpr int tile_outputs = 4;
    float v[lanes];
};
struct Mask {
    bool m[Vector::lanes];
};

template <class F>
inline Vector each(F&& f) {
    Vector r;
    for (int i = 0; i < Vector::lanes; ++i) r.v[i] = f(i);
    return r;
}

inline Vector load(const float* p) {
    return each([&](int i) { return p[i]; });
}
inline void store(float* p, const Vector& a) {
    for (int i = 0; i < Vector::lanes; ++i) p[i] = a.v[i];
}
inline Vector held(const Vector& a) {
    return a;
}
inline Vector load_first(const float* p, int n) {
    return each([&](int i) { return i < n ? p[i] : 0.0f; });
}
inline void store_first(float* p, int n, const Vector& a) {
    for (int i = 0; i < Vector::lanes && i < n; ++i) p[i] = a.v[i];
}
inline Vector all(float x) {
    return each([&](int) { return x; });
}
inline Mask everywhere(bool yes) {
    Mask r;
    for (bool& lane : r.m) lane = yes;
    return r;
}
inline Vector operator+(const Vector& a, const Vector& b) {
    return each([&](int i) { return a.v[i] + b.v[i]; });
}
inline Vector operator-(const Vector& a, const Vector& b) {
    return each([&](int i) { return a.v[i] - b.v[i]; });
}
inline Vector operator*(const Vector& a, const Vector& b) {
    return each([&](int i) { return a.v[i] * b.v[i]; });
}
inline Vector operator/(const Vector& a, const Vector& b) {
    return each([&](int i) { return a.v[i] / b.v[i]; });
}
inline Vector fma(const Vector& a, const Vector& b, const Vector& c) {
    return each([&](int i) { return __builtin_fmaf(a.v[i], b.v[i], c.v[i]); });
}
inline Vector sqrt(const Vector& a) {
    return each([&](int i) { return __builtin_sqrtf(a.v[i]); });
}
inline Vector max(const Vector& a, const Vector& b) {
    return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vector min(const Vector& a, const Vector& b) {
    return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline Mask less(const Vector& a, const Vector& b) {
    Mask r;
    for (int i = 0; i < Vector::lanes; ++i) r.m[i] = a.v[i] < b.v[i];
    return r;
}
inline Mask not_number(const Vector& a) {
    Mask r;
    for (int i = 0; i < Vector::lanes; ++i) r.m[i] = __builtin_isnan(a.v[i]) != 0;
    return r;
}
inline Vector select(const Mask& m, const Vector& yes, const Vector& no) {
    return each([&](int i) { return m.m[i] ? yes.v[i] : no.v[i]; });
}
inline Vector scale_by_power(const Vector& a, const Vector& shifted) {
    return each([&](int i) {
        return std::bit_cast<float>(std::bit_cast<std::uint32_t>(a.v[i]) +
                                    (std::bit_cast<std::uint32_t>(shifted.v[i]) << 23U));
    });
}
inline Vector mantissa(const Vector& a, Vector& exponent) {
    exponent = each([&](int i) {
        return static_cast<float>(static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(a.v[i]) >> 23U) - 126);
    });
    return each([&](int i) {
        return std::bit_cast<float>((std::bit_cast<std::uint32_t>(a.v[i]) & 0x007fffffU) | 0x3f000000U);
    });
}

inline Vector round_bits(const Vector& a) {
    return each([&](int i) {
        const auto bits = std::bit_cast<std::uint32_t>(a.v[i]);
        return std::bit_cast<float>((bits + 0x7fffU + ((bits >> 16U) & 1U)) & 0xffff0000U);
    });
}

[[gnu::always_inline]] inline void transpose(Vector* r) {
    for (std::ptrdiff_t i = 0; i < Vector::lanes; ++i) {
        for (int j = 0; j < i; ++j) {
            const float x = r[i].v[j];
            r[i].v[j] = r[j].v[i];
            r[j].v[i] = x;
        }
    }
}

}  // namespace rheinfall::gnn::portable
