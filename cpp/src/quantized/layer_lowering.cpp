#include "quantized/layer_lowering.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <variant>

#include "quantized/detail/fixed_point.hpp"
#include "quantized/layer_lowering_steps.hpp"
#include "rheinfall/quantized/model.hpp"

namespace rheinfall::quantized {

using detail::LayerConstants;
using detail::LayerPort;
using detail::LayerStep;

namespace {

constexpr std::int64_t most_words = std::numeric_limits<std::int32_t>::max();

bool fits_word(std::int64_t v) noexcept {
    return v >= std::numeric_limits<std::int32_t>::min() && v <= std::numeric_limits<std::int32_t>::max();
}

/// Stored values of the type need more than 32 bits.
bool is_wide(const FixedType& type) noexcept {
    return type.width > (type.is_signed ? 32 : 31);
}

}  // namespace

detail::LayerProgram LayerCode::program() const noexcept {
    detail::LayerProgram p{steps.data(), inputs.data(), outputs.data(), pool.data()};
    p.n_steps = static_cast<std::int32_t>(steps.size());
    p.n_inputs = static_cast<std::int32_t>(inputs.size());
    p.n_outputs = static_cast<std::int32_t>(outputs.size());
    for (const LayerPort& port : inputs) p.n_in += port.n;
    for (const LayerPort& port : outputs) p.n_out += port.n;
    p.n_values = n_values;
    p.n_lanes = n_lanes;
    p.is_wide = is_wide;
    if (inputs.size() == 1 && inputs[0].type.width <= 32) p.packed_width = inputs[0].type.width;
    return p;
}

std::int64_t LayerLowering::size(int value) const {
    std::int64_t n = 1;
    for (const std::int64_t extent : graph_.shape(value)) n *= extent;
    return n;
}

void LayerLowering::refuse(int value, const std::string& reason) const {
    throw ModelError((file_.empty() ? std::string() : std::string(file_) + ": ") + "layer '" +
                     std::string(graph_.value_name(value)) + "': the CUDA kernels cannot compute it: " + reason);
}

void LayerLowering::find_last_readers() {
    rooms_.resize(static_cast<std::size_t>(graph_.n_values()));
    const auto n_layers = static_cast<int>(graph_.layers.size());
    for (int l = 0; l < n_layers; ++l) {
        // What nobody reads is computed all the same, and must not lie on what is needed.
        rooms_[graph_.inputs.size() + static_cast<std::size_t>(l)].last_reader = l;
        for (const int value : graph_.layers[static_cast<std::size_t>(l)].inputs)
            rooms_[static_cast<std::size_t>(value)].last_reader = l;
    }
    for (const Output& output : graph_.outputs) rooms_[static_cast<std::size_t>(output.value)].last_reader = n_layers;
}

/// The first gap between the values that are still needed when a layer runs (-1: before all).
void LayerLowering::place(int value, int at_layer) {
    std::vector<Room> taken;
    for (int other = 0; other < value; ++other) {
        const Room& room = rooms_[static_cast<std::size_t>(other)];
        if (room.last_reader >= at_layer) taken.push_back(room);
    }
    std::ranges::sort(taken, {}, &Room::first);
    Room& room = rooms_[static_cast<std::size_t>(value)];
    for (const Room& other : taken) {
        if (other.first - room.first >= size(value)) break;
        room.first = std::max(room.first, other.end);
    }
    room.end = room.first + size(value);
    const std::int64_t limit = static_cast<std::int64_t>(largest_shared_memory) / (code_.is_wide ? 8 : 4);
    if (room.end > limit)
        refuse(value, "its event needs " + std::to_string(room.end) + " values at the same time, of which " +
                          std::to_string(limit) + " fit the shared memory of the largest devices");
    code_.n_values = std::max(code_.n_values, static_cast<std::int32_t>(room.end));
}

void LayerLowering::add_port(std::vector<LayerPort>& ports, int value, const std::optional<RealScale>& real) {
    LayerPort port;
    port.first = static_cast<std::int32_t>(rooms_[static_cast<std::size_t>(value)].first);
    port.n = static_cast<std::int32_t>(size(value));
    for (const LayerPort& before : ports) port.row_first += before.n;
    port.n_channels = static_cast<std::int32_t>(graph_.shape(value).back());
    port.type = graph_.type(value);
    if (real) {
        port.has_scale = true;
        port.scale = keep_doubles(real->scale);
        port.shift = keep_doubles(real->offset);
        port.zero_point = real->zero_point;
    }
    ports.push_back(port);
}

LayerConstants LayerLowering::keep(std::span<const std::int64_t> values, int fraction) {
    LayerConstants c;
    c.first = static_cast<std::int32_t>(code_.pool.size());
    c.n = static_cast<std::int32_t>(values.size());
    c.fraction = fraction;
    c.is_long = !std::ranges::all_of(values, fits_word);
    if (static_cast<std::int64_t>(code_.pool.size() + values.size() * (c.is_long ? 2 : 1)) > most_words)
        refuse(static_cast<int>(layer_ + graph_.inputs.size()), "constants of more than 2^31 words");
    for (const std::int64_t v : values) {
        const auto bits = static_cast<std::uint64_t>(v);
        code_.pool.push_back(static_cast<std::int32_t>(static_cast<std::uint32_t>(bits)));
        if (c.is_long) code_.pool.push_back(static_cast<std::int32_t>(static_cast<std::uint32_t>(bits >> 32)));
    }
    return c;
}

LayerConstants LayerLowering::keep_doubles(std::span<const double> values) {
    std::vector<std::int64_t> bits;
    for (const double v : values) bits.push_back(std::bit_cast<std::int64_t>(v));
    return keep(bits, 0);
}

LayerStep LayerLowering::begin(std::size_t layer) const {
    const Layer& l = graph_.layers[layer];
    const auto value = static_cast<int>(layer + graph_.inputs.size());
    LayerStep step;
    step.is_wide = ranges_.layers[layer].work_bits > 64;
    step.n = static_cast<std::int32_t>(size(value));
    step.out = static_cast<std::int32_t>(rooms_[static_cast<std::size_t>(value)].first);
    step.result = l.result;
    if (!l.inputs.empty()) step.x = operand(l.inputs.front());
    if (!l.inputs.empty()) step.y = operand(l.inputs.back());
    return step;
}

detail::LayerOperand LayerLowering::operand(int value) const {
    return {static_cast<std::int32_t>(rooms_[static_cast<std::size_t>(value)].first),
            static_cast<std::int32_t>(size(value)), graph_.type(value)};
}

void LayerLowering::lower_layer(std::size_t layer) {
    layer_ = layer;
    const auto value = static_cast<int>(layer + graph_.inputs.size());
    place(value, static_cast<int>(layer));
    LayerStep step = begin(layer);
    code_.n_lanes = std::max(code_.n_lanes, step.n);
    std::visit([&](const auto& op) { fill(step, op); }, graph_.layers[layer].operation);
    if (!std::holds_alternative<Concatenate>(graph_.layers[layer].operation)) code_.steps.push_back(step);
}

LayerCode LayerLowering::lower() {
    for (int value = 0; value < graph_.n_values(); ++value)
        code_.is_wide = code_.is_wide || quantized::is_wide(graph_.type(value));
    find_last_readers();
    for (int value = 0; value < static_cast<int>(graph_.inputs.size()); ++value) {
        place(value, -1);
        add_port(code_.inputs, value, graph_.inputs[static_cast<std::size_t>(value)].real);
        code_.n_lanes = std::max(code_.n_lanes, code_.inputs.back().n);
    }
    for (std::size_t layer = 0; layer < graph_.layers.size(); ++layer) lower_layer(layer);
    for (const Output& output : graph_.outputs) add_port(code_.outputs, output.value, output.real);
    return std::move(code_);
}

LayerCode lower_layers(const Graph& graph, const Ranges& ranges, std::string_view file) {
    return LayerLowering(graph, ranges, file).lower();
}

}  // namespace rheinfall::quantized
