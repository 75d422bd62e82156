#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <bit>
#include <cstdint>
#include <rheinfall/core/cuda_device.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings.hpp"
#include "device_arrays.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

const void* pointer_of(std::uintptr_t address) {
    return reinterpret_cast<const void*>(address);  // NOLINT(performance-no-int-to-ptr): of CUDA's array interface
}

std::uint8_t dtype_code(char kind) {
    switch (kind) {
        case 'i': return static_cast<std::uint8_t>(nb::dlpack::dtype_code::Int);
        case 'u': return static_cast<std::uint8_t>(nb::dlpack::dtype_code::UInt);
        case 'f': return static_cast<std::uint8_t>(nb::dlpack::dtype_code::Float);
        case 'b': return static_cast<std::uint8_t>(nb::dlpack::dtype_code::Bool);
        case 'c': return static_cast<std::uint8_t>(nb::dlpack::dtype_code::Complex);
        default: throw std::invalid_argument(std::string("array: expected a kind of i, u, f, b or c, got ") + kind);
    }
}

/// An array with DLPack where CUDA's array interface says that there is one; strides in elements.
DeviceOutput array_at(std::uintptr_t address, int device, const std::vector<std::size_t>& shape,
                      const std::vector<std::int64_t>& strides, char kind, std::size_t bytes, const nb::object& owner) {
    if (strides.size() != shape.size()) {
        throw std::invalid_argument("array: expected strides of " + std::to_string(shape.size()) + " axes, got " +
                                    std::to_string(strides.size()));
    }
    if (bytes > 16 || !std::has_single_bit(bytes)) {
        throw std::invalid_argument("array: expected elements of 1, 2, 4, 8 or 16 bytes, got " + std::to_string(bytes));
    }
    const nb::dlpack::dtype dtype{dtype_code(kind), static_cast<std::uint8_t>(8 * bytes), 1};
    return DeviceOutput(const_cast<void*>(pointer_of(address)), shape.size(), shape.data(), owner, strides.data(),
                        dtype, nb::device::cuda::value, device);
}

}  // namespace

void bind_device(nb::module_& m) {
    m.def(
        "require_cuda_device",
        [](const std::string& who, int device) { rheinfall::require_cuda_device(who.c_str(), device); }, "who"_a,
        "device"_a, "Raise a RuntimeError that says what is missing, unless CUDA and a device are there.");
    m.def(
        "device_of",
        [](const std::string& who, std::uintptr_t address) {
            return rheinfall::device_of(who.c_str(), pointer_of(address));
        },
        "who"_a, "address"_a, "The CUDA device on which memory lies; the current one for 0.");
    m.def(
        "order_after",
        [](std::uintptr_t stream, std::uintptr_t other, int device) {
            rheinfall::order_after(stream_of(stream), stream_of(other), device);
        },
        "stream"_a, "other"_a, "device"_a, "Work given to a stream from now on waits for what another one holds now.");
    m.def("array_at", &array_at, "address"_a, "device"_a, "shape"_a, "strides"_a, "kind"_a, "bytes"_a, "owner"_a,
          "An array with DLPack in the memory of a CUDA device; strides in elements.");
}
