#pragma once

#include <optional>
#include <string_view>

#include "quantized/fields.hpp"

namespace rheinfall::quantized {

/// A layer that is being read: its fields, the graph before it, and the layer itself, whose inputs, name and result are
/// known. A reader of an operation sets layer.shape.
struct LayerReader {
    Fields& fields;
    const Graph& graph;
    Layer& layer;

    [[nodiscard]] const Shape& shape(std::size_t input = 0) const { return graph.shape(layer.inputs[input]); }
    [[nodiscard]] const FixedType& type(std::size_t input = 0) const { return graph.type(layer.inputs[input]); }
    [[nodiscard]] std::int64_t size(std::size_t input = 0) const { return count_elements(shape(input)); }
    [[nodiscard]] std::int64_t channels() const { return shape().back(); }

    /// Sets the shape, which inputs and parameters gave; refuses one that is too large.
    void set_shape(Shape shape) const;
    /// A tensor that must have a certain shape.
    Tensor tensor(std::string_view key, const Shape& expected) const;
    /// A tensor of shape [channels], or x's shape; or of one value, where that is allowed.
    Tensor per_channel(std::string_view key, bool or_single) const;
};

/// Each reads the operations of one family; nothing if @p op is none of them.
std::optional<Operation> read_move(const LayerReader& reader, std::string_view op);
std::optional<Operation> read_sum(const LayerReader& reader, std::string_view op);
std::optional<Operation> read_elementwise(const LayerReader& reader, std::string_view op);
std::optional<Operation> read_table(const LayerReader& reader, std::string_view op);

}  // namespace rheinfall::quantized
