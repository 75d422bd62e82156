// Compiled with AVX2: nothing of the standard library may be called from here.
#include "quantized/kernels.hpp"

#if defined(__x86_64__)
#include "quantized/vector_avx2.hpp"

namespace rheinfall::quantized {
namespace avx2 {
namespace {

#include "quantized/kernels_body.hpp"

void transpose_tile(const std::byte* rows, std::size_t stride, std::size_t n_groups, std::byte* tile) noexcept {
    for (std::size_t g = 0; g < n_groups; ++g)
        for (std::size_t e = 0; e < tile_events; ++e)
            __builtin_memcpy(tile + g * tile_row + e * dword, rows + e * stride + g * dword, dword);
}

}  // namespace
}  // namespace avx2

const Kernels& avx2_kernels() noexcept {
    static constexpr Kernels kernels = [] {
        Kernels k = avx2::make_kernels();
        k.transpose = avx2::transpose_tile;
        return k;
    }();
    return kernels;
}

}  // namespace rheinfall::quantized

#else

namespace rheinfall::quantized {

const Kernels& avx2_kernels() noexcept {
    static constexpr Kernels none;
    return none;
}

}  // namespace rheinfall::quantized

#endif
