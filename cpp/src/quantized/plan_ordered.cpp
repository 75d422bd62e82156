#include <algorithm>
#include <limits>

#include "quantized/detail/fixed_point.hpp"
#include "quantized/plan_lowering.hpp"

/// Dense layers whose accumulator saturates, or rounds or saturates each product: in 32-bit lanes, each lane a sum of
/// its own, in the order of the layer.
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
std::optional<OrderedStages> Lowering::begin_ordered(Group& group, const Dense& dense) {
    const LayerRange& range = proof(group.root);
    const AccumulatorRange& acc = *range.accumulator;
    const Layer& l = layer(group.root);
    const FixedType& accum = dense.accum;
    const Interval x = ranges_.value(l.inputs[0]).all;
    const auto [least, most] = std::minmax_element(dense.weight.data.begin(), dense.weight.data.end());
    const Interval w{*least, *most};
    const Interval held{detail::smallest(accum), Int128{detail::largest(accum)}};
    if (!in_lane(x) || !in_lane(w) || !in_lane(held) || !in_lane(product_of(x, w))) return std::nullopt;

    const bool wraps = accum.overflow == Overflow::wrap;
    const int fraction = graph_.type(l.inputs[0]).fraction() + dense.weight.type.fraction();
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
    group.chain.emplace(range.unconverted, accum.fraction(), static_cast<std::size_t>(l.shape.back()),
                        size(group.root) / static_cast<std::size_t>(l.shape.back()), plan_.parameters);
    if (wraps && (acc.sums_overflow || acc.products_overflow))
        group.chain->wrap(accum.width, accum.is_signed, range.unconverted);
    group.chain->convert(l.result, range.result_overflows, range.result.all);
    if (!terms.failed().empty() || !sums.failed().empty() || !group.chain->failed().empty()) return std::nullopt;
    return OrderedStages{terms.stages(), sums.stages()};
}

/// Weights as [input][output], inputs in the order of the sums, rows padded to whole vectors.
void Lowering::pack_ordered(Step& step, int value, const Dense& dense) {
    const std::size_t n_in = step.n_groups;
    const std::size_t n_out = step.n_out;
    const auto lanes = static_cast<std::size_t>(plan_.kernels->lanes);
    const std::size_t columns = (n_out + lanes - 1) / lanes * lanes;
    auto* order = plan_.parameters.take<std::uint32_t>(n_in);
    auto* weights = plan_.parameters.take<std::int32_t>(n_in * columns);
    auto* bias = plan_.parameters.take<std::int32_t>(columns);
    const std::vector<std::int64_t> stored = stored_bias(value);
    for (std::size_t o = 0; o < n_out; ++o) bias[o] = static_cast<std::int32_t>(stored[o]);
    for (std::size_t k = 0; k < n_in; ++k) {
        order[k] = dense.order.empty() ? static_cast<std::uint32_t>(k) : static_cast<std::uint32_t>(dense.order[k]);
        for (std::size_t o = 0; o < n_out; ++o)
            weights[k * columns + o] = static_cast<std::int32_t>(dense.weight.data[order[k] * n_out + o]);
    }
    step.taps = order;
    step.weights = reinterpret_cast<const std::byte*>(weights);
    step.bias = bias;
}

bool Lowering::lower_ordered(int value) {
    const Layer& l = layer(value);
    const auto* dense = std::get_if<Dense>(&l.operation);
    if (dense == nullptr || constant(l.inputs[0]) != nullptr) return false;
    Group group{value, value, l.name, {}};
    const std::optional<OrderedStages> ordered = begin_ordered(group, *dense);
    if (!ordered) return false;
    extend(group);
    const auto n_in = static_cast<std::size_t>(dense->weight.shape[0]);
    const auto n_out = static_cast<std::size_t>(dense->weight.shape[1]);
    const Want want = primary(group, n_out);

    Step step;
    step.in = plain_operand(l.inputs[0]);
    step.in.stride = static_cast<std::uint32_t>(n_in * 4);
    step.out = place(group.value, want);
    step.n_rows = static_cast<std::uint32_t>(size(value) / n_out);
    step.n_out = static_cast<std::uint32_t>(n_out);
    step.n_groups = static_cast<std::uint32_t>(n_in);
    if (step.n_rows > 1 && step.out.rows != step.n_rows)
        step.out.stride =
            static_cast<std::uint32_t>(n_out * 4 / static_cast<std::size_t>(elements_per_group(want.lanes)));
    std::vector<Stage> stages = ordered->products;
    stages.insert(stages.end(), ordered->sums.begin(), ordered->sums.end());
    stages.insert(stages.end(), group.chain->stages().begin(), group.chain->stages().end());
    step.n_product_stages = static_cast<std::uint32_t>(ordered->products.size());
    step.n_sum_stages = static_cast<std::uint32_t>(ordered->sums.size());
    set_stages(step, stages, want.offset);
    pack_ordered(step, value, *dense);
    emit(step, plan_.kernels->ordered, plan_.kernels->ordered_tile);
    plan_.notes.push_back({group.layers, proof(value).accumulator->order_matters ? "dense in order s32 x s32"
                                                                                 : "dense of converted products s32"});
    done_[static_cast<std::size_t>(group.value)] = true;
    copy_to_wants(group.value, want);
    return true;
}

}  // namespace rheinfall::quantized
