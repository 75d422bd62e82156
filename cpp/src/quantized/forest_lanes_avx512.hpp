#pragma once

#include "quantized/forest_avx512.hpp"

#if defined(__x86_64__)

/// Trees in lanes: 16 of 32 bits, or 32 of 16 bits. The keys of an event lie in registers. Row n of a group holds node
/// n of all its trees: the row's words are indices that fetch each tree's key by one permutation, and the operand that
/// it is compared with. Nothing is gathered and no comparison waits for another: every node is compared, and its two
/// subtrees' leaves are merged by that, from the leaves up to the root. Work is 2^depth - 1 comparisons and as many
/// merges a group, 2^(depth + 1) - 1 rows to load.
namespace rheinfall::quantized {
// Each file has its own, compiled for its own instruction set.
namespace {  // NOLINT(misc-anonymous-namespace-in-header)

/// Sixteen keys from feature f on, shifted as the words are; @p good loses a bit where find_keys has to see to it.
template <class E>
FOREST_INLINE __m512i shifted_keys(const ForestPlan& plan, const E* x, std::size_t f, unsigned& good) {
    const std::size_t n = plan.conversion.n_features - f;
    const auto mask = static_cast<__mmask16>(n >= 16 ? 0xFFFFU : (1U << n) - 1);
    __mmask16 here = 0xFFFF;
    const __m512i key = keys_of(plan, x, f, mask, here);
    good &= here | static_cast<unsigned>(static_cast<__mmask16>(~mask));
    const __m512i offset = _mm512_set1_epi32(static_cast<int>(plan.conversion.key_offset));
    return _mm512_sll_epi32(_mm512_sub_epi32(key, offset), _mm_cvtsi32_si128(plan.packed ? plan.feature_bits : 0));
}

/// The lanes 0, 1, ... of 2^feature_bits keys over and over: an index may have bits above the feature's.
FOREST_INLINE __m512i repeat(const ForestPlan& plan) {
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_and_si512(lane, _mm512_set1_epi32((1 << plan.feature_bits) - 1));
}

/// Adds the first @p n <= 16 floats of a register to a sum, in order. From registers: loads of what was just stored in
/// one piece would wait for the store, and it for the additions before.
FOREST_INLINE __m128 fold(__m128 sum, __m512i leaves, std::size_t n) {
    for (; n >= 4; n -= 4) {
        const __m128 four = _mm_castsi128_ps(_mm512_castsi512_si128(leaves));
        sum = _mm_add_ss(sum, four);
        sum = _mm_add_ss(sum, _mm_shuffle_ps(four, four, 1));
        sum = _mm_add_ss(sum, _mm_shuffle_ps(four, four, 2));
        sum = _mm_add_ss(sum, _mm_shuffle_ps(four, four, 3));
        leaves = _mm512_alignr_epi32(leaves, leaves, 4);
    }
    for (; n > 0; --n) {
        sum = _mm_add_ss(sum, _mm_castsi128_ps(_mm512_castsi512_si128(leaves)));
        leaves = _mm512_alignr_epi32(leaves, leaves, 1);
    }
    return sum;
}

/// Leaves of sixteen trees: of 32 bits, or of 16 that only a sum is asked of (half the bytes to load).
template <int leaf_bits>
struct WordLeaves {
    static constexpr bool in_order = true;  // can be had one by one
    __m512i v;

    FOREST_INLINE static WordLeaves load(const std::byte* rows, std::size_t leaf) {
        return {_mm512_load_si512(rows + 64 * leaf)};
    }
    FOREST_INLINE void merge(__mmask16 mask, const std::byte* rows, std::size_t leaf) {
        v = _mm512_mask_load_epi32(v, mask, rows + 64 * leaf);
    }
    FOREST_INLINE void merge(__mmask16 mask, const WordLeaves& other) { v = _mm512_mask_mov_epi32(v, mask, other.v); }
    FOREST_INLINE __m512i add_to(__m512i sum) const { return _mm512_add_epi32(sum, v); }
    FOREST_INLINE void store(void* to) const { _mm512_storeu_si512(to, v); }
    FOREST_INLINE __m128 fold_into(__m128 sum, std::size_t n) const { return fold(sum, v, n < 16 ? n : 16); }
};
template <>
struct WordLeaves<16> {
    static constexpr bool in_order = false;
    __m256i v;

