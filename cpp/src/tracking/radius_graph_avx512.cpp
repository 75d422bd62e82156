// Compiled with AVX-512 (F, BW, DQ, VL): nothing of the standard library may be called from here.
#include "tracking/radius_graph_work.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
// gcc 12 warns about the deliberately undefined operands of its own intrinsics (gcc bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace rheinfall::detail {
namespace {

struct V {
    static constexpr std::size_t lanes = 16;
    static constexpr std::size_t registers = 32;
    using F = __m512;
    using U = __m512i;

    static float infinity() { return __builtin_inff(); }
    static F set(float x) { return _mm512_set1_ps(x); }
    static F load(const float* p) { return _mm512_loadu_ps(p); }
    static void store(float* p, F x) { _mm512_storeu_ps(p, x); }
    static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
    static F min(F a, F b) { return _mm512_min_ps(a, b); }
    static F max(F a, F b) { return _mm512_max_ps(a, b); }
    static F multiply_add(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
    static unsigned less_equal(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }

    static U set_u(std::uint32_t x) { return _mm512_set1_epi32(static_cast<int>(x)); }
    static U count_from(std::uint32_t first) { return _mm512_add_epi32(iota(), set_u(first)); }
    static U load_u(const std::uint32_t* p) { return _mm512_loadu_si512(p); }
    static void store_u(std::uint32_t* p, U x) { _mm512_storeu_si512(p, x); }
    static U min(U a, U b) { return _mm512_min_epu32(a, b); }
    static U max(U a, U b) { return _mm512_max_epu32(a, b); }
    static unsigned greater(U a, U b) { return _mm512_cmpgt_epu32_mask(a, b); }
    /// Writes the lanes of the mask one behind the other, and anything behind them up to a whole vector.
    static void compress(std::uint32_t* p, U x, unsigned mask) {
        store_u(p, _mm512_maskz_compress_epi32(static_cast<__mmask16>(mask), x));
    }
    /// Lane i from lane i ^ mask.
    static U exchange(U x, unsigned mask) { return _mm512_permutexvar_epi32(_mm512_xor_si512(iota(), set_u(mask)), x); }
    /// The larger one in lanes whose number has @p bit, else the smaller one.
    static U min_max(U a, U b, unsigned bit) {
        return _mm512_mask_max_epu32(min(a, b), _mm512_test_epi32_mask(iota(), set_u(bit)), a, b);
    }
    static U interleave_low(U a, U b) {
        return _mm512_permutex2var_epi32(a, _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
                                         b);
    }
    static U interleave_high(U a, U b) {
        return _mm512_permutex2var_epi32(
            a, _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), b);
    }
    static void widen(const std::uint32_t* from, std::int64_t* to) {
        const __m512i x = load_u(from);
        _mm512_storeu_si512(to, _mm512_cvtepu32_epi64(_mm512_castsi512_si256(x)));
        _mm512_storeu_si512(to + 8, _mm512_cvtepu32_epi64(_mm512_extracti64x4_epi64(x, 1)));
    }

private:
    static U iota() { return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
};

#include "tracking/radius_graph_sort.hpp"
// Behind the sort that it uses.
#include "tracking/radius_graph_body.hpp"

}  // namespace

const RadiusSteps& radius_steps_avx512() noexcept {
    return radius_steps;
}

}  // namespace rheinfall::detail
#endif
