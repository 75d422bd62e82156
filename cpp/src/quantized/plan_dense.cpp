#include <algorithm>
#include <limits>

#include "quantized/detail/fixed_point.hpp"
#include "quantized/plan_lowering.hpp"

namespace rheinfall::quantized {
namespace {

Interval hull(const std::vector<std::int64_t>& values) noexcept {
    const auto [lo, hi] = std::minmax_element(values.begin(), values.end());
    return {*lo, *hi};
}

constexpr std::int32_t low_lane(Int128 v) noexcept {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(static_cast<UInt128>(v)));
}

constexpr const char* lane_names[] = {"u8 x s8", "s16 x s16", "s32 x s32"};

std::vector<Slot> slots_of(const Place& p, int lanes) {
    const std::size_t n = p.stride / 4 * static_cast<std::size_t>(elements_per_group(p.lanes));
    std::vector<Slot> slots(n);
    for (std::uint32_t i = 0; i < p.columns; ++i) slots[i].element = i;
    if (p.low_mask == nullptr) return slots;
    for (std::size_t i = 0; i < p.columns; ++i) {
        const std::size_t k = i / static_cast<std::size_t>(lanes);
        const std::size_t bit = i % static_cast<std::size_t>(lanes);
        if ((p.wide_mask[k] >> bit & 1) == 0) continue;
        const auto before = static_cast<std::uint32_t>(__builtin_popcount(p.wide_mask[k] & ((1u << bit) - 1u)));
        slots[p.wide_at[k] + before] = {static_cast<std::int64_t>(i), p.low_bits};
    }
    return slots;
}

/// Row after row by the kernel of one row.
void run_rows(const Step& step, std::byte* workspace) noexcept {
    Step one = step;
    for (std::uint32_t r = 0; r < step.n_rows; ++r) {
        step.row(one, workspace);
        one.in.one += step.in.stride;
        one.out.one += step.out.stride;
    }
}

/// A constant that every sum begins its epilogue with goes into the bias.
void fold_addition(std::vector<Stage>& stages, std::vector<std::int64_t>& bias) {
    if (stages.empty()) return;
    Stage& first = stages.front();
    if ((first.flags & (Stage::rare | Stage::add_sign)) != 0 || (first.flags & Stage::add) == 0) return;
    for (std::int64_t& b : bias) b += first.c0;
    first.c0 = 0;
    first.flags &= ~static_cast<std::uint32_t>(Stage::add);
}

/// The kernel that does these stages at once, if there is one; then all its fields are filled in.
Epilogue special_epilogue(std::vector<Stage>& stages, Lanes products, Lanes out) {
    if (stages.empty() || (stages.size() == 1 && stages[0].flags == (Stage::left | Stage::right)))
        stages.emplace_back();
    Stage& last = stages.back();
    constexpr std::uint32_t simple = Stage::add | Stage::right | Stage::to_even | Stage::clamps;
    const bool wraps = stages.size() == 2 && (stages[0].flags & ~(Stage::right | Stage::at_least)) == Stage::left;
    if ((last.flags & ~simple) != 0 || (stages.size() != 1 && !wraps)) return Epilogue::any;
    // max(·, lo) between two stages moves behind the second, which is monotone.
    const bool clamped = wraps && (stages[0].flags & Stage::at_least) != 0;
    if (clamped && stages[0].lo != 0) return Epilogue::any;
    if (!wraps && (last.flags & Stage::add) != 0) return Epilogue::any;
    if ((last.flags & Stage::right) == 0) last.shift = 0;
    if ((last.flags & Stage::to_even) == 0) last.c1 = -1;  // v + c0 = 0 alone is in the middle, and is even
    if ((last.flags & Stage::at_least) == 0) last.lo = std::numeric_limits<std::int32_t>::min();
    if ((last.flags & Stage::at_most) == 0) last.hi = std::numeric_limits<std::int32_t>::max();
    const auto to_bytes = [&] { return out == Lanes::u8 && products != Lanes::s32 && last.lo == 0 && last.hi == 255; };
    if (!wraps && (last.flags & Stage::to_even) == 0) return Epilogue::shift_clamp;
    if (!wraps) return to_bytes() ? Epilogue::even_u8 : Epilogue::even_clamp;
    if (clamped) {
        // Roundings of this form leave 0 where it is.
        last.lo = std::max(last.lo, 0);
        last.hi = std::max(last.hi, 0);
    }
    if ((stages[0].flags & Stage::right) == 0) stages[0].shift = 0;
    return to_bytes() ? Epilogue::wrap_even_u8 : Epilogue::wrap_even_clamp;
}

}  // namespace

