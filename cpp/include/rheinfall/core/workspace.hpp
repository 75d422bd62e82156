#pragma once

#include <cstddef>
#include <memory_resource>
#include <new>
#include <span>

namespace rheinfall {

/// Scratch memory of one event in flight: one block from the caller's memory resource, handed out front to back and
/// taken back all at once. A stage says how much it needs (`*_workspace_size`); after `reserve` of that much nothing
/// allocates. Not shared between threads: one workspace per event in flight.
class Workspace {
public:
    static constexpr std::size_t alignment = 64;

    explicit Workspace(std::pmr::memory_resource* memory = std::pmr::get_default_resource()) noexcept
        : memory_(memory) {}
    ~Workspace() { release(); }
    Workspace(const Workspace&) = delete;
    Workspace& operator=(const Workspace&) = delete;

    /// Makes room for at least @p bytes; throws what the memory resource throws. Drops what was handed out.
    void reserve(std::size_t bytes) {
        used_ = 0;
        if (bytes <= capacity_) return;
        release();
        data_ = static_cast<std::byte*>(memory_->allocate(bytes, alignment));
        capacity_ = bytes;
    }

    /// @p n values of T, uninitialised and aligned to a cache line; an empty span if they do not fit (and n > 0).
    template <class T>
    [[nodiscard]] std::span<T> take(std::size_t n) noexcept {
        const std::size_t bytes = padded<T>(n);
        if (bytes > capacity_ - used_) {
            overflowed_ = true;
            return {};
        }
        T* first = reinterpret_cast<T*>(data_ + used_);
        used_ += bytes;
        return {first, n};
    }

    /// Bytes that `take<T>(n)` consumes.
    template <class T>
    [[nodiscard]] static constexpr std::size_t padded(std::size_t n) noexcept {
        return (n * sizeof(T) + alignment - 1) / alignment * alignment;
    }

    /// Takes everything back; the memory stays reserved.
    void clear() noexcept {
        used_ = 0;
        overflowed_ = false;
    }

    [[nodiscard]] bool overflowed() const noexcept { return overflowed_; }
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

    /// A mark to `rewind` to, so that a stage gives back what it took.
    [[nodiscard]] std::size_t mark() const noexcept { return used_; }
    void rewind(std::size_t mark) noexcept {
        used_ = mark;
        overflowed_ = false;
    }

private:
    void release() noexcept {
        if (data_ != nullptr) memory_->deallocate(data_, capacity_, alignment);
        data_ = nullptr;
        capacity_ = 0;
    }

    std::pmr::memory_resource* memory_;
    std::byte* data_ = nullptr;
    std::size_t capacity_ = 0;
    std::size_t used_ = 0;
    bool overflowed_ = false;
};

/// Gives back, at the end of a scope, what was taken from a workspace within it: so stages nest.
class WorkspaceScope {
public:
    explicit WorkspaceScope(Workspace& workspace) noexcept : workspace_(workspace), mark_(workspace.mark()) {}
    ~WorkspaceScope() { workspace_.rewind(mark_); }
    WorkspaceScope(const WorkspaceScope&) = delete;
    WorkspaceScope& operator=(const WorkspaceScope&) = delete;

private:
    Workspace& workspace_;
    std::size_t mark_;
};

}  // namespace rheinfall
