#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <memory>
#include <span>

/// A NumPy array that owns @p data; needs the GIL.
template <class T>
auto numpy_owning(std::unique_ptr<T[]> data, std::initializer_list<std::size_t> shape) {
    T* first = data.get();
    nanobind::capsule owner(first, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    data.release();  // NOLINT(bugprone-unused-return-value): the capsule has it now
    return nanobind::ndarray<nanobind::numpy, T>(first, shape, owner);
}

/// A 1-D array as a span.
template <class T, class... Traits>
std::span<T> as_span(const nanobind::ndarray<T, Traits...>& array) {
    return {array.data(), array.size()};
}
