#include "quantized/forest_plan.hpp"
#include "core/instruction_sets.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "quantized/detail/fixed_point.hpp"
#include "quantized/forest_keys.hpp"

namespace rheinfall::quantized {
namespace {

using Kind = NumberType::Kind;

/// A tree padded to a complete one: threshold keys and features by node, and the leaves.
struct CompleteTree {
    std::vector<std::int64_t> keys;
    std::vector<std::int32_t> features;
    std::vector<const ForestNode*> leaves;
};

/// How a comparison turns out whatever the event.
enum class Outcome : std::uint8_t { open, left, right };

class Builder {
public:
    Builder(const ForestModel& model, ForestPlan& plan) : model_(model), plan_(plan) {}

    void collect_ranks();
    void choose_keys();
    [[nodiscard]] bool fits() const;
    void choose_order();
    void fill();

private:
    [[nodiscard]] Outcome threshold_key(const ForestNode& node, std::int64_t& key) const;
    void complete(const ForestTree& tree, std::int32_t from, std::size_t node, int level, CompleteTree& out) const;
    void write_tree(const CompleteTree& tree, std::size_t slot);
    [[nodiscard]] std::int32_t leaf_word(const ForestNode& leaf) const;
    [[nodiscard]] Int128 bound(bool upper) const;

    const ForestModel& model_;
    ForestPlan& plan_;
    std::int64_t max_rank_ = 0;
};

template <class T>
void sort_ranks(std::vector<std::vector<T>>& by_feature, std::vector<T>& all, std::vector<std::size_t>& begin,
                std::int64_t& longest) {
    for (auto& thresholds : by_feature) {
        std::ranges::sort(thresholds);
        thresholds.erase(std::unique(thresholds.begin(), thresholds.end()), thresholds.end());
        begin.push_back(all.size());
        all.insert(all.end(), thresholds.begin(), thresholds.end());
        longest = std::max(longest, static_cast<std::int64_t>(thresholds.size()));
    }
    begin.push_back(all.size());
}

void Builder::collect_ranks() {
    if (plan_.keys != ForestPlan::Keys::ranks) return;
    const auto n = static_cast<std::size_t>(model_.n_features);
    std::vector<std::vector<double>> reals(n);
    std::vector<std::vector<std::int64_t>> integers(n);
    for (const ForestTree& tree : model_.trees) {
        for (const ForestNode& node : tree.nodes) {
            if (node.is_leaf()) continue;
            const auto f = static_cast<std::size_t>(node.feature);
            if (model_.input.kind == Kind::fixed) {
                integers[f].push_back(node.number.integer);
            } else {
                reals[f].push_back(node.number.real == 0.0 ? 0.0 : node.number.real);
            }
        }
    }
    if (model_.input.kind == Kind::fixed) {
        sort_ranks(integers, plan_.thresholds_int, plan_.rank_begin, max_rank_);
    } else {
        sort_ranks(reals, plan_.thresholds, plan_.rank_begin, max_rank_);
    }
}

void Builder::choose_keys() {
    plan_.feature_bits = static_cast<int>(std::bit_width(static_cast<unsigned>(model_.n_features - 1)));
    const FixedType& type = model_.input.fixed;
    int width = 32;
    if (plan_.keys == ForestPlan::Keys::stored) {
        plan_.key_min = detail::smallest(type);
        plan_.key_max = static_cast<std::int64_t>(detail::largest(type));
        // Unsigned keys of full width would not fit a signed word, so they start at -2^(width - 1).
        plan_.key_offset = type.is_signed ? 0 : std::int64_t{1} << (type.width - 1);
        width = type.width;
    } else if (plan_.keys == ForestPlan::Keys::ranks) {
        plan_.key_min = 0;
        plan_.key_max = max_rank_;
        width = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(max_rank_))) + 1;
    }
    const bool halves = plan_.isa == Isa::avx512 && plan_.feature_bits <= 6;
    plan_.key_bits = halves && width + plan_.feature_bits <= 16 ? 16 : 32;
    plan_.packed = width + plan_.feature_bits <= plan_.key_bits;
}

/// The tables hold features that a permutation reaches, and trees whose padding stays small.
bool Builder::fits() const {
    if (plan_.depth > ForestPlan::max_complete_depth || model_.trees.empty()) return false;
    if (plan_.isa == Isa::avx512) return plan_.feature_bits <= 6;
    return plan_.feature_bits <= 16;
}

