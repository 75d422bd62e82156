#pragma once

#include <vector>

#include "quantized/ir.hpp"
#include "quantized/plan.hpp"
#include "quantized/ranges.hpp"

namespace rheinfall::quantized {

/// Builds the epilogue of a step: a chain of elementwise operations on 32-bit lanes, merged where that is exact, each
/// checked to fit. Once something does not, `failed` says what, and the chain is of no use.
class Chain {
public:
    /// Values lie in @p range, in a grid of @p fraction bits, in @p n_rows rows of @p n; parameters go to @p block.
    Chain() = default;  ///< of nothing, until a chain is assigned to it
    Chain(Interval range, int fraction, std::size_t n, std::size_t n_rows, ParameterBlock& block)
        : range_(range), before_clamp_(range), fraction_(fraction), n_(n), n_rows_(n_rows), block_(&block) {}

    /// Takes in one elementwise layer whose other operands are constants; @p constant is that of a binary operation
    /// (@p constant_first: it is the left operand). False if the layer is none such.
    bool add_layer(const Layer& layer, const LayerRange& proof, const FixedType& from, const Tensor* constant,
                   bool constant_first);
    /// Values of @p from become @p table[v - from.lo], in a grid of @p fraction bits.
    void look_up(const Interval& from, const std::vector<std::int64_t>& table, int fraction, const Interval& result);
    /// floor(v / 2^n), as a new grid's unit.
    void cut(int n) { round_right(n, Rounding::trn); }
    /// v / n towards zero, in the same grid.
    void divide(std::int64_t n);
    /// → type: rounding, then overflow if it can happen.
    void convert(const FixedType& type, bool overflows, Interval result);
    void wrap(int width, bool is_signed, Interval result);
    void add_constants(const std::vector<std::int64_t>& values, Interval result);
    void shift_left(int n);
    /// Moves sums up by @p n bits, modulo 2^32, and adds @p bias there; the range is that of the result.
    void lift(int n, const std::vector<std::int64_t>& bias);

    [[nodiscard]] const std::vector<Stage>& stages() const noexcept { return stages_; }
    [[nodiscard]] const Interval& range() const noexcept { return range_; }
    [[nodiscard]] int fraction() const noexcept { return fraction_; }
    [[nodiscard]] const std::string& failed() const noexcept { return failed_; }

private:
    void fail(const char* what) {
        if (failed_.empty()) failed_ = what;
    }
    bool fits(const Interval& x);
    void round_right(int shift, Rounding rounding);
    void clamp(Int128 lo, Int128 hi);
    void multiply(const Tensor& factors, bool leaky);
    bool add_rescale(const Rescale& op, const FixedType& from, const FixedType& result);
    bool add_threshold(const Threshold& op, const FixedType& result);
    void rescale_in_lane(const Rescale& op, int k);
    void rescale_in_halves(const Rescale& op, int k, int split);
    void add_tensor(const Tensor& addends, int sign);
    const std::int32_t* expand(const std::vector<std::int64_t>& values);
    Stage& open();

    std::vector<Stage> stages_;
    Interval range_;
    Interval before_clamp_;  ///< of what the last stage's clamps see
    int fraction_;
    std::size_t n_;
    std::size_t n_rows_;
    ParameterBlock* block_ = nullptr;
    std::string failed_;
};

}  // namespace rheinfall::quantized
