#include <algorithm>
#include <variant>

#include "quantized/device_lowering_steps.hpp"

namespace rheinfall::quantized {

using detail::DeviceLayer;
using detail::DeviceReduction;
using detail::mma_inputs;
using detail::mma_outputs;

namespace {

/// Signed bytes whose sum, the k-th times 256^k, is w.
std::vector<std::int8_t> weight_limbs(std::int64_t w) {
    std::vector<std::int8_t> limbs;
    do {
        const auto low = static_cast<std::int8_t>(static_cast<std::uint8_t>(w & 0xff));
        limbs.push_back(low);
        w = (w - low) / 256;
    } while (w != 0);
    return limbs;
}

}  // namespace

/// The chain behind sums in the grid of the products; @p bias comes in the accumulator's grid and leaves in the sums'.
Chain DeviceLowering::begin_sums(int value, int products_fraction, std::vector<std::int64_t>& bias) {
    const AccumulatorRange& acc = *proof(value).accumulator;  // NOLINT(bugprone-unchecked-optional-access): of a sum
    const Layer& l = layer(value);
    const int finer = acc.type.fraction() - products_fraction;
    if (finer > 31 || finer < -31) refuse(value, "binary points of products and accumulator that lie far apart");
    const bool exact_bias = std::all_of(bias.begin(), bias.end(), [&](std::int64_t b) {
        return finer <= 0 || (b & ((std::int64_t{1} << finer) - 1)) == 0;
    });
    const int down = exact_bias ? -finer : 0;
    const Interval sums{scaled(acc.sums.lo, down), scaled(acc.sums.hi, down)};
    const int width = acc.type.width + down;
    const bool wraps = acc.sums_overflow || acc.products_overflow;
    if (!wraps && !fits_lane(sums)) refuse(value, "sums of more than 32 bits");
    if (wraps && (width > 32 || width < 1 || (width == 32 && !acc.type.is_signed)))
        refuse(value, "an accumulator that wraps at more than 32 bits");
    const Interval& result = proof(value).unconverted;
    const Interval stored{scaled(result.lo, down), scaled(result.hi, down)};
    const auto n = static_cast<std::size_t>(l.shape.back());
    Chain chain(wraps ? stored : sums, acc.type.fraction() + down, n, 1, parameters_);
    if (!exact_bias) {
        chain.lift(finer, bias);
        std::fill(bias.begin(), bias.end(), 0);
    } else {
        for (std::int64_t& b : bias) b = static_cast<std::int64_t>(scaled(b, down));
    }
    if (wraps) chain.wrap(width, acc.type.is_signed, stored);
    chain.convert(l.result, proof(value).result_overflows, proof(value).result.all);
    if (!chain.failed().empty()) refuse(value, chain.failed());
    return chain;
}

void DeviceLowering::set_limbs(DeviceLayer& out, const Dense& dense, int input) {
    const Interval x = ranges_.value(input).all;
    if (!fits_lane(x)) refuse(input, "values of more than 32 bits");
    out.x_limbs = 1;
    while (x.hi - x.lo >= Int128{1} << (8 * out.x_limbs)) ++out.x_limbs;
    const Int128 low = -(Int128{1} << (8 * out.x_limbs - 1));
    const bool fits = x.lo >= low && x.hi < -low;
    out.x_offset = fits ? 0 : low_word(x.lo - low);
    for (int limb = 0; limb + 1 < out.x_limbs; ++limb) out.x_mask |= 0x80u << (8 * limb);
    out.w_limbs = 1;
    for (const std::int64_t w : dense.weight.data)
        out.w_limbs = std::max(out.w_limbs, static_cast<std::int32_t>(weight_limbs(w).size()));
}

void DeviceLowering::lower_dense(int value) {
    const Layer& l = layer(value);
    const auto& dense = std::get<Dense>(l.operation);
    auto& program = code_.program;
    const int input = current_;
    if (program.n_layers == detail::max_device_layers) refuse(value, "more layers than a program holds");
    if (size(input) != dense.weight.shape[0]) refuse(value, "a dense layer on several rows");
    // NOLINTNEXTLINE(bugprone-unchecked-optional-access): of a sum
    if (!proof(value).accumulator->is_plain_sum())
        refuse(value, "sums that depend on their order, or rounded products");
    DeviceLayer& out = program.layers[program.n_layers];
    out.n_in = size(input);
    out.n_out = size(value);
    out.k_tiles = (out.n_in + mma_inputs - 1) / mma_inputs;
    out.n_tiles = (out.n_out + mma_outputs - 1) / mma_outputs;
    set_limbs(out, dense, input);
    std::vector<std::int64_t> bias(static_cast<std::size_t>(out.n_out), 0);
    if (dense.bias)
        for (std::size_t o = 0; o < bias.size(); ++o)
            bias[o] = detail::convert<Int128>(dense.bias->data[o], dense.bias->type.fraction(), dense.accum);
    current_ = value;
    Chain chain = begin_sums(value, graph_.type(input).fraction() + dense.weight.type.fraction(), bias);
    extend(chain);

    // What is subtracted from activations and their bytes comes back through the bias.
    Int128 constant = out.x_offset;
    for (int limb = 0; limb + 1 < out.x_limbs; ++limb) constant += Int128{128} << (8 * limb);
    out.bias = static_cast<std::int32_t>(code_.pool.size());
    for (int o = 0; o < out.n_tiles * mma_outputs; ++o) {
        Int128 b = 0;
        if (o < out.n_out) {
            b = bias[static_cast<std::size_t>(o)];
            for (int i = 0; i < out.n_in; ++i)
                b += constant * dense.weight.data[static_cast<std::size_t>(i) * static_cast<std::size_t>(out.n_out) +
                                                  static_cast<std::size_t>(o)];
        }
        code_.pool.push_back(low_word(b));
    }
    pack_weights(out, dense, program.n_layers > 0);
    out.chain = keep(chain, out.n_out, out.n_tiles * mma_outputs);
    ++program.n_layers;
}

void DeviceLowering::pack_weights(DeviceLayer& out, const Dense& dense, bool of_sums) {
    const auto byte = [&](int limb, int i, int o) -> std::uint32_t {
        if (i >= out.n_in || o >= out.n_out) return 0;
        const auto limbs = weight_limbs(
            dense.weight
                .data[static_cast<std::size_t>(i) * static_cast<std::size_t>(out.n_out) + static_cast<std::size_t>(o)]);
        const auto k = static_cast<std::size_t>(limb);
        return k < limbs.size() ? static_cast<std::uint8_t>(limbs[k]) : 0u;
    };
    std::vector<std::int32_t>& pool = code_.pool;
    out.weights = static_cast<std::int32_t>(pool.size());
    for (int limb = 0; limb < out.w_limbs; ++limb)
        for (int i = 0; i < out.n_in; i += 4)
            for (int o = 0; o < out.n_tiles * mma_outputs; ++o) {
                std::uint32_t word = 0;
                for (int k = 0; k < 4; ++k) word |= byte(limb, i + k, o) << (8 * k);
                pool.push_back(static_cast<std::int32_t>(word));
            }
    pool.resize(pool.size() + pool.size() % 2, 0);  // lanes read two words at once
    out.tiles = static_cast<std::int32_t>(pool.size());
    for (int limb = 0; limb < out.w_limbs; ++limb)
        for (int j = 0; j < out.k_tiles; ++j)
            for (int t = 0; t < out.n_tiles; ++t)
                for (int lane = 0; lane < 32; ++lane)
                    for (int half = 0; half < 2; ++half) {
                        std::uint32_t word = 0;
                        for (int k = 0; k < 4; ++k) {
                            const int i = detail::input_of_byte(j, 16 * half + 4 * (lane % 4) + k, of_sums);
                            word |= byte(limb, i, mma_outputs * t + lane / 4) << (8 * k);
                        }
                        pool.push_back(static_cast<std::int32_t>(word));
                    }
}

void DeviceLowering::lower_reduction(int value) {
    const Layer& l = layer(value);
    auto& program = code_.program;
    const bool is_sum = std::holds_alternative<Sum>(l.operation);
    const AccumulatorRange& acc = *proof(value).accumulator;  // NOLINT(bugprone-unchecked-optional-access): of a sum
    if (acc.order_matters || (acc.products_overflow && acc.type.overflow != Overflow::wrap))
        refuse(value, "sums that depend on their order");
    const Interval x = ranges_.value(current_).all;
    int fraction = graph_.type(current_).fraction();
    Interval term = x;
    if (!is_sum) {
        fraction *= 2;
        const Int128 most = std::max(x.lo * x.lo, x.hi * x.hi);
        term = {0, most};
    }
    // (a + x) → accum is a + (x → accum) where rounding does not look at the sign or at the last bit of the sum.
    const Rounding rounding = acc.type.rounding;
    if (is_sum && fraction > acc.type.fraction() && rounding != Rounding::trn && rounding != Rounding::rnd &&
        rounding != Rounding::rnd_min_inf)
        refuse(value, "a rounding of partial sums");
    if (!fits_lane(x) || !fits_lane(term)) refuse(value, "products of more than 32 bits");
    Chain products(term, fraction, 1, 1, parameters_);
    products.convert(acc.type, false,
                     {scaled(term.lo, 40), scaled(term.hi, 40)});  // what wraps in a product wraps in the sum
    const bool wraps = acc.sums_overflow || acc.products_overflow;
    if (!wraps && !fits_lane(acc.sums)) refuse(value, "sums of more than 32 bits");
    if (!products.failed().empty()) refuse(value, products.failed());
    const Interval& stored = proof(value).unconverted;
    Chain chain(wraps ? stored : acc.sums, acc.type.fraction(), 1, 1, parameters_);
    if (wraps) chain.wrap(acc.type.width, acc.type.is_signed, stored);
    chain.convert(l.result, proof(value).result_overflows, proof(value).result.all);
    if (!chain.failed().empty()) refuse(value, chain.failed());
    program.reduction = is_sum ? DeviceReduction::sum : DeviceReduction::sum_of_squares;
    current_ = value;
    extend(chain);
    program.product_chain = keep(products, 1, 1);
    program.sum_chain = keep(chain, 1, 1);
}

}  // namespace rheinfall::quantized
