#include <algorithm>
#include <cstring>
#include <limits>

#include "quantized/detail/fixed_point.hpp"
#include "quantized/intervals.hpp"
#include "quantized/plan_lowering.hpp"

/// Gather, transpose and max pooling: elements move as they are, the conversion follows as a map.
namespace rheinfall::quantized {
namespace {

/// Larger values would make large tables.
constexpr std::size_t most_elements = std::size_t{1} << 17;

/// Elements of pixels lie @p events values apart.
template <class Combine>
void pool(const PoolStep& s, const std::byte* from, std::byte* to, std::size_t events, Combine combine) noexcept {
    const auto* in = reinterpret_cast<const std::int32_t*>(from);
    auto* out = reinterpret_cast<std::int32_t*>(to);
    const std::size_t n = s.channels * events;
    for (std::size_t p = 0; p + 1 < s.first.size(); ++p, out += n) {
        const std::uint32_t* pixel = s.pixels.data() + s.first[p];
        const std::uint32_t* end = s.pixels.data() + s.first[p + 1];
        std::memcpy(out, in + *pixel * n, n * sizeof *out);
        while (++pixel != end) {
            const std::int32_t* x = in + *pixel * n;
            for (std::size_t i = 0; i < n; ++i) out[i] = combine(out[i], x[i]);
        }
    }
}

void pool(const PoolStep& s, const std::byte* from, std::byte* to, std::size_t events) noexcept {
    using Int = std::int32_t;
    if (s.sums) {
        // Lanes of no event may hold anything: unsigned, since their sums may overflow.
        pool(s, from, to, events, [](Int a, Int b) {
            return static_cast<Int>(static_cast<std::uint32_t>(a) + static_cast<std::uint32_t>(b));
        });
    } else {
        pool(s, from, to, events, [](Int a, Int b) { return a > b ? a : b; });
    }
}

void pool_one(const Step& step, std::byte* workspace) noexcept {
    pool(*step.pool, workspace + step.in.one, workspace + step.out.one, 1);
}

void pool_tile(const Step& step, std::byte* workspace) noexcept {
    pool(*step.pool, workspace + step.in.tile, workspace + step.out.tile, tile_events);
}

}  // namespace

/// The element of the input that becomes each element of the result; -1: zero.
std::optional<std::vector<std::int64_t>> Lowering::sources(int value) const {
    const Layer& l = layer(value);
    if (const auto* gather = std::get_if<Gather>(&l.operation)) return gather->index;
    const auto* transpose = std::get_if<Transpose>(&l.operation);
    if (transpose == nullptr) return std::nullopt;
    const Shape& in = graph_.shape(l.inputs[0]);
    std::vector<std::int64_t> stride(in.size(), 1);  // of the input, along each of its axes
    for (std::size_t axis = in.size(); axis-- > 1;) stride[axis - 1] = stride[axis] * in[axis];
    std::vector<std::int64_t> from;
    for (std::size_t i = 0; i < size(value); ++i) {
        auto rest = static_cast<std::int64_t>(i);
        std::int64_t element = 0;
        for (std::size_t axis = in.size(); axis-- > 0;) {
            element += rest % l.shape[axis] * stride[static_cast<std::size_t>(transpose->perm[axis])];
            rest /= l.shape[axis];
        }
        from.push_back(element);
    }
    return from;
}

/// The conversion of moved elements in @p range and what follows; nothing if 32-bit lanes do not do.
std::optional<Group> Lowering::begin_moved(int value, const Interval& range) {
    if (range.lo < std::numeric_limits<std::int32_t>::min() || range.hi > std::numeric_limits<std::int32_t>::max())
        return std::nullopt;
    return begin_moved(value,
                       {range, graph_.type(layer(value).inputs[0]).fraction(), size(value), 1, plan_.parameters});
}

std::optional<Group> Lowering::begin_moved(int value, Chain chain) {
    const Layer& l = layer(value);
    if (size(value) > most_elements || size(l.inputs[0]) > most_elements) return std::nullopt;
    chain.convert(l.result, proof(value).result_overflows, proof(value).result.all);
    if (!chain.failed().empty()) return std::nullopt;
    Group group{value, value, l.name, std::move(chain)};
    extend(group);
    return group;
}

/// Where elements move to: the value's own place where nothing is left to do.
Place Lowering::begin_place(const Group& group, int value) {
    const Want plain{Lanes::s32, static_cast<std::uint32_t>(size(group.value)), 0, 0};
    if (group.chain.stages().empty() && primary(group, 0) == plain) return place(group.value, plain);
    return temporary(size(value));
}

void Lowering::finish_moved(const Group& group, const Place& moved, const char* kernel) {
    Step step;
    step.in = moved;
    const bool is_there = place(group.value, primary(group, 0)).one == step.in.one;
    finish(group, step, is_there ? nullptr : plan_.kernels->map, is_there ? nullptr : plan_.kernels->map_tile, kernel);
}

bool Lowering::lower_gather(int value) {
    const auto from = sources(value);
    const int x = layer(value).inputs.empty() ? value : layer(value).inputs[0];
    if (!from || constant(x) != nullptr) return false;
    Interval range = ranges_.value(x).all;
    if (std::find(from->begin(), from->end(), -1) != from->end())
        range = {std::min(range.lo, Int128{0}), std::max(range.hi, Int128{0})};
    const std::optional<Group> group = begin_moved(value, range);
    if (!group) return false;
    const Place in = plain_operand(x);
    const Place moved = begin_place(*group, value);
    emit_copy(in, moved, *from, 0);
    finish_moved(*group, moved, "gather");
    return true;
}

/// True if the accumulator holds each pixel exactly.
bool Lowering::holds_pixels(int value, const Pool& op) const {
    const Interval range = ranges_.value(layer(value).inputs[0]).all;
    const int finer = op.accum.fraction() - graph_.type(layer(value).inputs[0]).fraction();
    if (finer < 0 || finer > 62) return false;
    const Int128 unit = Int128{1} << finer;
    const Interval held = converted_range(op.accum);
    return range.lo * unit >= held.lo && range.hi * unit <= held.hi;
}

/// The pixels under each window.
std::unique_ptr<PoolStep> Lowering::pool_windows(int value, const Pool& op) const {
    const Layer& l = layer(value);
    const Shape& in = graph_.shape(l.inputs[0]);
    const bool is_image = in.size() == 3;
    const std::int64_t extent[2] = {is_image ? in[0] : 1, in[in.size() - 2]};
    const std::int64_t n_rows = is_image ? l.shape[0] : 1;
    const std::int64_t n_columns = l.shape[l.shape.size() - 2];
    auto pool = std::make_unique<PoolStep>();
    pool->sums = op.kind == PoolKind::average;
    pool->channels = static_cast<std::size_t>(in.back());
    pool->first.push_back(0);
    for (std::int64_t row = 0; row < n_rows; ++row)
        for (std::int64_t column = 0; column < n_columns; ++column) {
            const std::int64_t top = row * op.strides[0] - op.padding[0];
            const std::int64_t left = column * op.strides[1] - op.padding[2];
            for (std::int64_t y = std::max<std::int64_t>(top, 0); y < std::min(top + op.kernel[0], extent[0]); ++y)
                for (std::int64_t x = std::max<std::int64_t>(left, 0); x < std::min(left + op.kernel[1], extent[1]);
                     ++x)
                    pool->pixels.push_back(static_cast<std::uint32_t>(y * extent[1] + x));
            pool->first.push_back(static_cast<std::uint32_t>(pool->pixels.size()));
        }
    return pool;
}

/// The mean of pixels as their sum and a division, where all windows have the same number of them; nothing if the
/// additions could overflow.
std::optional<Group> Lowering::begin_average(int value, const Pool& op, const PoolStep& pool) {
    const AccumulatorRange& acc = accumulator(value);
    const int x = layer(value).inputs[0];
    if (acc.sums_overflow || acc.products_overflow || acc.products_round) return std::nullopt;
    const std::uint32_t most = pool.first[1] - pool.first[0];
    for (std::size_t p = 1; !op.count_padding && p + 1 < pool.first.size(); ++p)
        if (pool.first[p + 1] - pool.first[p] != most) return std::nullopt;
    const std::int64_t n = op.count_padding ? std::int64_t{op.kernel[0]} * op.kernel[1] : std::int64_t{most};
    const Int128 area = Int128{op.kernel[0]} * op.kernel[1];
    const Interval pixel = ranges_.value(x).all;
    const Interval sums{std::min(pixel.lo * area, pixel.lo), std::max(pixel.hi * area, pixel.hi)};
    if (sums.lo < std::numeric_limits<std::int32_t>::min() || sums.hi > std::numeric_limits<std::int32_t>::max())
        return std::nullopt;
    Chain chain(sums, graph_.type(x).fraction(), size(value), 1, plan_.parameters);
    chain.shift_left(op.accum.fraction() - graph_.type(x).fraction());
    chain.divide(n);
    if (!chain.failed().empty()) return std::nullopt;
    return begin_moved(value, std::move(chain));
}

Place Lowering::emit_pool(std::unique_ptr<PoolStep> pool, const Place& in, const Place& out) {
    Step step;
    step.in = in;
    step.out = out;
    step.pool = pool.get();
    plan_.pools.push_back(std::move(pool));
    emit(step, pool_one, pool_tile);
    return out;
}

/// Pooling whose accumulator holds each pixel exactly.
bool Lowering::lower_pool(int value) {
    const Layer& l = layer(value);
    const auto* op = std::get_if<Pool>(&l.operation);
    if (op == nullptr || constant(l.inputs[0]) != nullptr || !holds_pixels(value, *op)) return false;
    if (size(value) > most_elements || size(l.inputs[0]) > most_elements) return false;
    std::unique_ptr<PoolStep> pool = pool_windows(value, *op);
    const std::optional<Group> group =
        pool->sums ? begin_average(value, *op, *pool) : begin_moved(value, ranges_.value(l.inputs[0]).all);
    if (!group) return false;
    const char* kernel_name = pool->sums ? "mean of pixels" : "maximum of pixels";
    const Place in = plain_operand(l.inputs[0]);
    finish_moved(*group, emit_pool(std::move(pool), in, begin_place(*group, value)), kernel_name);
    return true;
}

}  // namespace rheinfall::quantized
