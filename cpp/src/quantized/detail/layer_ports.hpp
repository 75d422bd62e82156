#pragma once

#include "quantized/detail/device_steps.hpp"
#include "quantized/detail/layer_program.hpp"
#include "quantized/detail/real_rules.hpp"

/// Inputs and outputs of any network on a device.
namespace rheinfall::quantized::detail {

/// Integer i of the pool's constants.
[[nodiscard]] RHEINFALL_HOST_DEVICE inline std::int64_t layer_constant(const std::int32_t* pool,
                                                                       const LayerConstants& c, int i) noexcept {
    if (!c.is_long) return pool[c.first + i];
    const auto low = static_cast<std::uint32_t>(pool[c.first + 2 * i]);
    const auto high = static_cast<std::uint32_t>(pool[c.first + 2 * i + 1]);
    return static_cast<std::int64_t>(std::uint64_t{high} << 32 | low);
}

/// Element i of doubles that are repeated along the last axis.
[[nodiscard]] RHEINFALL_HOST_DEVICE inline double layer_real(const std::int32_t* pool, const LayerConstants& c,
                                                             int i) noexcept {
    return std::bit_cast<double>(layer_constant(pool, c, i % c.n));
}

/// A real number as element i of an input.
template <class Real>
[[nodiscard]] RHEINFALL_HOST_DEVICE inline std::int64_t read_real(const LayerProgram& program, const LayerPort& port,
                                                                  int i, Real given, std::uint32_t& flags) noexcept {
    const auto x = static_cast<double>(given);
    const auto narrow = static_cast<float>(given);
    const bool is_finite = port.has_scale ? narrow - narrow == 0.0F : x - x == 0.0;
    if (!is_finite) flags |= device_not_finite;
    if (!port.has_scale) return convert_real(is_finite ? x : 0.0, port.type);
    return convert_scaled(is_finite ? narrow : 0.0F, static_cast<float>(layer_real(program.pool, port.scale, i)),
                          port.zero_point, port.type);
}

/// Element i of an input from an event's row, as a stored value.
[[nodiscard]] RHEINFALL_HOST_DEVICE inline std::int64_t read_port(const LayerProgram& program, const LayerPort& port,
                                                                  int i, const std::byte* row,
                                                                  const DeviceFormat& format,
                                                                  std::uint32_t& flags) noexcept {
    const int k = port.row_first + i;
    if (!format.is_packed && format.type == ElementType::float32)
        return read_real(program, port, i, load_as<float>(row + std::ptrdiff_t{k} * 4), flags);
    if (!format.is_packed && format.type == ElementType::float64)
        return read_real(program, port, i, load_as<double>(row + std::ptrdiff_t{k} * 8), flags);
    return read_stored(row, k, format, port.type, flags);
}

/// Element i of an output to @p out, where the event's elements begin at @p first.
RHEINFALL_HOST_DEVICE inline void write_port(const LayerProgram& program, const LayerPort& port, int i,
                                             std::int64_t stored, void* out, std::size_t first,
                                             ElementType type) noexcept {
    const std::size_t at = first + static_cast<std::size_t>(port.row_first + i);
    if (!is_floating(type)) return write_output(out, at, type, stored);
    const int channel = i % port.n_channels;
    double y = port.has_scale
                   ? real_value(stored, port.type, port.zero_point, layer_real(program.pool, port.scale, channel))
                   : real_value(stored, port.type);
    if (port.shift.n > 0) y += layer_real(program.pool, port.shift, channel);
    if (type == ElementType::float32) {
        static_cast<float*>(out)[at] = static_cast<float>(y);
    } else {
        static_cast<double*>(out)[at] = y;
    }
}

}  // namespace rheinfall::quantized::detail