    FOREST_INLINE static WordLeaves load(const std::byte* rows, std::size_t leaf) {
        return {_mm256_load_si256(reinterpret_cast<const __m256i*>(rows + 32 * leaf))};
    }
    FOREST_INLINE void merge(__mmask16 mask, const std::byte* rows, std::size_t leaf) {
        v = _mm256_mask_loadu_epi16(v, mask, rows + 32 * leaf);
    }
    FOREST_INLINE void merge(__mmask16 mask, const WordLeaves& other) { v = _mm256_mask_mov_epi16(v, mask, other.v); }
    FOREST_INLINE __m512i add_to(__m512i sum) const { return _mm512_add_epi32(sum, _mm512_cvtepi16_epi32(v)); }
};

/// The keys of an event.
template <int n>
struct Registers {
    __m512i r[n];

    FOREST_INLINE static Registers load(const void* row) {
        Registers k;
        for (int i = 0; i < n; ++i) k.r[i] = _mm512_loadu_si512(static_cast<const std::byte*>(row) + 64 * i);
        return k;
    }
};

/// Sixteen trees with 32-bit keys.
template <int n_registers, bool packed, int leaf_bits>
struct Words {
    static constexpr std::size_t lanes = 16;
    using Mask = __mmask16;
    using Leaves = WordLeaves<leaf_bits>;
    using Keys = Registers<n_registers>;

    FOREST_INLINE static Keys load_keys(const ForestPlan& plan, const void* keys, std::size_t event) {
        return Keys::load(static_cast<const std::int32_t*>(keys) + event * plan.key_stride);
    }
    /// The keys of an event whose features are converted here; false if that needs find_keys.
    template <class E>
    FOREST_INLINE static bool convert(const ForestPlan& plan, const E* x, Keys& k) {
        unsigned good = 0xFFFF;
        for (int i = 0; i < n_registers; ++i) k.r[i] = shifted_keys(plan, x, static_cast<std::size_t>(16 * i), good);
        if constexpr (n_registers == 1) k.r[0] = _mm512_permutexvar_epi32(repeat(plan), k.r[0]);
        return good == 0xFFFF;
    }
    FOREST_INLINE static __m512i pick(const Keys& keys, __m512i index) {
        if constexpr (n_registers == 1) return _mm512_permutexvar_epi32(index, keys.r[0]);
        if constexpr (n_registers == 2) return _mm512_permutex2var_epi32(keys.r[0], index, keys.r[1]);
        if constexpr (n_registers == 4) {
            const __m512i low = _mm512_permutex2var_epi32(keys.r[0], index, keys.r[1]);
            const __m512i high = _mm512_permutex2var_epi32(keys.r[2], index, keys.r[3]);
            return _mm512_mask_mov_epi32(low, _mm512_test_epi32_mask(index, _mm512_set1_epi32(32)), high);
        }
    }
    FOREST_INLINE static Mask left(const ForestPlan& plan, const std::byte* group, std::size_t node, const Keys& keys) {
        const __m512i word = _mm512_load_si512(group + 64 * node);
        __m512i index = word;
        if constexpr (!packed) {
            index = _mm512_load_si512(group + plan.features_at + 64 * (node / 2));
            if (node % 2 != 0) index = _mm512_srli_epi32(index, 16);
        }
        return _mm512_cmple_epi32_mask(pick(keys, index), word);
    }
};

/// Leaves of thirty-two trees.
template <int leaf_bits>
struct HalfLeaves {
    static constexpr bool in_order = true;
    __m512i low;
    __m512i high;