Int128 Builder::bound(bool upper) const {
    const FixedType& type = model_.score.fixed;
    Int128 worst = 0;
    for (std::size_t c = 0; c < model_.trees_of_class.size(); ++c) {
        Int128 sum = detail::widen<Int128>(model_.initial[c].integer, type);
        if ((sum < 0) == upper) sum = 0;
        for (const std::int32_t t : model_.trees_of_class[c]) {
            Int128 extreme = 0;
            for (const ForestNode& node : model_.trees[static_cast<std::size_t>(t)].nodes) {
                if (!node.is_leaf()) continue;
                const auto value = detail::widen<Int128>(node.number.integer, type);
                extreme = upper ? std::max(extreme, value) : std::min(extreme, value);
            }
            sum += extreme;
        }
        worst = upper ? std::max(worst, sum) : std::min(worst, sum);
    }
    return worst;
}

void Builder::choose_order() {
    const FixedType& type = model_.score.fixed;
    const bool is_fixed = model_.score.kind == Kind::fixed;
    if (model_.score.kind == Kind::float64 || (is_fixed && type.width > 32)) {
        plan_.order = ForestPlan::Order::in_order_wide;
        return;
    }
    plan_.order = ForestPlan::Order::in_order;
    if (!is_fixed) return;
    const std::int64_t smallest =
        detail::smallest(type) + (type.overflow == Overflow::sat_sym && type.is_signed ? 1 : 0);
    const bool inside =
        bound(true) <= Int128{static_cast<std::int64_t>(detail::largest(type))} && bound(false) >= smallest;
    if (type.overflow != Overflow::wrap && !inside) return;
    plan_.order = ForestPlan::Order::any;
    if (plan_.isa != Isa::avx512) return;
    plan_.leaf_bits = 16;
    for (const ForestTree& tree : model_.trees) {
        for (const ForestNode& node : tree.nodes) {
            if (node.is_leaf() && (node.number.integer < -32768 || node.number.integer > 32767)) plan_.leaf_bits = 32;
        }
    }
}

/// The key that a node's input is compared with by <=, unless the outcome is clear.
Outcome Builder::threshold_key(const ForestNode& node, std::int64_t& key) const {
    const std::int64_t strict = model_.inclusive ? 0 : 1;
    switch (plan_.keys) {
        case ForestPlan::Keys::stored:
            // A threshold may be any int64: first the outcomes, so that nothing overflows below.
            if (node.number.integer < plan_.key_min + strict) return Outcome::right;
            if (node.number.integer - strict >= plan_.key_max) return Outcome::left;
            key = node.number.integer - strict - plan_.key_offset;
            return Outcome::open;
        case ForestPlan::Keys::float_order:
            key = std::int64_t{ordered_bits(static_cast<float>(node.number.real))} - strict;
            return Outcome::open;
        case ForestPlan::Keys::ranks: break;
    }
    const auto f = static_cast<std::size_t>(node.feature);
    const auto begin = static_cast<std::ptrdiff_t>(plan_.rank_begin[f]);
    if (model_.input.kind == Kind::fixed) {
        const auto first = plan_.thresholds_int.begin() + begin;
        key =
            std::lower_bound(first, plan_.thresholds_int.begin() + static_cast<std::ptrdiff_t>(plan_.rank_begin[f + 1]),
                             node.number.integer) -
            first;
    } else {
        const auto first = plan_.thresholds.begin() + begin;
        key = std::lower_bound(first, plan_.thresholds.begin() + static_cast<std::ptrdiff_t>(plan_.rank_begin[f + 1]),
                               node.number.real) -
              first;
    }
    return Outcome::open;
}

// As deep as the plan: max_complete_depth levels at most.
void Builder::complete(  // NOLINT(misc-no-recursion)
    const ForestTree& tree, std::int32_t from, std::size_t node, int level, CompleteTree& out) const {
    const ForestNode& source = tree.nodes[static_cast<std::size_t>(from)];
    if (level == plan_.depth) {
        // Below a node whose outcome is clear there may be levels left over, but never nodes beyond the depth.
        out.leaves[node - plan_.n_nodes()] = &source;
        return;
    }
    std::int64_t key = 0;
    std::int32_t left = from;
    std::int32_t right = from;
    std::int32_t feature = 0;
    if (!source.is_leaf()) {
        const Outcome outcome = threshold_key(source, key);
        if (outcome == Outcome::left) return complete(tree, source.left, node, level, out);
        if (outcome == Outcome::right) return complete(tree, source.right, node, level, out);
        left = source.left;
        right = source.right;
        feature = source.feature;
    }
    out.keys[node] = key;
    out.features[node] = feature;
    complete(tree, left, 2 * node + 1, level + 1, out);
    complete(tree, right, 2 * node + 2, level + 1, out);
}

std::int32_t Builder::leaf_word(const ForestNode& leaf) const {
    if (model_.score.kind == Kind::float32) return std::bit_cast<std::int32_t>(static_cast<float>(leaf.number.real));
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(static_cast<std::uint64_t>(leaf.number.integer)));
}

