#pragma once

#include <rheinfall/rheinfall.h>

#include <cstddef>
#include <memory_resource>
#include <new>
#include <rheinfall/core/execution.hpp>
#include <rheinfall/core/workspace.hpp>
#include <rheinfall/tracking/track_finder.hpp>
#include <string_view>

/// What the parts of the C interface share: the workspace, and how errors are told.
namespace rheinfall::capi {

/// The caller's allocator, or the heap.
class CallerMemory final : public std::pmr::memory_resource {
public:
    explicit CallerMemory(const rf_allocator* allocator)
        : allocator_(allocator == nullptr ? rf_allocator{} : *allocator) {}

private:
    void* do_allocate(std::size_t bytes, std::size_t alignment) override {
        if (allocator_.allocate == nullptr) return ::operator new(bytes, std::align_val_t{alignment});
        void* memory = allocator_.allocate(allocator_.context, bytes, alignment);
        if (memory == nullptr) throw std::bad_alloc();
        return memory;
    }
    void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override {
        if (allocator_.allocate == nullptr) {
            ::operator delete(memory, std::align_val_t{alignment});
        } else if (allocator_.deallocate != nullptr) {
            allocator_.deallocate(allocator_.context, memory, bytes, alignment);
        }
    }
    [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

    rf_allocator allocator_;
};

template <std::size_t n>
inline void copy(std::string_view text, char (&to)[n]) noexcept {
    const std::size_t length = text.copy(to, n - 1);
    to[length] = '\0';
}

/// Splits "file: key: reason", or "key: reason", which is how errors read in C++. A key is one short word.
inline void fill(rf_error* error, std::string_view file, std::string_view message) noexcept {
    if (error == nullptr) return;
    copy(file, error->file);
    if (!file.empty() && message.starts_with(file) && message.substr(file.size()).starts_with(": ")) {
        message.remove_prefix(file.size() + 2);
    }
    const std::size_t colon = message.find(": ");
    const bool has_key = colon < sizeof error->key;
    copy(has_key ? message.substr(0, colon) : std::string_view(), error->key);
    copy(has_key ? message.substr(colon + 2) : message, error->reason);
}

/// Calls a C parallel_for as a `ParallelFor`.
struct ParallelForOfC {
    rf_parallel_for host;

    void operator()(std::size_t n, rheinfall::ParallelFor::Task task) const {
        const auto body = [](void* data, std::size_t i) { (*static_cast<rheinfall::ParallelFor::Task*>(data))(i); };
        host.run(host.context, n, body, &task);
    }
};

inline bool complete(const rf_hits& hits) noexcept {
    return hits.n_hits == 0 ||
           (hits.x != nullptr && hits.y != nullptr && hits.z != nullptr && hits.module_id != nullptr);
}

inline bool complete(const rf_tracks& tracks) noexcept {
    return (tracks.offsets != nullptr || tracks.offsets_capacity == 0) &&
           (tracks.hits != nullptr || tracks.hits_capacity == 0);
}

}  // namespace rheinfall::capi

struct rf_finder {
    rheinfall::TrackFinder finder;
};

struct rf_workspace {
    explicit rf_workspace(const rf_allocator* allocator) : memory(allocator), workspace(&memory) {}

    rheinfall::capi::CallerMemory memory;
    rheinfall::Workspace workspace;
};
