// Edge features with vectors of 128 bits, which every processor of ours has.
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "tracking/graph_construction_generic.hpp"
#include "tracking/quadruplet_lanes.hpp"

namespace rheinfall::detail {
namespace {

using Floats [[gnu::vector_size(16)]] = float;
using Ints [[gnu::vector_size(16)]] = std::uint32_t;
using Masks [[gnu::vector_size(16)]] = std::int32_t;

struct Portable : Generic<Floats, Ints, Masks> {
    using Few = Portable;  ///< what lists are written by

#if defined(__SSE2__)
    static std::uint32_t bits(Mask mask) {
        return static_cast<std::uint32_t>(_mm_movemask_ps(reinterpret_cast<__m128>(mask)));
    }
    static Float root(Float v) { return _mm_sqrt_ps(v); }
#endif

    /// The chosen ones of the values at @p from, moved together; @p to may be @p from or stand before it.
    static void pack(std::uint32_t* to, const std::uint32_t* from, std::uint32_t chosen) {
        for (std::size_t lane = 0; lane < n; ++lane) {
            *to = from[lane];
            to += chosen >> lane & 1u;
        }
    }
    static void transpose(Float& a, Float& b, Float& c, Float& d) {
        const Float rows[4] = {a, b, c, d};
        a = Float{rows[0][0], rows[1][0], rows[2][0], rows[3][0]};
        b = Float{rows[0][1], rows[1][1], rows[2][1], rows[3][1]};
        c = Float{rows[0][2], rows[1][2], rows[2][2], rows[3][2]};
        d = Float{rows[0][3], rows[1][3], rows[2][3], rows[3][3]};
    }
    /// Four floats at from + stride * index, one vector for each of the four.
    static void gather_four(const float* from, std::size_t stride, const std::uint32_t* index, Float* to) {
        for (std::size_t k = 0; k < 4; ++k) to[k] = load(from + stride * index[k]);
        transpose(to[0], to[1], to[2], to[3]);
    }
    /// The same of eight floats, and a stride of eight.
    static void gather_eight(const float* from, const std::uint32_t* index, Float* to) {
        gather_four(from, 8, index, to);
        gather_four(from + 4, 8, index, to + 4);
    }
    static void scatter_four(float* to, std::size_t stride, const Float* columns) {
        Float rows[4] = {columns[0], columns[1], columns[2], columns[3]};
        transpose(rows[0], rows[1], rows[2], rows[3]);
        for (std::size_t k = 0; k < 4; ++k) store(to + stride * k, rows[k]);
    }
};

}  // namespace

const EdgeSteps& edge_steps_portable() noexcept {
    static constexpr EdgeSteps steps = edge_steps_of<Portable>();
    return steps;
}

}  // namespace rheinfall::detail
