#include "quantized/exact_operations.hpp"

/// pool: the largest or the mean of each channel under a window.
namespace rheinfall::quantized {
namespace {

using detail::convert;
using detail::greater;
using detail::widen;
using Span = detail::WindowSpan;

template <class Int>
struct Window {
    const Pool& op;
    const ExactArgs& a;
    Span rows;
    Span columns;
    std::int64_t width;

    [[nodiscard]] Int pixel(std::int64_t row, std::int64_t column, std::int64_t channel) const noexcept {
        return widen<Int>(a.inputs[0][(row * width + column) * a.shape().back() + channel], a.type());
    }

    [[nodiscard]] std::int64_t maximum(std::int64_t channel) const noexcept {
        const int fraction = a.type().fraction();
        std::int64_t y = convert(pixel(rows.begin, columns.begin, channel), fraction, op.accum);
        for (std::int64_t row = rows.begin; row < rows.end; ++row) {
            for (std::int64_t column = columns.begin; column < columns.end; ++column) {
                if (row == rows.begin && column == columns.begin) continue;
                const Exact<Int> x{pixel(row, column, channel), fraction};
                const Exact<Int> kept{widen<Int>(y, op.accum), op.accum.fraction()};
                if (greater(x, kept)) y = convert(x.v, fraction, op.accum);
            }
        }
        return y;
    }

    [[nodiscard]] std::int64_t average(std::int64_t channel) const noexcept {
        std::int64_t y = 0;
        for (std::int64_t row = rows.begin; row < rows.end; ++row) {
            for (std::int64_t column = columns.begin; column < columns.end; ++column) {
                const Exact<Int> sum = add(Exact<Int>{widen<Int>(y, op.accum), op.accum.fraction()},
                                           Exact<Int>{pixel(row, column, channel), a.type().fraction()});
                y = convert(sum.v, sum.fraction, op.accum);
            }
        }
        const std::int64_t all = std::int64_t{op.kernel[0]} * op.kernel[1];
        const std::int64_t n = op.count_padding ? all : rows.size() * columns.size();
        return convert(widen<Int>(y, op.accum) / static_cast<Int>(n), op.accum.fraction(), op.accum);
    }
};

}  // namespace

template <class Int>
void execute(const Pool& op, const ExactArgs& a) noexcept {
    const Shape& in = a.shape();
    const Shape& out = a.layer.shape;
    const bool is_image = in.size() == 3;
    const std::int64_t height = is_image ? in[0] : 1;
    const std::int64_t width = in[in.size() - 2];
    const std::int64_t n_rows = is_image ? out[0] : 1;
    const std::int64_t n_columns = out[out.size() - 2];
    std::int64_t* to = a.output;
    for (std::int64_t row = 0; row < n_rows; ++row) {
        const Span rows = Span::inside(row, op.strides[0], op.kernel[0], op.padding[0], height);
        for (std::int64_t column = 0; column < n_columns; ++column) {
            const Span columns = Span::inside(column, op.strides[1], op.kernel[1], op.padding[2], width);
            const Window<Int> window{op, a, rows, columns, width};
            for (std::int64_t channel = 0; channel < out.back(); ++channel) {
                const std::int64_t y = op.kind == PoolKind::max ? window.maximum(channel) : window.average(channel);
                *to++ = convert(widen<Int>(y, op.accum), op.accum.fraction(), a.layer.result);
            }
        }
    }
}

RHEINFALL_INSTANTIATE(Pool);

}  // namespace rheinfall::quantized
