#pragma once

#include <cstddef>
#include <cstdint>

#include "quantized/detail/int128.hpp"
#include "quantized/ir.hpp"

/// The readable executor: one function per operation, exactly as docs/quantized_format.md words it. Values are stored
/// integers (see detail/fixed_point.hpp), 8 bytes each; intermediates are of type Int, 64 bits where prove_ranges says
/// that those hold them, else 128.
namespace rheinfall::quantized {

/// One layer and one event.
struct ExactArgs {
    const Graph& graph;
    const Layer& layer;
    const std::int64_t* const* inputs;  ///< the stored values of each of layer.inputs
    std::int64_t* output;
    std::int64_t* scratch;  ///< exact_scratch_size(layer) elements

    [[nodiscard]] const FixedType& type(std::size_t input = 0) const noexcept {
        return graph.type(layer.inputs[input]);
    }
    [[nodiscard]] const Shape& shape(std::size_t input = 0) const noexcept { return graph.shape(layer.inputs[input]); }
};

/// Runs a layer; @p is_wide: with intermediates of 128 bits.
void run_layer_exact(const ExactArgs& args, bool is_wide) noexcept;

/// Elements of scratch memory that a layer needs.
[[nodiscard]] std::size_t exact_scratch_size(const Layer& layer) noexcept;

/// True if @p work_bits (of LayerRange) need the wide form.
[[nodiscard]] constexpr bool needs_wide(int work_bits) noexcept {
    return work_bits > 64;
}

}  // namespace rheinfall::quantized