std::optional<Sums> sums_of(const Operation& operation) {
    if (const auto* dense = std::get_if<Dense>(&operation))
        return Sums{&dense->weight, &dense->bias, &dense->accum, nullptr};
    if (const auto* conv = std::get_if<Conv>(&operation)) return Sums{&conv->weight, &conv->bias, &conv->accum, conv};
    return std::nullopt;
}

bool patches_are_large(const Conv& conv, std::size_t n_in, std::size_t n_out) {
    constexpr std::size_t most = std::size_t{1} << 17;
    const Shape& kernel = conv.weight.shape;
    const std::size_t patch =
        conv.weight.data.size() / static_cast<std::size_t>(kernel[3]) * static_cast<std::size_t>(conv.groups);
    const std::size_t n_pixels = n_out / static_cast<std::size_t>(kernel[3]);
    return n_in > most || patch * n_pixels > most || patch * static_cast<std::size_t>(kernel[3]) > 8 * most;
}

std::uint32_t group_weights(const Tensor& weight, const std::vector<Slot>& slots, Lanes lanes, std::size_t g,
                            std::size_t output) {
    const auto per_group = static_cast<std::size_t>(elements_per_group(lanes));
    const std::size_t bits = 32 / per_group;
    const auto n_out = static_cast<std::size_t>(weight.shape.back());
    std::uint32_t dword = 0;
    for (std::size_t k = 0; k < per_group; ++k) {
        const std::size_t at = g * per_group + k;
        if (at >= slots.size() || slots[at].element < 0) continue;
        const std::int64_t w = weight.data[static_cast<std::size_t>(slots[at].element) * n_out + output] *
                               (std::int64_t{1} << slots[at].shift);
        const auto low = static_cast<std::uint32_t>(static_cast<std::uint64_t>(w)) &
                         static_cast<std::uint32_t>((std::uint64_t{1} << bits) - 1);
        dword |= low << (bits * k);
    }
    return dword;
}

/// The lanes of a dense layer's products; nothing if its sums do not fit 32-bit lanes or depend on their order.
std::optional<DenseChoice> Lowering::choose_sums(int value) const {
    const std::optional<Sums> sums = sums_of(layer(value).operation);
    if (!sums) return std::nullopt;
    const LayerRange& range = proof(value);
    if (!range.accumulator || !range.accumulator->is_plain_sum()) return std::nullopt;
    if (no_sums_.contains(value)) return std::nullopt;
    const int x = layer(value).inputs[0];
    Interval in = ranges_.value(x).all;
    const Interval w = hull(sums->weight->data);
    DenseChoice choice;
    choice.want.columns = static_cast<std::uint32_t>(sums->weight->shape[0]);
    choice.fraction = graph_.type(x).fraction() + sums->weight->type.fraction();
    if (sums->conv != nullptr) {
        // All of the image, of which patches are copied; there, the padding is a value as the others.
        if (patches_are_large(*sums->conv, size(x), size(value))) return std::nullopt;
        choice.want.columns = static_cast<std::uint32_t>(size(x));
        in = {std::min(in.lo, Int128{0}), std::max(in.hi, Int128{0})};
    }
    const bool byte_weights = plan_.kernels->dot_u8 && within<std::int8_t>(w);
    const int spare = signed_bits(in) - 16;
    if (byte_weights && in.hi - in.lo <= 255) {
        choice.want.lanes = Lanes::u8;
        if (!within<std::uint8_t>(in)) {
            if (!within<std::int32_t>(in)) return std::nullopt;
            choice.want.offset = static_cast<std::int32_t>(-in.lo);
        }
    } else if (within<std::int16_t>(in) && within<std::int16_t>(w)) {
        choice.want.lanes = Lanes::s16;
    } else if (sums->conv == nullptr && plan_.kernels->wide && from_input_[static_cast<std::size_t>(x)] &&
               size(x) == choice.want.columns && size(x) <= split_columns && spare <= 15 &&
               within<std::int16_t>({scaled(w.lo, spare), scaled(w.hi, spare)})) {
        choice.want.lanes = Lanes::s16;
        choice.want.low_bits = spare;
        choice.want.byte_rests = byte_weights && spare <= 8;
    } else if (within<std::int32_t>(in) && within<std::int32_t>(w)) {
        choice.want.lanes = Lanes::s32;
    } else {
        return std::nullopt;
    }
    return choice;
}

