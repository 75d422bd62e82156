// Graph construction with sixteen hits, or thirty-two candidates, at a time. Every function here has internal linkage,
// so that no AVX-512 code ends up in a function that other files share.
#if defined(__x86_64__)
#include <immintrin.h>

#include "tracking/detail/hit_geometry.hpp"
#include "tracking/detail/triplet_codes.hpp"
#include "tracking/graph_construction_work.hpp"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,popcnt,bmi,bmi2"))), \
                             apply_to = function)
#else
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // both of the intrinsics' own
#pragma GCC diagnostic ignored "-Wuninitialized"        // undefined operands: GCC bug 105593
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,popcnt,bmi,bmi2")
#endif

#include "tracking/graph_construction_join.hpp"

namespace rheinfall::detail {
namespace {

constexpr std::size_t lanes = 16;

__mmask16 first_lanes(std::size_t n) {
    return static_cast<__mmask16>(n >= lanes ? 0xffffu : (1u << n) - 1u);
}

__mmask16 contains(const Interval& limits, __m512 v) {
    const __mmask16 above = _mm512_cmp_ps_mask(v, _mm512_set1_ps(limits.low), _CMP_GE_OQ);
    return _mm512_mask_cmp_ps_mask(above, v, _mm512_set1_ps(limits.high), _CMP_LE_OQ);
}

/// As `divisor`.
__m512 divisors(__m512 difference) {
    return _mm512_mask_mov_ps(difference, _mm512_cmp_ps_mask(difference, _mm512_setzero_ps(), _CMP_EQ_OQ),
                              _mm512_set1_ps(1e-6f));
}

/// As `wrap_phi`.
__m512 wrap(__m512 dphi) {
    const __mmask16 above = _mm512_cmp_ps_mask(dphi, _mm512_set1_ps(pi), _CMP_GT_OQ);
    const __mmask16 below = _mm512_cmp_ps_mask(dphi, _mm512_set1_ps(-pi), _CMP_LE_OQ);
    const __m512 turn = _mm512_set1_ps(two_pi);
    return _mm512_mask_add_ps(_mm512_mask_sub_ps(dphi, above, dphi, turn), below, dphi, turn);
}

/// The numbers 0, 1, ...
__m512i iota() {
    return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

struct Avx512 {
    static void find_pairs(const GraphWork& work, std::size_t i, const Neighbour& n, CandidateRoom& room, bool& steep) {
        for (std::size_t j = n.begin; j < n.end; j += lanes) find_pairs(work, i, n, j, room, steep);
    }

    /// Hit @p i with up to sixteen hits from @p j on.
    static void find_pairs(const GraphWork& work, std::size_t i, const Neighbour& n, std::size_t j, CandidateRoom& room,
                           bool& steep) {
        const PointArrays& p = work.points;
        const __m512 dphi = wrap(_mm512_sub_ps(_mm512_loadu_ps(&p.phi[j]), _mm512_set1_ps(p.phi[i])));
        const __m512 deta = _mm512_sub_ps(_mm512_loadu_ps(&p.eta[j]), _mm512_set1_ps(p.eta[i]));
        // Neither needs a division, and together they turn most hits away.
        __mmask16 pass = first_lanes(n.end - j) & contains(n.limits.dphi, dphi) & contains(n.limits.deta, deta);
        if (pass == 0) return;
        const __m512 r1 = _mm512_set1_ps(p.r[i]);
        const __m512 z1 = _mm512_set1_ps(p.z[i]);
        const __m512 dr = divisors(_mm512_sub_ps(_mm512_loadu_ps(&p.r[j]), r1));
        const __m512 dzdr = _mm512_div_ps(_mm512_sub_ps(_mm512_loadu_ps(&p.z[j]), z1), dr);
        const __m512 z0 = _mm512_sub_ps(z1, _mm512_mul_ps(r1, dzdr));
        const __m512 slope = _mm512_div_ps(dphi, dr);
        pass = _kand_mask16(pass, _kand_mask16(contains(n.limits.z0, z0), contains(n.limits.phi_slope, slope)));
        if (i - j < lanes) pass &= static_cast<__mmask16>(~(1u << (i - j)));  // a hit is no pair with itself
        if (pass != 0) keep(work.candidates, j, n.doublet, pass, dzdr, room, steep);
    }

    static void keep(const Candidates& c, std::size_t j, std::uint32_t doublet, __mmask16 pass, __m512 dzdr,
                     CandidateRoom& room, bool& steep) {
        const auto n = static_cast<std::size_t>(__builtin_popcount(pass));
        const std::size_t at = room.begin + room.n;
        room.n += n;
        if (room.begin + room.n > room.end) return;
        const __m512i number = _mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(j)), iota());
        const __m512 kept = _mm512_maskz_compress_ps(pass, dzdr);
        const __mmask16 out = first_lanes(room.end - at >= lanes ? lanes : n);
        _mm512_mask_storeu_epi32(&c.target[at], out, _mm512_maskz_compress_epi32(pass, number));
        _mm512_mask_storeu_ps(&c.dzdr[at], out, kept);
        const __m512i steps = _mm512_cvtps_epi32(_mm512_mul_ps(kept, _mm512_set1_ps(slope_steps)));
        _mm256_mask_storeu_epi16(&c.narrow_dzdr[at], out, _mm512_cvtsepi32_epi16(steps));
        _mm256_mask_storeu_epi16(&c.doublet[at], out, _mm256_set1_epi16(static_cast<short>(doublet)));
        steep |= _mm512_cmp_ps_mask(_mm512_abs_ps(kept), _mm512_set1_ps(max_narrow_slope), _CMP_NLE_UQ) != 0;
    }

