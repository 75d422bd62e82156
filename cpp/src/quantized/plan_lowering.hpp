#pragma once

#include <exception>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "quantized/detail/fixed_point.hpp"
#include "quantized/plan.hpp"
#include "quantized/plan_chain.hpp"

namespace rheinfall::quantized {

/// Thrown inside make_plan by what no kernel does.
struct CannotLower : std::exception {
    explicit CannotLower(std::string why) : reason(std::move(why)) {}
    [[nodiscard]] const char* what() const noexcept override { return reason.c_str(); }
    std::string reason;
};

/// Whether all of an interval fits the integers T.
template <class T>
[[nodiscard]] constexpr bool within(const Interval& x) noexcept {
    return x.lo >= std::numeric_limits<T>::min() && x.hi <= std::numeric_limits<T>::max();
}

/// floor(v · 2^shift)
constexpr Int128 scaled(Int128 v, int shift) noexcept {
    return shift >= 0 ? v * (Int128{1} << shift) : detail::shift_right(v, -shift);
}

/// How a consumer wants a value.
struct Want {
    Lanes lanes = Lanes::s32;
    std::uint32_t columns = 0;  ///< elements of a row
    std::int32_t offset = 0;    ///< added to what is stored
    int low_bits = 0;           ///< > 0: elements of more than 16 bits are split
    bool byte_rests = false;    ///< then also: the low parts may be bytes, as the weights are
    friend bool operator==(const Want&, const Want&) = default;
};

/// The products of a dense layer: lanes, and the input as they want it.
struct DenseChoice {
    Want want;
    int fraction = 0;  ///< grid of the sums
};

/// What layers of sums of products with constants have in common.
struct Sums {
    const Tensor* weight = nullptr;
    const std::optional<Tensor>* bias = nullptr;
    const FixedType* accum = nullptr;
    const Conv* conv = nullptr;
};

/// Nothing for layers of other kinds.
std::optional<Sums> sums_of(const Operation& operation);
/// Patches that would take too much of a workspace: the exact executor needs none.
bool patches_are_large(const Conv& conv, std::size_t n_in, std::size_t n_out);

/// What is done on each product of a dense layer before it is added, and on each sum.
struct OrderedStages {
    std::vector<Stage> products;
    std::vector<Stage> sums;
};

/// Which input element a slot of a row holds, and by how much its weight is shifted: the high part of a split element
/// counts 2^low_bits.
struct Slot {
    std::int64_t element = -1;
    int shift = 0;
};

/// The dword of weights that meets group @p g: one output, the slots of the group.
std::uint32_t group_weights(const Tensor& weight, const std::vector<Slot>& slots, Lanes lanes, std::size_t g,
                            std::size_t output);

/// A step under construction: a root operation and the elementwise layers behind it.
struct Group {
    int root = 0;   ///< value
    int value = 0;  ///< the value that it stores
    std::string layers;
    Chain chain;  ///< empty until the root is known
};

/// A link before its place in memory is known.
struct LinkDraft {
    static constexpr std::size_t none = ~std::size_t{0};
    DenseLink link;
    std::size_t step = 0;     ///< of batch 1, that it does
    std::size_t copy = none;  ///< the same: the copy of its values
    std::uint32_t n_out = 0;
    std::size_t vectors = 0;   ///< of outputs
    Lanes takes = Lanes::s16;  ///< an image of bytes or shorts, or one vector as it is
    bool is_merge = false;
    bool is_end = false;  ///< nothing follows, and its value is stored
    std::vector<std::uint32_t> parameters;
    std::string note;  ///< what inspect is to say about its weights
};

inline constexpr std::size_t link_lanes = 16;  ///< of the only kernels that have links
std::size_t vectors_of(std::size_t n) noexcept;
/// The kernel of @p s on values of @p in vectors, and its weights (plan_link_weights.cpp).
void take_image(const Kernels& kernels, const Step& s, std::size_t in, LinkDraft& d);
/// The weight of element @p i and output @p o of a layer whose inputs are shorts.
std::int32_t short_weight(const Step& s, std::size_t i, std::size_t o) noexcept;
/// The kernel of @p s on inputs cut into bytes, and its weights; @p wide elements have more than 16 bits.
PlanesFunction take_planes(const Kernels& kernels, const Step& s, const std::vector<std::size_t>& wide, LinkDraft& d);

/// Lowers one graph; see make_plan.
class Lowering {
public:
    Lowering(const Graph& graph, const Ranges& ranges, Plan& plan) : graph_(graph), ranges_(ranges), plan_(plan) {}
    void lower();

private:
    [[nodiscard]] std::size_t n_inputs() const noexcept { return graph_.inputs.size(); }
    [[nodiscard]] bool is_layer(int value) const noexcept { return value >= static_cast<int>(n_inputs()); }
    [[nodiscard]] const Layer& layer(int value) const {
        return graph_.layers[static_cast<std::size_t>(value) - n_inputs()];
    }
    [[nodiscard]] const LayerRange& proof(int value) const {
        return ranges_.layers[static_cast<std::size_t>(value) - n_inputs()];
    }
    [[nodiscard]] const AccumulatorRange& accumulator(int value) const;  ///< of a layer of sums
    [[nodiscard]] const std::string& name(int value) const;
    [[nodiscard]] std::size_t size(int value) const;
    [[noreturn]] void refuse(int value, const std::string& why) const;