void Builder::write_tree(const CompleteTree& tree, std::size_t slot) {
    const std::size_t lane = slot % plan_.lanes;
    const std::size_t start = static_cast<std::size_t>(plan_.groups() - plan_.tables.data());
    std::byte* group = plan_.tables.data() + start + slot / plan_.lanes * plan_.group_bytes;
    const auto put = [](std::byte* at, auto value) { std::memcpy(at, &value, sizeof value); };
    for (std::size_t n = 0; n < plan_.n_nodes(); ++n) {
        const std::size_t at = n * plan_.lanes + lane;
        const auto key = static_cast<std::uint64_t>(tree.keys[n]);
        const auto feature = static_cast<std::uint64_t>(tree.features[n]);
        const std::uint64_t word = plan_.packed ? key << plan_.feature_bits | feature : key;
        if (plan_.key_bits == 16) {
            put(group + 2 * at, static_cast<std::uint16_t>(word));
        } else {
            put(group + 4 * at, static_cast<std::uint32_t>(word));
        }
        if (plan_.packed) continue;
        if (plan_.lanes > 1) {
            put(group + plan_.features_at + 4 * (n / 2 * plan_.lanes + lane) + 2 * (n % 2),
                static_cast<std::uint16_t>(feature));
        } else {
            put(group + plan_.features_at + 4 * n, static_cast<std::uint32_t>(feature));
        }
    }
    for (std::size_t l = 0; l < plan_.n_leaves(); ++l) {
        const std::size_t at = l * plan_.lanes + lane;
        if (plan_.order == ForestPlan::Order::in_order_wide) {
            const Number& value = tree.leaves[l]->number;
            plan_.wide_leaves[slot * plan_.n_leaves() + l] =
                model_.score.kind == Kind::fixed ? value.integer : std::bit_cast<std::int64_t>(value.real);
            put(group + plan_.leaves_at + 4 * at, static_cast<std::uint32_t>(l));
        } else if (plan_.leaf_bits == 16) {
            put(group + plan_.leaves_at + 2 * at, static_cast<std::int16_t>(leaf_word(*tree.leaves[l])));
        } else {
            put(group + plan_.leaves_at + 4 * at, leaf_word(*tree.leaves[l]));
        }
    }
}

void Builder::fill() {
    const std::size_t padding = plan_.isa == Isa::avx2 ? 8 : plan_.lanes;  // trees that go through a kernel together
    for (const auto& trees : model_.trees_of_class) {
        const std::size_t n_slots = (trees.size() + padding - 1) / padding * padding;
        plan_.classes.push_back({plan_.n_groups, n_slots / plan_.lanes, trees.size()});
        plan_.n_groups += n_slots / plan_.lanes;
    }
    const std::size_t word = static_cast<std::size_t>(plan_.key_bits) / 8;
    const std::size_t feature_rows = plan_.packed ? 0 : plan_.lanes == 1 ? plan_.n_nodes() : (plan_.n_nodes() + 1) / 2;
    plan_.features_at = plan_.n_nodes() * plan_.lanes * word;
    plan_.leaves_at = plan_.features_at + feature_rows * plan_.lanes * 4;
    if (plan_.lanes > 1) plan_.leaves_at = (plan_.leaves_at + 63) / 64 * 64;
    plan_.group_bytes =
        plan_.leaves_at + plan_.n_leaves() * plan_.lanes * static_cast<std::size_t>(plan_.leaf_bits) / 8;
    if (plan_.lanes > 1) plan_.group_bytes = (plan_.group_bytes + 63) / 64 * 64;
    plan_.tables.assign(plan_.n_groups * plan_.group_bytes + 128, std::byte{0});  // 0: a tree of zeros, feature 0
    if (plan_.order == ForestPlan::Order::in_order_wide) plan_.wide_leaves.resize(plan_.n_slots() * plan_.n_leaves());
    CompleteTree tree;
    tree.keys.resize(plan_.n_nodes());
    tree.features.resize(plan_.n_nodes());
    tree.leaves.resize(plan_.n_leaves());
    for (std::size_t c = 0; c < model_.trees_of_class.size(); ++c) {
        std::size_t slot = plan_.classes[c].first_group * plan_.lanes;
        for (const std::int32_t t : model_.trees_of_class[c]) {
            complete(model_.trees[static_cast<std::size_t>(t)], 0, 0, 0, tree);
            write_tree(tree, slot++);
        }
    }
}

