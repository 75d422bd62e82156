#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "gnn/plan.hpp"

/// @file
/// A plan as a device holds it: all weights in one array, all instructions in another, nothing that owns memory.
namespace rheinfall::gnn {

struct DeviceArray {
    std::int32_t buffer = -1;  ///< or -1: the caller's features, of nodes or of edges
    std::int32_t stride = 0;
    Kind kind = Kind::node;
};

struct DeviceBufferShape {
    std::int32_t stride = 0;
    Kind kind = Kind::node;
};

/// Sums that become a value of the event behind a stage; as `Statistics`.
struct DeviceStatistics {
    std::int32_t first_column = 0;
    std::int32_t width = 0;
    std::int32_t array = -1;
    Kind rows = Kind::node;
    Op op = Op::event_sum;
    float epsilon = 0;
    const float* scale = nullptr;
};

struct DeviceStage {
    Kind kind = Kind::node;
    std::int32_t first_instruction = 0;
    std::int32_t n_instructions = 0;
    std::int32_t statistic_columns = 0;
    std::int32_t exchange_words = 0;  ///< in front of the columns of a tile
    std::size_t tile_bytes = 0;       ///< of shared memory
    std::vector<DeviceStatistics> statistics;
};

struct DeviceNetwork {
    std::vector<float> weights;
    std::vector<Instruction> instructions;
    std::vector<DeviceArray> arrays;
    std::vector<DeviceBufferShape> buffers;
    std::vector<DeviceStage> stages;
    int n_node_features = 0;
    int n_edge_features = 0;

    /// Makes the instructions point into a copy of the weights at @p weights, from where they point to now.
    void move_weights(const float* from, const float* to);
};

/// The network, whose instructions point into its own weights. Weights in bf16 are expected as fragments.
DeviceNetwork flatten(const Plan& plan);

/// Throws std::invalid_argument, naming @p file, where a tile of 32 rows needs more than @p most bytes of shared
/// memory.
void check_tile_bytes(const DeviceNetwork& network, std::size_t most, std::string_view file);

}  // namespace rheinfall::gnn
