#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>

#if defined(__linux__)
#include <sys/mman.h>
#endif

/// Asks for pages of 2 MB, as NumPy does for its arrays: on first touch a page fault for every 4 KB costs more than
/// what is written there. Where the system does not know of them nothing happens.
inline void ask_for_huge_pages(void* data, std::size_t bytes) noexcept {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    constexpr std::uintptr_t page = 4096;
    constexpr std::size_t worth_it = std::size_t{4} << 20U;
    if (bytes < worth_it) return;
    const std::uintptr_t begin = (reinterpret_cast<std::uintptr_t>(data) + page - 1) / page * page;
    const std::size_t unaligned = begin - reinterpret_cast<std::uintptr_t>(data);
    madvise(reinterpret_cast<void*>(begin), bytes - unaligned, MADV_HUGEPAGE);
#else
    static_cast<void>(data);
    static_cast<void>(bytes);
#endif
}

/// An array on huge pages, uninitialised.
template <class T>
std::unique_ptr<T[]> make_large_array(std::size_t n) {
    auto array = std::make_unique_for_overwrite<T[]>(n);
    ask_for_huge_pages(array.get(), n * sizeof(T));
    return array;
}

/// The memory of a workspace on huge pages.
class HugePages final : public std::pmr::memory_resource {
    void* do_allocate(std::size_t bytes, std::size_t alignment) override {
        void* data = std::pmr::new_delete_resource()->allocate(bytes, alignment);
        ask_for_huge_pages(data, bytes);
        return data;
    }
    void do_deallocate(void* data, std::size_t bytes, std::size_t alignment) override {
        std::pmr::new_delete_resource()->deallocate(data, bytes, alignment);
    }
    [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};
