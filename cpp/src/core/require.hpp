#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>

namespace rheinfall::detail {

/// Throws std::invalid_argument, naming the argument, unless it has the size expected.
inline void require_size(const char* name, std::size_t size, std::size_t expected) {
    if (size == expected) return;
    throw std::invalid_argument(std::string(name) + ": expected " + std::to_string(expected) + " values, got " +
                                std::to_string(size));
}

/// The same if it counts more than @p most.
inline void require_at_most(const char* name, std::size_t n, std::size_t most) {
    if (n <= most) return;
    throw std::invalid_argument(std::string(name) + ": expected at most " + std::to_string(most) + ", got " +
                                std::to_string(n));
}

}  // namespace rheinfall::detail
