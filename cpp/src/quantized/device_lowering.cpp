#include "quantized/device_lowering.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <optional>
#include <string>

#include "quantized/detail/device_tile.hpp"
#include "quantized/plan_chain.hpp"
#include "rheinfall/quantized/model.hpp"

namespace rheinfall::quantized {
namespace {

using detail::DeviceChain;
using detail::DeviceLayer;
using detail::DeviceMerge;
using detail::DeviceReduction;
using detail::DeviceStage;
using detail::mma_inputs;
using detail::mma_outputs;

constexpr int max_w_limbs_of_tiles = 2;
constexpr int max_k_tiles = 2;
constexpr int max_n_tiles = 8;
constexpr int max_x_limbs = 3;

constexpr int round_up(int n, int unit) noexcept {
    return (n + unit - 1) / unit * unit;
}

bool fits_lane(const Interval& x) noexcept {
    return x.lo >= std::numeric_limits<std::int32_t>::min() && x.hi <= std::numeric_limits<std::int32_t>::max();
}

constexpr std::int32_t low_word(Int128 v) noexcept {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(static_cast<UInt128>(v)));
}

constexpr Int128 scaled(Int128 v, int shift) noexcept {
    return shift >= 0 ? v * (Int128{1} << shift) : detail::shift_right(v, -shift);
}

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

class Lowering {
public:
    Lowering(const Graph& graph, const Ranges& ranges, std::string_view file)
        : graph_(graph), ranges_(ranges), file_(file) {}

    DeviceCode lower();

private:
    [[nodiscard]] int n_inputs() const noexcept { return static_cast<int>(graph_.inputs.size()); }
    [[nodiscard]] bool is_layer(int value) const noexcept { return value >= n_inputs(); }
    [[nodiscard]] const Layer& layer(int value) const {
        return graph_.layers[static_cast<std::size_t>(value - n_inputs())];
    }
    [[nodiscard]] const LayerRange& proof(int value) const {
        return ranges_.layers[static_cast<std::size_t>(value - n_inputs())];
    }
    [[nodiscard]] int size(int value) const {
        std::int64_t n = 1;
        for (const std::int64_t extent : graph_.shape(value)) n *= extent;
        return static_cast<int>(n);
    }
    [[noreturn]] void refuse(int value, const std::string& reason) const {
        throw ModelError((file_.empty() ? std::string() : std::string(file_) + ": ") + "layer '" +
                         std::string(graph_.value_name(value)) + "': the CUDA kernels cannot compute it: " + reason);
    }

    [[nodiscard]] bool is_constant(int value) const {
        return is_layer(value) && std::holds_alternative<Constant>(layer(value).operation);
    }
    const Tensor& constant(int value);
    [[nodiscard]] std::vector<int> readers(int value) const;
    bool swallow(Chain& chain, int value, int next);
    void extend(Chain& chain);
    DeviceChain keep(const Chain& chain, int n, int padded);

    void lower_input();
    void lower_dense(int value);
    Chain begin_sums(int value, int products_fraction, std::vector<std::int64_t>& bias);
    void set_limbs(DeviceLayer& out, const Dense& dense, int input);
    void pack_weights(DeviceLayer& out, const Dense& dense, bool of_sums);
    void lower_merge(int value);
    void lower_reduction(int value);
    void lower_argmax(int value);
    void save_current();
    void measure();

