#pragma once

#include <cstddef>

/// How many times the calling thread asked the heap for memory since this object was made. The test binary replaces the
/// global operator new to count.
class AllocationCounter {
public:
    AllocationCounter() noexcept;
    [[nodiscard]] std::size_t count() const noexcept;

private:
    std::size_t before_;
};
