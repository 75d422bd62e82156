// Edge features with eight edges at a time. Every function here has internal linkage, so that no AVX2 code ends up in a
// function that other files share.
#if defined(__x86_64__)
#include "tracking/target_avx2.hpp"

// The instructions are chosen: what follows is compiled with them.
#include "tracking/graph_construction_generic.hpp"
#include "tracking/quadruplet_lanes.hpp"

namespace rheinfall::detail {
namespace {

using Floats [[gnu::vector_size(32)]] = float;
using Ints [[gnu::vector_size(32)]] = std::uint32_t;
using Masks [[gnu::vector_size(32)]] = std::int32_t;

struct Avx2 : Generic<Floats, Ints, Masks> {
    using Few = Avx2;  ///< what lists are written by

    static std::uint32_t bits(Mask mask) {
        return static_cast<std::uint32_t>(_mm256_movemask_ps(reinterpret_cast<__m256>(mask)));
    }
    /// The chosen ones of the values at @p from, moved together.
    static void pack(std::uint32_t* to, const std::uint32_t* from, std::uint32_t chosen) {
        const std::uint64_t bytes = _pdep_u64(chosen, 0x0101010101010101u) * 0xff;
        const std::uint64_t places = _pext_u64(0x0706050403020100u, bytes);
        const __m256i lanes = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<long long>(places)));
        const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_permutevar8x32_epi32(v, lanes));
    }
    static Float root(Float v) { return _mm256_sqrt_ps(v); }

    /// 4 x 4 floats, in each quarter of the vectors on its own.
    static void transpose(Float& a, Float& b, Float& c, Float& d) {
        const Float ab_low = _mm256_unpacklo_ps(a, b);
        const Float ab_high = _mm256_unpackhi_ps(a, b);
        const Float cd_low = _mm256_unpacklo_ps(c, d);
        const Float cd_high = _mm256_unpackhi_ps(c, d);
        a = _mm256_shuffle_ps(ab_low, cd_low, 0x44);
        b = _mm256_shuffle_ps(ab_low, cd_low, 0xee);
        c = _mm256_shuffle_ps(ab_high, cd_high, 0x44);
        d = _mm256_shuffle_ps(ab_high, cd_high, 0xee);
    }
    /// Four floats at from + stride * index, one vector for each of the four.
    static void gather_four(const float* from, std::size_t stride, const std::uint32_t* index, Float* to) {
        for (std::size_t k = 0; k < 4; ++k) {
            to[k] = _mm256_set_m128(_mm_loadu_ps(from + stride * index[k + 4]), _mm_loadu_ps(from + stride * index[k]));
        }
        transpose(to[0], to[1], to[2], to[3]);
    }
    /// The same of eight floats, and a stride of eight: a load for each index.
    static void gather_eight(const float* from, const std::uint32_t* index, Float* to) {
        Float rows[n];
        for (std::size_t k = 0; k < n; ++k) rows[k] = _mm256_loadu_ps(from + n * index[k]);
        transpose(rows[0], rows[1], rows[2], rows[3]);
        transpose(rows[4], rows[5], rows[6], rows[7]);
        for (std::size_t k = 0; k < 4; ++k) {
            to[k] = _mm256_permute2f128_ps(rows[k], rows[k + 4], 0x20);
            to[k + 4] = _mm256_permute2f128_ps(rows[k], rows[k + 4], 0x31);
        }
    }
    static void scatter_four(float* to, std::size_t stride, const Float* columns) {
        Float rows[4] = {columns[0], columns[1], columns[2], columns[3]};
        transpose(rows[0], rows[1], rows[2], rows[3]);
        for (std::size_t k = 0; k < 4; ++k) {
            _mm_storeu_ps(to + stride * k, _mm256_castps256_ps128(rows[k]));
            _mm_storeu_ps(to + stride * (k + 4), _mm256_extractf128_ps(rows[k], 1));
        }
    }
};

}  // namespace

const EdgeSteps& edge_steps_avx2() noexcept {
    static constexpr EdgeSteps steps = edge_steps_of<Avx2>();
    return steps;
}

}  // namespace rheinfall::detail

#include "tracking/target_end.hpp"
#endif
