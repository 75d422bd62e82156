// Compiled with AVX2 and FMA: nothing of the standard library may be called from here.
#include "tracking/radius_graph_work.hpp"

#if defined(__x86_64__)
#include <immintrin.h>

namespace rheinfall::detail {
namespace {

/// For each mask of eight lanes their numbers, one behind the other.
struct CompressTable {
    std::uint8_t lane[256][8];
    constexpr CompressTable() : lane() {
        for (unsigned mask = 0; mask < 256; ++mask) {
            unsigned n = 0;
            for (unsigned i = 0; i < 8; ++i) {
                if ((mask >> i & 1U) != 0) lane[mask][n++] = static_cast<std::uint8_t>(i);
            }
        }
    }
};
constexpr CompressTable compress_table;

struct V {
    static constexpr std::size_t lanes = 8;
    static constexpr std::size_t registers = 16;
    using F = __m256;
    using U = __m256i;

    static float infinity() { return __builtin_inff(); }
    static F set(float x) { return _mm256_set1_ps(x); }
    static F load(const float* p) { return _mm256_loadu_ps(p); }
    static void store(float* p, F x) { _mm256_storeu_ps(p, x); }
    static F sub(F a, F b) { return _mm256_sub_ps(a, b); }
    static F min(F a, F b) { return _mm256_min_ps(a, b); }
    static F max(F a, F b) { return _mm256_max_ps(a, b); }
    static F multiply_add(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
    static unsigned less_equal(F a, F b) { return bits(_mm256_castps_si256(_mm256_cmp_ps(a, b, _CMP_LE_OQ))); }

    static U set_u(std::uint32_t x) { return _mm256_set1_epi32(static_cast<int>(x)); }
    static U count_from(std::uint32_t first) { return _mm256_add_epi32(iota(), set_u(first)); }
    static U load_u(const std::uint32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
    static void store_u(std::uint32_t* p, U x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x); }
    static U min(U a, U b) { return _mm256_min_epu32(a, b); }
    static U max(U a, U b) { return _mm256_max_epu32(a, b); }
    static unsigned greater(U a, U b) {
        const U flip = set_u(0x80000000U);
        return bits(_mm256_cmpgt_epi32(_mm256_xor_si256(a, flip), _mm256_xor_si256(b, flip)));
    }
    /// Writes the lanes of the mask one behind the other, and anything behind them up to a whole vector.
    static void compress(std::uint32_t* p, U x, unsigned mask) {
        const auto* lane = reinterpret_cast<const __m128i*>(compress_table.lane[mask]);
        store_u(p, _mm256_permutevar8x32_epi32(x, _mm256_cvtepu8_epi32(_mm_loadl_epi64(lane))));
    }
    /// Lane i from lane i ^ mask.
    static U exchange(U x, unsigned mask) {
        return _mm256_permutevar8x32_epi32(x, _mm256_xor_si256(iota(), set_u(mask)));
    }
    /// The larger one in lanes whose number has @p bit, else the smaller one.
    static U min_max(U a, U b, unsigned bit) {
        const U high = _mm256_cmpeq_epi32(_mm256_and_si256(iota(), set_u(bit)), set_u(bit));
        return _mm256_blendv_epi8(min(a, b), max(a, b), high);
    }
    static U interleave_low(U a, U b) {
        return _mm256_permute2x128_si256(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b), 0x20);
    }
    static U interleave_high(U a, U b) {
        return _mm256_permute2x128_si256(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b), 0x31);
    }
    static void widen(const std::uint32_t* from, std::int64_t* to) {
        const U x = load_u(from);
        auto* out = reinterpret_cast<__m256i*>(to);
        _mm256_storeu_si256(out, _mm256_cvtepu32_epi64(_mm256_castsi256_si128(x)));
        _mm256_storeu_si256(out + 1, _mm256_cvtepu32_epi64(_mm256_extracti128_si256(x, 1)));
    }

private:
    static U iota() { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
    static unsigned bits(U x) { return static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(x))); }
};

#include "tracking/radius_graph_sort.hpp"
// Behind the sort that it uses.
#include "tracking/radius_graph_body.hpp"

}  // namespace

const RadiusSteps& radius_steps_avx2() noexcept {
    return radius_steps;
}

}  // namespace rheinfall::detail
#endif
