#pragma once

#include "quantized/forest_plan.hpp"

#if defined(__x86_64__)

// The intrinsics of GCC 12 pass a variable that they leave undefined on purpose.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

// Functions for one instruction set, chosen at run time; nothing of std is called in them.
#define FOREST_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#define FOREST_INLINE FOREST_AVX512 __attribute__((always_inline)) inline

/// Inputs as keys, sixteen features at a time. What is rare (an integer outside the type, NaN, a value beyond 2^30 in
/// the type's grid) is left to find_keys: the functions only say so.
namespace rheinfall::quantized {
// Each file has its own, compiled for its own instruction set.
namespace {  // NOLINT(misc-anonymous-namespace-in-header)

struct Pair {
    __m512d low;
    __m512d high;
};

FOREST_INLINE Pair load_doubles(const float* x, __mmask16 mask) {
    const __m512 v = _mm512_maskz_loadu_ps(mask, x);
    return {_mm512_cvtps_pd(_mm512_castps512_ps256(v)), _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1))};
}
FOREST_INLINE Pair load_doubles(const double* x, __mmask16 mask) {
    return {_mm512_maskz_loadu_pd(static_cast<__mmask8>(mask), x),
            _mm512_maskz_loadu_pd(static_cast<__mmask8>(mask >> 8), x + 8)};
}

FOREST_INLINE __m512i load_integers(const std::int16_t* x, __mmask16 mask, __mmask16&) {
    return _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(mask, x));
}
FOREST_INLINE __m512i load_integers(const std::int32_t* x, __mmask16 mask, __mmask16&) {
    return _mm512_maskz_loadu_epi32(mask, x);
}
FOREST_INLINE __m512i load_integers(const std::int64_t* x, __mmask16 mask, __mmask16& good) {
    const __m512i low = _mm512_maskz_loadu_epi64(static_cast<__mmask8>(mask), x);
    const __m512i high = _mm512_maskz_loadu_epi64(static_cast<__mmask8>(mask >> 8), x + 8);
    const __m256i low32 = _mm512_cvtepi64_epi32(low);
    const __m256i high32 = _mm512_cvtepi64_epi32(high);
    const unsigned same = _mm512_cmpeq_epi64_mask(_mm512_cvtepi32_epi64(low32), low) |
                          static_cast<unsigned>(_mm512_cmpeq_epi64_mask(_mm512_cvtepi32_epi64(high32), high)) << 8;
    good = static_cast<__mmask16>(good & same);
    return _mm512_inserti64x4(_mm512_castsi256_si512(low32), high32, 1);
}

FOREST_INLINE __m512d round_to(__m512d v, Rounding rounding) {
    if (rounding == Rounding::rnd_conv) {
        return _mm512_roundscale_pd(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    }
    if (rounding == Rounding::trn_zero) return _mm512_roundscale_pd(v, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
    const __m512d floor = _mm512_roundscale_pd(v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    if (rounding == Rounding::trn) return floor;
    const __mmask8 up = _mm512_cmp_pd_mask(_mm512_sub_pd(v, floor), _mm512_set1_pd(0.5), _CMP_GE_OQ);  // rnd
    return _mm512_mask_add_pd(floor, up, floor, _mm512_set1_pd(1.0));
}

FOREST_INLINE __m512i bring_into_range(const ForestPlan& plan, __m512i q) {
    const ForestConversion& rule = plan.conversion;
    if (rule.overflow == Overflow::wrap) {
        const __m128i unused = _mm_cvtsi32_si128(32 - rule.width);
        const __m512i up = _mm512_sll_epi32(q, unused);
        return plan.key_offset == 0 ? _mm512_sra_epi32(up, unused) : _mm512_srl_epi32(up, unused);
    }
    const __m512i low = _mm512_set1_epi32(static_cast<int>(rule.low));
    const __m512i high = _mm512_set1_epi32(static_cast<int>(rule.high));
    if (rule.overflow == Overflow::sat_zero) {
        const __mmask16 inside = _mm512_cmple_epi32_mask(low, q) & _mm512_cmple_epi32_mask(q, high);
        return _mm512_maskz_mov_epi32(inside, q);
    }
    return _mm512_min_epi32(_mm512_max_epi32(q, low), high);
}

/// Reals in the grid of a fixed type.
FOREST_INLINE __m512i quantize(const ForestPlan& plan, Pair x, __mmask16& good) {
    const __m512d scale = _mm512_set1_pd(plan.conversion.scale);
    const __m512d limit = _mm512_set1_pd(1073741824.0);
    const __m512d low = _mm512_mul_pd(x.low, scale);
    const __m512d high = _mm512_mul_pd(x.high, scale);
    const unsigned near = _mm512_cmp_pd_mask(_mm512_abs_pd(low), limit, _CMP_LT_OQ) |
                          static_cast<unsigned>(_mm512_cmp_pd_mask(_mm512_abs_pd(high), limit, _CMP_LT_OQ)) << 8;
    good = static_cast<__mmask16>(good & near);
    const __m256i a = _mm512_cvtpd_epi32(round_to(low, plan.conversion.rounding));
    const __m256i b = _mm512_cvtpd_epi32(round_to(high, plan.conversion.rounding));
    return bring_into_range(plan, _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1));
}

/// The order of floats as integers; see ordered_bits.
FOREST_INLINE __m512i order(__m512 x, bool nan_is_rare, __mmask16& good) {
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    if (nan_is_rare) good = static_cast<__mmask16>(good & ~nan);
    const __m512i b = _mm512_castps_si512(_mm512_add_ps(x, _mm512_setzero_ps()));
    const __m512i flip = _mm512_srli_epi32(_mm512_srai_epi32(b, 31), 1);
    return _mm512_mask_mov_epi32(_mm512_xor_si512(b, flip), nan, _mm512_set1_epi32(0x7FFFFFFF));
}

FOREST_INLINE __m512 load_floats(const float* x, __mmask16 mask) {
    return _mm512_maskz_loadu_ps(mask, x);
}
FOREST_INLINE __m512 load_floats(const double* x, __mmask16 mask) {
    const Pair p = load_doubles(x, mask);
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(p.low)), _mm512_cvtpd_ps(p.high), 1);
}