/// What the vector conversions need.
ForestConversion describe_conversion(const ForestModel& model, const ForestPlan& plan) {
    const FixedType& type = model.input.fixed;
    ForestConversion c;
    c.n_features = static_cast<std::size_t>(model.n_features);
    c.inclusive = model.inclusive;
    for (std::size_t f = 0; f + 1 < plan.rank_begin.size(); ++f) {
        const std::size_t n = plan.rank_begin[f + 1] - plan.rank_begin[f];
        c.rank_step = std::max(c.rank_step, static_cast<std::int64_t>(std::bit_floor(n)));
    }
    if (model.score.kind == Kind::float32 && !model.initial_last && !model.sum_as_tree) {
        for (const Number& initial : model.initial) c.initial.push_back(static_cast<float>(initial.real));
    }
    if (plan.keys != ForestPlan::Keys::stored) return c;
    c.width = type.width;
    c.rounding = type.rounding;
    c.overflow = type.overflow;
    c.low = plan.key_min;
    c.high = plan.key_max;
    c.key_offset = plan.key_offset;
    c.fits_int32 = type.is_signed || type.width < 32;
    const bool known = type.rounding == Rounding::trn || type.rounding == Rounding::trn_zero ||
                       type.rounding == Rounding::rnd || type.rounding == Rounding::rnd_conv;
    // Below the units (F < 0) a product could underflow, and SAT_SYM takes one value more away than the range does.
    c.reals =
        known && c.fits_int32 && type.fraction() >= 0 && type.fraction() < 512 && type.overflow != Overflow::sat_sym;
    c.scale = c.reals ? std::ldexp(1.0, type.fraction()) : 1.0;
    return c;
}

bool any_missing(const ForestModel& model) {
    return std::ranges::any_of(model.trees, [](const ForestTree& tree) {
        return std::ranges::any_of(tree.nodes, [](const ForestNode& node) { return node.missing_left; });
    });
}

}  // namespace

Isa choose_forest_isa(Isa wanted) {
    bool has_avx2 = false;
    const bool has_avx512 = rheinfall::detail::has_avx512();
#if defined(__x86_64__)
    has_avx2 = __builtin_cpu_supports("avx2");
#endif
    if (wanted == Isa::best) return has_avx512 ? Isa::avx512 : has_avx2 ? Isa::avx2 : Isa::portable;
    if ((wanted == Isa::avx2 && !has_avx2) || (wanted == Isa::avx512 && !has_avx512)) {
        throw std::invalid_argument("isa: this machine does not have the one that was asked for");
    }
    return wanted;
}

ForestPlan make_forest_plan(const ForestModel& model, Isa isa) {
    ForestPlan plan;
    if (isa == Isa::exact) return plan;
    plan.isa = isa;
    for (const ForestTree& tree : model.trees) plan.depth = std::max(plan.depth, static_cast<int>(tree.depth));
    if (isa == Isa::avx512) plan.depth = std::max(plan.depth, 3);  // fewer kernels; shallow trees are padded
    plan.has_missing = any_missing(model);
    const bool is_narrow = model.input.kind == Kind::fixed && model.input.fixed.width <= 32;
    plan.keys = is_narrow                           ? ForestPlan::Keys::stored
                : model.input.kind == Kind::float32 ? ForestPlan::Keys::float_order
                                                    : ForestPlan::Keys::ranks;
    Builder builder(model, plan);
    builder.collect_ranks();
    builder.choose_keys();
    if (!builder.fits()) return {};
    builder.choose_order();
    if (isa == Isa::avx512) plan.lanes = plan.key_bits == 16 ? 32 : 16;
    builder.fill();
    const std::size_t per_register = isa == Isa::avx512 ? 512 / static_cast<std::size_t>(plan.key_bits) : 16;
    plan.key_stride = std::max(std::size_t{1} << plan.feature_bits, per_register);
    plan.conversion = describe_conversion(model, plan);
    plan.evaluate = isa == Isa::avx512 ? forest_kernel_avx512(plan)
                    : isa == Isa::avx2 ? forest_kernel_avx2(plan)
                                       : forest_kernel_portable(plan);
    if (plan.evaluate == nullptr) return {};
    if (isa == Isa::avx512) {
        for (std::size_t type = 0; type < plan.convert.size(); ++type) {
            plan.convert[type] = forest_convert_avx512(plan, static_cast<ElementType>(type));
        }
        plan.evaluate_event = forest_event_avx512(plan);
        for (const ElementType type : {ElementType::int32, ElementType::float32, ElementType::float64}) {
            const auto i = static_cast<std::size_t>(type);
            plan.one[i] = plan.evaluate_event != nullptr && model.n_classes <= max_classes_of_one &&
                          forest_convert_avx512(plan, type) != nullptr;
        }
    }
    return plan;
}

}  // namespace rheinfall::quantized
