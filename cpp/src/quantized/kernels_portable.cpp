// Compiled for the baseline of the build.
#include "quantized/kernels.hpp"

#include "quantized/vector_portable.hpp"

namespace rheinfall::quantized {
namespace portable {
namespace {

#include "quantized/kernels_body.hpp"

void transpose_tile(const std::byte* rows, std::size_t stride, std::size_t n_groups, std::byte* tile) noexcept {
    for (std::size_t g = 0; g < n_groups; ++g)
        for (std::size_t e = 0; e < tile_events; ++e)
            __builtin_memcpy(tile + g * tile_row + e * dword, rows + e * stride + g * dword, dword);
}

}  // namespace
}  // namespace portable

const Kernels& portable_kernels() noexcept {
    static constexpr Kernels kernels = [] {
        Kernels k = portable::make_kernels();
        k.transpose = portable::transpose_tile;
        return k;
    }();
    return kernels;
}

}  // namespace rheinfall::quantized