/// Starts the chain of a layer of sums: @p bias (in the accumulator's grid) becomes what the sums begin with, in the
/// grid of the products; what wraps wraps; the result is converted. False if 32-bit lanes do not do.
bool Lowering::begin_sums(Group& group, const DenseChoice& choice, std::vector<std::int64_t>& bias) {
    const AccumulatorRange& acc = accumulator(group.root);
    const Layer& l = layer(group.root);
    const int finer = acc.type.fraction() - choice.fraction;  // bits of the accumulator below the products
    const auto n = static_cast<std::size_t>(l.shape.back());
    const std::size_t n_rows = size(group.root) / n;
    const bool exact_bias = std::all_of(bias.begin(), bias.end(), [&](std::int64_t b) {
        return finer <= 0 || (finer < 63 && (b & ((std::int64_t{1} << finer) - 1)) == 0);
    });
    const int down = exact_bias ? -finer : 0;  // from the accumulator's grid to that of the sums, to the left
    if (finer > 62 || finer < -31) return false;
    const Interval sums{scaled(acc.sums.lo, down), scaled(acc.sums.hi, down)};
    const int width = acc.type.width + down;
    const bool wraps = acc.sums_overflow || acc.products_overflow;
    if (!wraps && !within<std::int32_t>(sums)) return false;
    if (wraps && (width > 32 || width < 1 || (width == 32 && !acc.type.is_signed))) return false;
    const Interval stored{scaled(proof(group.root).unconverted.lo, down),
                          scaled(proof(group.root).unconverted.hi, down)};
    Chain chain(wraps ? stored : sums, acc.type.fraction() + down, n, n_rows, plan_.parameters);
    if (!exact_bias) {
        // Products move up to the accumulator's grid, where the bias is added; the lanes wrap as the accumulator may.
        if (finer > 31) return false;
        chain.lift(finer, bias);
        std::fill(bias.begin(), bias.end(), 0);
    } else {
        for (std::int64_t& b : bias) b = static_cast<std::int64_t>(scaled(b, down));
    }
    if (wraps) chain.wrap(width, acc.type.is_signed, stored);
    chain.convert(l.result, proof(group.root).result_overflows, proof(group.root).result.all);
    if (!chain.failed().empty()) return false;
    group.chain = std::move(chain);
    return true;
}

std::vector<std::int64_t> Lowering::stored_bias(int value) const {
    const std::optional<Sums> sums = sums_of(layer(value).operation);
    if (!sums) return {};
    std::vector<std::int64_t> bias(static_cast<std::size_t>(sums->weight->shape.back()), 0);
    if (const std::optional<Tensor>& given = *sums->bias)
        for (std::size_t o = 0; o < bias.size(); ++o)
            bias[o] = detail::convert<Int128>(given->data[o], given->type.fraction(), *sums->accum);
    return bias;
}

void Lowering::find_sums() {
    for (int v = static_cast<int>(n_inputs()); v < graph_.n_values(); ++v) {
        const auto choice = choose_sums(v);
        if (!choice) continue;
        Group group{v, v, {}, {}};
        auto bias = stored_bias(v);
        if (!begin_sums(group, *choice, bias)) no_sums_.insert(v);
    }
}

