#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "quantized/detail/int128.hpp"
#include "quantized/ir.hpp"

namespace rheinfall::quantized {

/// Integers from lo to hi, both inclusive.
struct Interval {
    Int128 lo = 0;
    Int128 hi = 0;
    friend constexpr bool operator==(const Interval&, const Interval&) = default;
};

/// The smallest number of bits of a two's complement integer that holds @p x.
[[nodiscard]] int signed_bits(const Interval& x) noexcept;

/// What is proven about the stored integers of one value, element by element.
struct ValueRange {
    /// One per element; or one per element of the last axis; or one for all: element i has [i % size].
    std::vector<Interval> elements;
    Interval all;  ///< hull of the elements

    [[nodiscard]] const Interval& at(std::size_t element) const noexcept { return elements[element % elements.size()]; }
};

/// What is proven about a layer's additions: dense, conv, dot, sum, sum_of_squares, average pooling, softmax (the sum).
struct AccumulatorRange {
    FixedType type;
    /// Exact products (or summands) and their partial sums in any order, no bias, in the products' own grid, the
    /// fraction bits of x plus those of the weight: nothing lost, nothing wrapped. Holds 0. A bound beyond 2^126 is
    /// given as 2^126.
    Interval products;
    /// Bias, converted products and partial sums in any order, in the accumulator's grid, before any overflow of a sum.
    Interval sums;
    bool products_round = false;     ///< the conversion of a product may drop bits that are not zero
    bool products_overflow = false;  ///< or leave the accumulator's range
    bool sums_overflow = false;      ///< some partial sum may leave the accumulator's range
    /// The result depends on the order of the additions: sums_overflow, and the overflow is no WRAP.
    bool order_matters = false;

    /// The accumulator holds the plain sum of exact products modulo 2^W, whatever the order: integer lanes are exact
    /// if they are as wide as `products` and the bias ask, or as W bits.
    [[nodiscard]] bool is_plain_sum() const noexcept {
        return !products_round && (!products_overflow || type.overflow == Overflow::wrap) && !order_matters;
    }
};

struct LayerRange {
    ValueRange result;
    std::optional<AccumulatorRange> accumulator;
    Interval unconverted;           ///< what goes into the conversion to the result's type, in its own grid; hull
    bool result_rounds = false;     ///< that conversion may drop bits that are not zero
    bool result_overflows = false;  ///< or meet a value outside the type's range
    int work_bits = 0;  ///< two's complement bits that hold every intermediate of the operation, 128 at most
};

/// The proof of a whole graph; values are numbered as in Graph.
struct Ranges {
    std::vector<ValueRange> inputs;
    std::vector<LayerRange> layers;

    [[nodiscard]] const ValueRange& value(int i) const noexcept {
        const auto k = static_cast<std::size_t>(i);
        return k < inputs.size() ? inputs[k] : layers[k - inputs.size()].result;
    }
};

/// Interval arithmetic through the graph, with the weights as they are. Throws ModelError, naming the layer, where an
/// intermediate could take more than 127 bits. Memory is bounded: large values share intervals.
Ranges prove_ranges(const Graph& graph, std::string_view file = {});

}  // namespace rheinfall::quantized
