#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <new>
#include <span>
#include <utility>

#include "quantized/plan_lowering.hpp"

/// Chains of dense layers: see DenseLink in plan_step.hpp.
namespace rheinfall::quantized {
namespace {

constexpr std::uint32_t image_bytes = 64;

bool is_dense(const Kernels& kernels, const Step& s) {
    if (s.n_rows != 1 || s.epilogue == Epilogue::any || s.in.lanes == Lanes::s32) return false;
    const std::size_t n = vectors_of(s.n_out);
    if (n > max_dense_vectors || s.out.low_mask != nullptr) return false;
    const StepFunction f = kernels.dense[static_cast<int>(s.in.lanes)][static_cast<int>(s.epilogue)][n];
    return f != nullptr && s.run == f;
}

/// A step that stores the values of @p s once more, in other lanes and otherwise as they are.
bool is_copy(const Kernels& kernels, const Step& s, const Step& copy) {
    return copy.run == kernels.map && copy.n_stages == 0 && copy.n_rows == 1 && copy.n_out == s.n_out &&
           copy.in.one == s.out.one && copy.in.lanes == s.out.lanes && copy.out.low_mask == nullptr;
}

/// Rounding of ties to even for a link that adds half and shifts; @p middle as in Stage. In units of what is rounded,
/// the result is floor((v + half - 1 + (1 if floor(v / 2·half) is odd)) / 2·half).
void round_to_even(DenseLink& k, std::int32_t middle) {
    k.odd = static_cast<std::int32_t>((std::int64_t{1} << k.shift) - middle);
    k.odd_shift = k.shift - std::countr_zero(static_cast<std::uint32_t>(k.odd));
    k.c0 -= k.odd;
}

/// All of a link but its kernel and weights: epilogue, biases, what it stores.
LinkDraft draft_of(const Step& s) {
    LinkDraft d;
    d.vectors = vectors_of(s.n_out);
    d.n_out = s.n_out;
    DenseLink& k = d.link;
    k.out = s.out.one;
    k.out_lanes = s.out.lanes;
    k.n_stored = 1;
    const bool wraps = wraps_first(s.epilogue);
    const Stage& last = s.stages[wraps ? 1 : 0];
    if (wraps) {
        k.left = s.stages[0].left_shift;
        k.right = s.stages[0].shift;
        k.c0 = last.c0;
    }
    k.shift = last.shift;
    k.lo = last.lo;
    k.hi = last.hi;
    d.parameters.resize(d.vectors * link_lanes);
    std::memcpy(d.parameters.data(), s.bias, d.parameters.size() * sizeof(std::uint32_t));
    if (last.c1 == -1) return d;
    k.c0 = 1 << (last.shift - 1);
    // The biases hold half already if nothing wraps in between.
    if (!wraps)
        for (std::uint32_t& b : d.parameters) b -= static_cast<std::uint32_t>(k.c0);
    round_to_even(k, last.c1);
    return d;
}

/// True if @p in are the values of @p before, in one of the forms that it has.
bool is_of(const LinkDraft& before, const Place& in) {
    const DenseLink& k = before.link;
    if (in.low_mask != nullptr) return false;
    if (in.one == k.out) return in.lanes == k.out_lanes;
    return k.n_stored > 1 && in.one == k.copy && in.lanes == k.copy_lanes;
}

/// True if @p s reads all of the values of @p before, and they fit an image.
bool follows(const LinkDraft& before, const Step& s) {
    if (s.in.columns != before.n_out) return false;
    if (s.in.columns * 4 / static_cast<std::uint32_t>(elements_per_group(s.in.lanes)) > image_bytes) return false;
    return is_of(before, s.in);
}

std::size_t bytes_of(const LinkDraft& d) noexcept {
    return sizeof(DenseLink) + d.parameters.size() * sizeof(std::uint32_t);
}

std::size_t bytes_of(const std::vector<LinkDraft>& chain) noexcept {
    std::size_t n = 0;
    for (const LinkDraft& d : chain) n += bytes_of(d);
    return n;
}

const DenseLink* write_links(const std::vector<LinkDraft>& chain, std::byte* to) {
    const auto* first = reinterpret_cast<const DenseLink*>(to);
    for (const LinkDraft& d : chain) {
        auto* k = new (to) DenseLink(d.link);
        k->bytes = &d == &chain.back() ? 0 : static_cast<std::uint32_t>(bytes_of(d));
        std::ranges::copy(std::as_bytes(std::span(d.parameters)), to + sizeof *k);
        to += bytes_of(d);
    }
    return first;
}

/// A merge of the values of @p before with others.
std::optional<LinkDraft> merge_draft(const Kernels& kernels, const LinkDraft& before, const Step& s) {
    const bool first = is_of(before, s.in);
    const bool second = is_of(before, s.in2);
    constexpr std::uint32_t simple = Stage::add | Stage::right | Stage::to_even | Stage::clamps;
    if (s.run != kernels.merge || s.n_rows != 1 || s.n_out != before.n_out || first == second) return std::nullopt;
    if (s.n_stages > 1 || (s.n_stages == 1 && (s.stages->flags & ~simple) != 0)) return std::nullopt;
    const Place& other = first ? s.in2 : s.in;
    if (other.lanes != Lanes::s32 || s.out.low_mask != nullptr) return std::nullopt;
    LinkDraft d;
    d.is_merge = true;
    DenseLink& k = d.link;
    k.run = kernels.links->merge[static_cast<int>(s.merge)];
    k.is_second = second;
    k.in = other.one;
    k.left = second ? s.shift_y : s.shift_x;
    k.right = second ? s.shift_x : s.shift_y;
    k.lo = std::numeric_limits<std::int32_t>::min();
    k.hi = std::numeric_limits<std::int32_t>::max();
    if (s.n_stages == 0) return d;
    const Stage& stage = *s.stages;
    if ((stage.flags & Stage::add) != 0) k.c0 = stage.c0;
    if ((stage.flags & Stage::right) != 0) k.shift = stage.shift;
    if ((stage.flags & Stage::to_even) != 0) round_to_even(k, stage.c1);
    if ((stage.flags & Stage::at_least) != 0) k.lo = stage.lo;
    if ((stage.flags & Stage::at_most) != 0) k.hi = stage.hi;
    return d;
}

/// The sum of the squares of the values of @p before: the end of a chain.
std::optional<LinkDraft> squares_draft(const Kernels& kernels, const LinkDraft& before, const Step& s) {
    const bool squares = s.operation == 1 || (s.operation == 0 && is_of(before, s.in2));
    if (s.run != kernels.reduce || s.n_groups != before.n_out || !squares || !is_of(before, s.in)) return std::nullopt;
    if ((s.stages[0].flags & ~Stage::right) != 0 || s.n_stages > 2 || s.out.lanes != Lanes::s32) return std::nullopt;
    LinkDraft d;
    d.is_end = true;
    DenseLink& k = d.link;
    bool is_logical = false;
    if (s.n_stages == 2) {
        const Stage& wrap = s.stages[1];
        is_logical = wrap.flags == (Stage::left | Stage::right_logical);
        if (!is_logical && wrap.flags != (Stage::left | Stage::right)) return std::nullopt;
        k.left = wrap.left_shift;
        k.right = wrap.shift;
    }
    k.run = kernels.links->squares[is_logical ? 1 : 0];
    k.odd_shift = s.stages[0].flags != 0 ? s.stages[0].shift : 0;
    k.n_lanes = static_cast<std::uint8_t>(s.n_groups);
    return d;
}

/// Adds a merge of the last values, one vector, with others, or the sum of their squares, to a chain.
bool join_tail(const Kernels& kernels, std::vector<LinkDraft>& chain, const Step& s, std::size_t step) {
    LinkDraft& before = chain.back();
    if (before.vectors != 1) return false;
    std::optional<LinkDraft> d = merge_draft(kernels, before, s);
    if (!d) d = squares_draft(kernels, before, s);
    if (!d) return false;
    d->step = step;
    d->n_out = s.n_out;
    d->vectors = 1;
    d->link.out = s.out.one;
    d->link.out_lanes = s.out.lanes;
    d->link.n_stored = 1;
    before.link.next = Lanes::s32;
    chain.push_back(std::move(*d));
    return true;
}

}  // namespace

/// True if something but the link @p next, from its image, may read the values that @p by stores at @p place.
bool Lowering::is_read(std::uint32_t place, const LinkDraft& by, const LinkDraft* next) const {
    for (std::size_t i = 0; i < plan_.one.size(); ++i) {
        const Step& s = plan_.one[i];
        if (s.taps != nullptr || s.copy != nullptr || s.pool != nullptr) return true;
        if (i == by.copy || i == by.step) continue;
        bool first = s.in.one == place;
        bool second = s.in2.one == place;
        if (next != nullptr && i == next->step) {
            first = first && next->is_merge && next->link.is_second;
            second = second && next->is_merge && !next->link.is_second;
        }
        if (first || second) return true;
    }
    for (const auto& exact : plan_.exact)
        for (const Place& p : exact->in)
            if (p.one == place) return true;
    for (const Output& output : graph_.outputs)
        for (const auto& [want, p] : places_[static_cast<std::size_t>(output.value)])
            if (p.one == place) return true;
    return false;
}

/// Stores no form of the values that nothing reads.
void Lowering::drop_unread(LinkDraft& d, const LinkDraft* next) const {
    DenseLink& k = d.link;
    if (k.n_stored > 1 && !is_read(k.copy, d, next)) k.n_stored = 1;
    if (is_read(k.out, d, next)) return;
    --k.n_stored;
    k.out = k.copy;
    k.out_lanes = k.copy_lanes;
}

/// The first link of a chain that reads its events itself, where @p s alone reads the only input.
bool Lowering::join_input(const Step& s, ChainInput& head, LinkDraft& d) {
    if (plan_.inputs.size() != 1 || !is_dense(*plan_.kernels, s)) return false;
    const PlanInput& input = plan_.inputs.front();
    const Step& read = input.one.step;
    const auto value = static_cast<std::size_t>(input.value);
    if (read.n_rows != 1 || s.in.one != read.out.one || s.in.columns > 4 * link_lanes || uses_[value] != 1)
        return false;
    head.stages = read.stages;
    head.n_stages = read.n_stages;
    head.first = input.one.first;
    head.n_in = s.in.columns;
    head.smallest = input.one.smallest;
    head.largest = input.one.largest;
    head.scales = head.n_stages > 0 && head.stages->flags == (Stage::add_each | Stage::shift_each);
    d = draft_of(s);
    if (s.in.low_mask == nullptr && (s.in.lanes == Lanes::u8 || s.in.columns <= 2 * link_lanes)) {
        take_image(*plan_.kernels, s, vectors_of(s.in.columns), d);
        head.image = d.takes;
        return true;
    }
    return cut_input(s, head, d);
}

/// Cuts the elements of an input into bytes without a sign. False if a weight does not fit a byte.
bool Lowering::cut_input(const Step& s, ChainInput& head, LinkDraft& d) {
    const ValueRange& range = ranges_.value(plan_.inputs.front().value);
    std::vector<std::size_t> wide;
    auto* offset = plan_.parameters.take<std::int32_t>(s.in.columns + lane_padding);
    for (std::size_t i = 0; i < s.in.columns; ++i) {
        const Interval& x = range.at(i);
        const Int128 up = std::max(-x.lo, Int128{0});
        if (x.hi + up >= Int128{1} << 24) return false;
        if (x.hi + up >= Int128{1} << 16) wide.push_back(i);
        offset[i] = static_cast<std::int32_t>(up);
        for (std::size_t o = 0; o < s.n_out; ++o) {
            const std::int32_t w = short_weight(s, i, o);
            if (w != static_cast<std::int8_t>(w)) return false;
            // Modulo 2^32, as the sums.
            d.parameters[o] -= static_cast<std::uint32_t>(w) * static_cast<std::uint32_t>(offset[i]);
        }
    }
    head.offset = offset;
    d.link.in = one_end_;
    one_end_ += 2 * split_columns * static_cast<std::uint32_t>(sizeof(std::int32_t));
    head.planes = take_planes(*plan_.kernels, s, wide, d);
    return true;
}

/// The layers from step @p first on, each the only thing between its neighbours, of which all but the last ones are
/// dense; moves @p end behind them.
std::vector<LinkDraft> Lowering::collect_links(std::size_t first, std::optional<LinkDraft> head,
                                               std::size_t& end) const {
    const Kernels& kernels = *plan_.kernels;
    const std::vector<Step>& steps = plan_.one;
    std::vector<LinkDraft> chain;
    for (end = first; end < steps.size() && is_dense(kernels, steps[end]);) {
        const Step& s = steps[end];
        LinkDraft d = chain.empty() && head ? *head : draft_of(s);
        if (!chain.empty()) {
            if (!follows(chain.back(), s)) break;
            take_image(kernels, s, chain.back().vectors, d);
            chain.back().link.next = d.takes;
        }
        d.step = end;
        ++end;
        if (end < steps.size() && is_copy(kernels, s, steps[end])) {
            d.link.copy = steps[end].out.one;
            d.link.copy_lanes = steps[end].out.lanes;
            d.link.n_stored = 2;
            d.copy = end++;
        }
        chain.push_back(std::move(d));
    }
    if (!chain.empty())
        while (end < steps.size() && join_tail(kernels, chain, steps[end], end)) ++end;
    for (std::size_t i = 0; i < chain.size(); ++i)
        if (!chain[i].is_end) drop_unread(chain[i], i + 1 < chain.size() ? &chain[i + 1] : nullptr);
    return chain;
}

void Lowering::add_notes(const std::vector<LinkDraft>& chain) {
    for (const LinkDraft& d : chain)
        if (!d.note.empty()) plan_.notes[plan_.one[d.step].note].kernel += d.note;
}

/// Makes one step of dense layers that follow each other in batch 1. The first ones join the input if they can.
void Lowering::link_dense() {
    const Kernels& kernels = *plan_.kernels;
    std::vector<Step> to;
    std::size_t i = 0;
    std::size_t end = 0;
    ChainInput input;
    LinkDraft head;
    if (!plan_.one.empty() && join_input(plan_.one.front(), input, head)) {
        const std::vector<LinkDraft> chain = collect_links(0, head, end);
        auto* memory = plan_.parameters.take<std::byte>(sizeof input + bytes_of(chain));
        plan_.inputs.front().one.chain = new (memory) ChainInput(input);
        plan_.inputs.front().read_one = kernels.links->input[vectors_of(input.n_in)];
        write_links(chain, memory + sizeof input);
        add_notes(chain);
        i = end;
    }
    while (i < plan_.one.size()) {
        const Step& s = plan_.one[i];
        std::vector<LinkDraft> chain = collect_links(i, std::nullopt, end);
        Step& step = to.emplace_back(s);
        if (chain.size() < 2) {
            ++i;
            continue;
        }
        const std::size_t vectors = chain.front().vectors;
        const auto* weights = reinterpret_cast<const std::uint32_t*>(s.weights);
        std::vector<std::uint32_t>& p = chain.front().parameters;
        p.insert(p.end(), weights, weights + s.n_groups * vectors * link_lanes);
        step.run = kernels.links->head[s.in.lanes == Lanes::u8 ? 0 : 1][vectors][link_epilogue(s.epilogue)];
        step.links = write_links(chain, plan_.parameters.take<std::byte>(bytes_of(chain)));
        add_notes(chain);
        i = end;
    }
    plan_.one = std::move(to);
}

}  // namespace rheinfall::quantized
