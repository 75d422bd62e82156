#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <stdexcept>

#include "quantized/device_lowering_steps.hpp"

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

}  // namespace

/// A constant's stored integers, in its result's type.
const Tensor& DeviceLowering::constant(int value) {
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
std::vector<int> DeviceLowering::readers(int value) const {
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
bool DeviceLowering::swallow(Chain& chain, int value, int next) {
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
void DeviceLowering::extend(Chain& chain) {
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
DeviceChain DeviceLowering::keep(const Chain& chain, int n, int padded) {
    std::vector<DeviceStage> stages;
    const auto words = [&](const std::int32_t* parameters) {
        if (parameters == nullptr) return 0;
        const auto first = static_cast<std::int32_t>(code_.pool.size());
        code_.pool.insert(code_.pool.end(), parameters, parameters + n);
        code_.pool.resize(static_cast<std::size_t>(first) + static_cast<std::size_t>(padded), 0);
        return first;
    };
    for (const Stage& s : chain.stages()) {
        if ((s.flags & (stage_rescale | stage_count | stage_lookup)) != 0)
            refuse(current_, "no CUDA kernel for this requantization");
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

void DeviceLowering::save_current() {
    if (saved_ >= 0) refuse(current_, "a second value that a later layer reads again");
    saved_ = current_;
}

void DeviceLowering::lower_input() {
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

void DeviceLowering::lower_merge(int value) {
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

void DeviceLowering::lower_argmax(int value) {
    if (graph_.shape(value).size() != 1) refuse(value, "an argmax of several rows");
    auto& program = code_.program;
    program.is_argmax = true;
    program.hot = static_cast<std::int32_t>(detail::convert<Int128>(1, 0, layer(value).result));
    program.cold = static_cast<std::int32_t>(detail::convert<Int128>(0, 0, layer(value).result));
    current_ = value;
}

/// What scratch and registers the kernels need.
void DeviceLowering::measure() {
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

DeviceCode DeviceLowering::lower() {
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

DeviceCode lower_for_device(const Graph& graph, const Ranges& ranges, std::string_view file) {
    return DeviceLowering(graph, ranges, file).lower();
}

DeviceKernel kernel_of_call(DeviceKernel of_network, DeviceKernel wanted, bool has_reals, const void* in) {
    if (has_reals) return DeviceKernel::layers;
    const bool is_aligned = reinterpret_cast<std::uintptr_t>(in) % tensor_core_alignment == 0;
    if (of_network != DeviceKernel::tensor_cores || is_aligned) return of_network;
    if (wanted == DeviceKernel::tensor_cores)
        throw std::invalid_argument(
            "DeviceNetwork::run: in: the kernel tensor_cores expects an array aligned to 16 bytes");
    return DeviceKernel::layers;
}

}  // namespace rheinfall::quantized
