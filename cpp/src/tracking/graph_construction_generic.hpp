#pragma once

/// @file
/// Vectors of floats in the vector extension of GCC and clang, for `Finder` and `Tagger`. Included by versions of graph
/// construction after they have chosen their instructions, hence everything has internal linkage.

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tracking/detail/hit_geometry.hpp"
#include "tracking/detail/triplet_codes.hpp"
#include "tracking/graph_construction_work.hpp"

namespace rheinfall::detail {
namespace {  // NOLINT(misc-anonymous-namespace-in-header): see above

/// Vectors of floats, of uint32, and what comparisons give, all of one size.
template <class FloatVector, class IntVector, class MaskVector>
struct Generic {
    using Float = FloatVector;
    using Int = IntVector;
    using Mask = MaskVector;
    static constexpr std::size_t n = sizeof(Float) / sizeof(float);

    static Float set(float v) { return Float{} + v; }
    static Int set(std::uint32_t v) { return Int{} + v; }
    static Float load(const float* from) { return read<Float>(from); }
    static Int load(const std::uint32_t* from) { return read<Int>(from); }
    static void store(float* to, Float v) { std::memcpy(to, &v, sizeof v); }
    static void store(std::uint32_t* to, Int v) { std::memcpy(to, &v, sizeof v); }
    static void store_halves(std::uint16_t* to, Int v) {
        for (std::size_t lane = 0; lane < n; ++lane) to[lane] = static_cast<std::uint16_t>(v[lane]);
    }

    static Int shift_right(Int v, unsigned by) { return v >> by; }
    static void store_segments(Segment* to, Float dzdr, Int doublet, Int heading) {
        for (std::size_t lane = 0; lane < n; ++lane) {
            to[lane] = {dzdr[lane], static_cast<std::uint16_t>(doublet[lane]),
                        static_cast<std::uint16_t>(heading[lane])};
        }
    }

    /// The lowest bytes of both, @p a below.
    static Int low_bytes(Int a, Int b) { return (a & 0xffu) | (b & 0xffu) << 8; }

    /// The bytes of @p code less the lower ones of @p window, which has the upper ones.
    static Int query(Int code, Int window) {
        const Int difference = ((code | 0x8080u) - (window & 0x7f7fu)) ^ ((code ^ ~window) & 0x8080u);
        return difference | (window & 0xffff0000u);
    }

    static Mask gt(Float a, Float b) { return a > b; }
    static Mask ge(Float a, Float b) { return a >= b; }
    static Mask le(Float a, Float b) { return a <= b; }
    static Mask eq(Float a, Float b) { return a == b; }
    static Mask eq(Int a, std::uint32_t b) { return a == set(b); }
    static Mask differ(Int a, std::uint32_t b) { return a != set(b); }
    static Float select(Mask mask, Float yes, Float no) { return mask ? yes : no; }
    static Mask all() { return Mask{} - 1; }
    static Mask first(std::size_t count) {
        const auto last = static_cast<std::uint32_t>(count < n ? count : n);
        return count_from(0) < set(last);
    }
    static std::uint32_t bits(Mask mask) {
        std::uint32_t all = 0;
        for (std::size_t lane = 0; lane < n; ++lane) all |= (static_cast<std::uint32_t>(mask[lane]) >> 31) << lane;
        return all;
    }

    /// Stores the chosen elements, moved together; what follows them, up to a vector, may be overwritten.
    template <class Vector, class Number>
    static void store_chosen(Number* to, Vector v, std::uint32_t chosen) {
        for (std::size_t lane = 0; lane < n; ++lane) {
            *to = v[lane];
            to += (chosen >> lane) & 1u;
        }
    }
    static Int count_from(std::uint32_t begin) {
        Int count{};
        for (std::uint32_t lane = 0; lane < n; ++lane) count[lane] = begin + lane;
        return count;
    }
    static Float root(Float v) {
        for (std::size_t lane = 0; lane < n; ++lane) v[lane] = std::sqrt(v[lane]);
        return v;
    }
    /// Of a normal positive number: m in [0.5, 1) and e of m * 2^e.
    static Float mantissa(Float v) {
        return reinterpret_cast<Float>((reinterpret_cast<Int>(v) & 0x007fffffu) | 0x3f000000u);
    }
    static Float exponent(Float v) {
        return __builtin_convertvector(reinterpret_cast<Mask>(reinterpret_cast<Int>(v) >> 23) - 126, Float);
    }
    /// To the nearest integer, 2^31 where that is none of 32 bits.
    static Int round(Float v) {
        Int rounded{};
        for (std::size_t lane = 0; lane < n; ++lane) {
            const bool fits = std::fabs(v[lane]) < 2147483648.0f;
            rounded[lane] =
                fits ? static_cast<std::uint32_t>(static_cast<std::int32_t>(std::nearbyint(v[lane]))) : 0x80000000u;
        }
        return rounded;
    }
    static Float lower_bfloat16(Int v) { return reinterpret_cast<Float>(v << 16); }
    static Float upper_bfloat16(Int v) { return reinterpret_cast<Float>(v & 0xffff0000u); }

    /// Which codes of a block the @p query exceeds by 0 to its upper half, byte by byte.
    static std::uint32_t meet(const std::uint16_t* block, const std::uint32_t& query) {
        std::uint32_t met = 0;
        for (std::size_t k = 0; k < block_size; ++k) {
            const bool low = ((query - block[k]) & 255u) <= (query >> 16 & 255u);
            const bool high = (((query >> 8) - (block[k] >> 8)) & 255u) <= query >> 24;
            met |= std::uint32_t{low && high} << k;
        }
        return met;
    }

    /// Whether the pairs (a, b) and (b, c) of hits (r, phi, z, eta) are within a triplet's limits.
    static bool passes_pairs(const DoubletLimits& inner, const DoubletLimits& outer,
                             const ModuleMap::TripletCodes& codes, const float* a, const float* b, const float* c) {
        const SpacePoint middle = from_together(b);
        return passes(decode_limits(inner, codes.inner_low_high.data()),
                      doublet_quantities(from_together(a), middle)) &&
               passes(decode_limits(outer, codes.outer_low_high.data()), doublet_quantities(middle, from_together(c)));
    }

private:
    template <class Vector>
    static Vector read(const void* from) {
        Vector v;
        std::memcpy(&v, from, sizeof v);
        return v;
    }
    static SpacePoint from_together(const float* t) { return {0.0f, 0.0f, t[2], t[0], t[1], t[3]}; }
};

}  // namespace
}  // namespace rheinfall::detail
