#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <memory_resource>
#include <new>

namespace rheinfall {

/// Memory for workspaces in pages of 2 MB where Linux gives them: rows of nodes are read in any order, and with pages
/// of 4 KB each would miss the translation cache; there are also 500 times fewer page faults.
class HugePages final : public std::pmr::memory_resource {
    static constexpr std::size_t page = std::size_t{1} << 21U;

    static std::size_t padded(std::size_t bytes) noexcept { return (bytes + page - 1) / page * page; }

    void* do_allocate(std::size_t bytes, std::size_t alignment) override {
        if (alignment > page || bytes > static_cast<std::size_t>(-1) - 2 * page) throw std::bad_alloc();
        // One page more than needed is mapped, so that the block can begin on a page's boundary; the rest stays
        // untouched.
        void* mapped =
            ::mmap(nullptr, padded(bytes) + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mapped == MAP_FAILED) throw std::bad_alloc();
        auto* first = static_cast<std::byte*>(mapped);
        const std::size_t offset = (page - reinterpret_cast<std::size_t>(first) % page) % page;
        if (offset > 0) ::munmap(first, offset);
        if (offset < page) ::munmap(first + offset + padded(bytes), page - offset);
#if defined(MADV_HUGEPAGE)
        ::madvise(first + offset, padded(bytes), MADV_HUGEPAGE);  // advice: no harm if it is refused
#endif
        return first + offset;
    }

    void do_deallocate(void* data, std::size_t bytes, std::size_t /*alignment*/) override {
        ::munmap(data, padded(bytes));
    }

    [[nodiscard]] bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
        return dynamic_cast<const HugePages*>(&other) != nullptr;
    }
};

}  // namespace rheinfall
