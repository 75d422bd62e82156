#include "quantized/forest_avx512.hpp"

#if defined(__x86_64__)

/// Trees in lanes: 16 of 32 bits, or 32 of 16 bits. The keys of an event lie in registers. Row n of a group holds node
/// n of all its trees: the row's words are indices that fetch each tree's key by one permutation, and the operand that
/// it is compared with. Nothing is gathered: every node is compared, masked by whether its tree's path comes by, so
/// that the leaves' rows are merged under these masks, the right ones first. Work is (2^depth - 1) comparisons and
/// 2^depth merges a group, all independent but along a path.
namespace rheinfall::quantized {
namespace {

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

/// Sixteen trees with 32-bit keys.
template <int n_registers, bool packed>
struct Words {
    static constexpr std::size_t lanes = 16;
    using Mask = __mmask16;
    struct Keys {
        __m512i r[n_registers];
    };
    struct Leaves {
        __m512i v;
    };
    static constexpr Mask all = 0xFFFF;

    FOREST_INLINE static Keys load_keys(const ForestPlan& plan, const void* keys, std::size_t event) {
        Keys k;
        const auto* row = static_cast<const std::int32_t*>(keys) + event * plan.key_stride;
        for (int i = 0; i < n_registers; ++i) k.r[i] = _mm512_loadu_si512(row + 16 * i);
        return k;
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
    FOREST_INLINE static Mask left(const ForestPlan& plan, const std::byte* group, std::size_t node, const Keys& keys,
                                   Mask active) {
        const __m512i word = _mm512_load_si512(group + 64 * node);
        __m512i index = word;
        if constexpr (!packed) {
            index = _mm512_cvtepu8_epi32(
                _mm_load_si128(reinterpret_cast<const __m128i*>(group + plan.features_at + 16 * node)));
        }
        return _mm512_mask_cmple_epi32_mask(active, pick(keys, index), word);
    }
    FOREST_INLINE static Leaves none() { return {_mm512_setzero_si512()}; }
    FOREST_INLINE static void merge(Leaves& leaves, const std::byte* rows, std::size_t leaf, Mask mask) {
        leaves.v = _mm512_mask_load_epi32(leaves.v, mask, rows + 64 * leaf);
    }
    FOREST_INLINE static __m512i add(__m512i sum, const Leaves& leaves) { return _mm512_add_epi32(sum, leaves.v); }
    FOREST_INLINE static void store(void* to, const Leaves& leaves) { _mm512_storeu_si512(to, leaves.v); }
};

/// Thirty-two trees with 16-bit keys, their leaves of 16 or 32 bits.
template <int n_registers, int leaf_bits>
struct Halves {
    static constexpr std::size_t lanes = 32;
    using Mask = __mmask32;
    struct Keys {
        __m512i r[n_registers];
    };
    struct Leaves {
        __m512i v[leaf_bits / 16];
    };
    static constexpr Mask all = 0xFFFFFFFF;

