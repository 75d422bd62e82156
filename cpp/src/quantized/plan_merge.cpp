#include <algorithm>

#include "quantized/plan_lowering.hpp"

/// Operations of two values of equal size, and reductions to one value.
namespace rheinfall::quantized {

/// Dot product, sum of squares and sum: products are converted one by one, so that only their sum must not depend on
/// the order.
bool Lowering::lower_reduction(int value) {
    const Layer& l = layer(value);
    const bool is_dot = std::holds_alternative<Dot>(l.operation);
    const bool is_sum = std::holds_alternative<Sum>(l.operation);
    if (!is_dot && !is_sum && !std::holds_alternative<SumOfSquares>(l.operation)) return false;
    if (std::any_of(l.inputs.begin(), l.inputs.end(), [&](int i) { return constant(i) != nullptr; })) return false;
    const AccumulatorRange& acc = accumulator(value);
    if (acc.order_matters || (acc.products_overflow && acc.type.overflow != Overflow::wrap)) return false;
    const Interval x = ranges_.value(l.inputs[0]).all;
    const Interval y = is_dot ? ranges_.value(l.inputs[1]).all : x;
    Interval term = x;
    int fraction = graph_.type(l.inputs[0]).fraction();
    if (!is_sum) {
        fraction += graph_.type(l.inputs[is_dot ? 1 : 0]).fraction();
        const Int128 products[] = {x.lo * y.lo, x.lo * y.hi, x.hi * y.lo, x.hi * y.hi};
        term = {*std::min_element(products, products + 4), *std::max_element(products, products + 4)};
    }
    if (!within<std::int32_t>(x) || !within<std::int32_t>(y)) return false;
    const FixedType& unbounded = acc.type;  // a product that overflows wraps, and so does the sum
    // A product of more than 32 bits is cut to the accumulator's grid in 64; of that the low half goes into the sum.
    const int cut = fraction - acc.type.fraction();
    const bool is_wide = !within<std::int32_t>(term);
    const bool simple = unbounded.rounding == Rounding::trn || unbounded.rounding == Rounding::rnd;
    if (is_wide && (is_sum || cut < 1 || cut > 62 || !simple)) return false;
    Chain products(is_wide ? Interval{0, 0} : term, fraction, 1, 1, plan_.parameters);
    if (!is_wide) products.convert(unbounded, false, {term.lo * (Int128{1} << 40), term.hi * (Int128{1} << 40)});
    const bool wraps = acc.sums_overflow || acc.products_overflow;
    if (!products.failed().empty() || products.stages().size() > 1 || (!wraps && !within<std::int32_t>(acc.sums)))
        return false;
    Chain chain(wraps ? proof(value).unconverted : acc.sums, acc.type.fraction(), 1, 1, plan_.parameters);
    if (wraps) chain.wrap(acc.type.width, acc.type.is_signed, proof(value).unconverted);
    chain.convert(l.result, proof(value).result_overflows, proof(value).result.all);
    if (!chain.failed().empty()) return false;
    Group group{value, value, l.name, {}};
    group.chain = std::move(chain);
    extend(group);
    const Want want = primary(group, 1);
    std::vector<Stage> stages = products.stages();
    if (stages.empty()) stages.emplace_back();
    if (is_wide) {
        stages.front().shift = cut;
        stages.front().c0 = unbounded.rounding == Rounding::rnd ? 1 : 0;
    }
    stages.insert(stages.end(), group.chain.stages().begin(), group.chain.stages().end());
    Step step;
    step.operation = is_dot ? 0u : is_sum ? 2u : 1u;
    step.n_groups = static_cast<std::uint32_t>(size(l.inputs[0]));
    step.in = plain_operand(l.inputs[0]);
    step.in2 = plain_operand(l.inputs[is_dot ? 1 : 0]);
    step.out = place(group.value, want);
    step.n_out = 1;
    set_stages(step, stages, want.offset);
    if (is_wide)
        emit(step, plan_.kernels->reduce_wide, plan_.kernels->reduce_wide_tile);
    else
        emit(step, plan_.kernels->reduce, plan_.kernels->reduce_tile);
    plan_.notes.push_back({group.layers, is_dot ? "dot product" : is_sum ? "sum" : "sum of squares"});
    done_[static_cast<std::size_t>(group.value)] = true;
    copy_to_wants(group.value, want);
    return true;
}

/// An operation of two values of equal size.
bool Lowering::lower_merge(int value) {
    const Layer& l = layer(value);
    const auto* binary = std::get_if<Binary>(&l.operation);
    if (binary == nullptr || constant(l.inputs[0]) != nullptr || constant(l.inputs[1]) != nullptr) return false;
    if (size(l.inputs[0]) != size(l.inputs[1])) return false;
    Step step;
    int fraction_x = graph_.type(l.inputs[0]).fraction();
    const int fraction_y = graph_.type(l.inputs[1]).fraction();
    Interval x = ranges_.value(l.inputs[0]).all;
    Interval y = ranges_.value(l.inputs[1]).all;
    if (binary->kind != BinaryKind::multiply) {
        step.shift_x = std::max(0, fraction_y - fraction_x);
        step.shift_y = std::max(0, fraction_x - fraction_y);
        if (step.shift_x > 31 || step.shift_y > 31) return false;
        x = {scaled(x.lo, step.shift_x), scaled(x.hi, step.shift_x)};
        y = {scaled(y.lo, step.shift_y), scaled(y.hi, step.shift_y)};
        fraction_x = std::max(fraction_x, fraction_y);
    }
    Interval range;
    switch (binary->kind) {
        case BinaryKind::average: ++fraction_x; [[fallthrough]];
        case BinaryKind::add: range = {x.lo + y.lo, x.hi + y.hi}; break;
        case BinaryKind::subtract:
            range = {x.lo - y.hi, x.hi - y.lo};
            step.merge = Merge::subtract;
            break;
        case BinaryKind::multiply: {
            const Int128 products[] = {x.lo * y.lo, x.lo * y.hi, x.hi * y.lo, x.hi * y.hi};
            range = {*std::min_element(products, products + 4), *std::max_element(products, products + 4)};
            fraction_x += fraction_y;
            step.merge = Merge::multiply;
            break;
        }
        case BinaryKind::maximum:
            range = {std::max(x.lo, y.lo), std::max(x.hi, y.hi)};
            step.merge = Merge::maximum;
            break;
        case BinaryKind::minimum:
            range = {std::min(x.lo, y.lo), std::min(x.hi, y.hi)};
            step.merge = Merge::minimum;
            break;
    }
    if (!within<std::int32_t>(x) || !within<std::int32_t>(y) || !within<std::int32_t>(range)) return false;
    Group group{value, value, l.name, {}};
    group.chain = Chain(range, fraction_x, size(value), 1, plan_.parameters);
    group.chain.convert(l.result, proof(value).result_overflows, proof(value).result.all);
    if (!group.chain.failed().empty()) return false;
    extend(group);
    step.in = plain_operand(l.inputs[0]);
    step.in2 = plain_operand(l.inputs[1]);
    finish(group, step, plan_.kernels->merge, plan_.kernels->merge_tile, "merge");
    return true;
}

}  // namespace rheinfall::quantized
