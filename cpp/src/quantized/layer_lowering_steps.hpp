#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quantized/layer_lowering.hpp"

/// From a network to the program of the kernel `layers`: places and ports in layer_lowering.cpp, what each operation
/// reads in layer_lowering_steps.cpp.
namespace rheinfall::quantized {

class LayerLowering {
public:
    LayerLowering(const Graph& graph, const Ranges& ranges, std::string_view file)
        : graph_(graph), ranges_(ranges), file_(file) {}

    LayerCode lower();

private:
    struct Room {
        std::int64_t first = 0;
        std::int64_t end = 0;
        int last_reader = 0;  ///< the layer, or the number of layers for outputs
    };

    [[nodiscard]] std::int64_t size(int value) const;
    [[noreturn]] void refuse(int value, const std::string& reason) const;
    void find_last_readers();
    void place(int value, int at_layer);
    [[nodiscard]] detail::LayerOperand operand(int value) const;
    void add_port(std::vector<detail::LayerPort>& ports, int value, const std::optional<RealScale>& real);

    detail::LayerConstants keep(std::span<const std::int64_t> values, int fraction);
    detail::LayerConstants keep(const Tensor& tensor) { return keep(tensor.data, tensor.type.fraction()); }
    detail::LayerConstants keep_doubles(std::span<const double> values);
    [[nodiscard]] detail::LayerConstants keep_bias(const std::optional<Tensor>& bias, const FixedType& accum);

    [[nodiscard]] detail::LayerStep begin(std::size_t layer) const;
    void lower_layer(std::size_t layer);
    void set_sum(detail::LayerStep& step) const;

    void fill(detail::LayerStep& step, const Constant& op);
    void fill(detail::LayerStep& step, const Quantize& op);
    void fill(detail::LayerStep& step, const Reshape& op);
    void fill(detail::LayerStep& step, const Transpose& op);
    void fill(detail::LayerStep& step, const Concatenate& op);
    void fill(detail::LayerStep& step, const Gather& op);
    void fill(detail::LayerStep& step, const Dense& op);
    void fill(detail::LayerStep& step, const Conv& op);
    void fill(detail::LayerStep& step, const Pool& op);
    void fill(detail::LayerStep& step, const Affine& op);
    void fill(detail::LayerStep& step, const Relu& op);
    void fill(detail::LayerStep& step, const LeakyRelu& op);
    void fill(detail::LayerStep& step, const ThresholdedRelu& op);
    void fill(detail::LayerStep& step, const HardSigmoid& op);
    void fill(detail::LayerStep& step, const Threshold& op);
    void fill(detail::LayerStep& step, const Table& op);
    void fill(detail::LayerStep& step, const Softmax& op);
    void fill(detail::LayerStep& step, const Argmax& op);
    void fill(detail::LayerStep& step, const Binary& op);
    void fill(detail::LayerStep& step, const Dot& op);
    void fill(detail::LayerStep& step, const SumOfSquares& op);
    void fill(detail::LayerStep& step, const Sum& op);
    void fill(detail::LayerStep& step, const Shift& op);
    void fill(detail::LayerStep& step, const Rescale& op);

    const Graph& graph_;
    const Ranges& ranges_;
    std::string_view file_;
    LayerCode code_;
    std::vector<Room> rooms_;  ///< of each value
    std::size_t layer_ = 0;    ///< the one that is being lowered
};

}  // namespace rheinfall::quantized
