#pragma once

#include <cstdint>
#include <rheinfall/quantized/network_cuda.hpp>
#include <string_view>
#include <vector>

#include "quantized/detail/device_program.hpp"
#include "quantized/ir.hpp"
#include "quantized/ranges.hpp"

namespace rheinfall::quantized {

/// A program of the CUDA kernels with its constants.
struct DeviceCode {
    detail::DeviceProgram program;
    std::vector<std::int32_t> pool;
};

/// Lowers a graph for CUDA: elementwise layers on the input, dense layers with elementwise layers behind each, then
/// optionally one operation with an earlier value of that chain, and a sum, sum of squares, dot product of the result
/// with itself, or argmax. On 32-bit lanes; sums that do not depend on their order. That covers jet taggers and the
/// networks of the Level-1 anomaly triggers with their input scaling and score.
///
/// Throws ModelError, naming the layer and the reason, for everything else.
DeviceCode lower_for_device(const Graph& graph, const Ranges& ranges, std::string_view file = {});

/// The same without what tensor cores take: the program of the thread-per-event kernel alone.
[[nodiscard]] constexpr bool fits_tensor_cores(const detail::DeviceProgram& program) noexcept {
    return program.max_k_tiles > 0;
}

/// Bytes at a multiple of which integers for tensor cores begin.
inline constexpr int tensor_core_alignment = 16;

/// The kernel of a call: that of the network, but DeviceKernel::layers for reals, and for integers that do not begin
/// where tensor cores copy from, unless those were wanted by name: then throws std::invalid_argument.
[[nodiscard]] DeviceKernel kernel_of_call(DeviceKernel of_network, DeviceKernel wanted, bool has_reals, const void* in);

}  // namespace rheinfall::quantized