    const Graph& graph_;
    const Ranges& ranges_;
    std::string_view file_;
    DeviceCode code_;
    ParameterBlock parameters_;
    std::map<int, Tensor> constants_;
    int current_ = 0;  ///< the value that the program holds
    int saved_ = -1;
};

/// A constant's stored integers, in its result's type.
const Tensor& Lowering::constant(int value) {
    auto [at, is_new] = constants_.try_emplace(value);
    if (is_new) {
        const Tensor& given = std::get<Constant>(layer(value).operation).value;
        at->second = {layer(value).result, given.shape, {}};
        for (const std::int64_t q : given.data)
            at->second.data.push_back(detail::convert<Int128>(q, given.type.fraction(), layer(value).result));
    }
    return at->second;
}

/// The layers that read a value, and -1 where it is an output.
std::vector<int> Lowering::readers(int value) const {
    std::vector<int> found;
    for (std::size_t i = 0; i < graph_.layers.size(); ++i) {
        const std::vector<int>& from = graph_.layers[i].inputs;
        if (std::find(from.begin(), from.end(), value) != from.end()) found.push_back(static_cast<int>(i) + n_inputs());
    }
    for (const Output& output : graph_.outputs)
        if (output.value == value) found.push_back(-1);
    return found;
}

/// Takes an elementwise layer into a chain; false if it is none.
bool Lowering::swallow(Chain& chain, int value, int next) {
    const Layer& l = layer(next);
    const Tensor* other = nullptr;
    bool constant_first = false;
    if (l.inputs.size() == 2) {
        constant_first = l.inputs[1] == value;
        const int i = constant_first ? l.inputs[0] : l.inputs[1];
        if (!is_constant(i) || size(i) > size(value)) return false;
        other = &constant(i);
    } else if (l.inputs.size() != 1) {
        return false;
    }
    return chain.add_layer(l, proof(next), graph_.type(value), other, constant_first) && chain.failed().empty();
}

/// Takes in the elementwise layers that follow `current_` and are its only readers.
void Lowering::extend(Chain& chain) {
    for (;;) {
        const std::vector<int> next = readers(current_);
        if (next.size() != 1 || next[0] < 0) return;
        Chain longer = chain;
        if (!swallow(longer, current_, next[0])) {
            if (!longer.failed().empty()) refuse(next[0], longer.failed());
            return;
        }
        chain = std::move(longer);
        current_ = next[0];
    }
}

/// Copies a chain's stages and their parameters (@p n elements each, then zeros up to @p padded) to the pool.
DeviceChain Lowering::keep(const Chain& chain, int n, int padded) {
    std::vector<DeviceStage> stages;
    const auto words = [&](const std::int32_t* parameters) {
        if (parameters == nullptr) return 0;
        const auto first = static_cast<std::int32_t>(code_.pool.size());
        code_.pool.insert(code_.pool.end(), parameters, parameters + n);
        code_.pool.resize(static_cast<std::size_t>(first) + static_cast<std::size_t>(padded), 0);
        return first;
    };
    for (const Stage& s : chain.stages()) {
        if ((s.flags & (stage_rescale | stage_count)) != 0) refuse(current_, "no CUDA kernel for this requantization");
        DeviceStage d;
        d.flags = s.flags;
        d.left_shift = s.left_shift;
        d.c0 = (s.flags & (Stage::add | Stage::add_sign)) != 0 ? s.c0 : 0;
        d.c1 = s.c1;
        d.c2 = (s.flags & Stage::add_sign) != 0 ? s.c2 : 0;
        d.shift = (s.flags & Stage::right) != 0 ? s.shift : 0;
        d.logical_shift = s.shift;
        d.rare_lo = s.lo;
        d.rare_hi = s.hi;
        d.lo = (s.flags & Stage::at_least) != 0 ? s.lo : std::numeric_limits<std::int32_t>::min();
        d.hi = (s.flags & Stage::at_most) != 0 ? s.hi : std::numeric_limits<std::int32_t>::max();
        d.a = words(s.a);
        d.b = words(s.b);
        d.c = words(s.c);
        stages.push_back(d);
    }
    DeviceChain kept{static_cast<std::int32_t>(code_.pool.size()), static_cast<std::int32_t>(stages.size())};
    constexpr std::size_t words_per_stage = sizeof(DeviceStage) / sizeof(std::int32_t);
    code_.pool.resize(code_.pool.size() + stages.size() * words_per_stage);
    if (!stages.empty())
        std::memcpy(code_.pool.data() + kept.first, stages.data(), stages.size() * sizeof(DeviceStage));
    return kept;
}

void Lowering::save_current() {
    if (saved_ >= 0) refuse(current_, "a second value that a later layer reads again");
    saved_ = current_;
}

void Lowering::lower_input() {
    if (graph_.inputs.size() != 1) throw ModelError(std::string(file_) + ": the CUDA kernels take one input");
    const Input& input = graph_.inputs[0];
    auto& program = code_.program;
    const Interval held{detail::smallest(input.type), Int128{detail::largest(input.type)}};
    if (!fits_lane(held) || input.type.width > 32) refuse(0, "an input of more than 32 bits");
    program.n_inputs = size(0);
    program.input_type = input.type;
    program.input_lo = static_cast<std::int32_t>(ranges_.value(0).all.lo);
    program.input_hi = static_cast<std::int32_t>(ranges_.value(0).all.hi);
    Chain chain(ranges_.value(0).all, input.type.fraction(), static_cast<std::size_t>(size(0)), 1, parameters_);
    extend(chain);
    program.input_chain = keep(chain, size(0), round_up(size(0), mma_inputs));
}

/// The chain behind sums in the grid of the products; @p bias comes in the accumulator's grid and leaves in the sums'.
Chain Lowering::begin_sums(int value, int products_fraction, std::vector<std::int64_t>& bias) {
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

void Lowering::set_limbs(DeviceLayer& out, const Dense& dense, int input) {
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

void Lowering::lower_dense(int value) {
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

void Lowering::pack_weights(DeviceLayer& out, const Dense& dense, bool of_sums) {
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

void Lowering::lower_merge(int value) {
    const Layer& l = layer(value);
    const auto& binary = std::get<Binary>(l.operation);
    auto& program = code_.program;
    const bool current_first = l.inputs[0] == current_;
    const int other = l.inputs[current_first ? 1 : 0];
    if (other != saved_ || size(other) != size(current_)) refuse(value, "an operation with a value that is not kept");
    const int fx = graph_.type(current_).fraction(), fy = graph_.type(saved_).fraction();
    int fraction = std::max(fx, fy);
    program.shift_x = fraction - fx;
    program.shift_y = fraction - fy;
    switch (binary.kind) {
        case BinaryKind::add: program.merge = DeviceMerge::add; break;
        case BinaryKind::average:
            program.merge = DeviceMerge::add;
            ++fraction;
            break;
        case BinaryKind::subtract:
            program.merge = current_first ? DeviceMerge::subtract : DeviceMerge::subtract_from;
            break;
        case BinaryKind::multiply:
            program.merge = DeviceMerge::multiply;
            program.shift_x = program.shift_y = 0;
            fraction = fx + fy;
            break;
        case BinaryKind::maximum: program.merge = DeviceMerge::maximum; break;
        case BinaryKind::minimum: program.merge = DeviceMerge::minimum; break;
    }
    const Interval x = ranges_.value(current_).all, y = ranges_.value(saved_).all;
    const Interval aligned_x{scaled(x.lo, program.shift_x), scaled(x.hi, program.shift_x)};
    const Interval aligned_y{scaled(y.lo, program.shift_y), scaled(y.hi, program.shift_y)};
    const Interval& exact = proof(value).unconverted;
    if (program.shift_x > 31 || program.shift_y > 31 || !fits_lane(aligned_x) || !fits_lane(aligned_y) ||
        !fits_lane(exact))
        refuse(value, "operands of more than 32 bits");
    Chain chain(exact, fraction, static_cast<std::size_t>(size(value)), 1, parameters_);
    chain.convert(l.result, proof(value).result_overflows, proof(value).result.all);
    if (!chain.failed().empty()) refuse(value, chain.failed());
    current_ = value;
    extend(chain);
    program.merge_chain = keep(chain, size(current_), round_up(size(current_), mma_outputs));
}

void Lowering::lower_reduction(int value) {
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

void Lowering::lower_argmax(int value) {
    if (graph_.shape(value).size() != 1) refuse(value, "an argmax of several rows");
    auto& program = code_.program;
    program.is_argmax = true;
    program.hot = static_cast<std::int32_t>(detail::convert<Int128>(1, 0, layer(value).result));
    program.cold = static_cast<std::int32_t>(detail::convert<Int128>(0, 0, layer(value).result));
    current_ = value;
}

/// What scratch and registers the kernels need.
void Lowering::measure() {
    auto& program = code_.program;
    program.max_values = program.n_inputs;
    bool fits = !program.input_is_saved;
    for (int l = 0; l < program.n_layers; ++l) {
        const DeviceLayer& layer = program.layers[l];
        program.max_values = std::max(program.max_values, layer.n_out);
        program.max_encoded = std::max(program.max_encoded, layer.x_limbs * ((layer.n_in + 3) / 4));
        program.max_k_tiles = std::max(program.max_k_tiles, layer.k_tiles);
        program.max_n_tiles = std::max(program.max_n_tiles, layer.n_tiles);
        program.max_x_limbs = std::max(program.max_x_limbs, layer.x_limbs);
        fits = fits && layer.w_limbs <= max_w_limbs_of_tiles;
    }
    fits = fits && program.max_k_tiles <= max_k_tiles && program.max_n_tiles <= max_n_tiles &&
           program.max_x_limbs <= max_x_limbs;
    if (!fits) program.max_k_tiles = 0;
    program.n_pool = static_cast<std::int32_t>(code_.pool.size());
}

DeviceCode Lowering::lower() {
    auto& program = code_.program;
    lower_input();
    bool is_merged = false;
    for (;;) {
        std::vector<int> next = readers(current_);
        if (next.size() == 2 && !is_merged && std::find(next.begin(), next.end(), -1) == next.end()) {
            save_current();  // the later reader merges
            if (program.n_layers == 0)
                program.input_is_saved = true;
            else
                program.layers[program.n_layers - 1].is_saved = true;
            next.pop_back();
        }
        if (next.size() != 1) refuse(current_, "a value that several layers or outputs read");
        if (next[0] < 0) break;
        const Operation& operation = layer(next[0]).operation;
        const bool is_last = program.reduction != DeviceReduction::none || program.is_argmax;
        const bool is_done = is_merged || is_last;
        if (std::holds_alternative<Dense>(operation) && !is_done) {
            lower_dense(next[0]);
        } else if (std::holds_alternative<Binary>(operation) && !is_done && saved_ >= 0) {
            lower_merge(next[0]);
            is_merged = true;
        } else if (std::holds_alternative<Argmax>(operation) && !is_last && program.n_layers > 0) {
            lower_argmax(next[0]);
        } else if (!is_last && program.n_layers > 0 &&
                   (std::holds_alternative<SumOfSquares>(operation) || std::holds_alternative<Sum>(operation) ||
                    (std::holds_alternative<Dot>(operation) && layer(next[0]).inputs[0] == layer(next[0]).inputs[1]))) {
            program.n_merged = size(current_);
            lower_reduction(next[0]);
        } else {
            refuse(next[0], "no kernel for this operation at this place");
        }
    }
    if (program.n_layers == 0) refuse(current_, "a network without dense layers");
    if (saved_ >= 0 && !is_merged) refuse(saved_, "a value that several layers read");
    if (graph_.outputs.size() != 1) refuse(current_, "several outputs");
    program.n_outputs = size(current_);
    program.output_type = graph_.type(current_);
    if (program.reduction == DeviceReduction::none) program.n_merged = program.n_outputs;
    if (!fits_lane({detail::smallest(program.output_type), Int128{detail::largest(program.output_type)}}))
        refuse(current_, "an output of more than 32 bits");
    measure();
    return std::move(code_);
}

}  // namespace

DeviceCode lower_for_device(const Graph& graph, const Ranges& ranges, std::string_view file) {
    return Lowering(graph, ranges, file).lower();
}

}  // namespace rheinfall::quantized
