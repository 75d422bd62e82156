#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "quantized/detail/device_program.hpp"
#include "quantized/detail/fixed_point.hpp"
#include "quantized/plan_step.hpp"
#include "rheinfall/quantized/model.hpp"
#include "tracking/detail/host_device.hpp"

// For loops whose index must be a constant, since it picks a register.
#if defined(__CUDA_ARCH__)
#define RHEINFALL_UNROLL _Pragma("unroll")
#else
#define RHEINFALL_UNROLL
#endif

/// The arithmetic of the CUDA kernels, element by element: the same functions on host and device.
namespace rheinfall::quantized::detail {

/// How events lie in an array: one element after the other, or bits: each event's stored integers in W bits, least
/// significant first, one after the other, each event beginning at a whole 32-bit word.
struct DeviceFormat {
    ElementType type = ElementType::int32;
    bool is_packed = false;
};

[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr int bytes_of(ElementType type) noexcept {
    switch (type) {
        case ElementType::int8:
        case ElementType::uint8: return 1;
        case ElementType::int16:
        case ElementType::uint16: return 2;
        case ElementType::int32:
        case ElementType::uint32:
        case ElementType::float32: return 4;
        default: return 8;
    }
}

/// Bytes from event to event.
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr int row_bytes(const DeviceFormat& format, int n, int width) noexcept {
    return format.is_packed ? (n * width + 31) / 32 * 4 : n * bytes_of(format.type);
}

template <class T>
[[nodiscard]] RHEINFALL_HOST_DEVICE inline T load_as(const std::byte* p) noexcept {
#if defined(__CUDA_ARCH__)
    return *reinterpret_cast<const T*>(p);  // rows are aligned to their elements
#else
    T value;
    std::memcpy(&value, p, sizeof value);
    return value;
#endif
}

/// Element k of an event's row, as it stands there; a packed one is in its type's range.
[[nodiscard]] RHEINFALL_HOST_DEVICE inline std::int64_t read_element(const std::byte* row, int k,
                                                                     const DeviceFormat& format,
                                                                     const FixedType& type) noexcept {
    if (format.is_packed) {
        const int bit = k * type.width;
        const std::byte* word = row + std::ptrdiff_t{bit / 32} * 4;
        std::uint64_t bits = load_as<std::uint32_t>(word);
        if (bit % 32 + type.width > 32) bits |= std::uint64_t{load_as<std::uint32_t>(word + 4)} << 32;
        const auto value = static_cast<std::uint32_t>(bits >> (bit % 32)) << (32 - type.width);
        return type.is_signed ? static_cast<std::int32_t>(value) >> (32 - type.width)
                              : static_cast<std::int64_t>(value >> (32 - type.width));
    }
    const std::byte* p = row + std::ptrdiff_t{k} * bytes_of(format.type);
    switch (format.type) {
        case ElementType::int8: return load_as<std::int8_t>(p);
        case ElementType::uint8: return load_as<std::uint8_t>(p);
        case ElementType::int16: return load_as<std::int16_t>(p);
        case ElementType::uint16: return load_as<std::uint16_t>(p);
        case ElementType::int32: return load_as<std::int32_t>(p);
        case ElementType::uint32: return load_as<std::uint32_t>(p);
        default: return load_as<std::int64_t>(p);
    }
}

/// What `DeviceNetwork::run` reports of the inputs.
inline constexpr std::uint32_t device_out_of_range = 1;
inline constexpr std::uint32_t device_not_finite = 2;

/// The same as a stored value of the input's type: one outside it is converted as its overflow says, and noted.
[[nodiscard]] RHEINFALL_HOST_DEVICE inline std::int64_t read_stored(const std::byte* row, int k,
                                                                    const DeviceFormat& format, const FixedType& type,
                                                                    std::uint32_t& flags) noexcept {
    const std::int64_t q = read_element(row, k, format, type);
    if (format.type == ElementType::uint64 && !format.is_packed && q < 0) {
        if (!type.is_signed && type.width == 64) return q;
        flags |= device_out_of_range;
        return fit(static_cast<Int128>(static_cast<std::uint64_t>(q)), 0, type);
    }
    const bool is_inside = q < 0 ? q >= smallest(type) : static_cast<std::uint64_t>(q) <= largest(type);
    if (!is_inside) flags |= device_out_of_range;
    return fit(q, 0, type);
}

/// An input of a dense chain, whose limits are in the program.
[[nodiscard]] RHEINFALL_HOST_DEVICE inline std::int32_t read_input(const DeviceProgram& program, const std::byte* row,
                                                                   int k, const DeviceFormat& format,
                                                                   std::uint32_t& flags) noexcept {
    const std::int64_t q = read_element(row, k, format, program.input_type);
    if (q >= program.input_lo && q <= program.input_hi) return static_cast<std::int32_t>(q);
    return static_cast<std::int32_t>(read_stored(row, k, format, program.input_type, flags));
}

RHEINFALL_HOST_DEVICE inline void write_output(void* out, std::size_t index, ElementType type,
                                               std::int64_t value) noexcept {
    switch (type) {
        case ElementType::int8:
        case ElementType::uint8: static_cast<std::int8_t*>(out)[index] = static_cast<std::int8_t>(value); break;
        case ElementType::int16:
        case ElementType::uint16: static_cast<std::int16_t*>(out)[index] = static_cast<std::int16_t>(value); break;
        case ElementType::int32:
        case ElementType::uint32: static_cast<std::int32_t*>(out)[index] = static_cast<std::int32_t>(value); break;
        default: static_cast<std::int64_t*>(out)[index] = value; break;
    }
}

// Additions and shifts modulo 2^32, as lanes do them.
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr std::int32_t wrapping_add(std::int32_t x, std::int32_t y) noexcept {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(x) + static_cast<std::uint32_t>(y));
}
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr std::int32_t wrapping_multiply(std::int32_t x, std::int32_t y) noexcept {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(x) * static_cast<std::uint32_t>(y));
}
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr std::int32_t shift_left(std::int32_t x, int n) noexcept {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(x) << n);
}

