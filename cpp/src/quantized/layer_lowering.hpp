#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "quantized/detail/layer_program.hpp"
#include "quantized/ir.hpp"
#include "quantized/ranges.hpp"

namespace rheinfall::quantized {

/// A program of the kernel `layers` with its constants.
struct LayerCode {
    std::vector<detail::LayerStep> steps;
    std::vector<detail::LayerPort> inputs;
    std::vector<detail::LayerPort> outputs;
    std::vector<std::int32_t> pool;
    std::int32_t n_values = 0;
    std::int32_t n_lanes = 1;
    bool is_wide = false;

    /// With pointers into these vectors.
    [[nodiscard]] detail::LayerProgram program() const noexcept;
    [[nodiscard]] std::size_t event_bytes() const noexcept {
        return static_cast<std::size_t>(n_values) * (is_wide ? 8 : 4);
    }
};

/// The shared memory that a block of the largest devices has (compute capability 9.0), in bytes.
inline constexpr std::size_t largest_shared_memory = std::size_t{227} * 1024;

/// Lowers any graph for CUDA, layer by layer: every operation, any widths, sums in their order.
///
/// Throws ModelError, naming the layer, where the values of one event that are needed at the same time do not fit the
/// shared memory of any device.
LayerCode lower_layers(const Graph& graph, const Ranges& ranges, std::string_view file = {});

}  // namespace rheinfall::quantized
