#include <cstring>

#include "quantized/forest_plan.hpp"

namespace rheinfall::quantized {
namespace {

/// Which leaf of a complete tree an event reaches; the branch is an addition, so nothing is mispredicted.
template <bool packed>
std::size_t find_leaf_number(const std::byte* tree, std::size_t features_at, int depth, std::uint32_t feature_mask,
                             const std::int32_t* keys) noexcept {
    std::size_t node = 0;
    for (int level = 0; level < depth; ++level) {
        std::int32_t word = 0;
        std::memcpy(&word, tree + 4 * node, 4);
        std::uint32_t feature = static_cast<std::uint32_t>(word) & feature_mask;
        if constexpr (!packed) std::memcpy(&feature, tree + features_at + 4 * node, 4);
        node = 2 * node + 1 + (keys[feature] > word ? 1 : 0);
    }
    return node + 1 - (std::size_t{1} << depth);
}

template <bool packed>
void evaluate(const ForestPlan& plan, const void* keys, std::size_t n_events, std::int32_t* out) {
    const auto* row = static_cast<const std::int32_t*>(keys);
    const std::uint32_t mask = (std::uint32_t{1} << plan.feature_bits) - 1;
    for (std::size_t event = 0; event < n_events; ++event, row += plan.key_stride) {
        for (std::size_t c = 0; c < plan.classes.size(); ++c) {
            const auto& trees = plan.classes[c];
            std::uint32_t sum = 0;
            for (std::size_t t = trees.first_group; t < trees.first_group + trees.n_trees; ++t) {
                const std::byte* tree = plan.groups() + t * plan.group_bytes;
                const std::size_t leaf = find_leaf_number<packed>(tree, plan.features_at, plan.depth, mask, row);
                std::uint32_t value = 0;
                std::memcpy(&value, tree + plan.leaves_at + 4 * leaf, 4);
                sum += value;
                if (plan.order != ForestPlan::Order::any) {
                    out[event * plan.n_slots() + t] = static_cast<std::int32_t>(value);
                }
            }
            if (plan.order == ForestPlan::Order::any) {
                out[event * plan.classes.size() + c] = static_cast<std::int32_t>(sum);
            }
        }
    }
}

}  // namespace

ForestKernel forest_kernel_portable(const ForestPlan& plan) noexcept {
    return plan.packed ? &evaluate<true> : &evaluate<false>;
}

}  // namespace rheinfall::quantized