/// `operation` on each of M numbers, of which the first `n_fours` groups of four count; loops over registers must
/// unroll.
template <int M, class Operation>
RHEINFALL_HOST_DEVICE inline void for_each_value(std::int32_t (&v)[M], int n_fours, const Operation& operation) {
    RHEINFALL_UNROLL
    for (int four = 0; four < (M + 3) / 4; ++four) {
        if (four >= n_fours) continue;
        RHEINFALL_UNROLL
        for (int i = 4 * four; i < M && i < 4 * four + 4; ++i) v[i] = operation(v[i], i);
    }
}

/// The flags that few stages have, in the order of quantized::Stage.
template <int M, class Element>
RHEINFALL_HOST_DEVICE inline void run_rare(const DeviceStage& s, const std::int32_t* pool, std::int32_t (&v)[M],
                                           int n_fours, const Element& element) {
    const std::int32_t* a = pool + s.a;
    const std::int32_t* b = pool + s.b;
    const std::int32_t* c = pool + s.c;
    if ((s.flags & Stage::multiply_each) != 0)
        for_each_value(v, n_fours, [&](std::int32_t x, int i) { return wrapping_multiply(x, a[element(i)]); });
    if ((s.flags & Stage::leaky_each) != 0)
        for_each_value(v, n_fours, [&](std::int32_t x, int i) {
            return x > 0 ? shift_left(x, s.left_shift) : wrapping_multiply(x, a[element(i)]);
        });
    if ((s.flags & Stage::left) != 0)
        for_each_value(v, n_fours, [&](std::int32_t x, int) { return shift_left(x, s.left_shift); });
    if ((s.flags & Stage::add_each) != 0)
        for_each_value(v, n_fours, [&](std::int32_t x, int i) { return wrapping_add(x, b[element(i)]); });
    if ((s.flags & Stage::shift_each) != 0)
        for_each_value(v, n_fours,
                       [&](std::int32_t x, int i) { return shift_left(x, a[element(i)]) >> c[element(i)]; });
    if ((s.flags & Stage::right_logical) != 0)
        for_each_value(v, n_fours, [&](std::int32_t x, int) {
            return static_cast<std::int32_t>(static_cast<std::uint32_t>(x) >> s.logical_shift);
        });
    if ((s.flags & Stage::threshold) != 0)
        for_each_value(v, n_fours, [&](std::int32_t x, int) { return x > s.rare_lo ? x : 0; });
    if ((s.flags & Stage::zero_outside) != 0)
        for_each_value(v, n_fours, [&](std::int32_t x, int) { return x >= s.rare_lo && x <= s.rare_hi ? x : 0; });
}

