#pragma once

#include <cstdint>
#include <rheinfall/core/export.hpp>
#include <stdexcept>

/// @file
/// What networks and forests have in common: the arrays they read and write, the kernels to choose, the error of a
/// file.
namespace rheinfall::quantized {

/// A model that cannot be read, or holds what cannot be computed exactly: "FILE: layer 'NAME' (OP): field: reason".
class RHEINFALL_API ModelError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

enum class ElementType : std::uint8_t { int8, int16, int32, int64, uint8, uint16, uint32, uint64, float32, float64 };

constexpr bool is_floating(ElementType type) noexcept {
    return type >= ElementType::float32;
}

/// An array of the caller, events one after the other without gaps. Integers are stored integers of the model's
/// outermost types (q of q / 2^F), floats are real values.
struct ConstArray {
    const void* data = nullptr;
    ElementType type = ElementType::float64;
};
struct MutableArray {
    void* data = nullptr;
    ElementType type = ElementType::float64;
};

/// The kernels to use. All give the same bits.
enum class Isa : std::uint8_t {
    best,      ///< the widest that this machine offers
    portable,  ///< no instruction beyond the baseline of the build
    avx2,
    avx512,
    exact,  ///< the readable executor, operation by operation
};

}  // namespace rheinfall::quantized
