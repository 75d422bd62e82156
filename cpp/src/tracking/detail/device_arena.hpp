#pragma once

#include <cstddef>
#include <rheinfall/core/workspace.hpp>

namespace rheinfall::detail {

/// Hands out a workspace as plain pointers, as kernels take them.
class WorkspaceArena {
public:
    explicit WorkspaceArena(Workspace& workspace) noexcept : workspace_(workspace) {}
    template <class T>
    [[nodiscard]] T* take(std::size_t n) noexcept {
        return workspace_.take<T>(n).data();
    }

private:
    Workspace& workspace_;
};

/// Hands out nothing, and adds up what that would take: so the size asked for is the size used.
class MeasuringArena {
public:
    template <class T>
    [[nodiscard]] T* take(std::size_t n) noexcept {
        bytes_ += Workspace::padded<T>(n);
        return nullptr;
    }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

private:
    std::size_t bytes_ = 0;
};

}  // namespace rheinfall::detail
