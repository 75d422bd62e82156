// The hits of a track by distance, eight at a time.
#if defined(__x86_64__)
#include <immintrin.h>

#include <algorithm>
#include <array>

#include "tracking/hits_by_distance.hpp"

// The instructions are chosen: what follows is compiled with them.
#include "tracking/target_avx512.hpp"

namespace rheinfall::detail {

namespace {

constexpr std::size_t lanes = 8;

/// The lanes in use of those from @p first on, of @p n.
__mmask8 lanes_below(std::size_t n, std::size_t first) noexcept {
    return static_cast<__mmask8>(n - first < lanes ? (1U << (n - first)) - 1 : 0xFFU);
}

__m512i load(std::span<const Index> hits, std::size_t first) noexcept {
    return _mm512_cvtepu32_epi64(_mm256_maskz_loadu_epi32(lanes_below(hits.size(), first), hits.data() + first));
}

}  // namespace

void order_by_distance_avx512(std::span<const double> distance2, std::span<const Index> hits,
                              std::int64_t* to) noexcept {
    const std::size_t n = hits.size();
    alignas(64) std::array<double, most_counted> keys;
    for (std::size_t b = 0; b < n; b += lanes) {
        const __m512d none = _mm512_setzero_pd();
        const __m512d key = _mm512_mask_i64gather_pd(none, lanes_below(n, b), load(hits, b), distance2.data(), 8);
        _mm512_store_pd(keys.data() + b, key);
    }
    for (std::size_t b = 0; b < n; b += lanes) {
        const __m512d key = _mm512_load_pd(keys.data() + b);
        const std::size_t end = std::min(b + lanes, n);
        __m512i place = _mm512_setzero_si512();  // the number of hits before
        const auto count = [&place](__mmask8 where) {
            place = _mm512_mask_add_epi64(place, where, place, _mm512_set1_epi64(1));
        };
        for (std::size_t j = 0; j < b; ++j) count(_mm512_cmp_pd_mask(_mm512_set1_pd(keys[j]), key, _CMP_LE_OQ));
        for (std::size_t j = b; j < end; ++j) {  // equal keys: ascending index
            const __m512d other = _mm512_set1_pd(keys[j]);
            const auto behind = static_cast<__mmask8>(0xFEU << (j - b));
            count(_mm512_mask_cmp_pd_mask(behind, other, key, _CMP_LE_OQ) | _mm512_cmp_pd_mask(other, key, _CMP_LT_OQ));
        }
        for (std::size_t j = end; j < n; ++j) count(_mm512_cmp_pd_mask(_mm512_set1_pd(keys[j]), key, _CMP_LT_OQ));
        _mm512_mask_i64scatter_epi64(to, lanes_below(n, b), place, load(hits, b), 8);
    }
}

}  // namespace rheinfall::detail

#include "tracking/target_end.hpp"
#endif
