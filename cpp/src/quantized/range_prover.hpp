#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "quantized/intervals.hpp"

namespace rheinfall::quantized {

/// Intervals that one value may keep for itself, and all values together.
inline constexpr std::size_t max_intervals = std::size_t{1} << 16;
inline constexpr std::size_t max_all_intervals = std::size_t{1} << 21;

/// Proves one layer: what its intermediates and results can be, from what its inputs can be.
class LayerProver {
public:
    /// @p budget: intervals that may still be kept.
    LayerProver(const Graph& graph, const Ranges& before, const Layer& layer, std::size_t budget) noexcept
        : graph_(graph), before_(before), layer_(layer), budget_(budget) {}

    LayerRange prove();

    void operator()(const Constant& op);
    void operator()(const Quantize& op);
    void operator()(const Reshape& op);
    void operator()(const Transpose& op);
    void operator()(const Concatenate& op);
    void operator()(const Gather& op);
    void operator()(const Dense& op);
    void operator()(const Conv& op);
    void operator()(const Pool& op);
    void operator()(const Affine& op);
    void operator()(const Relu& op);
    void operator()(const LeakyRelu& op);
    void operator()(const ThresholdedRelu& op);
    void operator()(const HardSigmoid& op);
    void operator()(const Threshold& op);
    void operator()(const Table& op);
    void operator()(const Softmax& op);
    void operator()(const Argmax& op);
    void operator()(const Binary& op);
    void operator()(const Dot& op);
    void operator()(const SumOfSquares& op);
    void operator()(const Sum& op);
    void operator()(const Shift& op);
    void operator()(const Rescale& op);

private:
    /// The exact values that one element may have before its conversion: in one grid, or in two.
    struct Choice {
        Bounds first;
        bool has_second = false;
        Bounds second{};
    };

    [[nodiscard]] const ValueRange& x(std::size_t input = 0) const { return before_.value(layer_.inputs[input]); }
    [[nodiscard]] const FixedType& type(std::size_t input = 0) const { return graph_.type(layer_.inputs[input]); }
    [[nodiscard]] const Shape& shape(std::size_t input = 0) const { return graph_.shape(layer_.inputs[input]); }
    [[nodiscard]] Bounds bounds(std::size_t element, std::size_t input = 0) const {
        return {x(input).at(element), type(input).fraction()};
    }
    [[nodiscard]] std::size_t n_outputs() const noexcept;

    /// Hulls over all elements with the same position on the last axis: that of channel c is [c % size].
    [[nodiscard]] std::vector<Interval> channel_hulls() const;

    /// Stores result interval i = interval(i) for @p size elements, or their hull where that is too many.
    template <class Function>
    void store(std::size_t size, Function interval) {
        ValueRange& result = range_.result;
        const bool keeps = size <= max_intervals && size <= budget_;
        for (std::size_t i = 0; i < size; ++i) {
            const Interval x = interval(i);
            result.all = i == 0 ? x : hull(result.all, x);
            if (keeps) result.elements.push_back(x);
        }
        if (!keeps) result.elements.assign(1, result.all);
    }
    /// store, of exact values that are converted to the result's type.
    template <class Function>
    void store_converted(std::size_t size, Function choice) {
        store(size, [&](std::size_t i) {
            const Choice c = choice(i);
            const Interval first = finish(c.first);
            return c.has_second ? hull(first, finish(c.second)) : first;
        });
    }
    /// The same for each element of the first input and @p n_constants values of a constant, which come around.
    template <class Function>
    void store_each(std::size_t n_constants, Function choice) {
        store_converted(std::max(x().elements.size(), n_constants),
                        [&](std::size_t i) { return choice(bounds(i), i); });
    }
    /// The interval after the conversion of an exact value to the result's type.
    Interval finish(const Bounds& exact);
    /// store_converted, of one final accumulator for each of @p size elements.
    template <class Function>
    void store_sums(std::size_t size, const FixedType& accum, Function sum) {
        range_.accumulator.emplace().type = accum;
        store_converted(size, [&](std::size_t i) { return Choice{{sum(i), accum.fraction()}}; });
    }

    const Graph& graph_;
    const Ranges& before_;
    const Layer& layer_;
    std::size_t budget_;
    BitCount bits_;
    LayerRange range_;
    bool has_unconverted_ = false;
    int unconverted_fraction_ = 0;
};

/// The additions of one accumulator, from its start value on; adds what it finds to an AccumulatorRange.
class SumProver {
public:
    SumProver(AccumulatorRange& range, BitCount& bits, const Interval& start) noexcept
        : range_(range), bits_(bits), sums_(hull(start, start)), total_(start) {}

    /// @p n summands alike in the grid of products. @p zeros: their low bits that are zero.
    void add(const Bounds& product, int zeros = 0, std::int64_t n = 1);
    /// @p n summands alike that are converted after the addition, not before.
    void add_before_conversion(const Bounds& summand, std::int64_t n);
    /// What the accumulator can hold at the end.
    Interval finish();

private:
    void add_converted(const Interval& x, std::int64_t n) noexcept;

    AccumulatorRange& range_;
    BitCount& bits_;
    Interval products_;  // exact, partial sums in any order
    Interval sums_;      // converted, with the start
    Interval total_;     // the whole sum
    Interval largest_summand_;
};

}  // namespace rheinfall::quantized
