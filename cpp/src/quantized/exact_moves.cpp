#include <algorithm>
#include <array>

#include "quantized/exact_operations.hpp"

/// constant, quantize, reshape, transpose, concatenate, gather, shift, rescale.
namespace rheinfall::quantized {
namespace {

using detail::convert;
using detail::widen;

template <class Int>
void convert_elements(const ExactArgs& a) noexcept {
    for_each_element<Int>(a, [](Exact<Int> x, std::size_t) { return x; });
}

}  // namespace

template <class Int>
void execute(const Constant& op, const ExactArgs& a) noexcept {
    for (std::size_t i = 0; i < op.value.data.size(); ++i) {
        a.output[i] = convert(static_cast<Int>(op.value.data[i]), op.value.type.fraction(), a.layer.result);
    }
}

template <class Int>
void execute(const Quantize& /*op*/, const ExactArgs& a) noexcept {
    convert_elements<Int>(a);
}

template <class Int>
void execute(const Reshape& /*op*/, const ExactArgs& a) noexcept {
    convert_elements<Int>(a);
}

template <class Int>
void execute(const Transpose& op, const ExactArgs& a) noexcept {
    const Shape& in = a.shape();
    const FixedType& type = a.type();
    std::array<std::int64_t, 8> stride{};    // of x, along each axis of the result
    std::array<std::int64_t, 8> position{};  // in the result
    const std::size_t rank = in.size();
    for (std::size_t axis = 0; axis < rank; ++axis) {
        stride[axis] = 1;
        for (std::size_t k = static_cast<std::size_t>(op.perm[axis]) + 1; k < rank; ++k) stride[axis] *= in[k];
    }
    const std::size_t n = n_elements(in);
    std::int64_t from = 0;
    for (std::size_t i = 0; i < n; ++i) {
        a.output[i] = convert(widen<Int>(a.inputs[0][from], type), type.fraction(), a.layer.result);
        for (std::size_t axis = rank; axis-- > 0;) {
            from += stride[axis];
            if (++position[axis] < a.layer.shape[axis]) break;
            from -= stride[axis] * position[axis];
            position[axis] = 0;
        }
    }
}

template <class Int>
void execute(const Concatenate& op, const ExactArgs& a) noexcept {
    const auto axis = static_cast<std::size_t>(op.axis);
    const std::size_t outer = n_elements(Extents(a.layer.shape).first(axis));
    const std::size_t row = n_elements(Extents(a.layer.shape).subspan(axis));
    std::size_t start = 0;
    for (std::size_t input = 0; input < a.layer.inputs.size(); ++input) {
        const FixedType& type = a.type(input);
        const std::size_t part = n_elements(Extents(a.shape(input)).subspan(axis));
        for (std::size_t i = 0; i < outer * part; ++i) {
            const Int v = widen<Int>(a.inputs[input][i], type);
            a.output[i / part * row + start + i % part] = convert(v, type.fraction(), a.layer.result);
        }
        start += part;
    }
}

template <class Int>
void execute(const Gather& op, const ExactArgs& a) noexcept {
    const FixedType& type = a.type();
    for (std::size_t i = 0; i < op.index.size(); ++i) {
        const Int v = op.index[i] < 0 ? Int{0} : widen<Int>(a.inputs[0][op.index[i]], type);
        a.output[i] = convert(v, type.fraction(), a.layer.result);
    }
}

template <class Int>
void execute(const Shift& op, const ExactArgs& a) noexcept {
    const FixedType& type = a.type();
    for_each_element<Int>(a, [&](Exact<Int> x, std::size_t i) {
        return Exact<Int>{detail::shift_in_type(x.v, op.shift[i % op.shift.size()], type), x.fraction};
    });
}

template <class Int>
void execute(const Rescale& op, const ExactArgs& a) noexcept {
    const FixedType& result = a.layer.result;
    const FixedType& type = a.type();
    const bool clamps = op.minimum || op.maximum;
    const std::size_t n = n_elements(a.layer.shape);
    for (std::size_t i = 0; i < n; ++i) {
        const Int v = widen<Int>(a.inputs[0][i], type) * static_cast<Int>(op.multiplier[i % op.multiplier.size()]) +
                      static_cast<Int>(op.addend[i % op.addend.size()]);
        Int y = detail::divide(v, static_cast<Int>(op.divisor[i % op.divisor.size()]), op.round);
        FixedType overflow = result;
        if (clamps) {
            if (op.minimum && y < *op.minimum) y = *op.minimum;
            if (op.maximum && y > *op.maximum) y = *op.maximum;
            overflow.overflow = Overflow::sat;  // for the side that has no limit of its own
        }
        a.output[i] = detail::fit(y, 0, overflow);
    }
}

RHEINFALL_INSTANTIATE(Constant);
RHEINFALL_INSTANTIATE(Quantize);
RHEINFALL_INSTANTIATE(Reshape);
RHEINFALL_INSTANTIATE(Transpose);
RHEINFALL_INSTANTIATE(Concatenate);
RHEINFALL_INSTANTIATE(Gather);
RHEINFALL_INSTANTIATE(Shift);
RHEINFALL_INSTANTIATE(Rescale);

}  // namespace rheinfall::quantized
