#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "gnn/ir.hpp"

namespace rheinfall::gnn {

/// Reads a file of docs/gnn_format.md and checks every rule of the format; throws std::runtime_error that names
/// @p file, the operation, the field and what was expected.
Graph read_graph(std::span<const std::byte> bytes, std::string_view file);

}  // namespace rheinfall::gnn
