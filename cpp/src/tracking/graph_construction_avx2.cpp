// Graph construction with eight hits at a time. Every function here has internal linkage, so that no AVX2 code ends up
// in a function that other files share.
#if defined(__x86_64__)
#include "tracking/target_avx2.hpp"

// The instructions are chosen: what follows is compiled with them.
#include "tracking/graph_construction_generic.hpp"
#include "tracking/graph_construction_steps.hpp"

namespace rheinfall::detail {
namespace {

/// The lanes chosen by each mask of eight, moved together.
constexpr auto chosen_lanes = [] {
    std::array<std::array<std::uint8_t, 8>, 256> table{};
    for (std::size_t mask = 0; mask < 256; ++mask) {
        std::size_t at = 0;
        for (std::uint8_t lane = 0; lane < 8; ++lane) {
            if ((mask >> lane & 1u) != 0) table[mask][at++] = lane;
        }
    }
    return table;
}();

using Floats [[gnu::vector_size(32)]] = float;
using Ints [[gnu::vector_size(32)]] = std::uint32_t;
using Masks [[gnu::vector_size(32)]] = std::int32_t;

struct Avx2 : Generic<Floats, Ints, Masks> {
    static std::uint32_t bits(Mask mask) {
        return static_cast<std::uint32_t>(_mm256_movemask_ps(reinterpret_cast<__m256>(mask)));
    }
    template <class Vector, class Number>
    static void store_chosen(Number* to, Vector v, std::uint32_t chosen) {
        const __m128i lanes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(chosen_lanes[chosen].data()));
        store(to, reinterpret_cast<Vector>(
                      _mm256_permutevar8x32_epi32(reinterpret_cast<__m256i>(v), _mm256_cvtepu8_epi32(lanes))));
    }
    static Int round(Float v) { return reinterpret_cast<Int>(_mm256_cvtps_epi32(v)); }

    static void store_halves(std::uint16_t* to, Int v) {
        const __m256i low = reinterpret_cast<__m256i>(v & 0xffffu);
        const __m128i halves = _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to), halves);
    }

    static void store_segments(Segment* to, Float dzdr, Int doublet, Int heading) {
        const auto slope = reinterpret_cast<__m256i>(dzdr);
        const auto rest = reinterpret_cast<__m256i>((doublet & 0xffffu) | heading << 16);
        const __m256i low = _mm256_unpacklo_epi32(slope, rest);
        const __m256i high = _mm256_unpackhi_epi32(slope, rest);
        auto* const at = reinterpret_cast<__m256i*>(to);
        _mm256_storeu_si256(at, _mm256_permute2x128_si256(low, high, 0x20));
        _mm256_storeu_si256(at + 1, _mm256_permute2x128_si256(low, high, 0x31));
    }

    static std::uint32_t meet(const std::uint16_t* block, const std::uint32_t& query) {
        const __m256i from = set_halves(query);
        const __m256i last = set_halves(query >> 16);
        const __m256i both = _mm256_packs_epi16(meet(block, from, last), meet(block + 16, from, last));
        return static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_permute4x64_epi64(both, 0xd8)));
    }
    static __m256i meet(const std::uint16_t* codes, __m256i from, __m256i last) {
        const __m256i excess = _mm256_sub_epi8(from, _mm256_load_si256(reinterpret_cast<const __m256i*>(codes)));
        return _mm256_cmpeq_epi16(_mm256_min_epu8(excess, last), excess);
    }
    static __m256i set_halves(std::uint32_t v) { return _mm256_set1_epi16(static_cast<short>(v)); }
};

}  // namespace

const GraphSteps& graph_steps_avx2() noexcept {
    using Steps = StepsOf<Avx2>;
    static constexpr GraphSteps steps{Steps::place_points, Steps::find_candidates, Steps::tag_triplets};
    return steps;
}

}  // namespace rheinfall::detail

#include "tracking/target_end.hpp"
#endif