    FOREST_INLINE static HalfLeaves load(const std::byte* rows, std::size_t leaf) {
        return {_mm512_load_si512(rows + 128 * leaf), _mm512_load_si512(rows + 128 * leaf + 64)};
    }
    FOREST_INLINE void merge(__mmask32 mask, const HalfLeaves& other) {
        low = _mm512_mask_mov_epi32(low, static_cast<__mmask16>(mask), other.low);
        high = _mm512_mask_mov_epi32(high, static_cast<__mmask16>(mask >> 16), other.high);
    }
    FOREST_INLINE void merge(__mmask32 mask, const std::byte* rows, std::size_t leaf) {
        low = _mm512_mask_load_epi32(low, static_cast<__mmask16>(mask), rows + 128 * leaf);
        high = _mm512_mask_load_epi32(high, static_cast<__mmask16>(mask >> 16), rows + 128 * leaf + 64);
    }
    FOREST_INLINE __m512i add_to(__m512i sum) const { return _mm512_add_epi32(_mm512_add_epi32(sum, low), high); }
    FOREST_INLINE void store(std::int32_t* to) const {
        _mm512_storeu_si512(to, low);
        _mm512_storeu_si512(to + 16, high);
    }
    FOREST_INLINE __m128 fold_into(__m128 sum, std::size_t n) const {
        return n <= 16 ? fold(sum, low, n) : fold(fold(sum, low, 16), high, n < 32 ? n - 16 : 16);
    }
};
template <>
struct HalfLeaves<16> {
    static constexpr bool in_order = false;
    __m512i v;

    FOREST_INLINE static HalfLeaves load(const std::byte* rows, std::size_t leaf) {
        return {_mm512_load_si512(rows + 64 * leaf)};
    }
    FOREST_INLINE void merge(__mmask32 mask, const std::byte* rows, std::size_t leaf) {
        v = _mm512_mask_loadu_epi16(v, mask, rows + 64 * leaf);
    }
    FOREST_INLINE void merge(__mmask32 mask, const HalfLeaves& other) { v = _mm512_mask_mov_epi16(v, mask, other.v); }
    FOREST_INLINE __m512i add_to(__m512i sum) const {
        return _mm512_add_epi32(sum, _mm512_madd_epi16(v, _mm512_set1_epi16(1)));
    }
};

/// Thirty-two trees with 16-bit keys, their leaves of 16 or 32 bits.
template <int n_registers, int leaf_bits>
struct Halves {
    static constexpr std::size_t lanes = 32;
    using Mask = __mmask32;
    using Leaves = HalfLeaves<leaf_bits>;
    using Keys = Registers<n_registers>;

    FOREST_INLINE static Keys load_keys(const ForestPlan& plan, const void* keys, std::size_t event) {
        return Keys::load(static_cast<const std::int16_t*>(keys) + event * plan.key_stride);
    }
    template <class E>
    FOREST_INLINE static bool convert(const ForestPlan& plan, const E* x, Keys& k) {
        static_assert(n_registers == 1);
        unsigned good = 0xFFFF;
        const __m512i low = _mm512_permutexvar_epi32(repeat(plan), shifted_keys(plan, x, 0, good));
        const __m512i high = plan.feature_bits == 5 ? shifted_keys(plan, x, 16, good) : low;
        k.r[0] = _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(low)), _mm512_cvtepi32_epi16(high), 1);
        return good == 0xFFFF;
    }
    FOREST_INLINE static Mask left(const ForestPlan&, const std::byte* group, std::size_t node, const Keys& keys) {
        const __m512i word = _mm512_load_si512(group + 64 * node);
        const __m512i key = n_registers == 1 ? _mm512_permutexvar_epi16(word, keys.r[0])
                                             : _mm512_permutex2var_epi16(keys.r[0], word, keys.r[n_registers - 1]);
        return _mm512_cmple_epi16_mask(key, word);
    }
};

}  // namespace
}  // namespace rheinfall::quantized

#endif
