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

constexpr std::size_t lanes = 16;  // of the only kernels that have links
constexpr std::uint32_t image_bytes = 64;

std::size_t vectors_of(std::size_t n) noexcept {
    return (n + lanes - 1) / lanes;
}

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

constexpr bool fits_shorts(std::int32_t lo, std::int32_t hi) noexcept {
    return lo >= std::numeric_limits<std::int16_t>::min() && hi <= std::numeric_limits<std::int16_t>::max();
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
    d.fits_shorts = fits_shorts(last.lo, last.hi);
    d.parameters.resize(d.vectors * lanes);
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

/// An element of a layer's input that an output has a weight for, and where it lies in the image.
struct Picked {
    std::uint32_t at = 0;
    std::uint32_t weight = 0;
};

/// What each output has weights for, in images of bytes or shorts.
std::vector<std::vector<Picked>> picked_inputs(const Step& s, std::size_t n_out) {
    const bool bytes = s.in.lanes == Lanes::u8;
    const std::uint32_t per_group = bytes ? 4 : 2;
    const std::uint32_t bits = 32 / per_group;
    constexpr auto n_lanes = static_cast<std::uint32_t>(lanes);
    const auto* weights = reinterpret_cast<const std::uint32_t*>(s.weights);
    std::vector<std::vector<Picked>> picked(n_out);
    for (std::uint32_t i = 0; i < s.in.columns; ++i) {
        // Quarter, then vector, then element: see links_avx512.hpp.
        const std::uint32_t quarter = i % n_lanes / 4;
        const std::uint32_t at = (bytes ? 16 : 8) * quarter + i / n_lanes * 4 + i % 4;
        for (std::size_t o = 0; o < n_out; ++o) {
            const std::uint32_t group = weights[i / per_group * n_out + o];
            const std::uint32_t w = group >> (i % per_group * bits) & ((1u << bits) - 1u);
            if (w != 0) picked[o].push_back({at, w});
        }
    }
    return picked;
}

/// The kernel of @p s for few weights, where it does less than the @p n_products of vectors of the other one; false
/// otherwise. Each time it loads indices and weights, where that one loads weights.
bool take_listed(const Kernels& kernels, const Step& s, std::size_t n_products, LinkDraft& d) {
    const bool bytes = s.in.lanes == Lanes::u8;
    if (bytes && !permutes_bytes()) return false;
    const std::size_t n_out = d.vectors * lanes;
    const std::vector<std::vector<Picked>> picked = picked_inputs(s, n_out);
    const std::uint32_t per_group = bytes ? 4 : 2;
    const std::uint32_t bits = 32 / per_group;
    std::size_t most = 0;
    for (const auto& of_output : picked) most = std::max(most, of_output.size());
    const std::size_t times = (most + per_group - 1) / per_group;
    if (2 * times >= n_products) return false;
    d.link.run = kernels.links->listed[bytes ? 0 : 1][d.vectors][link_epilogue(s.epilogue)];
    d.link.n_quarters = static_cast<std::uint8_t>(times);
    for (std::size_t t = 0; t < times; ++t)
        for (std::size_t first = 0; first < n_out; first += lanes) {
            std::uint32_t index[lanes] = {}, weight[lanes] = {};
            for (std::size_t o = 0; o < lanes; ++o)
                for (std::uint32_t k = 0; k < per_group; ++k) {
                    const auto& of_output = picked[first + o];
                    const std::size_t i = t * per_group + k;
                    if (i >= of_output.size()) continue;
                    index[o] |= of_output[i].at << (bits * k);
                    weight[o] |= of_output[i].weight << (bits * k);
                }
            d.parameters.insert(d.parameters.end(), std::begin(index), std::end(index));
            d.parameters.insert(d.parameters.end(), std::begin(weight), std::end(weight));
        }
    d.note = ", in batch 1 lists of nonzero weights: " + std::to_string(times) + " products of " +
             std::to_string(n_products);
    return true;
}

/// The kernel of @p s on an image of @p in vectors, and its weights in the order of the image's dwords.
void take_image(const Kernels& kernels, const Step& s, std::size_t in, LinkDraft& d) {
    const bool bytes = s.in.lanes == Lanes::u8;
    const std::size_t dwords = bytes ? in : 2 * in;  // of a quarter
    const std::size_t n_groups = s.in.stride / 4;
    const auto* weights = reinterpret_cast<const std::uint32_t*>(s.weights);
    const std::size_t row = d.vectors * lanes;
    const std::size_t n_quarters = (std::min<std::size_t>(s.in.columns, lanes) + 3) / 4;
    if (take_listed(kernels, s, n_quarters * dwords, d)) return;
    d.link.run = kernels.links->link[bytes ? 0 : 1][dwords][d.vectors][link_epilogue(s.epilogue)];
    d.link.n_quarters = static_cast<std::uint8_t>(n_quarters);
    for (std::size_t q = 0; q < d.link.n_quarters; ++q)
        for (std::size_t k = 0; k < dwords; ++k) {
            const std::size_t group = bytes ? 4 * k + q : 8 * (k / 2) + 2 * q + k % 2;
            const std::size_t at = d.parameters.size();
            d.parameters.resize(at + row);
            if (group < n_groups) std::copy_n(weights + group * row, row, d.parameters.data() + at);
        }
}

/// The weight of element @p i and output @p o of a layer whose inputs are shorts.
std::int32_t short_weight(const Step& s, std::size_t i, std::size_t o) noexcept {
    const auto* weights = reinterpret_cast<const std::uint32_t*>(s.weights);
    const std::uint32_t pair = weights[i / 2 * vectors_of(s.n_out) * lanes + o];
    return static_cast<std::int16_t>(static_cast<std::uint16_t>(i % 2 == 0 ? pair : pair >> 16));
}

/// Weights of four elements, as bytes; an element behind the last one has none.
void append_quad(const Step& s, const std::vector<std::size_t>& elements, std::size_t first, LinkDraft& d) {
    for (std::size_t o = 0; o < d.vectors * lanes; ++o) {
        std::uint32_t quad = 0;
        for (std::size_t k = 0; k < 4 && first + k < elements.size(); ++k)
            quad |= static_cast<std::uint32_t>(short_weight(s, elements[first + k], o) & 0xff) << (8 * k);
        d.parameters.push_back(quad);
    }
}

/// The kernel of @p s on inputs cut into bytes, and its weights; @p wide elements have more than 16 bits.
PlanesFunction take_planes(const Kernels& kernels, const Step& s, const std::vector<std::size_t>& wide, LinkDraft& d) {
    std::vector<std::size_t> all(s.in.columns);
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    d.link.n_quarters = static_cast<std::uint8_t>((all.size() + 3) / 4);
    d.link.n_high = static_cast<std::uint8_t>((wide.size() + 3) / 4);
    for (std::size_t i = 0; i < all.size(); i += 4) append_quad(s, all, i, d);
    for (std::size_t h = 0; h * lanes < wide.size(); ++h) {
        for (std::size_t i = 0; i < lanes; ++i) {
            const std::size_t element = h * lanes + i < wide.size() ? wide[h * lanes + i] : 0;
            d.parameters.push_back(static_cast<std::uint32_t>(element));
        }
        for (std::size_t i = 0; i < lanes; i += 4) append_quad(s, wide, h * lanes + i, d);
    }
    return kernels.links->planes[d.vectors][link_epilogue(s.epilogue)];
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
    d.fits_shorts = fits_shorts(k.lo, k.hi);
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

/// Adds a merge of the last values with others, or the sum of their squares, to a chain of at most 16 shorts.
bool join_tail(const Kernels& kernels, std::vector<LinkDraft>& chain, const Step& s, std::size_t step) {
    LinkDraft& before = chain.back();
    if (before.vectors != 1 || !before.fits_shorts) return false;
    std::optional<LinkDraft> d = merge_draft(kernels, before, s);
    if (!d) d = squares_draft(kernels, before, s);
    if (!d) return false;
    d->step = step;
    d->n_out = s.n_out;
    d->vectors = 1;
    d->link.out = s.out.one;
    d->link.out_lanes = s.out.lanes;
    d->link.n_stored = 1;
    before.link.next = Lanes::s16;
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
    if (read.n_rows != 1 || s.in.one != read.out.one || s.in.columns > 4 * lanes || uses_[value] != 1) return false;
    head.stages = read.stages;
    head.n_stages = read.n_stages;
    head.first = input.one.first;
    head.n_in = s.in.columns;
    head.smallest = input.one.smallest;
    head.largest = input.one.largest;
    head.image = s.in.lanes;
    head.scales = head.n_stages > 0 && head.stages->flags == (Stage::add_each | Stage::shift_each);
    d = draft_of(s);
    if (s.in.low_mask == nullptr && (s.in.lanes == Lanes::u8 || s.in.columns <= 2 * lanes)) {
        take_image(*plan_.kernels, s, vectors_of(s.in.columns), d);
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
            chain.back().link.next = s.in.lanes;
            take_image(kernels, s, chain.back().vectors, d);
        }
        d.step = end;
        if (++end < steps.size() && is_copy(kernels, s, steps[end])) {
            d.link.copy = steps[end].out.one;
            d.link.copy_lanes = steps[end].out.lanes;
            d.link.n_stored = 2;
            d.copy = end++;
        }
        chain.push_back(std::move(d));
    }
    while (!chain.empty() && end < steps.size() && join_tail(kernels, chain, steps[end], end)) ++end;
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
        p.insert(p.end(), weights, weights + s.n_groups * vectors * lanes);
        step.run = kernels.links->head[s.in.lanes == Lanes::u8 ? 0 : 1][vectors][link_epilogue(s.epilogue)];
        step.links = write_links(chain, plan_.parameters.take<std::byte>(bytes_of(chain)));
        add_notes(chain);
        i = end;
    }
    plan_.one = std::move(to);
}

}  // namespace rheinfall::quantized