/// How many of a feature's thresholds lie below x, for eight features from f on: a binary search in lanes.
FOREST_INLINE __m256i ranks(const ForestPlan& plan, __m512d x, std::size_t f, __mmask8 mask) {
    const __m512i begin = _mm512_maskz_loadu_epi64(mask, plan.rank_begin.data() + f);
    const __m512i n = _mm512_sub_epi64(_mm512_maskz_loadu_epi64(mask, plan.rank_begin.data() + f + 1), begin);
    const __m512i last = _mm512_sub_epi64(begin, _mm512_set1_epi64(1));  // where threshold "next" of a feature lies
    __m512i rank = _mm512_setzero_si512();
    for (std::int64_t step = plan.conversion.rank_step; step > 0; step /= 2) {
        const __m512i next = _mm512_add_epi64(rank, _mm512_set1_epi64(step));
        const __mmask8 inside = _mm512_cmple_epi64_mask(next, n);
        const __m512d threshold = _mm512_mask_i64gather_pd(_mm512_setzero_pd(), inside, _mm512_add_epi64(last, next),
                                                           plan.thresholds.data(), 8);
        // Written so that a NaN lies above every threshold: it compares false, and so goes right.
        const __mmask8 below = plan.conversion.inclusive ? _mm512_mask_cmp_pd_mask(inside, x, threshold, _CMP_NLE_UQ)
                                                         : _mm512_mask_cmp_pd_mask(inside, x, threshold, _CMP_NLT_UQ);
        rank = _mm512_mask_mov_epi64(rank, below, next);
    }
    return _mm512_cvtepi64_epi32(rank);
}

template <class E>
FOREST_INLINE __m512i keys_of(const ForestPlan& plan, const E* x, std::size_t f, __mmask16 mask, __mmask16& good) {
    if constexpr (static_cast<E>(0.5) == static_cast<E>(0)) {  // integers
        const __m512i q = load_integers(x + f, mask, good);
        const __mmask16 inside = _mm512_cmple_epi32_mask(_mm512_set1_epi32(static_cast<int>(plan.conversion.low)), q) &
                                 _mm512_cmple_epi32_mask(q, _mm512_set1_epi32(static_cast<int>(plan.conversion.high)));
        good = static_cast<__mmask16>(good & inside);
        return q;
    } else if (plan.keys == ForestPlan::Keys::stored) {
        return quantize(plan, load_doubles(x + f, mask), good);
    } else if (plan.keys == ForestPlan::Keys::float_order) {
        return order(load_floats(x + f, mask), plan.has_missing, good);
    } else {
        const Pair p = load_doubles(x + f, mask);
        if (plan.has_missing) {
            const unsigned number = _mm512_cmp_pd_mask(p.low, p.low, _CMP_ORD_Q) |
                                    static_cast<unsigned>(_mm512_cmp_pd_mask(p.high, p.high, _CMP_ORD_Q)) << 8;
            good = static_cast<__mmask16>(good & number);
        }
        const __m256i low = ranks(plan, p.low, f, static_cast<__mmask8>(mask));
        const __m256i high = ranks(plan, p.high, f + 8, static_cast<__mmask8>(mask >> 8));
        return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    }
}

}  // namespace
}  // namespace rheinfall::quantized

#endif
