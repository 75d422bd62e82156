// Compiled with AVX-512 (F, BW, DQ, VL, VNNI): nothing of the standard library may be called from here.
#include "quantized/kernels.hpp"

#if defined(__x86_64__)
// gcc 12 warns about the deliberately undefined operands of its own intrinsics (gcc bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include "quantized/vector_avx512.hpp"

namespace rheinfall::quantized {
namespace avx512 {
namespace {

#include "quantized/kernels_body.hpp"
// Behind the kernels that it is made of.
#include "quantized/links_avx512.hpp"

#include "quantized/tile_input_avx512.hpp"

void transpose_tile(const std::byte* rows, std::size_t stride, std::size_t n_groups, std::byte* tile) noexcept {
    for (std::size_t g = 0; g < n_groups; g += 16)
        for (std::size_t e = 0; e < tile_events; e += 16)
            transpose(rows + e * stride + g * dword, stride, n_groups - g, tile + g * tile_row + e * dword, tile_row);
}

}  // namespace
}  // namespace avx512

const Kernels& avx512_kernels() noexcept {
    static constexpr Kernels kernels = [] {
        Kernels k = avx512::make_kernels();
        avx512::fill_dense<Lanes::u8>(k);
        avx512::fill_epilogue<Lanes::u8, Epilogue::even_u8>(k);
        avx512::fill_epilogue<Lanes::u8, Epilogue::wrap_even_u8>(k);
        avx512::fill_epilogue<Lanes::s16, Epilogue::even_u8>(k);
        avx512::fill_epilogue<Lanes::s16, Epilogue::wrap_even_u8>(k);
        k.links = &avx512::link_kernels;
        k.dot_u8 = true;
        avx512::fill_packs(k);
        k.transpose = avx512::transpose_tile;
        return k;
    }();
    return kernels;
}

}  // namespace rheinfall::quantized

#else

namespace rheinfall::quantized {

const Kernels& avx512_kernels() noexcept {
    static constexpr Kernels none;
    return none;
}

}  // namespace rheinfall::quantized

#endif
