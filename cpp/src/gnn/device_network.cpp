#include "gnn/device_network.hpp"

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>

#include "gnn/tile_program.hpp"

namespace rheinfall::gnn {
namespace {

/// Copies numbers behind the weights, and gives their place.
class Packer {
public:
    explicit Packer(std::vector<float>& weights) : weights_(weights) {}

    /// The same pointer: where the copies lie is known when there are no more, since their array moves as it grows.
    const float* keep(const float* values, std::size_t n) {
        if (values == nullptr) return nullptr;
        places_.push_back(weights_.size());
        weights_.insert(weights_.end(), values, values + n);
        // Weights are read in vectors of four.
        weights_.resize((weights_.size() + 3) / 4 * 4);
        return values;
    }
    [[nodiscard]] std::size_t next() { return places_[used_++]; }

private:
    std::vector<float>& weights_;
    std::vector<std::size_t> places_;
    std::size_t used_ = 0;
};

std::size_t count(std::int32_t n) noexcept {
    return static_cast<std::size_t>(n);
}

std::size_t n_weights(const Instruction& i) noexcept {
    if (i.bf16) return static_cast<std::size_t>(mma::packed_words(i.in_width, i.width));
    return count(i.in_width) * count(i.width);
}

/// Inputs of a stage's widest linear operation in bf16.
std::int32_t widest_bf16(const Stage& stage) noexcept {
    std::int32_t widest = 0;
    for (const Instruction& i : stage.instructions) {
        if (i.bf16) widest = std::max(widest, i.in_width);
    }
    return widest;
}

}  // namespace

void DeviceNetwork::move_weights(const float* from, const float* to) {
    const auto move = [&](const float*& pointer) {
        if (pointer != nullptr) pointer = to + (pointer - from);
    };
    for (Instruction& i : instructions) {
        move(i.weights);
        move(i.scale);
        move(i.shift);
    }
    for (DeviceStage& stage : stages) {
        for (DeviceStatistics& s : stage.statistics) move(s.scale);
    }
}

DeviceNetwork flatten(const Plan& plan) {
    DeviceNetwork network;
    network.n_node_features = plan.graph.n_node_features;
    network.n_edge_features = plan.graph.n_edge_features;
    for (const Array& a : plan.arrays) network.arrays.push_back({a.caller ? -1 : a.buffer, a.stride, a.kind});
    for (const Buffer& b : plan.buffers) network.buffers.push_back({b.stride, b.kind});
    Packer packer(network.weights);
    for (const Stage& stage : plan.stages) {
        DeviceStage flat{stage.kind,
                         static_cast<std::int32_t>(network.instructions.size()),
                         static_cast<std::int32_t>(stage.instructions.size()),
                         stage.statistic_columns,
                         tile::exchange_words(widest_bf16(stage)),
                         tile::tile_bytes(stage.scratch_columns, widest_bf16(stage)),
                         {}};
        for (const Instruction& i : stage.instructions) {
            network.instructions.push_back(i);
            packer.keep(i.weights, n_weights(i));
            packer.keep(i.scale, count(i.width));
            packer.keep(i.shift, count(i.width));
        }
        for (const Statistics& s : stage.statistics) {
            const Operation& o = *s.operation;
            const float* scale = packer.keep(o.scale.empty() ? nullptr : o.scale.data(), o.scale.size());
            flat.statistics.push_back({s.first_column, s.width, s.array, s.rows, o.op, o.a, scale});
        }
        network.stages.push_back(std::move(flat));
    }
    // Everything is in its place now: what was kept, in the order in which it was.
    const auto place = [&](const float*& pointer) {
        if (pointer != nullptr) pointer = network.weights.data() + packer.next();
    };
    for (DeviceStage& stage : network.stages) {
        const auto first = network.instructions.begin() + stage.first_instruction;
        std::for_each(first, first + stage.n_instructions, [&](Instruction& i) {
            place(i.weights);
            place(i.scale);
            place(i.shift);
        });
        for (DeviceStatistics& s : stage.statistics) place(s.scale);
    }
    return network;
}

void check_tile_bytes(const DeviceNetwork& network, std::size_t most, std::string_view file) {
    for (const DeviceStage& stage : network.stages) {
        if (stage.tile_bytes <= most) continue;
        const std::string kind = kind_names[static_cast<std::size_t>(stage.kind)];
        throw std::invalid_argument(std::string(file) + ": values of " + std::to_string(tile::rows) + ' ' + kind +
                                    "s need " + std::to_string(stage.tile_bytes) +
                                    " bytes of shared memory: expected at most " + std::to_string(most) +
                                    ", which this device has");
    }
}

}  // namespace rheinfall::gnn