/// An epilogue on M numbers, the i-th of which is element `element(i)`: stage by stage, so that each stage is read
/// once.
template <int M, class Element>
RHEINFALL_HOST_DEVICE inline void run_chain(const DeviceChain& chain, const std::int32_t* pool, std::int32_t (&v)[M],
                                            int n_fours, const Element& element) {
    const auto* stages = reinterpret_cast<const DeviceStage*>(pool + chain.first);
    for (int k = 0; k < chain.n; ++k) {
        const DeviceStage s = stages[k];
        if ((s.flags & Stage::rare) != 0) run_rare(s, pool, v, n_fours, element);
        if ((s.flags & Stage::to_even) != 0) {
            for_each_value(v, n_fours, [&](std::int32_t x, int) {
                x = wrapping_add(wrapping_add(x, s.c0), (x >> 31) & s.c2);
                return (x >> s.shift) & ((x & s.c1) == 0 ? ~1 : ~0);
            });
        } else if ((s.flags & Stage::add_sign) != 0) {
            for_each_value(v, n_fours, [&](std::int32_t x, int) {
                return wrapping_add(wrapping_add(x, s.c0), (x >> 31) & s.c2) >> s.shift;
            });
        } else {
            for_each_value(v, n_fours, [&](std::int32_t x, int) { return wrapping_add(x, s.c0) >> s.shift; });
        }
        for_each_value(v, n_fours, [&](std::int32_t x, int) {
            x = x > s.lo ? x : s.lo;
            return x < s.hi ? x : s.hi;
        });
    }
}

/// The same on one number.
[[nodiscard]] RHEINFALL_HOST_DEVICE inline std::int32_t run_chain(const DeviceChain& chain, const std::int32_t* pool,
                                                                  std::int32_t x, int element) {
    std::int32_t v[1] = {x};
    run_chain(chain, pool, v, 1, [element](int) { return element; });
    return v[0];
}

/// An activation as bytes, lowest first.
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr std::uint32_t encode(const DeviceLayer& layer, std::int32_t x) noexcept {
    return (static_cast<std::uint32_t>(x) - static_cast<std::uint32_t>(layer.x_offset)) ^ layer.x_mask;
}

/// Byte `limb` of each of four words, the first lowest.
[[nodiscard]] RHEINFALL_HOST_DEVICE inline std::uint32_t gather_bytes(std::uint32_t w0, std::uint32_t w1,
                                                                      std::uint32_t w2, std::uint32_t w3,
                                                                      int limb) noexcept {
#if defined(__CUDA_ARCH__)
    const auto pick = static_cast<unsigned>(limb | (limb + 4) << 4);
    return __byte_perm(__byte_perm(w0, w1, pick), __byte_perm(w2, w3, pick), 0x5410);
#else
    const int at = 8 * limb;
    return (w0 >> at & 0xffu) | (w1 >> at & 0xffu) << 8 | (w2 >> at & 0xffu) << 16 | (w3 >> at & 0xffu) << 24;
#endif
}

/// c plus the dot product of four signed bytes.
[[nodiscard]] RHEINFALL_HOST_DEVICE inline std::int32_t dot4(std::uint32_t x, std::uint32_t y,
                                                             std::int32_t c) noexcept {
#if defined(__CUDA_ARCH__)
    return __dp4a(static_cast<int>(x), static_cast<int>(y), c);
#else
    for (int k = 0; k < 32; k += 8)
        c = wrapping_add(c, static_cast<std::int8_t>(x >> k & 0xffu) * static_cast<std::int8_t>(y >> k & 0xffu));
    return c;
#endif
}

[[nodiscard]] RHEINFALL_HOST_DEVICE inline std::int32_t merge_values(const DeviceProgram& program, std::int32_t x,
                                                                     std::int32_t y) noexcept {
    x = shift_left(x, program.shift_x);
    y = shift_left(y, program.shift_y);
    switch (program.merge) {
        case DeviceMerge::add: return wrapping_add(x, y);
        case DeviceMerge::subtract: return wrapping_add(x, wrapping_multiply(y, -1));
        case DeviceMerge::subtract_from: return wrapping_add(y, wrapping_multiply(x, -1));
        case DeviceMerge::multiply: return wrapping_multiply(x, y);
        case DeviceMerge::maximum: return x > y ? x : y;
        case DeviceMerge::minimum: return x < y ? x : y;
        default: return x;
    }
}

/// One summand of the reduction.
[[nodiscard]] RHEINFALL_HOST_DEVICE inline std::int32_t summand(const DeviceProgram& program, const std::int32_t* pool,
                                                                std::int32_t x) noexcept {
    if (program.reduction == DeviceReduction::sum_of_squares) x = wrapping_multiply(x, x);
    return run_chain(program.product_chain, pool, x, 0);
}

}  // namespace rheinfall::quantized::detail
