// Graph construction with vectors of 128 bits, which every processor of ours has.
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "tracking/graph_construction_generic.hpp"
#include "tracking/graph_construction_steps.hpp"

namespace rheinfall::detail {
namespace {

using Floats [[gnu::vector_size(16)]] = float;
using Ints [[gnu::vector_size(16)]] = std::uint32_t;
using Masks [[gnu::vector_size(16)]] = std::int32_t;

struct Portable : Generic<Floats, Ints, Masks> {
#if defined(__SSE2__)
    static std::uint32_t bits(Mask mask) {
        return static_cast<std::uint32_t>(_mm_movemask_ps(reinterpret_cast<__m128>(mask)));
    }
    static Int round(Float v) { return reinterpret_cast<Int>(_mm_cvtps_epi32(v)); }

    static std::uint64_t meet(const std::uint16_t* steps, std::uint16_t from, std::uint16_t last, std::size_t count) {
        std::uint64_t met = 0;
        for (std::size_t k = 0; k < count; k += 16) {
            const __m128i both = _mm_packs_epi16(within(steps + k, from, last), within(steps + k + 8, from, last));
            met |= std::uint64_t{static_cast<std::uint32_t>(_mm_movemask_epi8(both))} << k;
        }
        return count < max_meeting ? met & ((std::uint64_t{1} << count) - 1) : met;
    }
    static __m128i within(const std::uint16_t* steps, std::uint16_t from, std::uint16_t last) {
        const __m128i step = _mm_loadu_si128(reinterpret_cast<const __m128i*>(steps));
        const __m128i below = _mm_sub_epi16(_mm_set1_epi16(static_cast<short>(from)), step);
        // SSE2 compares no unsigned shorts: where it does not exceed, the saturated difference is 0.
        const __m128i excess = _mm_subs_epu16(below, _mm_set1_epi16(static_cast<short>(last)));
        return _mm_cmpeq_epi16(excess, _mm_setzero_si128());
    }
#endif
};

}  // namespace

const GraphSteps& graph_steps_portable() noexcept {
    using Steps = StepsOf<Portable>;
    static constexpr GraphSteps steps{Steps::place_points, Steps::find_candidates, Steps::tag_triplets};
    return steps;
}

}  // namespace rheinfall::detail
