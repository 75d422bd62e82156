#include "quantized/forest_plan.hpp"

#if defined(__x86_64__)

#include <immintrin.h>

#define FOREST_AVX2 __attribute__((target("avx2")))

namespace rheinfall::quantized {
namespace {

/// The leaf words of eight trees in lanes, one after the other in the tables: per level one gather of the nodes' words
/// and one of the keys that they name.
template <bool packed>
FOREST_AVX2 inline __m256i leaf_words(const ForestPlan& plan, const std::byte* trees, const std::int32_t* keys) {
    const int stride = static_cast<int>(plan.group_bytes / 4);
    const __m256i base = _mm256_mullo_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(stride));
    const __m256i mask = _mm256_set1_epi32((1 << plan.feature_bits) - 1);
    const __m256i one = _mm256_set1_epi32(1);
    const auto* words = reinterpret_cast<const int*>(trees);
    const auto* features = reinterpret_cast<const int*>(trees + plan.features_at);
    __m256i node = _mm256_setzero_si256();
    for (int level = 0; level < plan.depth; ++level) {
        const __m256i at = _mm256_add_epi32(base, node);
        const __m256i word = _mm256_i32gather_epi32(words, at, 4);
        const __m256i feature = packed ? _mm256_and_si256(word, mask) : _mm256_i32gather_epi32(features, at, 4);
        const __m256i key = _mm256_i32gather_epi32(keys, feature, 4);
        const __m256i right = _mm256_cmpgt_epi32(key, word);  // -1: right
        node = _mm256_sub_epi32(_mm256_add_epi32(_mm256_add_epi32(node, node), one), right);
    }
    const __m256i leaf = _mm256_sub_epi32(node, _mm256_set1_epi32((1 << plan.depth) - 1));
    const auto* leaves = reinterpret_cast<const int*>(trees + plan.leaves_at);
    return _mm256_i32gather_epi32(leaves, _mm256_add_epi32(base, leaf), 4);
}

FOREST_AVX2 inline std::int32_t sum_of_lanes(__m256i v) {
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4E));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xB1));
    return _mm_cvtsi128_si32(half);
}

template <bool packed>
FOREST_AVX2 void evaluate(const ForestPlan& plan, const void* keys, std::size_t n_events, std::int32_t* out) {
    const auto* row = static_cast<const std::int32_t*>(keys);
    const bool any_order = plan.order == ForestPlan::Order::any;
    for (std::size_t event = 0; event < n_events; ++event, row += plan.key_stride) {
        for (std::size_t c = 0; c < plan.classes.size(); ++c) {
            const auto& trees = plan.classes[c];
            __m256i sum = _mm256_setzero_si256();
            for (std::size_t t = trees.first_group; t < trees.first_group + trees.n_groups; t += 8) {
                const __m256i words = leaf_words<packed>(plan, plan.groups() + t * plan.group_bytes, row);
                sum = _mm256_add_epi32(sum, words);
                if (!any_order) {
                    _mm256_storeu_si256(reinterpret_cast<__m256i_u*>(out + event * plan.n_slots() + t), words);
                }
            }
            if (any_order) out[event * plan.classes.size() + c] = sum_of_lanes(sum);
        }
    }
}

}  // namespace

ForestKernel forest_kernel_avx2(const ForestPlan& plan) noexcept {
    // Offsets within eight trees are 32-bit words.
    if (plan.group_bytes > (std::size_t{1} << 27)) return nullptr;
    return plan.packed ? &evaluate<true> : &evaluate<false>;
}

}  // namespace rheinfall::quantized

#else

namespace rheinfall::quantized {
ForestKernel forest_kernel_avx2(const ForestPlan&) noexcept {
    return nullptr;
}
}  // namespace rheinfall::quantized

#endif
