#include "quantized/boundary.hpp"

#include <cmath>
#include <type_traits>

#include "quantized/detail/fixed_point.hpp"
#include "quantized/detail/real_rules.hpp"
#include "quantized/read_floats.hpp"

namespace rheinfall::quantized {
namespace {

/// Calls function with a pointer to the array's elements.
template <class Pointer, class Function>
auto visit_elements(Pointer data, ElementType type, Function function) noexcept {
    constexpr bool is_const = std::is_const_v<std::remove_pointer_t<Pointer>>;
    const auto as = [&]<class T>(T*) {
        return function(static_cast<std::conditional_t<is_const, const T*, T*>>(data));
    };
    switch (type) {
        case ElementType::int8: return as(static_cast<std::int8_t*>(nullptr));
        case ElementType::int16: return as(static_cast<std::int16_t*>(nullptr));
        case ElementType::int32: return as(static_cast<std::int32_t*>(nullptr));
        case ElementType::int64: return as(static_cast<std::int64_t*>(nullptr));
        case ElementType::uint8: return as(static_cast<std::uint8_t*>(nullptr));
        case ElementType::uint16: return as(static_cast<std::uint16_t*>(nullptr));
        case ElementType::uint32: return as(static_cast<std::uint32_t*>(nullptr));
        case ElementType::uint64: return as(static_cast<std::uint64_t*>(nullptr));
        case ElementType::float32: return as(static_cast<float*>(nullptr));
        case ElementType::float64: break;
    }
    return as(static_cast<double*>(nullptr));
}

template <class T>
bool in_range(T v, const FixedType& type) noexcept {
    if constexpr (std::is_signed_v<T>) {
        if (v < 0) return static_cast<std::int64_t>(v) >= detail::smallest(type);
    }
    return static_cast<std::uint64_t>(v) <= detail::largest(type);
}

template <class T>
Status read_elements(const Input& input, const T* from, std::size_t n, std::int64_t* stored) noexcept {
    const FixedType& type = input.type;
    Status status = Status::ok;
    if constexpr (std::is_floating_point_v<T>) {
        if (!input.real && read_floats(from, n, type, stored)) return status;
    }
    for (std::size_t i = 0; i < n; ++i) {
        if constexpr (std::is_floating_point_v<T>) {
            const auto as_float = static_cast<float>(from[i]);
            const bool finite = input.real ? std::isfinite(as_float) : std::isfinite(from[i]);
            if (!finite) status = Status::not_finite;
            if (input.real) {
                const auto scale = static_cast<float>(input.real->scale[i % input.real->scale.size()]);
                stored[i] = detail::convert_scaled(finite ? as_float : 0.0F, scale, input.real->zero_point, type);
            } else {
                stored[i] = convert_real(finite ? static_cast<double>(from[i]) : 0.0, type);
            }
        } else {
            if (!in_range(from[i], type)) status = Status::out_of_range;
            stored[i] = detail::fit(static_cast<Int128>(from[i]), 0, type);
        }
    }
    return status;
}

double real_value(const FixedType& type, const RealScale* real, std::int64_t stored, std::size_t channel) noexcept {
    if (real == nullptr) return detail::real_value(stored, type);
    const double scaled = detail::real_value(stored, type, real->zero_point, real->scale[channel % real->scale.size()]);
    return real->offset.empty() ? scaled : scaled + real->offset[channel % real->offset.size()];
}

}  // namespace

std::int64_t convert_real(double x, const FixedType& type) noexcept {
    return detail::convert_real(x, type);
}

Status read_input(const Input& input, ConstArray in, std::size_t first, std::size_t n, std::int64_t* stored) noexcept {
    return visit_elements(in.data, in.type,
                          [&](const auto* data) { return read_elements(input, data + first, n, stored); });
}

void write_output(const FixedType& type, const Output& output, std::size_t n_channels, const std::int64_t* stored,
                  std::size_t n, MutableArray out, std::size_t first) noexcept {
    const RealScale* real = output.real ? &*output.real : nullptr;
    visit_elements(out.data, out.type, [&](auto* data) {
        using T = std::remove_pointer_t<decltype(data)>;
        for (std::size_t i = 0; i < n; ++i) {
            if constexpr (std::is_floating_point_v<T>) {
                data[first + i] = static_cast<T>(real_value(type, real, stored[i], i % n_channels));
            } else {
                data[first + i] = static_cast<T>(stored[i]);
            }
        }
    });
}

bool holds(ElementType element, const FixedType& type) noexcept {
    if (is_floating(element)) return true;
    const auto code = static_cast<int>(element);
    const int bits = 8 << (code % 4);
    const bool is_signed = code < 4;
    if (is_signed) return bits >= type.width + (type.is_signed ? 0 : 1);
    return !type.is_signed && bits >= type.width;
}

}  // namespace rheinfall::quantized