    static std::uint32_t meet(const Windows& w, bool half, std::int16_t narrow_dzdr, const std::int16_t* outer_dzdr,
                              const std::uint16_t* outer_doublet, std::size_t n) {
        const __m512i doublet = _mm512_loadu_si512(outer_doublet);
        const __m512i change = _mm512_subs_epi16(_mm512_set1_epi16(narrow_dzdr), _mm512_loadu_si512(outer_dzdr));
        const __m512i low0 = _mm512_load_si512(w.low.data());
        const __m512i high0 = _mm512_load_si512(w.high.data());
        __m512i low, high;
        if (half) {
            low = _mm512_permutexvar_epi16(doublet, low0);
            high = _mm512_permutexvar_epi16(doublet, high0);
        } else {
            low = _mm512_permutex2var_epi16(low0, doublet, _mm512_load_si512(w.low.data() + 32));
            high = _mm512_permutex2var_epi16(high0, doublet, _mm512_load_si512(w.high.data() + 32));
        }
        const std::uint32_t pass = _mm512_mask_cmple_epi16_mask(_mm512_cmpge_epi16_mask(change, low), change, high);
        return n < 32 ? pass & ((1u << n) - 1u) : pass;
    }

    /// `passes(decode_limits(...), ...)` of the pairs (a, b) and (b, c), all sixteen ends at once; hits are r, phi, z,
    /// eta.
    static bool passes_pairs(const DoubletLimits& inner, const DoubletLimits& outer,
                             const ModuleMap::TripletCodes& codes, const float* a, const float* b, const float* c) {
        const __m512 quantity = quantities(_mm_loadu_ps(a), _mm_loadu_ps(b), _mm_loadu_ps(c));
        const __m512 ends = _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(&inner.z0.low)),
                                               _mm256_loadu_ps(&outer.z0.low), 1);
        const __m512 width = _mm512_sub_ps(_mm512_movehdup_ps(ends), _mm512_moveldup_ps(ends));
        const __m512 step = _mm512_div_ps(width, _mm512_set1_ps(255.0f));
        const __m128i code = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes.inner_low_high.data()));
        const __m512 inward = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(code)), step);
        const __m512 decoded = _mm512_mask_sub_ps(_mm512_add_ps(ends, inward), 0xaaaa, ends, inward);
        const __mmask16 low = _mm512_mask_cmp_ps_mask(0x5555, quantity, decoded, _CMP_GE_OQ);
        const __mmask16 high = _mm512_mask_cmp_ps_mask(0xaaaa, quantity, decoded, _CMP_LE_OQ);
        return static_cast<__mmask16>(low | high) == 0xffff;
    }

    /// z0, dphi, phi_slope, deta of the pairs (a, b) and (b, c), each twice.
    static __m512 quantities(__m128 a, __m128 b, __m128 c) {
        const __m256 from = _mm256_set_m128(b, a);
        const __m256 turn = _mm256_set1_ps(two_pi);
        const __m256 raw = _mm256_sub_ps(_mm256_set_m128(c, b), from);  // dr, dphi, dz, deta
        const __mmask8 above = _mm256_mask_cmp_ps_mask(0x22, raw, _mm256_set1_ps(pi), _CMP_GT_OQ);
        const __mmask8 below = _mm256_mask_cmp_ps_mask(0x22, raw, _mm256_set1_ps(-pi), _CMP_LE_OQ);
        const __m256 difference = _mm256_mask_add_ps(_mm256_mask_sub_ps(raw, above, raw, turn), below, raw, turn);
        const __m256 dr = _mm256_permute_ps(difference, 0x00);
        const __mmask8 zero = _mm256_cmp_ps_mask(dr, _mm256_setzero_ps(), _CMP_EQ_OQ);
        const __m256 quotient =  // -, phi_slope, dz/dr, -
            _mm256_div_ps(difference, _mm256_mask_mov_ps(dr, zero, _mm256_set1_ps(1e-6f)));
        const __m256 lift = _mm256_mul_ps(_mm256_permute_ps(from, 0x00), _mm256_permute_ps(quotient, 0xaa));
        const __m256 z0 = _mm256_sub_ps(_mm256_permute_ps(from, 0xaa), lift);
        const __m256 first = _mm256_mask_mov_ps(z0, 0x22, difference);         // z0, dphi, -, -
        const __m256 second = _mm256_mask_mov_ps(difference, 0x22, quotient);  // -, phi_slope, -, deta
        const __m256i inner = _mm256_setr_epi32(0, 0, 1, 1, 9, 9, 11, 11);
        const __m256i outer = _mm256_setr_epi32(4, 4, 5, 5, 13, 13, 15, 15);
        return _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_permutex2var_ps(first, inner, second)),
                                  _mm256_permutex2var_ps(first, outer, second), 1);
    }
};

}  // namespace

const GraphSteps& graph_steps_avx512() noexcept {
    static constexpr GraphSteps steps{StepsOf<Avx512>::find_candidates, StepsOf<Avx512>::tag_triplets};
    return steps;
}

}  // namespace rheinfall::detail

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
