#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <array>
#include <rheinfall/quantized/model.hpp>
#include <stdexcept>
#include <string>

/// Arrays of any element type that networks and forests read and write; contiguous, in host memory.
using AnyInput = nanobind::ndarray<nanobind::ro, nanobind::c_contig, nanobind::device::cpu>;
using AnyOutput = nanobind::ndarray<nanobind::c_contig, nanobind::device::cpu>;

inline constexpr std::array<const char*, 5> isa_names = {"best", "portable", "avx2", "avx512", "exact"};

inline rheinfall::quantized::Isa isa_of(const std::string& name) {
    for (std::size_t i = 0; i < isa_names.size(); ++i) {
        if (name == isa_names[i]) return static_cast<rheinfall::quantized::Isa>(i);
    }
    throw std::invalid_argument("isa: expected best, portable, avx2, avx512 or exact; got " + name);
}

inline const char* isa_name(rheinfall::quantized::Isa isa) noexcept {
    return isa_names[static_cast<std::size_t>(isa)];
}

inline rheinfall::quantized::ElementType element_type(nanobind::dlpack::dtype dtype, const char* what) {
    using rheinfall::quantized::ElementType;
    constexpr ElementType integers[2][4] = {
        {ElementType::int8, ElementType::int16, ElementType::int32, ElementType::int64},
        {ElementType::uint8, ElementType::uint16, ElementType::uint32, ElementType::uint64}};
    const auto code = static_cast<nanobind::dlpack::dtype_code>(dtype.code);
    const bool is_unsigned = code == nanobind::dlpack::dtype_code::UInt;
    if (dtype.lanes == 1 && (is_unsigned || code == nanobind::dlpack::dtype_code::Int)) {
        for (std::size_t i = 0; i < 4; ++i) {
            if (dtype.bits == 8U << i) return integers[is_unsigned ? 1 : 0][i];
        }
    }
    if (dtype.lanes == 1 && code == nanobind::dlpack::dtype_code::Float) {
        if (dtype.bits == 32) return ElementType::float32;
        if (dtype.bits == 64) return ElementType::float64;
    }
    throw nanobind::type_error((std::string(what) + ": expected integers, float32 or float64").c_str());
}
