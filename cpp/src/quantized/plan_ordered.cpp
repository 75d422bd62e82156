#include <algorithm>
#include <limits>
#include <numeric>

#include "quantized/detail/fixed_point.hpp"
#include "quantized/plan_lowering.hpp"

/// Dense layers and convolutions whose accumulator saturates, or rounds or saturates each product: in 32-bit lanes,
/// each lane a sum of its own, in the order of the layer. Weights of zero are left out: their products are zero in any
/// grid, and a sum, always a value of its own type, stays what it is when zero is added.
namespace rheinfall::quantized {
namespace {

bool in_lane(const Interval& x) noexcept {
    return x.lo >= std::numeric_limits<std::int32_t>::min() && x.hi <= std::numeric_limits<std::int32_t>::max();
}

Interval product_of(const Interval& x, const Interval& w) noexcept {
    const Int128 all[] = {x.lo * w.lo, x.lo * w.hi, x.hi * w.lo, x.hi * w.hi};
    return {*std::min_element(all, all + 4), *std::max_element(all, all + 4)};
}

}  // namespace

/// The stages of products and of sums, and the chain of the result in @p group; nothing where 32 bits do not hold the
/// input, a weight, a product, a converted product, the accumulator or, before it overflows, a sum.
std::optional<OrderedStages> Lowering::begin_ordered(Group& group, const Sums& all) {
    const LayerRange& range = proof(group.root);
    const AccumulatorRange& acc = accumulator(group.root);
    const Layer& l = layer(group.root);
    const FixedType& accum = *all.accum;
    const auto [least, most] = std::minmax_element(all.weight->data.begin(), all.weight->data.end());
    Interval x = ranges_.value(l.inputs[0]).all;
    Interval w{*least, *most};
    if (all.conv != nullptr) {
        // Padding, and what meets the weights of another group.
        x = {std::min(x.lo, Int128{0}), std::max(x.hi, Int128{0})};
        w = {std::min(w.lo, Int128{0}), std::max(w.hi, Int128{0})};
    }
    const Interval held{detail::smallest(accum), Int128{detail::largest(accum)}};
    if (!in_lane(x) || !in_lane(w) || !in_lane(held) || !in_lane(product_of(x, w))) return std::nullopt;

    const bool wraps = accum.overflow == Overflow::wrap;
    const int fraction = graph_.type(l.inputs[0]).fraction() + all.weight->type.fraction();
    const Interval product = product_of(x, w);
    Chain terms(product, fraction, 1, 1, plan_.parameters);
    // What wraps does so once, at the end: lanes are sums modulo 2^32.
    const Interval any{-(Int128{1} << 32), Int128{1} << 32};
    terms.convert(accum, !wraps && acc.products_overflow, wraps ? any : held);
    Chain sums({held.lo + std::min(terms.range().lo, Int128{0}), held.hi + std::max(terms.range().hi, Int128{0})},
               accum.fraction(), 1, 1, plan_.parameters);
    if (!wraps && acc.sums_overflow) {
        if (!in_lane(sums.range())) return std::nullopt;
        sums.convert(accum, true, held);
    }
    group.chain = Chain(range.unconverted, accum.fraction(), static_cast<std::size_t>(l.shape.back()),
                        size(group.root) / static_cast<std::size_t>(l.shape.back()), plan_.parameters);
    if (wraps && (acc.sums_overflow || acc.products_overflow))
        group.chain.wrap(accum.width, accum.is_signed, range.unconverted);
    group.chain.convert(l.result, range.result_overflows, range.result.all);
    if (!terms.failed().empty() || !sums.failed().empty() || !group.chain.failed().empty()) return std::nullopt;
    return OrderedStages{terms.stages(), sums.stages()};
}

/// For single events: weights as [input][output], inputs in the order of the sums, rows padded to whole vectors.
void Lowering::pack_ordered(Step& step, const Tensor& weight, const std::vector<std::uint32_t>& order) {
    const std::size_t n_out = step.n_out;
    const auto lanes = static_cast<std::size_t>(plan_.kernels->lanes);
    const std::size_t columns = (n_out + lanes - 1) / lanes * lanes;
    std::vector<std::uint32_t> inputs;
    for (const std::uint32_t i : order) {
        const auto row = weight.data.begin() + static_cast<std::ptrdiff_t>(i * n_out);
        if (std::any_of(row, row + static_cast<std::ptrdiff_t>(n_out), [](std::int64_t w) { return w != 0; }))
            inputs.push_back(i);
    }
    auto* weights = plan_.parameters.take<std::int32_t>(inputs.size() * columns + 1);
    for (std::size_t k = 0; k < inputs.size(); ++k)
        for (std::size_t o = 0; o < n_out; ++o)
            weights[k * columns + o] = static_cast<std::int32_t>(weight.data[inputs[k] * n_out + o]);
    step.n_groups = static_cast<std::uint32_t>(inputs.size());
    step.taps = keep_counts(inputs);
    step.weights = reinterpret_cast<const std::byte*>(weights);
}

/// For tiles: of each output a list of its weights, in the order of the sums.
void Lowering::list_ordered(Step& step, const Tensor& weight, const std::vector<std::uint32_t>& order) {
    std::vector<SparseGroup> list;
    std::vector<std::uint32_t> counts(step.n_out);
    for (std::size_t o = 0; o < step.n_out; ++o)
        for (const std::uint32_t i : order) {
            const std::int64_t w = weight.data[i * std::size_t{step.n_out} + o];
            if (w == 0) continue;
            list.push_back(
                {i * std::uint32_t{4 * tile_events}, static_cast<std::uint32_t>(static_cast<std::int32_t>(w))});
            ++counts[o];
        }
    step.weights = keep_list(list);
    step.taps = keep_counts(counts);
}

bool Lowering::lower_ordered(int value) {
    const Layer& l = layer(value);
    const std::optional<Sums> all = sums_of(l.operation);
    if (!all || constant(l.inputs[0]) != nullptr) return false;
    if (all->conv != nullptr && patches_are_large(*all->conv, size(l.inputs[0]), size(value))) return false;
    Group group{value, value, l.name, {}};
    const std::optional<OrderedStages> ordered = begin_ordered(group, *all);
    if (!ordered) return false;
    extend(group);
    const Tensor weight = all->conv != nullptr ? patch_weight(*all->conv) : *all->weight;
    const auto n_out = static_cast<std::size_t>(weight.shape.back());
    const auto n_in = static_cast<std::uint32_t>(weight.data.size() / n_out);
    const Want want = primary(group, n_out);
    const Want plain{Lanes::s32, static_cast<std::uint32_t>(size(l.inputs[0])), 0, 0};

    Step step;
    step.in = all->conv != nullptr ? lower_patches(value, *all->conv, plain) : place(l.inputs[0], plain);
    step.in.stride = n_in * 4;
    step.out = place(group.value, want);
    step.n_rows = static_cast<std::uint32_t>(size(value) / n_out);
    step.n_out = static_cast<std::uint32_t>(n_out);
    if (step.n_rows > 1 && step.out.rows != step.n_rows)
        step.out.stride =
            static_cast<std::uint32_t>(n_out * 4 / static_cast<std::size_t>(elements_per_group(want.lanes)));
    std::vector<Stage> stages = ordered->products;
    stages.insert(stages.end(), ordered->sums.begin(), ordered->sums.end());
    stages.insert(stages.end(), group.chain.stages().begin(), group.chain.stages().end());
    step.n_product_stages = static_cast<std::uint32_t>(ordered->products.size());
    step.n_sum_stages = static_cast<std::uint32_t>(ordered->sums.size());
    set_stages(step, stages, want.offset);
    auto* bias = plan_.parameters.take<std::int32_t>(n_out + lane_padding);
    const std::vector<std::int64_t> stored = stored_bias(value);
    std::transform(stored.begin(), stored.end(), bias, [](std::int64_t b) { return static_cast<std::int32_t>(b); });
    step.bias = bias;

    std::vector<std::uint32_t> order(n_in);
    std::iota(order.begin(), order.end(), 0u);
    const auto* dense = std::get_if<Dense>(&l.operation);
    if (dense != nullptr && !dense->order.empty())
        std::transform(dense->order.begin(), dense->order.end(), order.begin(),
                       [](auto i) { return static_cast<std::uint32_t>(i); });
    Step tile = step;
    pack_ordered(step, weight, order);
    emit(step, plan_.kernels->ordered, nullptr);
    list_ordered(tile, weight, order);
    emit(tile, nullptr, plan_.kernels->ordered_tile);
    plan_.notes.push_back(
        {group.layers, std::string(all->conv != nullptr ? "convolution" : "dense") +
                           (accumulator(value).order_matters ? " in order s32 x s32" : " of converted products s32")});
    done_[static_cast<std::size_t>(group.value)] = true;
    copy_to_wants(group.value, want);
    return true;
}

}  // namespace rheinfall::quantized
