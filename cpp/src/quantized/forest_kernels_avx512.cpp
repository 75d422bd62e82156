#include "quantized/forest_lanes_avx512.hpp"

#if defined(__x86_64__)

namespace rheinfall::quantized {
namespace {

/// Levels that are written out in place; below more of them a function is called, which is there once.
constexpr int levels_in_place = 4;

template <class K, int levels>
FOREST_AVX512 __attribute__((noinline)) void descend_apart(const ForestPlan& plan, const std::byte* group,
                                                           std::size_t node, const typename K::Keys& keys,
                                                           typename K::Leaves& found, std::size_t n_nodes);

/// The leaf that each tree's path ends at in the subtree below a node.
template <class K, int levels>
FOREST_INLINE typename K::Leaves descend(const ForestPlan& plan, const std::byte* group, std::size_t node,
                                         const typename K::Keys& keys, std::size_t n_nodes) {
    typename K::Leaves found;
    if constexpr (levels == 1) {
        const std::byte* leaves = group + plan.leaves_at;
        const std::size_t first = 2 * node + 1 - n_nodes;
        found = K::Leaves::load(leaves, first + 1);
        found.merge(K::left(plan, group, node, keys), leaves, first);
    } else if constexpr (levels == levels_in_place + 1) {
        typename K::Leaves left;
        descend_apart<K, levels - 1>(plan, group, 2 * node + 2, keys, found, n_nodes);
        descend_apart<K, levels - 1>(plan, group, 2 * node + 1, keys, left, n_nodes);
        found.merge(K::left(plan, group, node, keys), left);
    } else {
        found = descend<K, levels - 1>(plan, group, 2 * node + 2, keys, n_nodes);
        const typename K::Leaves left = descend<K, levels - 1>(plan, group, 2 * node + 1, keys, n_nodes);
        found.merge(K::left(plan, group, node, keys), left);
    }
    return found;
}

template <class K, int levels>
FOREST_AVX512 void descend_apart(const ForestPlan& plan, const std::byte* group, std::size_t node,
                                 const typename K::Keys& keys, typename K::Leaves& found, std::size_t n_nodes) {
    found = descend<K, levels>(plan, group, node, keys, n_nodes);
}

template <class K, int depth>
FOREST_INLINE typename K::Leaves find_leaves(const ForestPlan& plan, const std::byte* group,
                                             const typename K::Keys& keys) {
    return descend<K, depth>(plan, group, 0, keys, (std::size_t{1} << depth) - 1);
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
                sums[event] = find_leaves<K, depth>(plan, group, k).add_to(sums[event]);
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
            find_leaves<K, depth>(plan, group, k).store(out + event * plan.n_slots() + g * K::lanes);
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
            sum = find_leaves<K, depth>(plan, group, k).add_to(sum);
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
    for (std::size_t c = 0; c < plan.classes.size(); ++c) {
        __m128 sum = _mm_set_ss(plan.conversion.initial[c]);
        std::size_t left = plan.classes[c].n_trees;
        for (std::size_t g = 0; g < plan.classes[c].n_groups; ++g, group += plan.group_bytes) {
            const typename K::Leaves leaves = find_leaves<K, depth>(plan, group, k);
            if (left > K::lanes) {
                sum = leaves.fold_into(sum, K::lanes);
                left -= K::lanes;
            } else {
                sum = leaves.fold_into(sum, left);
            }
        }
        out[c] = _mm_cvtsi128_si32(_mm_castps_si128(sum));
    }
    return true;
}

/// What is to be had of a kind of lanes; leaves of 16 bits are only summed.
template <class K, int depth>
ForestEvent event_of(const ForestPlan& plan) noexcept {
    if constexpr (K::Leaves::in_order) {
        if (plan.order != ForestPlan::Order::any) return &fold_event<K, depth>;
    }
    return &sum_event<K, depth>;
}

template <class K, int depth>
ForestKernel kernel_of(const ForestPlan& plan) noexcept {
    if constexpr (K::Leaves::in_order) {
        if (plan.order != ForestPlan::Order::any) return &select<K, depth>;
    }
    return &sum<K, depth>;
}

template <class K>
ForestEvent event_of_depth(const ForestPlan& plan) noexcept {
    switch (plan.depth) {
        case 3: return event_of<K, 3>(plan);
        case 4: return event_of<K, 4>(plan);
        case 5: return event_of<K, 5>(plan);
        case 6: return event_of<K, 6>(plan);
        default: return nullptr;
    }
}

template <class K>
ForestKernel kernel_of_depth(const ForestPlan& plan) noexcept {
    switch (plan.depth) {
        case 3: return kernel_of<K, 3>(plan);
        case 4: return kernel_of<K, 4>(plan);
        case 5: return kernel_of<K, 5>(plan);
        case 6: return kernel_of<K, 6>(plan);
        default: return nullptr;
    }
}

template <int n_registers>
ForestKernel of_halves(const ForestPlan& plan) noexcept {
    return plan.leaf_bits == 16 ? kernel_of_depth<Halves<n_registers, 16>>(plan)
                                : kernel_of_depth<Halves<n_registers, 32>>(plan);
}

template <int n_registers, bool packed>
ForestKernel of_words(const ForestPlan& plan) noexcept {
    return plan.leaf_bits == 16 ? kernel_of_depth<Words<n_registers, packed, 16>>(plan)
                                : kernel_of_depth<Words<n_registers, packed, 32>>(plan);
}

template <int n_registers, bool packed>
ForestEvent event_of_words(const ForestPlan& plan) noexcept {
    return plan.leaf_bits == 16 ? event_of_depth<Words<n_registers, packed, 16>>(plan)
                                : event_of_depth<Words<n_registers, packed, 32>>(plan);
}

}  // namespace

ForestKernel forest_kernel_avx512(const ForestPlan& plan) noexcept {
    if (plan.key_bits == 16) return plan.feature_bits <= 5 ? of_halves<1>(plan) : of_halves<2>(plan);
    switch (plan.feature_bits) {
        case 5: return plan.packed ? of_words<2, true>(plan) : of_words<2, false>(plan);
        case 6: return plan.packed ? of_words<4, true>(plan) : of_words<4, false>(plan);
        default: return plan.packed ? of_words<1, true>(plan) : of_words<1, false>(plan);
    }
}

ForestEvent forest_event_avx512(const ForestPlan& plan) noexcept {
    const bool folds = plan.order == ForestPlan::Order::in_order && !plan.conversion.initial.empty();
    if ((plan.order != ForestPlan::Order::any && !folds) || plan.feature_bits > 5) return nullptr;
    if (plan.key_bits == 16) {
        return plan.leaf_bits == 16 ? event_of_depth<Halves<1, 16>>(plan) : event_of_depth<Halves<1, 32>>(plan);
    }
    if (plan.feature_bits == 5) {
        return plan.packed ? event_of_words<2, true>(plan) : event_of_words<2, false>(plan);
    }
    return plan.packed ? event_of_words<1, true>(plan) : event_of_words<1, false>(plan);
}

}  // namespace rheinfall::quantized

#else

namespace rheinfall::quantized {
ForestKernel forest_kernel_avx512(const ForestPlan&) noexcept {
    return nullptr;
}
}  // namespace rheinfall::quantized

#endif
