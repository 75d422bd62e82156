#include <bit>
#include <limits>
#include <memory>

#include "quantized/exact_cpu.hpp"
#include "quantized/plan_lowering.hpp"

/// What needs no arithmetic in the event loop: functions of few values, from a table; concatenation, by copies.
namespace rheinfall::quantized {
namespace {

/// Entries of four bytes that a level-2 cache holds.
constexpr int most_entries = 1 << 16;
constexpr std::int64_t lane_min = std::numeric_limits<std::int32_t>::min();
constexpr std::int64_t lane_max = std::numeric_limits<std::int32_t>::max();

}  // namespace

void Chain::look_up(const Interval& from, const std::vector<std::int64_t>& table, int fraction,
                    const Interval& result) {
    auto* kept = block_->take<std::int32_t>(table.size());
    for (std::size_t i = 0; i < table.size(); ++i) {
        if (table[i] < lane_min || table[i] > lane_max) return fail("a table's value needs more than 32 bits");
        kept[i] = static_cast<std::int32_t>(table[i]);
    }
    Stage& s = open();
    s.flags = stage_lookup;
    s.lo = static_cast<std::int32_t>(from.lo);
    s.hi = static_cast<std::int32_t>(table.size() - 1);
    s.table = kept;
    range_ = result;
    before_clamp_ = range_;
    fraction_ = fraction;
    fits(range_);
}

void Chain::divide(std::int64_t n) {
    if (n == 1) return;
    if (std::has_single_bit(static_cast<std::uint64_t>(n))) {
        const int shift = std::countr_zero(static_cast<std::uint64_t>(n));
        round_right(shift, Rounding::trn_zero);
        fraction_ += shift;
        return;
    }
    if (range_.hi - range_.lo >= most_entries) return fail("a division of too many values");
    std::vector<std::int64_t> quotients;
    for (auto v = static_cast<std::int64_t>(range_.lo); v <= static_cast<std::int64_t>(range_.hi); ++v)
        quotients.push_back(v / n);
    look_up(range_, quotients, fraction_, {range_.lo / n, range_.hi / n});
}

/// A layer that looks up each element alike, from index to conversion: the exact executor says what comes of each value
/// that is proven possible.
bool Lowering::swallow_table(Chain& chain, int value, int next) const {
    const FixedType& type = graph_.type(value);
    const Interval& from = ranges_.value(value).all;
    if (from.hi - from.lo >= most_entries || from.lo < lane_min || from.hi > lane_max) return false;
    if (chain.fraction() != type.fraction()) return false;
    const auto n = static_cast<std::size_t>(from.hi - from.lo + 1);
    Graph graph;
    graph.inputs.push_back({"x", {static_cast<std::int64_t>(n)}, type, {}});
    graph.layers.push_back(layer(next));
    graph.layers[0].inputs = {0};
    graph.layers[0].shape = graph.inputs[0].shape;
    std::vector<std::int64_t> x(n);
    for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<std::int64_t>(from.lo) + static_cast<std::int64_t>(i);
    std::vector<std::int64_t> y(n + exact_scratch_size(graph.layers[0]));
    const std::int64_t* in = x.data();
    run_layer_exact({graph, graph.layers[0], &in, y.data(), y.data() + n}, needs_wide(proof(next).work_bits));
    y.resize(n);
    chain.look_up(from, y, layer(next).result.fraction(), proof(next).result.all);
    return chain.failed().empty();
}

/// A value as the result type of a layer that reads it has it, in plain lanes.
Place Lowering::converted(int value, int reader) {
    const Place& plain = plain_operand(value);
    const FixedType& type = graph_.type(value);
    const FixedType& result = layer(reader).result;
    const Interval& range = ranges_.value(value).all;
    Chain chain(range, type.fraction(), size(value), 1, plan_.parameters);
    chain.convert(result, proof(reader).result_overflows, proof(reader).result.all);
    if (!chain.failed().empty()) refuse(value, chain.failed());
    if (chain.stages().empty()) return plain;
    return emit_map(plain, nullptr, Merge::add, chain, temporary(size(value)));
}

bool Lowering::lower_concatenation(int value) {
    const Layer& l = layer(value);
    const auto* op = std::get_if<Concatenate>(&l.operation);
    constexpr std::size_t most_elements = std::size_t{1} << 17;
    if (op == nullptr || size(value) > most_elements) return false;
    for (const int input : l.inputs) {
        Chain trial(ranges_.value(input).all, graph_.type(input).fraction(), 1, 1, plan_.parameters);
        trial.convert(l.result, proof(value).result_overflows, proof(value).result.all);
        const Interval& x = ranges_.value(input).all;
        if (constant(input) != nullptr || !trial.failed().empty() || x.lo < lane_min || x.hi > lane_max) return false;
    }
    Group group{value, value, l.name, {}};
    group.chain = Chain(proof(value).result.all, l.result.fraction(), size(value), 1, plan_.parameters);
    extend(group);
    const Place out = begin_place(group, value);
    // Elements of all axes from that of the concatenation on, of one input after the other.
    std::size_t row = 1;
    for (auto axis = static_cast<std::size_t>(op->axis); axis < l.shape.size(); ++axis)
        row *= static_cast<std::size_t>(l.shape[axis]);
    auto copy = std::make_unique<CopyStep>();
    std::vector<Place> parts;
    parts.reserve(l.inputs.size());
    for (const int input : l.inputs) parts.push_back(converted(input, value));
    for (std::size_t begin = 0; begin < size(value); begin += row) {
        std::size_t to = begin;
        for (std::size_t k = 0; k < parts.size(); ++k) {
            const std::size_t n = size(l.inputs[k]) * row / size(value);
            const std::size_t from = begin / row * n;
            // Chunks of four elements; what the last of a part writes too many is overwritten by the next part.
            for (std::size_t i = 0; i < n; i += CopyStep::chunk / 4)
                copy->one.push_back({parts[k].one + static_cast<std::uint32_t>(4 * (from + i)),
                                     static_cast<std::uint32_t>(4 * (to + i))});
            for (std::size_t i = 0; i < n; ++i)
                copy->tile.push_back(
                    {parts[k].tile + static_cast<std::uint32_t>(std::size_t{4} * tile_events * (from + i)),
                     static_cast<std::uint32_t>(std::size_t{4} * tile_events * (to + i)), 4});
            to += n;
        }
    }
    emit_moves(std::move(copy), Place{}, out);
    finish_moved(group, out, "concatenation");
    return true;
}

}  // namespace rheinfall::quantized