bool Lowering::lower_dense(int value) {
    const Layer& l = layer(value);
    const std::optional<Sums> sums = sums_of(l.operation);
    if (!sums || constant(l.inputs[0]) != nullptr) return false;  // a constant stands in no place
    const std::optional<DenseChoice> choice = choose_sums(value);
    if (!choice) return false;
    const auto n_out = static_cast<std::size_t>(sums->weight->shape.back());
    std::vector<std::int64_t> bias = stored_bias(value);
    Group group{value, value, l.name, {}};
    if (!begin_sums(group, *choice, bias)) return false;
    extend(group);
    const Want want = primary(group, n_out);

    Step step;
    const Conv* conv = sums->conv;
    const Tensor weight = conv != nullptr ? patch_weight(*conv) : *sums->weight;
    step.in = conv != nullptr ? lower_patches(value, *conv, choice->want) : place(l.inputs[0], choice->want);
    step.out = place(group.value, want);
    step.n_rows = step.in.rows;
    step.n_out = static_cast<std::uint32_t>(n_out);
    std::vector<Stage> stages = group.chain.stages();
    fold_addition(stages, bias);
    step.epilogue = want.offset == 0 && plan_.kernels->wide ? special_epilogue(stages, choice->want.lanes, want.lanes)
                                                            : Epilogue::any;
    set_stages(step, stages, want.offset);
    const auto rows_stride =
        static_cast<std::uint32_t>(n_out * 4 / static_cast<std::size_t>(elements_per_group(want.lanes)));
    if (step.n_rows > 1 && step.out.rows != step.n_rows) step.out.stride = rows_stride;
    // What was added to the input for the sake of unsigned lanes is taken off again.
    auto* begin = plan_.parameters.take<std::int32_t>(n_out + lane_padding);
    for (std::size_t o = 0; o < n_out; ++o) {
        Int128 weights = 0;
        for (std::size_t i = o; i < weight.data.size(); i += n_out) weights += weight.data[i];
        begin[o] = low_lane(Int128{bias[o]} - weights * choice->want.offset);
    }
    step.bias = begin;
    plan_.notes.push_back({group.layers, (conv != nullptr ? "convolution " : "dense ") +
                                             std::string(lane_names[static_cast<int>(choice->want.lanes)])});
    step.note = static_cast<std::uint32_t>(plan_.notes.size() - 1);
    pack_dense(step, weight);
    done_[static_cast<std::size_t>(group.value)] = true;
    copy_to_wants(group.value, want);
    return true;
}

/// Packs weights and emits the steps of a dense layer: batch 1 in chunks of whole vectors of outputs, tiles at once.
void Lowering::pack_dense(Step step, const Tensor& weight) {
    const Kernels& kernels = *plan_.kernels;
    const auto lanes = static_cast<std::size_t>(kernels.lanes);
    const std::vector<Slot> slots = slots_of(step.in, kernels.lanes);
    const auto l = static_cast<std::size_t>(step.in.lanes);
    const std::size_t n_groups = step.in.stride / 4;
    const std::size_t n_out = step.n_out;

    const auto e = static_cast<std::size_t>(step.epilogue);
    Step tile = step;
    const bool is_sparse = pack_tile_weights(tile, weight, slots);
    emit(tile, nullptr, is_sparse ? kernels.sparse_tile[l][e] : kernels.dense_tile[l][e]);
    if (is_sparse) plan_.notes.back().kernel += ", lists of nonzero weights in batches";

    // Whole vectors are written, over the end of a row into the next one: so the last outputs of all rows go first, and
    // the first outputs, which they may have hit, last.
    const std::size_t chunk_size = lanes * max_dense_vectors;
    const std::size_t n_chunks = (n_out + chunk_size - 1) / chunk_size;
    for (std::size_t c = n_chunks; c-- > 0;) {
        const std::size_t o = c * chunk_size;
        const std::size_t vectors = std::min((n_out - o + lanes - 1) / lanes, std::size_t{max_dense_vectors});
        const std::size_t padded = (n_groups + dense_unroll - 1) / dense_unroll * dense_unroll;
        auto* packed = plan_.parameters.take<std::uint32_t>(padded * vectors * lanes);
        Step chunk = step;
        chunk.weights = reinterpret_cast<const std::byte*>(packed);
        chunk.n_groups = static_cast<std::uint32_t>(padded);
        const std::size_t quads =
            step.in.low_mask == nullptr ? padded : step.in.columns / 2 / std::size_t{dense_unroll} * dense_unroll;
        chunk.n_quads = static_cast<std::uint32_t>(quads);
        for (std::size_t g = 0; g < padded; ++g)
            for (std::size_t k = 0; k < vectors * lanes; ++k, ++packed)
                if (g < n_groups && o + k < n_out) *packed = group_weights(weight, slots, step.in.lanes, g, o + k);
        chunk.bias += o;
        chunk.out.one +=
            static_cast<std::uint32_t>(o * 4 / static_cast<std::size_t>(elements_per_group(step.out.lanes)));
        if (o != 0) chunk.stages = shifted_stages(step, o);
        chunk.row = kernels.dense[l][e][vectors];
        emit(chunk, step.n_rows > 1 ? run_rows : chunk.row, nullptr);
    }
}

/// The stages of a step whose outputs begin at element @p first.
const Stage* Lowering::shifted_stages(const Step& step, std::size_t first) {
    std::vector<Stage> stages(step.stages, step.stages + step.n_stages);
    for (Stage& s : stages) {
        if (s.a != nullptr) s.a += first;
        if (s.b != nullptr) s.b += first;
        if (s.c != nullptr) s.c += first;
    }
    return keep(stages, 0);
}

}  // namespace rheinfall::quantized
