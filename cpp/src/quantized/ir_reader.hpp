#pragma once

#include <string_view>

#include "quantized/ir.hpp"

namespace rheinfall::quantized {

/// Reads a document (docs/quantized_format.md) and checks every rule of the format. Throws ModelError, which names
/// @p file, the layer, the field and what was expected. Memory stays within a small multiple of the text's size.
Graph read_graph(std::string_view text, std::string_view file = {});

}  // namespace rheinfall::quantized
