#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "quantized/detail/exact_rules.hpp"
#include "quantized/exact_cpu.hpp"

/// The operations of the readable executor, each in the file of its family; and what they share.
namespace rheinfall::quantized {

template <class Int>
void execute(const Constant& op, const ExactArgs& a) noexcept;
template <class Int>
void execute(const Quantize& op, const ExactArgs& a) noexcept;
template <class Int>
void execute(const Reshape& op, const ExactArgs& a) noexcept;
template <class Int>
void execute(const Transpose& op, const ExactArgs& a) noexcept;
template <class Int>
void execute(const Concatenate& op, const ExactArgs& a) noexcept;
template <class Int>
void execute(const Gather& op, const ExactArgs& a) noexcept;
template <class Int>
void execute(const Dense& op, const ExactArgs& a) noexcept;
template <class Int>
void execute(const Conv& op, const ExactArgs& a) noexcept;
template <class Int>
void execute(const Pool& op, const ExactArgs& a) noexcept;
template <class Int>
void execute(const Affine& op, const ExactArgs& a) noexcept;
template <class Int>
void execute(const Relu& op, const ExactArgs& a) noexcept;
template <class Int>
void execute(const LeakyRelu& op, const ExactArgs& a) noexcept;
template <class Int>
void execute(const ThresholdedRelu& op, const ExactArgs& a) noexcept;
template <class Int>
void execute(const HardSigmoid& op, const ExactArgs& a) noexcept;
template <class Int>
void execute(const Threshold& op, const ExactArgs& a) noexcept;
template <class Int>
void execute(const Table& op, const ExactArgs& a) noexcept;
template <class Int>
void execute(const Softmax& op, const ExactArgs& a) noexcept;
template <class Int>
void execute(const Argmax& op, const ExactArgs& a) noexcept;
template <class Int>
void execute(const Binary& op, const ExactArgs& a) noexcept;
template <class Int>
void execute(const Dot& op, const ExactArgs& a) noexcept;
template <class Int>
void execute(const SumOfSquares& op, const ExactArgs& a) noexcept;
template <class Int>
void execute(const Sum& op, const ExactArgs& a) noexcept;
template <class Int>
void execute(const Shift& op, const ExactArgs& a) noexcept;
template <class Int>
void execute(const Rescale& op, const ExactArgs& a) noexcept;

using detail::accumulate;
using detail::Exact;

using Extents = std::span<const std::int64_t>;

/// Elements of one value, or of some of its axes.
[[nodiscard]] inline std::size_t n_elements(Extents shape) noexcept {
    std::size_t n = 1;
    for (const std::int64_t extent : shape) n *= static_cast<std::size_t>(extent);
    return n;
}

/// Element i of a constant tensor that has one value, one per element of the last axis, or one per element.
template <class Int>
[[nodiscard]] inline Int cyclic(const Tensor& tensor, std::size_t i) noexcept {
    return static_cast<Int>(tensor.data[i % tensor.data.size()]);
}

/// out[i] = function(x[i], i) → result, for each element of the first input.
template <class Int, class Function>
void for_each_element(const ExactArgs& a, Function function) noexcept {
    const std::size_t n = n_elements(a.layer.shape);
    const FixedType& type = a.type();
    for (std::size_t i = 0; i < n; ++i) {
        const Exact<Int> y = function(Exact<Int>{detail::widen<Int>(a.inputs[0][i], type), type.fraction()}, i);
        a.output[i] = detail::convert(y.v, y.fraction, a.layer.result);
    }
}

}  // namespace rheinfall::quantized

/// Both widths of an operation.
#define RHEINFALL_INSTANTIATE(Op)                                              \
    template void execute<std::int64_t>(const Op&, const ExactArgs&) noexcept; \
    template void execute<Int128>(const Op&, const ExactArgs&) noexcept
