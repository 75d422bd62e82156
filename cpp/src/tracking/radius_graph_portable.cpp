// The radius graph in the vector extension of gcc and clang, for the baseline of the build.
#include "tracking/radius_graph_work.hpp"

namespace rheinfall::detail {
namespace {

struct V {
    static constexpr std::size_t lanes = 4;
    static constexpr std::size_t registers = 16;
    using F = float __attribute__((vector_size(16)));
    using U = std::uint32_t __attribute__((vector_size(16)));
    using Mask = std::int32_t __attribute__((vector_size(16)));

    static float infinity() { return __builtin_inff(); }
    static F set(float x) { return F{x, x, x, x}; }
    static F load(const float* p) {
        F x;
        __builtin_memcpy(&x, p, sizeof x);
        return x;
    }
    static void store(float* p, F x) { __builtin_memcpy(p, &x, sizeof x); }
    static F sub(F a, F b) { return a - b; }
    static F min(F a, F b) { return a < b ? a : b; }
    static F max(F a, F b) { return a > b ? a : b; }
    static F multiply_add(F a, F b, F c) { return a * b + c; }
    static unsigned less_equal(F a, F b) { return bits(a <= b); }

    static U set_u(std::uint32_t x) { return U{x, x, x, x}; }
    static U count_from(std::uint32_t first) { return U{0, 1, 2, 3} + set_u(first); }
    static U load_u(const std::uint32_t* p) {
        U x;
        __builtin_memcpy(&x, p, sizeof x);
        return x;
    }
    static void store_u(std::uint32_t* p, U x) { __builtin_memcpy(p, &x, sizeof x); }
    static U min(U a, U b) { return a < b ? a : b; }
    static U max(U a, U b) { return a > b ? a : b; }
    static unsigned greater(U a, U b) { return bits(a > b); }
    /// Writes the lanes of the mask one behind the other.
    static void compress(std::uint32_t* p, U x, unsigned mask) {
        for (unsigned i = 0; i < lanes; ++i) {
            if ((mask >> i & 1U) != 0) *p++ = x[i];
        }
    }
    /// Lane i from lane i ^ mask.
    static U exchange(U x, unsigned mask) { return U{x[0 ^ mask], x[1 ^ mask], x[2 ^ mask], x[3 ^ mask]}; }
    /// The larger one in lanes whose number has @p bit, else the smaller one.
    static U min_max(U a, U b, unsigned bit) {
        const U high = (U{0, 1, 2, 3} & bit) != 0;
        return (min(a, b) & ~high) | (max(a, b) & high);
    }
    static U interleave_low(U a, U b) { return U{a[0], b[0], a[1], b[1]}; }
    static U interleave_high(U a, U b) { return U{a[2], b[2], a[3], b[3]}; }
    static void widen(const std::uint32_t* from, std::int64_t* to) {
        for (unsigned i = 0; i < lanes; ++i) to[i] = from[i];
    }

private:
    static unsigned bits(Mask x) {
        const Mask bit = x & Mask{1, 2, 4, 8};
        return static_cast<unsigned>(bit[0] | bit[1] | bit[2] | bit[3]);
    }
};

#include "tracking/radius_graph_sort.hpp"
// Behind the sort that it uses.
#include "tracking/radius_graph_body.hpp"

}  // namespace

const RadiusSteps& radius_steps_portable() noexcept {
    return radius_steps;
}

}  // namespace rheinfall::detail
