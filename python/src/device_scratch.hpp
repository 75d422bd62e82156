#pragma once

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <new>
#include <rheinfall/core/cuda_device.hpp>
#include <rheinfall/core/views.hpp>
#include <rheinfall/core/workspace.hpp>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "device_arrays.hpp"

/// @file
/// What the stages of tracking take on a device: hits, and scratch memory in an array of the caller's.

/// The result of a stage lies before its workspace, in one array of the caller's.
inline constexpr std::size_t result_bytes = 2 * rheinfall::Workspace::alignment;

/// Hands out the memory of an array, once.
class GivenMemory final : public std::pmr::memory_resource {
public:
    GivenMemory(void* data, std::size_t size) noexcept : data_(data), size_(size) {}

private:
    void* do_allocate(std::size_t bytes, std::size_t /*alignment*/) override {
        if (bytes > size_) throw std::bad_alloc();
        return data_;
    }
    void do_deallocate(void* /*memory*/, std::size_t /*bytes*/, std::size_t /*alignment*/) override {}
    [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

    void* data_;
    std::size_t size_;
};

/// The values of an array of one axis, or of @p n_axes, that lies on a device.
template <class T, class Array>
std::span<T> values_of(const Array& array, const char* name, int device, std::size_t n_axes = 1) {
    require_on_device(array, name, device);
    const bool is_known = array.dtype() == nanobind::dtype<std::remove_const_t<T>>();
    if (!is_known) {
        const char* kind = std::is_floating_point_v<T> ? "float" : std::is_signed_v<T> ? "int" : "uint";
        const std::string text = std::string(name) + ": expected " + kind + std::to_string(8 * sizeof(T));
        throw nanobind::type_error(text.c_str());
    }
    if (array.ndim() != n_axes) {
        throw std::invalid_argument(std::string(name) + ": expected " + std::to_string(n_axes) + " axes, got " +
                                    std::to_string(array.ndim()));
    }
    return {static_cast<T*>(const_cast<void*>(static_cast<const void*>(array.data()))), array.size()};
}

/// Result and workspace of a call, in an array of bytes.
class Scratch {
public:
    Scratch(const DeviceOutput& array, int device)
        : bytes_(checked(values_of<std::uint8_t>(array, "scratch", device))),
          memory_(bytes_.data() + result_bytes, bytes_.size() - result_bytes),
          workspace_(&memory_) {
        workspace_.reserve(bytes_.size() - result_bytes);
    }

    [[nodiscard]] rheinfall::Workspace& workspace() noexcept { return workspace_; }
    template <class Result>
    [[nodiscard]] Result* result() const noexcept {
        static_assert(sizeof(Result) <= result_bytes);
        return reinterpret_cast<Result*>(bytes_.data());
    }
    /// Waits for the stream.
    template <class Result>
    [[nodiscard]] Result read(rheinfall::CudaStream stream) const {
        Result result;
        rheinfall::copy_to_host(stream, &result, bytes_.data(), sizeof(result));
        return result;
    }

private:
    static std::span<std::uint8_t> checked(std::span<std::uint8_t> bytes) {
        const bool is_aligned = reinterpret_cast<std::uintptr_t>(bytes.data()) % rheinfall::Workspace::alignment == 0;
        if (bytes.size() < result_bytes || !is_aligned)
            throw std::invalid_argument("scratch: expected at least 128 bytes, aligned to 64");
        return bytes;
    }

    std::span<std::uint8_t> bytes_;
    GivenMemory memory_;
    rheinfall::Workspace workspace_;
};

/// Hits of an event that lie on a device; checks them without asking CUDA for anything.
struct HitArrays {
    rheinfall::HitsView view;

    HitArrays(const DeviceInput& x, const DeviceInput& y, const DeviceInput& z, const DeviceInput& module_id,
              int device)
        : view{values_of<const float>(x, "hits.x", device), values_of<const float>(y, "hits.y", device),
               values_of<const float>(z, "hits.z", device),
               values_of<const std::uint64_t>(module_id, "hits.module_id", device)} {
        if (view.y.size() != view.size() || view.z.size() != view.size() || view.module_id.size() != view.size())
            throw std::invalid_argument("hits: expected x, y, z and module_id of one length");
    }
};
