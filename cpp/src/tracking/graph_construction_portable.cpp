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

    static void store_bytes(std::uint8_t* to, Int v) {
        const __m128i low = reinterpret_cast<__m128i>(v & 0xffu);
        const __m128i halves = _mm_packs_epi32(low, low);
        const int bytes = _mm_cvtsi128_si32(_mm_packus_epi16(halves, halves));
        std::memcpy(to, &bytes, sizeof bytes);
    }

    static std::uint64_t meet(const std::uint8_t* slopes, const std::uint8_t* headings, const CodeWindows& w,
                              std::size_t count) {
        std::uint64_t met = 0;
        for (std::size_t k = 0; k < count; k += 16) {
            const __m128i slope = _mm_sub_epi8(set_bytes(w.slope_from), load_bytes(slopes + k));
            const __m128i heading = _mm_sub_epi8(load_bytes(headings + k), set_bytes(w.heading_from));
            const __m128i both =
                _mm_and_si128(at_most(slope, set_bytes(w.slope_last)), at_most(heading, set_bytes(w.heading_last)));
            met |= std::uint64_t{static_cast<std::uint32_t>(_mm_movemask_epi8(both))} << k;
        }
        return count < max_meeting ? met & ((std::uint64_t{1} << count) - 1) : met;
    }
    static __m128i load_bytes(const std::uint8_t* from) {
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    }
    static __m128i set_bytes(std::uint8_t v) { return _mm_set1_epi8(static_cast<char>(v)); }
    static __m128i at_most(__m128i v, __m128i last) { return _mm_cmpeq_epi8(_mm_min_epu8(v, last), v); }
#endif
};

}  // namespace

const GraphSteps& graph_steps_portable() noexcept {
    using Steps = StepsOf<Portable>;
    static constexpr GraphSteps steps{Steps::place_points, Steps::find_candidates, Steps::tag_triplets};
    return steps;
}

}  // namespace rheinfall::detail
