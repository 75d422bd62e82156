// Graph construction with sixteen hits, or sixty-four candidates, at a time. Every function here has internal linkage,
// so that no AVX-512 code ends up in a function that other files share.
#if defined(__x86_64__)
#include "tracking/target_avx512.hpp"

// The instructions are chosen: what follows is compiled with them.
#include "tracking/graph_construction_steps.hpp"

namespace rheinfall::detail {
namespace {

struct Avx512 {
    using Float = __m512;
    using Int = __m512i;
    using Mask = std::uint32_t;
    static constexpr std::size_t n = 16;

    static Float set(float v) { return _mm512_set1_ps(v); }
    static Int set(std::uint32_t v) { return _mm512_set1_epi32(static_cast<int>(v)); }
    static Float load(const float* from) { return _mm512_loadu_ps(from); }
    static Int load(const std::uint32_t* from) { return _mm512_loadu_si512(from); }
    static void store(float* to, Float v) { _mm512_storeu_ps(to, v); }
    static void store(std::uint32_t* to, Int v) { _mm512_storeu_si512(to, v); }
    static void store_halves(std::uint16_t* to, Int v) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(v));
    }

    static Int shift_right(Int v, unsigned by) { return _mm512_srli_epi32(v, by); }
    static void store_segments(Segment* to, Float dzdr, Int doublet, Int heading) {
        const Int slope = _mm512_castps_si512(dzdr);
        const Int rest =
            _mm512_ternarylogic_epi32(doublet, _mm512_slli_epi32(heading, 16), _mm512_set1_epi32(0xffff), 0xe4);
        const Int low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        const Int high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
        _mm512_storeu_si512(to, _mm512_permutex2var_epi32(slope, low, rest));
        _mm512_storeu_si512(to + n / 2, _mm512_permutex2var_epi32(slope, high, rest));
    }

    /// The lowest bytes of both, @p a below.
    static Int low_bytes(Int a, Int b) {
        return _mm512_ternarylogic_epi32(a, _mm512_slli_epi32(b, 8), _mm512_set1_epi32(0xff), 0xe4);
    }

    /// The bytes of @p code less the lower ones of @p window, which has the upper ones.
    static Int query(Int code, Int window) {
        return _mm512_mask_mov_epi16(window, 0x55555555, _mm512_sub_epi8(code, window));
    }

    static Mask gt(Float a, Float b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
    static Mask ge(Float a, Float b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
    static Mask le(Float a, Float b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
    static Mask eq(Float a, Float b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
    static Mask eq(Int a, std::uint32_t b) { return _mm512_cmpeq_epi32_mask(a, set(b)); }
    static Mask differ(Int a, std::uint32_t b) { return _mm512_cmpneq_epi32_mask(a, set(b)); }
    static Float select(Mask mask, Float yes, Float no) {
        return _mm512_mask_mov_ps(no, static_cast<__mmask16>(mask), yes);
    }
    static Mask all() { return 0xffff; }
    static Mask first(std::size_t count) { return count >= n ? 0xffffu : (1u << count) - 1u; }
    static std::uint32_t bits(Mask mask) { return mask; }

    /// Stores the chosen elements, moved together; what follows them, up to a vector, may be overwritten.
    static void store_chosen(float* to, Float v, std::uint32_t chosen) {
        store(to, _mm512_maskz_compress_ps(static_cast<__mmask16>(chosen), v));
    }
    static void store_chosen(std::uint32_t* to, Int v, std::uint32_t chosen) {
        store(to, _mm512_maskz_compress_epi32(static_cast<__mmask16>(chosen), v));
    }
    static Int count_from(std::uint32_t begin) {
        const Int count = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        return _mm512_add_epi32(set(begin), count);
    }
    static Float root(Float v) { return _mm512_sqrt_ps(v); }
    /// Of a normal positive number: m in [0.5, 1) and e of m * 2^e.
    static Float mantissa(Float v) {
        const Int bits = _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(0x007fffff));
        return _mm512_castsi512_ps(_mm512_or_si512(bits, _mm512_set1_epi32(0x3f000000)));
    }
    static Float exponent(Float v) {
        const Int biased = _mm512_srli_epi32(_mm512_castps_si512(v), 23);
        return _mm512_cvtepi32_ps(_mm512_sub_epi32(biased, _mm512_set1_epi32(126)));
    }
    /// To the nearest integer, 2^31 where that is none of 32 bits.
    static Int round(Float v) { return _mm512_cvtps_epi32(v); }
    static Float lower_bfloat16(Int v) { return _mm512_castsi512_ps(_mm512_slli_epi32(v, 16)); }
    static Float upper_bfloat16(Int v) {
        return _mm512_castsi512_ps(_mm512_and_si512(v, _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
    }

    /// Which codes of a block the @p query exceeds by 0 to its upper half, byte by byte.
    static std::uint32_t meet(const std::uint16_t* block, const std::uint32_t& query) {
        const auto* const halves = reinterpret_cast<const char*>(&query);
        const __m512i from = _mm512_broadcastw_epi16(_mm_loadu_si16(halves));
        const __m512i last = _mm512_broadcastw_epi16(_mm_loadu_si16(halves + 2));
        const __m512i excess = _mm512_sub_epi8(from, _mm512_load_si512(block));
        return _mm512_cmpeq_epi16_mask(_mm512_min_epu8(excess, last), excess);
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
    using Steps = StepsOf<Avx512>;
    static constexpr GraphSteps steps{Steps::place_points, Steps::find_candidates, Steps::tag_triplets};
    return steps;
}

}  // namespace rheinfall::detail

#include "tracking/target_end.hpp"
#endif