    FOREST_INLINE static Keys load_keys(const ForestPlan& plan, const void* keys, std::size_t event) {
        Keys k;
        const auto* row = static_cast<const std::int16_t*>(keys) + event * plan.key_stride;
        for (int i = 0; i < n_registers; ++i) k.r[i] = _mm512_loadu_si512(row + 32 * i);
        return k;
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
    FOREST_INLINE static Mask left(const ForestPlan&, const std::byte* group, std::size_t node, const Keys& keys,
                                   Mask active) {
        const __m512i word = _mm512_load_si512(group + 64 * node);
        const __m512i key = n_registers == 1 ? _mm512_permutexvar_epi16(word, keys.r[0])
                                             : _mm512_permutex2var_epi16(keys.r[0], word, keys.r[n_registers - 1]);
        return _mm512_mask_cmple_epi16_mask(active, key, word);
    }
    FOREST_INLINE static Leaves none() {
        Leaves leaves;
        for (auto& v : leaves.v) v = _mm512_setzero_si512();
        return leaves;
    }
    FOREST_INLINE static void merge(Leaves& leaves, const std::byte* rows, std::size_t leaf, Mask mask) {
        if constexpr (leaf_bits == 16) {
            leaves.v[0] = _mm512_mask_loadu_epi16(leaves.v[0], mask, rows + 64 * leaf);
        } else {
            leaves.v[0] = _mm512_mask_load_epi32(leaves.v[0], static_cast<__mmask16>(mask), rows + 128 * leaf);
            leaves.v[1] =
                _mm512_mask_load_epi32(leaves.v[1], static_cast<__mmask16>(mask >> 16), rows + 128 * leaf + 64);
        }
    }
    FOREST_INLINE static __m512i add(__m512i sum, const Leaves& leaves) {
        if constexpr (leaf_bits == 16) {
            return _mm512_add_epi32(sum, _mm512_madd_epi16(leaves.v[0], _mm512_set1_epi16(1)));
        } else {
            return _mm512_add_epi32(_mm512_add_epi32(sum, leaves.v[0]), leaves.v[1]);
        }
    }
    FOREST_INLINE static void store(void* to, const Leaves& leaves) {
        for (int i = 0; i < leaf_bits / 16; ++i)
            _mm512_storeu_si512(static_cast<std::int32_t*>(to) + 16 * i, leaves.v[i]);
    }
};

/// Levels that are written out in place; below more of them a function is called, which is there once.
constexpr int levels_in_place = 4;

template <class K, int levels>
FOREST_AVX512 __attribute__((noinline)) void descend_apart(const ForestPlan& plan, const std::byte* group,
                                                           std::size_t node, const typename K::Keys& keys,
                                                           typename K::Mask active, typename K::Leaves& leaves,
                                                           std::size_t n_nodes);

/// The subtree below a node. The right half is done first, for all trees in @p active, the left half then overwrites
/// what it got for those that go left: so no mask is ever inverted.
template <class K, int levels>
FOREST_INLINE void descend(const ForestPlan& plan, const std::byte* group, std::size_t node,
                           const typename K::Keys& keys, typename K::Mask active, typename K::Leaves& leaves,
                           std::size_t n_nodes) {
    if constexpr (levels == 0) {
        K::merge(leaves, group + plan.leaves_at, node - n_nodes, active);
    } else {
        const typename K::Mask left = K::left(plan, group, node, keys, active);
        if constexpr (levels == levels_in_place + 1) {
            descend_apart<K, levels - 1>(plan, group, 2 * node + 2, keys, active, leaves, n_nodes);
            descend_apart<K, levels - 1>(plan, group, 2 * node + 1, keys, left, leaves, n_nodes);
        } else {
            descend<K, levels - 1>(plan, group, 2 * node + 2, keys, active, leaves, n_nodes);
            descend<K, levels - 1>(plan, group, 2 * node + 1, keys, left, leaves, n_nodes);
        }
    }
}

template <class K, int levels>
FOREST_AVX512 void descend_apart(const ForestPlan& plan, const std::byte* group, std::size_t node,
                                 const typename K::Keys& keys, typename K::Mask active, typename K::Leaves& leaves,
                                 std::size_t n_nodes) {
    typename K::Leaves found = leaves;
    descend<K, levels>(plan, group, node, keys, active, found, n_nodes);
    leaves = found;
}

template <class K, int depth>
FOREST_INLINE typename K::Leaves find_leaves(const ForestPlan& plan, const std::byte* group,
                                             const typename K::Keys& keys) {
    typename K::Leaves leaves = K::none();
    descend<K, depth>(plan, group, 0, keys, K::all, leaves, (std::size_t{1} << depth) - 1);
    return leaves;
}

/// Sums in any order: a group's tables serve all events of the block before the next group's are read.
template <class K, int depth>
FOREST_AVX512 void sum(const ForestPlan& plan, const void* keys, std::size_t n_events, std::int32_t* out) {
    __m512i sums[ForestPlan::block];
    for (std::size_t c = 0; c < plan.classes.size(); ++c) {
        for (std::size_t event = 0; event < n_events; ++event) sums[event] = _mm512_setzero_si512();
        const std::byte* group = plan.groups() + plan.classes[c].first_group * plan.group_bytes;
        for (std::size_t g = 0; g < plan.classes[c].n_groups; ++g, group += plan.group_bytes) {
            for (std::size_t event = 0; event < n_events; ++event) {
                const typename K::Keys k = K::load_keys(plan, keys, event);
                sums[event] = K::add(sums[event], find_leaves<K, depth>(plan, group, k));
            }
        }
        for (std::size_t event = 0; event < n_events; ++event) {
            out[event * plan.classes.size() + c] = _mm512_reduce_add_epi32(sums[event]);
        }
    }
}

/// The words of the leaves, for sums in order.
template <class K, int depth>
FOREST_AVX512 void select(const ForestPlan& plan, const void* keys, std::size_t n_events, std::int32_t* out) {
    const std::byte* group = plan.groups();
    for (std::size_t g = 0; g < plan.n_groups; ++g, group += plan.group_bytes) {
        for (std::size_t event = 0; event < n_events; ++event) {
            const typename K::Keys k = K::load_keys(plan, keys, event);
            K::store(out + event * plan.n_slots() + g * K::lanes, find_leaves<K, depth>(plan, group, k));
        }
    }
}

/// One event from the caller's array to its sums, all of it in registers.
template <class K, int depth>
FOREST_AVX512 bool sum_event(const ForestPlan& plan, const void* x, ElementType type, std::int32_t* out) {
    typename K::Keys k;
    const bool good = type == ElementType::int32     ? K::convert(plan, static_cast<const std::int32_t*>(x), k)
                      : type == ElementType::float32 ? K::convert(plan, static_cast<const float*>(x), k)
                                                     : K::convert(plan, static_cast<const double*>(x), k);
    if (!good) return false;
    const std::byte* group = plan.groups();
    for (std::size_t c = 0; c < plan.classes.size(); ++c) {
        __m512i sum = _mm512_setzero_si512();
        for (std::size_t g = 0; g < plan.classes[c].n_groups; ++g, group += plan.group_bytes) {
            sum = K::add(sum, find_leaves<K, depth>(plan, group, k));
        }
        out[c] = _mm512_reduce_add_epi32(sum);
    }
    return true;
}

/// As sum_event, for sums of float32 in order: the additions of a group's leaves, which wait for one another, go on
/// while the next group's leaves are found.
template <class K, int depth>
FOREST_AVX512 bool fold_event(const ForestPlan& plan, const void* x, ElementType type, std::int32_t* out) {
    typename K::Keys k;
    const bool good = type == ElementType::float32 ? K::convert(plan, static_cast<const float*>(x), k)
                      : type == ElementType::int32 ? K::convert(plan, static_cast<const std::int32_t*>(x), k)
                                                   : K::convert(plan, static_cast<const double*>(x), k);
    if (!good) return false;
    const std::byte* group = plan.groups();
    alignas(64) float leaves[K::lanes];
    for (std::size_t c = 0; c < plan.classes.size(); ++c) {
        __m128 sum = _mm_set_ss(plan.conversion.initial[c]);
        std::size_t left = plan.classes[c].n_trees;
        for (std::size_t g = 0; g < plan.classes[c].n_groups; ++g, group += plan.group_bytes) {
            K::store(leaves, find_leaves<K, depth>(plan, group, k));
            const std::size_t n = left < K::lanes ? left : K::lanes;
            for (std::size_t i = 0; i < n; ++i) sum = _mm_add_ss(sum, _mm_load_ss(leaves + i));
            left -= n;
        }
        out[c] = _mm_cvtsi128_si32(_mm_castps_si128(sum));
    }
    return true;
}

template <class K>
ForestEvent event_of_depth(const ForestPlan& plan) noexcept {
    const bool sums = plan.order == ForestPlan::Order::any;
    switch (plan.depth) {
        case 3: return sums ? &sum_event<K, 3> : &fold_event<K, 3>;
        case 4: return sums ? &sum_event<K, 4> : &fold_event<K, 4>;
        case 5: return sums ? &sum_event<K, 5> : &fold_event<K, 5>;
        case 6: return sums ? &sum_event<K, 6> : &fold_event<K, 6>;
        default: return nullptr;
    }
}

template <class K, bool sums>
ForestKernel of_depth(int depth) noexcept {
    switch (depth) {
        case 3: return sums ? &sum<K, 3> : &select<K, 3>;
        case 4: return sums ? &sum<K, 4> : &select<K, 4>;
        case 5: return sums ? &sum<K, 5> : &select<K, 5>;
        case 6: return sums ? &sum<K, 6> : &select<K, 6>;
        default: return nullptr;
    }
}

template <class K>
ForestKernel of_order(const ForestPlan& plan) noexcept {
    return plan.order == ForestPlan::Order::any ? of_depth<K, true>(plan.depth) : of_depth<K, false>(plan.depth);
}

}  // namespace

ForestKernel forest_kernel_avx512(const ForestPlan& plan) noexcept {
    if (plan.key_bits == 16) {
        if (plan.feature_bits <= 5) {
            return plan.leaf_bits == 16 ? of_depth<Halves<1, 16>, true>(plan.depth) : of_order<Halves<1, 32>>(plan);
        }
        return plan.leaf_bits == 16 ? of_depth<Halves<2, 16>, true>(plan.depth) : of_order<Halves<2, 32>>(plan);
    }
    switch (plan.feature_bits) {
        case 5: return plan.packed ? of_order<Words<2, true>>(plan) : of_order<Words<2, false>>(plan);
        case 6: return plan.packed ? of_order<Words<4, true>>(plan) : of_order<Words<4, false>>(plan);
        default: return plan.packed ? of_order<Words<1, true>>(plan) : of_order<Words<1, false>>(plan);
    }
}

ForestEvent forest_event_avx512(const ForestPlan& plan) noexcept {
    const bool folds = plan.order == ForestPlan::Order::in_order && !plan.conversion.initial.empty();
    if ((plan.order != ForestPlan::Order::any && !folds) || plan.feature_bits > 5) return nullptr;
    if (plan.key_bits == 16) {
        return plan.leaf_bits == 16 ? event_of_depth<Halves<1, 16>>(plan) : event_of_depth<Halves<1, 32>>(plan);
    }
    if (plan.feature_bits == 5) {
        return plan.packed ? event_of_depth<Words<2, true>>(plan) : event_of_depth<Words<2, false>>(plan);
    }
    return plan.packed ? event_of_depth<Words<1, true>>(plan) : event_of_depth<Words<1, false>>(plan);
}

}  // namespace rheinfall::quantized

#else

namespace rheinfall::quantized {
ForestKernel forest_kernel_avx512(const ForestPlan&) noexcept {
    return nullptr;
}
}  // namespace rheinfall::quantized

#endif
