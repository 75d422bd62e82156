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

    static void store_halves(std::uint16_t* to, Int v) {
        // SSE2 packs signed numbers only: the shifts repeat the sign.
        const __m128i low = _mm_srai_epi32(_mm_slli_epi32(reinterpret_cast<__m128i>(v), 16), 16);
        _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packs_epi32(low, low));
    }

    static void store_segments(Segment* to, Float dzdr, Int doublet, Int heading) {
        const auto slope = reinterpret_cast<__m128i>(dzdr);
        const auto rest = reinterpret_cast<__m128i>((doublet & 0xffffu) | heading << 16);
        auto* const at = reinterpret_cast<__m128i*>(to);
        _mm_storeu_si128(at, _mm_unpacklo_epi32(slope, rest));
        _mm_storeu_si128(at + 1, _mm_unpackhi_epi32(slope, rest));
    }

    static std::uint32_t meet(const std::uint16_t* block, const std::uint32_t& query) {
        const __m128i from = set_halves(query);
        const __m128i last = set_halves(query >> 16);
        const __m128i low = _mm_packs_epi16(meet(block, from, last), meet(block + 8, from, last));
        const __m128i high = _mm_packs_epi16(meet(block + 16, from, last), meet(block + 24, from, last));
        return static_cast<std::uint32_t>(_mm_movemask_epi8(low)) | static_cast<std::uint32_t>(_mm_movemask_epi8(high))
                                                                        << 16;
    }
    static __m128i meet(const std::uint16_t* codes, __m128i from, __m128i last) {
        const __m128i excess = _mm_sub_epi8(from, _mm_load_si128(reinterpret_cast<const __m128i*>(codes)));
        return _mm_cmpeq_epi16(_mm_min_epu8(excess, last), excess);
    }
    static __m128i set_halves(std::uint32_t v) { return _mm_set1_epi16(static_cast<short>(v)); }
#endif
};

}  // namespace

const GraphSteps& graph_steps_portable() noexcept {
    using Steps = StepsOf<Portable>;
    static constexpr GraphSteps steps{Steps::place_points, Steps::find_candidates, Steps::tag_triplets};
    return steps;
}

}  // namespace rheinfall::detail
