#pragma once

/// @file
/// float32 functions that give the same bits on every machine: only + - * / and sqrt, which IEEE 754 rounds correctly,
/// in one fixed order and never contracted; libm's last bits differ between systems and CUDA. The polynomials are those
/// of the Cephes library (S. Moshier, atanf, logf, asinhf). rheinfall.reference.float_math repeats them in NumPy.

#include <bit>
#include <cmath>
#include <cstdint>

#include "tracking/detail/host_device.hpp"

namespace rheinfall::detail {

inline constexpr float pi = 3.14159274f;       ///< float32 nearest to pi
inline constexpr float two_pi = 6.28318548f;   ///< twice that
inline constexpr float half_pi = 1.57079637f;  ///< half of that

/// @p x - y of two angles in (-pi, pi], wrapped to (-pi, pi].
RHEINFALL_HOST_DEVICE inline float wrap_phi(float dphi) {
    if (dphi > pi) return dphi - two_pi;
    if (dphi <= -pi) return dphi + two_pi;
    return dphi;
}

/// arctan of @p t in [0, 1]; 1e-7 relative.
RHEINFALL_HOST_DEVICE inline float atan_unit(float t) {
    constexpr float tan_pi_8 = 0.414213568f;
    const bool reduce = t > tan_pi_8;
    const float u = reduce ? (t - 1.0f) / (t + 1.0f) : t;
    const float w = u * u;
    const float p = ((8.05374449538e-2f * w - 1.38776856032e-1f) * w + 1.99777106478e-1f) * w - 3.33329491539e-1f;
    const float angle = p * w * u + u;
    return reduce ? 0.785398185f + angle : angle;
}

/// Angle of the vector (@p x, @p y) in (-pi, pi]; 0 for the null vector, whatever the signs of its zeros.
RHEINFALL_HOST_DEVICE inline float atan2(float y, float x) {
    const float ax = x < 0.0f ? -x : x;
    const float ay = y < 0.0f ? -y : y;
    const float larger = ax > ay ? ax : ay;
    if (!(larger > 0.0f)) return 0.0f;
    const float smaller = ax > ay ? ay : ax;
    float angle = atan_unit(smaller / larger);
    if (ay > ax) angle = half_pi - angle;
    if (x < 0.0f) angle = pi - angle;
    return y < 0.0f ? -angle : angle;
}

/// Natural logarithm of a normal positive @p v; 1e-7 relative.
RHEINFALL_HOST_DEVICE inline float log_positive(float v) {
    std::uint32_t bits = std::bit_cast<std::uint32_t>(v);
    int exponent = static_cast<int>(bits >> 23) - 126;
    bits = (bits & 0x007fffffu) | 0x3f000000u;  // mantissa in [0.5, 1)
    float m = std::bit_cast<float>(bits);
    if (m < 0.707106781f) {
        exponent -= 1;
        m = m + m;
    }
    m = m - 1.0f;
    const float w = m * m;
    float p = 7.0376836292e-2f;
    p = p * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    float y = p * m * w;
    const float e = static_cast<float>(exponent);
    y = y + e * -2.12194440e-4f;
    y = y - 0.5f * w;
    return m + y + e * 0.693359375f;
}

/// Inverse hyperbolic sine; 2e-7 relative for |t| < 1e18.
RHEINFALL_HOST_DEVICE inline float asinh(float t) {
    const float a = t < 0.0f ? -t : t;
    float y;
    if (a < 0.5f) {
        const float w = a * a;
        const float p = ((2.0122003309e-2f * w - 4.2699340972e-2f) * w + 7.4847586088e-2f) * w - 1.6666288134e-1f;
        y = p * w * a + a;
    } else if (a > 1500.0f) {
        y = log_positive(a) + 0.693147182f;
    } else {
        y = log_positive(a + std::sqrt(a * a + 1.0f));
    }
    return t < 0.0f ? -y : y;
}

}  // namespace rheinfall::detail
