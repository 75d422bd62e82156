#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <rheinfall/core/status.hpp>
#include <string>
#include <vector>

#include "quantized/forest_model.hpp"

/// The tables that the fast kernels of a forest read, and which kernel reads them.
///
/// Every input becomes a *key*, an integer that keeps the order of the inputs: the stored integer of a fixed type, the
/// bits of a float32 brought into order, or, for what is wider than 32 bits, how many of the feature's thresholds lie
/// below it. Every comparison becomes `key <= threshold key`. Trees are padded to complete trees of one depth, whose
/// node n has the children 2n + 1 and 2n + 2: a leaf is repeated below itself.
///
/// *Packed* words hold the feature in their low bits: word = threshold key << feature_bits | feature, and the keys are
/// shifted alike, so that one word is a permutation's index and a comparison's operand at once. A key's low bits are 0,
/// which leaves `<=` as it is.
namespace rheinfall::quantized {

struct ForestPlan;

inline constexpr std::int32_t max_classes_of_one = 16;  // sums that a single event keeps on the stack

/// What a conversion of inputs to keys needs to know, from the model.
struct ForestConversion {
    std::size_t n_features = 0;
    bool inclusive = true;
    bool fits_int32 = false;  // every stored integer does
    bool reals = false;       // reals may be converted in double and int32: few enough bits, and not below the units
    double scale = 1;         // 2^F
    int width = 32;
    Rounding rounding = Rounding::trn;
    Overflow overflow = Overflow::wrap;
    std::int64_t low = 0;  // range of the stored integers; for reals that of the saturation
    std::int64_t high = 0;
    std::int64_t key_offset = 0;
    std::vector<float> initial;  // of float32 sums that start with it and go from tree to tree; else empty
    std::int64_t rank_step = 0;  // the largest power of two that is not above the most thresholds of a feature
};

/// Converts events to keys; done[i] is false where an event needs the care of find_keys.
using ForestConvert = void (*)(const ForestPlan& plan, const void* events, std::size_t n_events, void* keys,
                               bool* done);

/// One event from the caller's array to its sums (float32: their bits); false where it needs the care of find_keys.
using ForestEvent = bool (*)(const ForestPlan& plan, const void* x, ElementType type, std::int32_t* out);

struct ForestPlan {
    enum class Keys : std::uint8_t { stored, float_order, ranks };
    enum class Order : std::uint8_t { any, in_order, in_order_wide };  // wide: words are leaf numbers, values 64 bits

    static constexpr int max_complete_depth = 6;
    static constexpr std::size_t block = 64;  // events that share one pass over the tables

    Isa isa = Isa::exact;
    Keys keys = Keys::stored;
    Order order = Order::any;
    int key_bits = 32;   // 16 or 32: the words of the nodes
    int leaf_bits = 32;  // 16 only with AVX-512 and Order::any
    bool packed = true;
    int feature_bits = 0;      // 2^feature_bits >= n_features
    int depth = 1;             // of every tree
    std::size_t lanes = 1;     // trees side by side
    bool has_missing = false;  // some NaN goes left: an event with a NaN is walked exactly
    std::int64_t key_min = 0;  // of a stored fixed type, before key_offset is taken off
    std::int64_t key_max = 0;
    std::int64_t key_offset = 0;

    /// Trees of one class side by side, `lanes` at a time. Within a group: (2^depth - 1) rows of words, then (not
    /// packed) rows of features, then 2^depth rows of leaves. With lanes == 1 a row is a number. With more, a row of
    /// features has those of two nodes, the even one's in the low half of each 32-bit word: an index may have bits
    /// above.
    struct Class {
        std::size_t first_group = 0;
        std::size_t n_groups = 0;
        std::size_t n_trees = 0;
    };
    std::vector<Class> classes;
    std::size_t n_groups = 0;
    std::size_t group_bytes = 0;
    std::size_t features_at = 0;  // offsets in a group
    std::size_t leaves_at = 0;
    std::vector<std::byte> tables;          // with room to align
    std::vector<std::int64_t> wide_leaves;  // in_order_wide: [slot][leaf], bits of an int64_t or double
    std::vector<double> thresholds;         // ranks of floats: sorted, feature f has [rank_begin[f], rank_begin[f + 1])
    std::vector<std::int64_t> thresholds_int;  // ranks of integers
    std::vector<std::size_t> rank_begin;

    std::size_t key_stride = 0;  // keys of one event
    ForestConversion conversion;
    ForestEvent evaluate_event = nullptr;     // for the types that `one` tells; sums are final but for normalise
    std::array<bool, 10> one{};               // by ElementType
    std::array<ForestConvert, 10> convert{};  // by ElementType; nullptr: find_keys

    /// First group, aligned to a cache line.
    [[nodiscard]] const std::byte* groups() const noexcept {
        const auto at = reinterpret_cast<std::uintptr_t>(tables.data());
        return tables.data() + ((at + 63) / 64 * 64 - at);
    }
    [[nodiscard]] std::size_t n_slots() const noexcept { return n_groups * lanes; }
    [[nodiscard]] std::size_t n_nodes() const noexcept { return (std::size_t{1} << depth) - 1; }
    [[nodiscard]] std::size_t n_leaves() const noexcept { return std::size_t{1} << depth; }

    /// Evaluates up to `block` events. @p keys: key_stride keys of 16 or 32 bits an event, aligned to a cache line.
    /// Order::any: @p out gets one sum (modulo 2^32) per event and class, else n_slots() words per event.
    void (*evaluate)(const ForestPlan& plan, const void* keys, std::size_t n_events, std::int32_t* out) = nullptr;
};

/// The widest instruction set of this machine, or @p wanted if it has that; throws std::invalid_argument if not.
Isa choose_forest_isa(Isa wanted);

/// A plan for a forest; its isa is `exact` where the tables would not pay or not fit (deep trees, very many features).
ForestPlan make_forest_plan(const ForestModel& model, Isa isa);

/// The kernels of an instruction set for a plan's sizes; nullptr if there is none.
using ForestKernel = decltype(ForestPlan::evaluate);
ForestKernel forest_kernel_portable(const ForestPlan& plan) noexcept;
ForestKernel forest_kernel_avx2(const ForestPlan& plan) noexcept;
ForestKernel forest_kernel_avx512(const ForestPlan& plan) noexcept;
ForestEvent forest_event_avx512(const ForestPlan& plan) noexcept;

/// The conversion for inputs of a type; nullptr where find_keys does it.
ForestConvert forest_convert_avx512(const ForestPlan& plan, ElementType type) noexcept;

}  // namespace rheinfall::quantized
