#pragma once

#include "quantized/detail/exact_rules.hpp"
#include "quantized/detail/layer_ports.hpp"

/// One event of any network: each value of each step on its own, so that lanes in any order give the same bits.
namespace rheinfall::quantized::detail {

/// What a step reads: constants, and the values of the event.
template <class Word>
struct LayerScope {
    const std::int32_t* pool;
    const Word* values;

    [[nodiscard]] RHEINFALL_HOST_DEVICE std::int64_t constant(const LayerConstants& c, int i) const noexcept {
        return layer_constant(pool, c, i);
    }
    /// Constant i of those that are repeated from element to element.
    template <class Int>
    [[nodiscard]] RHEINFALL_HOST_DEVICE Exact<Int> cyclic(const LayerConstants& c, int i) const noexcept {
        return {static_cast<Int>(constant(c, i % c.n)), c.fraction};
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE std::int64_t stored(const LayerOperand& x, int i) const noexcept {
        return values[x.first + i];
    }
    template <class Int>
    [[nodiscard]] RHEINFALL_HOST_DEVICE Exact<Int> exact(const LayerOperand& x, int i) const noexcept {
        return {widen<Int>(stored(x, i), x.type), x.type.fraction()};
    }
};

/// The plain sum of products that fit 32 bits, and so do their sums; the accumulator's grid and bias come at the end.
class NarrowSum {
public:
    using Int = std::int32_t;
    RHEINFALL_HOST_DEVICE NarrowSum(std::int64_t first, int fraction, const FixedType& accum) noexcept
        : first_(first), shift_(fraction - accum.fraction()), accum_(accum) {}
    RHEINFALL_HOST_DEVICE void add(Int x, Int w) noexcept { sum_ += x * w; }
    [[nodiscard]] RHEINFALL_HOST_DEVICE std::int64_t stored() const noexcept {
        const std::int64_t products = sum_;
        std::uint64_t moved = 0;  // nothing is lost: products_round of the proof is false
        if (shift_ >= 0) {
            moved = static_cast<std::uint64_t>(shift_right(products, shift_));
        } else if (shift_ > -64) {
            moved = static_cast<std::uint64_t>(products) << -shift_;
        }
        return wrap(static_cast<std::uint64_t>(first_) + moved, accum_);
    }

private:
    std::int64_t first_;
    std::int32_t sum_ = 0;
    int shift_;
    FixedType accum_;
};

/// One output channel at one position of a kernel.
template <class Sum, class Word>
[[nodiscard]] RHEINFALL_HOST_DEVICE std::int64_t add_products(const LayerStep& s, const LayerScope<Word>& in,
                                                              int i) noexcept {
    using Int = typename Sum::Int;
    const LayerWindow& w = s.window;
    const int o = i % w.n_out, row = i / w.n_out / w.n_columns, column = i / w.n_out % w.n_columns;
    const int first_channel = o / w.group_size * w.group_depth;
    Sum sum(s.b.n > 0 ? in.constant(s.b, o) : 0, s.x.type.fraction() + s.a.fraction, s.accum);
    for (int kr = 0; kr < w.kernel[0]; ++kr) {
        const int y = row * w.strides[0] + kr * w.dilations[0] - w.padding[0];
        for (int kc = 0; kc < w.kernel[1]; ++kc) {
            const int x = column * w.strides[1] + kc * w.dilations[1] - w.padding[1];
            // Padding adds products of 0, which change nothing: a sum is always a value of its own type.
            if (y < 0 || y >= w.height || x < 0 || x >= w.width) continue;
            const int pixel = (y * w.width + x) * w.depth + first_channel;
            const int tap = (kr * w.kernel[1] + kc) * w.group_depth;
            for (int k = 0; k < w.group_depth; ++k) {
                const int c = s.c.n > 0 ? static_cast<int>(in.constant(s.c, k)) : k;
                sum.add(widen<Int>(in.stored(s.x, pixel + c), s.x.type),
                        static_cast<Int>(in.constant(s.a, (tap + c) * w.n_out + o)));
            }
        }
    }
    return sum.stored();
}

template <class Int, class Word>
[[nodiscard]] RHEINFALL_HOST_DEVICE std::int64_t compute_sums(const LayerStep& s, const LayerScope<Word>& in,
                                                              int i) noexcept {
    switch (s.sum) {
        case LayerSum::narrow: return add_products<NarrowSum>(s, in, i);
        case LayerSum::wrapping: return add_products<WrappingSum<Int>>(s, in, i);
        default: return add_products<OrderedSum<Int>>(s, in, i);
    }
}

/// dot and sum of squares, whose operands are one.
template <class Int, class Word>
[[nodiscard]] RHEINFALL_HOST_DEVICE std::int64_t compute_dot(const LayerStep& s, const LayerScope<Word>& in) noexcept {
    OrderedSum<Int> sum(0, s.x.type.fraction() + s.y.type.fraction(), s.accum);
    for (int i = 0; i < s.x.n; ++i)
        sum.add(widen<Int>(in.stored(s.x, i), s.x.type), widen<Int>(in.stored(s.y, i), s.y.type));
    return sum.stored();
}

/// (sum + x) → accum
template <class Int, class Word>
[[nodiscard]] RHEINFALL_HOST_DEVICE std::int64_t add_value(const LayerStep& s, const LayerScope<Word>& in,
                                                           std::int64_t sum, int i) noexcept {
    const Exact<Int> y = add(Exact<Int>{widen<Int>(sum, s.accum), s.accum.fraction()}, in.template exact<Int>(s.x, i));
    return convert(y.v, y.fraction, s.accum);
}

/// The largest or the mean of a channel under a window.
template <class Int, class Word>
[[nodiscard]] RHEINFALL_HOST_DEVICE std::int64_t compute_pool(const LayerStep& s, const LayerScope<Word>& in,
                                                              int i) noexcept {
    const LayerWindow& w = s.window;
    const int channel = i % w.n_out, row = i / w.n_out / w.n_columns, column = i / w.n_out % w.n_columns;
    const WindowSpan rows = WindowSpan::inside(row, w.strides[0], w.kernel[0], w.padding[0], w.height);
    const WindowSpan columns = WindowSpan::inside(column, w.strides[1], w.kernel[1], w.padding[1], w.width);
    std::int64_t kept = 0;
    bool is_first = true;
    for (auto y = static_cast<int>(rows.begin); y < rows.end; ++y) {
        for (auto x = static_cast<int>(columns.begin); x < columns.end; ++x) {
            const int at = (y * w.width + x) * w.depth + channel;
            if (s.op == LayerOp::average_pool) {
                kept = add_value<Int>(s, in, kept, at);
                continue;
            }
            const Exact<Int> v = in.template exact<Int>(s.x, at);
            if (is_first || greater(v, Exact<Int>{widen<Int>(kept, s.accum), s.accum.fraction()}))
                kept = convert(v.v, v.fraction, s.accum);
            is_first = false;
        }
    }
    if (s.op == LayerOp::max_pool) return kept;
    const std::int64_t n = w.n_averaged > 0 ? w.n_averaged : rows.size() * columns.size();
    return convert(widen<Int>(kept, s.accum) / static_cast<Int>(n), s.accum.fraction(), s.accum);
}

template <class Int, class Word>
[[nodiscard]] RHEINFALL_HOST_DEVICE std::int64_t compute_threshold(const LayerStep& s, const LayerScope<Word>& in,
                                                                   int i) noexcept {
    const Exact<Int> x = in.template exact<Int>(s.x, i);
    const int row = i % (s.a.n / s.slice) * s.slice;
    int reached = 0, end = s.slice;  // thresholds ascend
    while (reached < end) {
        const int middle = (reached + end) / 2;
        const Exact<Int> t{static_cast<Int>(in.constant(s.a, row + middle)), s.a.fraction};
        if (greater(t, x)) {
            end = middle;
        } else {
            reached = middle + 1;
        }
    }
    return in.constant(s.b, reached);
}

template <class Int, class Word>
[[nodiscard]] RHEINFALL_HOST_DEVICE Exact<Int> look_up(const LayerStep& s, const LayerScope<Word>& in, int i) noexcept {
    const Exact<Int> x = in.template exact<Int>(s.x, i);
    const auto bypass = static_cast<TableBypass>(s.mode);
    if (bypass == TableBypass::nonnegative ? x.v >= 0 : bypass == TableBypass::positive && x.v > 0)
        return multiply(x, in.template cyclic<Int>(s.b, 0));
    const std::size_t index = s.by_bits
                                  ? top_bits(in.stored(s.x, i), s.x.type, s.index_shift)
                                  : clamp_index(scale_towards_zero(x.v, static_cast<Int>(s.multiply), s.index_shift) +
                                                    static_cast<Int>(s.offset),
                                                static_cast<std::size_t>(s.a.n));
    const Exact<Int> y{static_cast<Int>(in.constant(s.a, static_cast<int>(index))), s.a.fraction};
    return s.c.n > 0 ? multiply(y, in.template cyclic<Int>(s.c, 0)) : y;
}

/// The exact result of an elementwise operation, before its conversion.
template <class Int, class Word>
[[nodiscard]] RHEINFALL_HOST_DEVICE Exact<Int> map_value(const LayerStep& s, const LayerScope<Word>& in,
                                                         int i) noexcept {
    if (s.op == LayerOp::copy && s.a.n > 0) {
        const auto from = static_cast<int>(in.constant(s.a, i));
        return from < 0 ? Exact<Int>{0, s.x.type.fraction()} : in.template exact<Int>(s.x, from);
    }
    const Exact<Int> x = in.template exact<Int>(s.x, i % s.x.n);
    switch (s.op) {
        case LayerOp::affine: return add(multiply(x, in.template cyclic<Int>(s.a, i)), in.template cyclic<Int>(s.b, i));
        case LayerOp::relu:
            if (x.v <= 0) return {0, x.fraction};
            return s.has_maximum && x.v > s.maximum ? Exact<Int>{static_cast<Int>(s.maximum), x.fraction} : x;
        case LayerOp::leaky_relu: return x.v > 0 ? x : multiply(x, in.template cyclic<Int>(s.a, i));
        case LayerOp::thresholded_relu:
            return greater(x, in.template cyclic<Int>(s.a, 0)) ? x : Exact<Int>{0, x.fraction};
        case LayerOp::hard_sigmoid:
            return hard_sigmoid(x, in.template cyclic<Int>(s.a, 0), in.template cyclic<Int>(s.b, 0), s.is_tanh);
        case LayerOp::table: return look_up<Int>(s, in, i);
        case LayerOp::binary:
            return combine(static_cast<BinaryKind>(s.mode), x, in.template exact<Int>(s.y, i % s.y.n));
        case LayerOp::shift:
            return {shift_in_type(x.v, static_cast<int>(in.constant(s.a, i % s.a.n)), s.x.type), x.fraction};
        default: return x;
    }
}

template <class Int, class Word>
[[nodiscard]] RHEINFALL_HOST_DEVICE std::int64_t compute_rescale(const LayerStep& s, const LayerScope<Word>& in,
                                                                 int i) noexcept {
    const Int v =
        in.template exact<Int>(s.x, i).v * in.template cyclic<Int>(s.a, i).v + in.template cyclic<Int>(s.b, i).v;
    Int y = divide(v, in.template cyclic<Int>(s.c, i).v, static_cast<RationalRounding>(s.mode));
    FixedType overflow = s.result;
    if (s.has_minimum && y < s.minimum) y = s.minimum;
    if (s.has_maximum && y > s.maximum) y = s.maximum;
    // For the side that has no limit of its own.
    if (s.has_minimum || s.has_maximum) overflow.overflow = Overflow::sat;
    return fit(y, 0, overflow);
}

/// Whether an element is the first largest of its slice.
template <class Int, class Word>
[[nodiscard]] RHEINFALL_HOST_DEVICE std::int64_t compute_argmax(const LayerStep& s, const LayerScope<Word>& in,
                                                                int i) noexcept {
    const int begin = i / s.slice * s.slice;
    const Int x = in.template exact<Int>(s.x, i).v;
    for (int k = begin; k < begin + s.slice; ++k) {
        const Int other = in.template exact<Int>(s.x, k).v;
        if (other > x || (other == x && k < i)) return 0;
    }
    return s.maximum;
}

/// Sum of e(0) ... e(n - 1) that splits at the largest power of two below n; each addition → accum.
template <class Int, class Function>
[[nodiscard]] RHEINFALL_HOST_DEVICE std::int64_t tree_sum(int n, const FixedType& accum, const Function& e) noexcept {
    std::int64_t parts[32];  // complete trees, the largest first: the digits of how many elements there were
    int n_parts = 0;
    for (int j = 0; j < n; ++j) {
        std::int64_t sum = e(j);
        for (int digit = j; (digit & 1) != 0; digit >>= 1) sum = accumulate<Int>(parts[--n_parts], sum, accum);
        parts[n_parts++] = sum;
    }
    std::int64_t sum = parts[--n_parts];
    while (n_parts > 0) sum = accumulate<Int>(parts[--n_parts], sum, accum);
    return sum;
}

/// softmax_latency and softmax_stable; the latter reads the exponentials of (largest - x) → norm.
template <class Int, class Word>
[[nodiscard]] RHEINFALL_HOST_DEVICE std::int64_t compute_softmax(const LayerStep& s, const LayerScope<Word>& in,
                                                                 int i) noexcept {
    const int begin = i / s.slice * s.slice;
    const bool is_stable = s.op == LayerOp::softmax_stable;
    Int largest = widen<Int>(in.stored(s.x, begin), s.x.type);
    for (int j = 1; is_stable && j < s.slice; ++j) {
        const Int x = widen<Int>(in.stored(s.x, begin + j), s.x.type);
        largest = x > largest ? x : largest;
    }
    const auto exponential = [&](int j) {
        std::int64_t index = in.stored(s.x, begin + j);
        if (is_stable) index = convert(largest - widen<Int>(index, s.x.type), s.x.type.fraction(), s.norm);
        const std::size_t at = top_bits(index, is_stable ? s.norm : s.x.type, s.index_shift);
        return convert(static_cast<Int>(in.constant(s.a, static_cast<int>(at))), s.a.fraction, s.accum);
    };
    const std::int64_t sum = tree_sum<Int>(s.slice, s.accum, exponential);
    const std::int64_t index = convert(widen<Int>(sum, s.accum), s.accum.fraction(), s.inv_input);
    const std::size_t at = top_bits(index, s.inv_input, s.inverse_bits);
    const Int product =
        widen<Int>(exponential(i - begin), s.accum) * static_cast<Int>(in.constant(s.b, static_cast<int>(at)));
    return convert(product, s.accum.fraction() + s.b.fraction, s.result);
}

template <class Int, class Word>
[[nodiscard]] RHEINFALL_HOST_DEVICE std::int64_t compute_legacy_softmax(const LayerStep& s, const LayerScope<Word>& in,
                                                                        int i) noexcept {
    const int begin = i / s.slice * s.slice;
    const Int x = widen<Int>(in.stored(s.x, i), s.x.type);
    const auto n_exp = static_cast<std::size_t>(s.a.n);
    std::int64_t sum = 0;
    for (int j = begin; j < begin + s.slice; ++j) {
        const Int difference = widen<Int>(in.stored(s.x, j), s.x.type) - x;
        const std::size_t at = real_index(difference, s.x.type.fraction(), n_exp, 4, n_exp / 2);
        const std::int64_t e =
            j == i ? convert(Int{1}, 0, s.accum)
                   : convert(static_cast<Int>(in.constant(s.a, static_cast<int>(at))), s.a.fraction, s.accum);
        sum = accumulate<Int>(sum, e, s.accum);
    }
    const std::size_t at =
        real_index(widen<Int>(sum, s.accum), s.accum.fraction(), static_cast<std::size_t>(s.b.n), 6, 0);
    return convert(static_cast<Int>(in.constant(s.b, static_cast<int>(at))), s.b.fraction, s.result);
}

/// Value i of a step, as a stored value of its result.
template <class Int, class Word>
[[nodiscard]] RHEINFALL_HOST_DEVICE std::int64_t compute_value(const LayerStep& s, const LayerScope<Word>& in,
                                                               int i) noexcept {
    std::int64_t sum = 0;
    switch (s.op) {
        case LayerOp::constant: return in.constant(s.a, i);
        case LayerOp::threshold: return compute_threshold<Int>(s, in, i);
        case LayerOp::argmax: return compute_argmax<Int>(s, in, i);
        case LayerOp::rescale: return compute_rescale<Int>(s, in, i);
        case LayerOp::softmax_latency:
        case LayerOp::softmax_stable: return compute_softmax<Int>(s, in, i);
        case LayerOp::softmax_legacy: return compute_legacy_softmax<Int>(s, in, i);
        case LayerOp::sums: sum = compute_sums<Int>(s, in, i); break;
        case LayerOp::dot: sum = compute_dot<Int>(s, in); break;
        case LayerOp::sum:
            for (int k = 0; k < s.x.n; ++k) sum = add_value<Int>(s, in, sum, k);
            break;
        case LayerOp::max_pool:
        case LayerOp::average_pool: sum = compute_pool<Int>(s, in, i); break;
        default: {
            const Exact<Int> y = map_value<Int>(s, in, i);
            return convert(y.v, y.fraction, s.result);
        }
    }
    return convert(widen<Int>(sum, s.accum), s.accum.fraction(), s.result);
}

/// This lane's values of a step; values of other steps that it reads are complete.
template <class Word>
RHEINFALL_HOST_DEVICE void run_layer(const LayerProgram& program, const LayerStep& s, Word* values, int lane,
                                     int n_lanes) noexcept {
    const LayerScope<Word> in{program.pool, values};
    for (int i = lane; i < s.n; i += n_lanes) {
        const int place = s.part > 0 ? i / s.part * s.row + i % s.part : i;
        const std::int64_t y = s.is_wide ? compute_value<Int128>(s, in, i) : compute_value<std::int64_t>(s, in, i);
        values[s.out + place] = static_cast<Word>(y);
    }
}

/// This lane's inputs of an event.
template <class Word>
RHEINFALL_HOST_DEVICE void read_layer_inputs(const LayerProgram& program, const std::byte* row,
                                             const DeviceFormat& format, Word* values, int lane, int n_lanes,
                                             std::uint32_t& flags) noexcept {
    for (int p = 0; p < program.n_inputs; ++p) {
        const LayerPort& port = program.inputs[p];
        for (int i = lane; i < port.n; i += n_lanes)
            values[port.first + i] = static_cast<Word>(read_port(program, port, i, row, format, flags));
    }
}

/// This lane's outputs of an event, whose elements begin at @p first.
template <class Word>
RHEINFALL_HOST_DEVICE void write_layer_outputs(const LayerProgram& program, const Word* values, void* out,
                                               std::size_t first, ElementType type, int lane, int n_lanes) noexcept {
    for (int p = 0; p < program.n_outputs; ++p) {
        const LayerPort& port = program.outputs[p];
        for (int i = lane; i < port.n; i += n_lanes)
            write_port(program, port, i, values[port.first + i], out, first, type);
    }
}

}  // namespace rheinfall::quantized::detail
