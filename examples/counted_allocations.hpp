#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

// How many times this thread asked the heap for memory: hosts show with it that their event loop never does. It
// replaces the program's operator new, so one source file of a program includes it.
static thread_local std::size_t n_allocations = 0;

void* operator new(std::size_t n) {
    ++n_allocations;
    if (void* memory = std::malloc(n)) return memory;
    throw std::bad_alloc();
}
void* operator new(std::size_t n, std::align_val_t a) {
    ++n_allocations;
    const auto alignment = static_cast<std::size_t>(a);
    if (void* memory = std::aligned_alloc(alignment, (n + alignment - 1) / alignment * alignment)) return memory;
    throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
    std::free(memory);
}
