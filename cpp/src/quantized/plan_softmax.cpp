#include <algorithm>
#include <bit>
#include <limits>
#include <memory>

#include "quantized/detail/fixed_point.hpp"
#include "quantized/intervals.hpp"
#include "quantized/plan_lowering.hpp"

/// Softmax by tables, in lanes: the largest of a slice and the differences from it (stable), a table from there to the
/// exponentials as the accumulator has them, their sum, a table of inverses, products. The steps are those of other
/// layers; what a table's index and its entries go through is done at load.
namespace rheinfall::quantized {
namespace {

constexpr Int128 lane_min = std::numeric_limits<std::int32_t>::min();
constexpr Int128 lane_max = std::numeric_limits<std::int32_t>::max();
constexpr Int128 most_entries = 1 << 16;

bool in_lane(const Interval& x) noexcept {
    return x.lo >= lane_min && x.hi <= lane_max;
}

Interval hull(const std::vector<std::int64_t>& values) {
    const auto [lo, hi] = std::minmax_element(values.begin(), values.end());
    return {*lo, *hi};
}

/// The entry under the top bits of a stored value.
std::int64_t entry(const Tensor& table, std::int64_t stored, const FixedType& type) {
    const int bits = std::countr_zero(table.data.size());
    const std::uint64_t pattern = static_cast<std::uint64_t>(stored) & (~std::uint64_t{0} >> (64 - type.width));
    // NOLINTNEXTLINE(clang-analyzer-core.BitwiseShift): at most W bits, as the reader made sure
    return table.data[bits == 0 ? 0 : static_cast<std::size_t>(pattern >> (type.width - bits))];
}

/// The exponential, as a stored value of the accumulator, of each x in @p from (latency) or each difference (stable).
std::vector<std::int64_t> exponentials(const Softmax& op, const FixedType& type, const Interval& from) {
    std::vector<std::int64_t> e;
    const FixedType& index_type = op.kind == SoftmaxKind::latency ? type : op.norm;
    for (Int128 v = from.lo; v <= from.hi; ++v) {
        const std::int64_t index = op.kind == SoftmaxKind::latency ? static_cast<std::int64_t>(v)
                                                                   : detail::convert(v, type.fraction(), op.norm);
        const Int128 y = entry(op.exp_table, index, index_type);
        e.push_back(detail::convert(y, op.exp_table.type.fraction(), op.accum));
    }
    return e;
}

/// Sum → inv_input → the entry of the inverses; false if 32-bit lanes do not do.
bool add_inverse(Chain& chain, const Softmax& op, Interval& inverse) {
    const FixedType& type = op.inv_input;
    const Interval held{detail::smallest(type), Int128{detail::largest(type)}};
    if (!in_lane(held)) return false;
    chain.convert(type, true, held);
    const int cut = type.width - std::countr_zero(op.inv_table.data.size());
    if (cut > 0) chain.cut(cut);
    const Interval from{detail::shift_right(held.lo, cut), detail::shift_right(held.hi, cut)};
    if (from.hi - from.lo >= most_entries) return false;
    std::vector<std::int64_t> entries;
    for (Int128 t = from.lo; t <= from.hi; ++t)
        entries.push_back(op.inv_table.data[static_cast<std::size_t>(t) & (op.inv_table.data.size() - 1)]);
    inverse = hull(entries);
    if (!chain.failed().empty()) return false;
    chain.look_up(from, entries, op.inv_table.type.fraction(), inverse);
    return chain.failed().empty();
}

}  // namespace

/// One row of @p n elements in plain lanes that no value of the graph has.
Place Lowering::temporary(std::size_t n) {
    Place p;
    p.columns = static_cast<std::uint32_t>(n);
    p.stride = p.columns * 4;
    allot(p);
    return p;
}

/// The largest, or the sum, of each slice of @p n elements.
Place Lowering::reduce_slices(const Place& in, std::size_t n, bool sums) {
    auto pool = std::make_unique<PoolStep>();
    pool->sums = sums;
    pool->channels = 1;
    for (std::uint32_t i = 0; i < in.columns; ++i) {
        if (i % n == 0) pool->first.push_back(i);
        pool->pixels.push_back(i);
    }
    pool->first.push_back(in.columns);
    return emit_pool(std::move(pool), in, temporary(in.columns / n));
}

/// Each element @p n times.
Place Lowering::repeat(const Place& in, std::size_t n) {
    const Place out = temporary(in.columns * n);
    std::vector<std::int64_t> from(out.columns);
    for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::int64_t>(i / n);
    emit_copy(in, out, from, 0);
    return out;
}

Place Lowering::emit_map(const Place& in, const Place* in2, Merge merge, const Chain& chain, const Place& out) {
    Step step;
    step.in = in;
    if (in2 != nullptr) step.in2 = *in2;
    step.out = out;
    step.merge = merge;
    step.n_out = out.columns;
    set_stages(step, chain.stages(), 0);
    if (in2 != nullptr)
        emit(step, plan_.kernels->merge, plan_.kernels->merge_tile);
    else
        emit(step, plan_.kernels->map, plan_.kernels->map_tile);
    return out;
}

bool Lowering::lower_softmax(int value) {
    const Layer& l = layer(value);
    const auto* op = std::get_if<Softmax>(&l.operation);
    if (op == nullptr || op->kind == SoftmaxKind::legacy || constant(l.inputs[0]) != nullptr) return false;
    const FixedType& type = graph_.type(l.inputs[0]);
    const Interval x = ranges_.value(l.inputs[0]).all;
    const bool is_stable = op->kind == SoftmaxKind::stable;
    const Interval from = is_stable ? Interval{0, x.hi - x.lo} : x;
    const auto n = static_cast<std::size_t>(op->axis_size);
    if (!in_lane(x) || x.hi - x.lo >= most_entries || size(value) > (std::size_t{1} << 14)) return false;

    const std::vector<std::int64_t> e = exponentials(*op, type, from);
    const Interval exponential = hull(e);
    const Interval sums{std::min(exponential.lo * op->axis_size, exponential.lo),
                        std::max(exponential.hi * op->axis_size, exponential.hi)};
    // Additions that cannot overflow need no order.
    const Interval held = converted_range(op->accum);
    if (sums.lo < held.lo || sums.hi > held.hi || !in_lane(sums)) return false;
    Chain exponent(from, type.fraction(), size(value), 1, plan_.parameters);
    exponent.look_up(from, e, op->accum.fraction(), exponential);
    Chain invert(sums, op->accum.fraction(), size(value) / n, 1, plan_.parameters);
    Interval inverse;
    if (!exponent.failed().empty() || !add_inverse(invert, *op, inverse)) return false;
    const Int128 products[] = {exponential.lo * inverse.lo, exponential.lo * inverse.hi, exponential.hi * inverse.lo,
                               exponential.hi * inverse.hi};
    const Interval product{*std::min_element(products, products + 4), *std::max_element(products, products + 4)};
    if (!in_lane(product)) return false;
    Group group{value, value, l.name, {}};
    group.chain =
        Chain(product, op->accum.fraction() + op->inv_table.type.fraction(), size(value), 1, plan_.parameters);
    group.chain.convert(l.result, proof(value).result_overflows, proof(value).result.all);
    if (!group.chain.failed().empty()) return false;
    extend(group);

    const Place in = plain_operand(l.inputs[0]);
    const Place terms = temporary(size(value));
    if (is_stable) {
        const Place largest = repeat(reduce_slices(in, n, false), n);
        emit_map(largest, &in, Merge::subtract, exponent, terms);
    } else {
        emit_map(in, nullptr, Merge::add, exponent, terms);
    }
    const Place sum = reduce_slices(terms, n, true);
    const Place factor = repeat(emit_map(sum, nullptr, Merge::add, invert, temporary(sum.columns)), n);
    Step step;
    step.in = terms;
    step.in2 = factor;
    step.merge = Merge::multiply;
    finish(group, step, plan_.kernels->merge, plan_.kernels->merge_tile, "softmax");
    return true;
}

}  // namespace rheinfall::quantized