    // plan_lowering.cpp
    void count_uses();
    [[nodiscard]] const Tensor* constant(int value) const;
    [[nodiscard]] bool swallow(Chain& chain, int value, int next) const;
    [[nodiscard]] bool swallow_table(Chain& chain, int value, int next) const;  // plan_lookup.cpp
    void extend(Group& group);
    [[nodiscard]] std::vector<Want> wants(int value) const;
    const Place& place(int value, const Want& want);
    void allot(Place& p);
    std::uint32_t split_wide(int value, const Want& want, Place& p);
    const Place& plain_operand(int value);
    [[nodiscard]] Want primary(const Group& group, std::size_t columns) const;
    void copy_to_wants(int value, const Want& stored);
    const Stage* keep(const std::vector<Stage>& stages, std::int32_t offset);
    void set_stages(Step& step, const std::vector<Stage>& stages, std::int32_t offset);
    void emit(const Step& step, StepFunction one, StepFunction tile);
    void finish(const Group& group, Step step, StepFunction one, StepFunction tile, const char* kernel);
    void lower_input(int value);
    bool lower_map(int value);
    void lower_outputs();
    void lower_exact(int value);  // plan_exact.cpp

    // plan_dense.cpp
    [[nodiscard]] std::optional<DenseChoice> choose_sums(int value) const;
    [[nodiscard]] std::vector<std::int64_t> stored_bias(int value) const;  ///< in the accumulator's type
    void find_sums();  ///< fills no_sums_: before anything asks what readers want
    bool lower_dense(int value);
    bool begin_sums(Group& group, const DenseChoice& choice, std::vector<std::int64_t>& bias);
    void pack_dense(Step step, const Tensor& weight);
    bool pack_tile_weights(Step& step, const Tensor& weight, const std::vector<Slot>& slots);  // plan_tile.cpp
    bool list_weights(Step& step, const std::function<std::uint32_t(std::size_t, std::size_t)>& weights);
    const std::byte* keep_list(const std::vector<SparseGroup>& list);
    const std::uint32_t* keep_counts(const std::vector<std::uint32_t>& counts);
    void pack_input(PlanInput& in, const std::vector<Stage>& stages, int value, const Want& want);
    bool set_shifts(TilePack& pack, Place& place, const std::vector<Stage>& stages, int value, const Want& want);
    void set_rests(TilePack& pack, const Place& place);
    const Stage* shifted_stages(const Step& step, std::size_t first);

    // plan_ordered.cpp
    bool lower_ordered(int value);
    std::optional<OrderedStages> begin_ordered(Group& group, const Sums& all);
    void pack_ordered(Step& step, const Tensor& weight, const std::vector<std::uint32_t>& order);
    void list_ordered(Step& step, const Tensor& weight, const std::vector<std::uint32_t>& order);

    // plan_conv.cpp
    [[nodiscard]] std::vector<std::int64_t> patches(int value, const Conv& conv) const;
    [[nodiscard]] static Tensor patch_weight(const Conv& conv);
    Place lower_patches(int value, const Conv& conv, const Want& want);
    void emit_moves(std::unique_ptr<CopyStep> copy, const Place& in, const Place& out);
    void emit_copy(const Place& in, const Place& out, const std::vector<std::int64_t>& from, std::int32_t filling);

    // plan_moves.cpp
    [[nodiscard]] std::optional<std::vector<std::int64_t>> sources(int value) const;
    bool lower_gather(int value);
    bool lower_pool(int value);
    bool lower_concatenation(int value);  // plan_lookup.cpp
    Place converted(int value, int reader);
    bool lower_softmax(int value);  // plan_softmax.cpp
    Place temporary(std::size_t n);
    Place reduce_slices(const Place& in, std::size_t n, bool sums);
    Place repeat(const Place& in, std::size_t n);
    Place emit_map(const Place& in, const Place* in2, Merge merge, const Chain& chain, const Place& out);
    Place emit_pool(std::unique_ptr<PoolStep> pool, const Place& in, const Place& out);  // plan_moves.cpp
    [[nodiscard]] bool holds_pixels(int value, const Pool& op) const;
    [[nodiscard]] std::unique_ptr<PoolStep> pool_windows(int value, const Pool& op) const;
    std::optional<Group> begin_average(int value, const Pool& op, const PoolStep& pool);
    std::optional<Group> begin_moved(int value, const Interval& range);
    std::optional<Group> begin_moved(int value, Chain chain);
    Place begin_place(const Group& group, int value);
    void finish_moved(const Group& group, const Place& moved, const char* kernel);

    // plan_merge.cpp
    bool lower_reduction(int value);
    bool lower_merge(int value);

    // plan_links.cpp
    void link_dense();
    void add_notes(const std::vector<LinkDraft>& chain);
    [[nodiscard]] bool is_read(std::uint32_t place, const LinkDraft& by, const LinkDraft* next) const;
    void drop_unread(LinkDraft& d, const LinkDraft* next) const;
    bool join_input(const Step& s, ChainInput& head, LinkDraft& d);
    bool cut_input(const Step& s, ChainInput& head, LinkDraft& d);
    [[nodiscard]] std::vector<LinkDraft> collect_links(std::size_t first, std::optional<LinkDraft> head,
                                                       std::size_t& end) const;

    const Graph& graph_;
    const Ranges& ranges_;
    Plan& plan_;
    std::vector<int> uses_;      ///< of each value, outputs included
    std::vector<int> consumer_;  ///< the last layer that reads a value, as a value
    std::vector<bool> is_output_;
    std::set<int> no_sums_;         ///< dense layers whose sums no lanes hold: their inputs are wanted as they are
    std::vector<bool> done_;        ///< the value is stored, or swallowed by a group
    std::vector<bool> from_input_;  ///< the value is stored by an input step
    std::vector<std::vector<std::pair<Want, Place>>> places_;
    mutable std::map<int, Tensor> constants_;
    std::uint32_t one_end_ = 0;
    std::uint32_t tile_end_ = 0;
};

}  // namespace rheinfall::quantized
