#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "tracking/detail/host_device.hpp"

/// @file
/// One float32 lane, on the host and on a device: what a thread of a device computes for its row, by the operations of
/// the vectors of a CPU.
namespace rheinfall::gnn::one {

struct Vector {
    float v;
};
struct Mask {
    bool m;
};

RHEINFALL_HOST_DEVICE inline Vector all(float x) {
    return {x};
}
RHEINFALL_HOST_DEVICE inline Vector operator+(Vector a, Vector b) {
    return {a.v + b.v};
}
RHEINFALL_HOST_DEVICE inline Vector operator-(Vector a, Vector b) {
    return {a.v - b.v};
}
RHEINFALL_HOST_DEVICE inline Vector operator*(Vector a, Vector b) {
    return {a.v * b.v};
}
RHEINFALL_HOST_DEVICE inline Vector operator/(Vector a, Vector b) {
    return {a.v / b.v};
}
RHEINFALL_HOST_DEVICE inline Vector fma(Vector a, Vector b, Vector c) {
#if defined(__CUDA_ARCH__)
    return {__fmaf_rn(a.v, b.v, c.v)};
#else
    return {__builtin_fmaf(a.v, b.v, c.v)};
#endif
}
RHEINFALL_HOST_DEVICE inline Vector sqrt(Vector a) {
    return {std::sqrt(a.v)};
}
RHEINFALL_HOST_DEVICE inline Vector max(Vector a, Vector b) {
    return {a.v > b.v ? a.v : b.v};
}
RHEINFALL_HOST_DEVICE inline Vector min(Vector a, Vector b) {
    return {a.v < b.v ? a.v : b.v};
}
RHEINFALL_HOST_DEVICE inline Mask less(Vector a, Vector b) {
    return {a.v < b.v};
}
RHEINFALL_HOST_DEVICE inline Mask not_number(Vector a) {
    return {(std::bit_cast<std::uint32_t>(a.v) & 0x7fffffffU) > 0x7f800000U};
}
RHEINFALL_HOST_DEVICE inline bool finite(Vector a) {
    return (std::bit_cast<std::uint32_t>(a.v) & 0x7f800000U) != 0x7f800000U;
}
RHEINFALL_HOST_DEVICE inline Vector select(Mask m, Vector yes, Vector no) {
    return {m.m ? yes.v : no.v};
}
RHEINFALL_HOST_DEVICE inline Vector scale_by_power(Vector a, Vector shifted) {
    return {std::bit_cast<float>(std::bit_cast<std::uint32_t>(a.v) + (std::bit_cast<std::uint32_t>(shifted.v) << 23U))};
}
RHEINFALL_HOST_DEVICE inline Vector mantissa(Vector a, Vector& exponent) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(a.v);
    exponent.v = static_cast<float>(static_cast<std::int32_t>(bits >> 23U) - 126);
    return {std::bit_cast<float>((bits & 0x007fffffU) | 0x3f000000U)};
}

}  // namespace rheinfall::gnn::one
