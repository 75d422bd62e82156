#include <cstring>

#include "quantized/plan_lowering.hpp"

/// Convolutions: each output pixel is a row of a dense layer, whose input is a copy of the pixel's patch.
namespace rheinfall::quantized {
namespace {

void copy_one(const Step& step, std::byte* workspace) noexcept {
    const CopyStep& s = *step.copy;
    const std::byte* in = workspace + step.in.one;
    std::byte* out = workspace + step.out.one;
    for (const CopyStep::Move& m : s.one)
        std::memcpy(out + m.to, m.from == CopyStep::nowhere ? s.filling : in + m.from, CopyStep::chunk);
}

template <std::size_t Bytes>
void copy_events(const std::byte* from, std::size_t step, std::byte* to) noexcept {
    for (std::size_t e = 0; e < tile_events; ++e) std::memcpy(to + 4 * e, from + step * e, Bytes);
}

void copy_tile(const Step& step, std::byte* workspace) noexcept {
    const CopyStep& s = *step.copy;
    for (const CopyStep::TileMove& m : s.tile) {
        const bool is_filling = m.from == CopyStep::nowhere;
        const std::byte* from = is_filling ? s.filling : workspace + step.in.tile + m.from;
        const std::size_t next = is_filling ? 0 : 4;
        std::byte* to = workspace + step.out.tile + m.to;
        switch (m.bytes) {
            case 1: copy_events<1>(from, next, to); break;
            case 2: copy_events<2>(from, next, to); break;
            default: copy_events<4>(from, next, to); break;
        }
    }
}

/// Bytes from the begin of a tile to element @p i of a row.
std::uint32_t in_tile(std::size_t i, std::size_t per_group) {
    return static_cast<std::uint32_t>(i / per_group * 4 * tile_events + i % per_group * (4 / per_group));
}

}  // namespace

/// The element of the input that meets each weight, pixel after pixel; -1 in the padding.
std::vector<std::int64_t> Lowering::patches(int value, const Conv& conv) const {
    const Shape& in = graph_.shape(layer(value).inputs[0]);
    const Shape& out = layer(value).shape;
    const Shape& kernel = conv.weight.shape;
    const std::int64_t height = in.size() == 3 ? in[0] : 1;
    const std::int64_t width = in[in.size() - 2];
    const std::int64_t n_rows = out.size() == 3 ? out[0] : 1;
    const std::int64_t n_columns = out[out.size() - 2];
    std::vector<std::int64_t> from;
    for (std::int64_t row = 0; row < n_rows; ++row)
        for (std::int64_t column = 0; column < n_columns; ++column)
            for (std::int64_t kr = 0; kr < kernel[0]; ++kr)
                for (std::int64_t kc = 0; kc < kernel[1]; ++kc) {
                    const std::int64_t y = row * conv.strides[0] + kr * conv.dilations[0] - conv.padding[0];
                    const std::int64_t x = column * conv.strides[1] + kc * conv.dilations[1] - conv.padding[2];
                    const bool inside = y >= 0 && y < height && x >= 0 && x < width;
                    for (std::int64_t c = 0; c < in.back(); ++c)
                        from.push_back(inside ? (y * width + x) * in.back() + c : -1);
                }
    return from;
}

/// One row of weights per element of a patch: those of other groups are zero.
Tensor Lowering::patch_weight(const Conv& conv) {
    if (conv.groups == 1) return conv.weight;
    const Shape& kernel = conv.weight.shape;
    const auto depth = static_cast<std::size_t>(kernel[2]);
    const auto n_out = static_cast<std::size_t>(kernel[3]);
    const auto groups = static_cast<std::size_t>(conv.groups);
    const std::size_t n_taps = conv.weight.data.size() / depth / n_out;
    Tensor all{conv.weight.type, {static_cast<std::int64_t>(n_taps * depth * groups), kernel[3]}, {}};
    all.data.assign(n_taps * depth * groups * n_out, 0);
    for (std::size_t t = 0; t < n_taps; ++t)
        for (std::size_t c = 0; c < depth; ++c)
            for (std::size_t o = 0; o < n_out; ++o) {
                const std::size_t first = o / (n_out / groups) * depth;
                all.data[(t * depth * groups + first + c) * n_out + o] = conv.weight.data[(t * depth + c) * n_out + o];
            }
    return all;
}

/// Emits the copy of all patches and returns where they are.
Place Lowering::lower_patches(int value, const Conv& conv, const Want& want) {
    const Layer& l = layer(value);
    const std::vector<std::int64_t> from = patches(value, conv);
    const auto group = static_cast<std::uint32_t>(elements_per_group(want.lanes));
    Place p;
    p.lanes = want.lanes;
    p.rows = static_cast<std::uint32_t>(size(value) / static_cast<std::size_t>(l.shape.back()));
    p.columns = static_cast<std::uint32_t>(from.size() / p.rows);
    p.stride = (p.columns + group - 1) / group * 4;
    allot(p);
    const Place in = place(l.inputs[0], want);
    emit_copy(in, p, from, want.offset);
    return p;
}

/// Element from[i] of a flat value to element i of the rows of another, of the same lanes.
void Lowering::emit_copy(const Place& in, const Place& out, const std::vector<std::int64_t>& from,
                         std::int32_t filling) {
    auto copy = std::make_unique<CopyStep>();
    const auto per_group = static_cast<std::size_t>(elements_per_group(out.lanes));
    const std::size_t bytes = 4 / per_group;
    for (std::size_t i = 0; i < CopyStep::chunk; i += bytes)
        for (std::size_t b = 0; b < bytes; ++b)
            copy->filling[i + b] = static_cast<std::byte>(static_cast<std::uint32_t>(filling) >> (8 * b) & 0xff);
    for (std::uint32_t row = 0; row < out.rows; ++row) {
        const std::int64_t* f = from.data() + std::size_t{row} * out.columns;
        // Neighbours that stay neighbours are from[i] - i alike.
        const auto run = [&](std::size_t i, std::size_t most) {
            std::size_t n = 1;
            while (n < most && i + n < out.columns &&
                   (f[i] < 0 ? f[i + n] < 0 : f[i + n] == f[i] + static_cast<std::int64_t>(n)))
                ++n;
            return n;
        };
        for (std::size_t i = 0, n = 0; i < out.columns; i += n) {
            n = run(i, CopyStep::chunk / bytes);
            copy->one.push_back(
                {f[i] < 0 ? CopyStep::nowhere : static_cast<std::uint32_t>(static_cast<std::size_t>(f[i]) * bytes),
                 static_cast<std::uint32_t>(std::size_t{row} * out.stride + i * bytes)});
        }
        for (std::size_t i = 0, n = 0; i < out.columns; i += n) {
            const bool whole = i % per_group == 0 && run(i, per_group) == per_group &&
                               (f[i] < 0 || static_cast<std::size_t>(f[i]) % per_group == 0);
            n = whole ? per_group : 1;
            copy->tile.push_back(
                {f[i] < 0 ? CopyStep::nowhere : in_tile(static_cast<std::size_t>(f[i]), per_group),
                 static_cast<std::uint32_t>(std::size_t{row} * out.stride * tile_events) + in_tile(i, per_group),
                 static_cast<std::uint32_t>(n * bytes)});
        }
    }
    emit_moves(std::move(copy), in, out);
}

void Lowering::emit_moves(std::unique_ptr<CopyStep> copy, const Place& in, const Place& out) {
    Step step;
    step.in = in;
    step.out = out;
    step.copy = copy.get();
    plan_.copies.push_back(std::move(copy));
    emit(step, copy_one, copy_tile);
}

}  // namespace rheinfall::quantized
