#include "quantized/forest_avx512.hpp"

#if defined(__x86_64__)

namespace rheinfall::quantized {
namespace {

template <class E>
FOREST_AVX512 void convert(const ForestPlan& plan, const void* events, std::size_t n_events, void* keys, bool* done) {
    const auto* x = static_cast<const E*>(events);
    const std::size_t n = plan.conversion.n_features;
    const __m128i shift = _mm_cvtsi32_si128(plan.packed ? plan.feature_bits : 0);
    const __m512i offset = _mm512_set1_epi32(static_cast<int>(plan.conversion.key_offset));
    for (std::size_t event = 0; event < n_events; ++event, x += n) {
        unsigned all_good = 0xFFFF;
        for (std::size_t f = 0; f < n; f += 16) {
            const auto mask = static_cast<__mmask16>(n - f >= 16 ? 0xFFFFU : (1U << (n - f)) - 1);
            __mmask16 good = 0xFFFF;
            __m512i key = keys_of(plan, x, f, mask, good);
            all_good &= good | static_cast<unsigned>(static_cast<__mmask16>(~mask));
            key = _mm512_sll_epi32(_mm512_sub_epi32(key, offset), shift);
            const std::size_t at = event * plan.key_stride + f;
            if (plan.key_bits == 32) {
                _mm512_storeu_si512(static_cast<std::int32_t*>(keys) + at, key);
            } else {
                auto* to = static_cast<std::int16_t*>(keys) + at;
                _mm256_storeu_si256(reinterpret_cast<__m256i_u*>(to), _mm512_cvtepi32_epi16(key));
                // With 16 features an index' fifth bit belongs to its key: both halves of the register are the same.
                if (plan.feature_bits == 4) {
                    _mm256_storeu_si256(reinterpret_cast<__m256i_u*>(to + 16), _mm512_cvtepi32_epi16(key));
                }
            }
        }
        done[event] = all_good == 0xFFFF;
    }
}

}  // namespace

ForestConvert forest_convert_avx512(const ForestPlan& plan, ElementType type) noexcept {
    // Fewer features leave more of an index' bits to the key; lay_out_keys repeats those.
    if (plan.feature_bits < 4) return nullptr;
    const bool stored = plan.keys == ForestPlan::Keys::stored;
    const bool fixed_ranks = plan.keys == ForestPlan::Keys::ranks && plan.thresholds.empty();
    switch (type) {
        case ElementType::int16: return stored && plan.conversion.fits_int32 ? &convert<std::int16_t> : nullptr;
        case ElementType::int32: return stored && plan.conversion.fits_int32 ? &convert<std::int32_t> : nullptr;
        case ElementType::int64: return stored && plan.conversion.fits_int32 ? &convert<std::int64_t> : nullptr;
        case ElementType::float32: return fixed_ranks || (stored && !plan.conversion.reals) ? nullptr : &convert<float>;
        case ElementType::float64:
            return fixed_ranks || (stored && !plan.conversion.reals) ? nullptr : &convert<double>;
        default: return nullptr;
    }
}

}  // namespace rheinfall::quantized

#else

namespace rheinfall::quantized {
ForestConvert forest_convert_avx512(const ForestPlan&, ElementType) noexcept {
    return nullptr;
}
}  // namespace rheinfall::quantized

#endif
