// Compiled with AVX-512 (F, BW, DQ, VL, BF16): nothing of the standard library may be called from here.
#include "gnn/kernels.hpp"

#if defined(__x86_64__)
// gcc 12 warns about the deliberately undefined operands of its own intrinsics (gcc bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include "gnn/vector_avx512.hpp"
#define RHEINFALL_GNN_FUNCTION inline
#define RHEINFALL_GNN_OUTPUTS 8
#define RHEINFALL_GNN_PAIRS 1

namespace rheinfall::gnn {
namespace avx512 {
namespace {

/// Products of pairs: the odd ones' first.
struct PairProduct {
    static Vector add(Vector value, Vector weight, Vector sum) {
        return {_mm512_dpbf16_ps(sum.v, __builtin_bit_cast(__m512bh, value.v), __builtin_bit_cast(__m512bh, weight.v))};
    }
};

/// Zero in place of what has an exponent below that of least_bf16_input.
inline __m512 without_small(Vector x) {
    const __mmask16 large = _mm512_test_epi32_mask(_mm512_castps_si512(x.v), _mm512_set1_epi32(0x60000000));
    return _mm512_maskz_mov_ps(large, x.v);
}

/// Each lane of both in bf16, side by side.
inline Vector bf16_pair(Vector even, Vector odd) {
    const __m512bh both = _mm512_cvtne2ps_pbh(without_small(odd), without_small(even));
    const __m512i halves = __builtin_bit_cast(__m512i, both);  // even's, then odd's
    const __m512i low = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i from = _mm512_or_si512(low, _mm512_slli_epi32(_mm512_add_epi32(low, _mm512_set1_epi32(16)), 16));
    return {_mm512_castsi512_ps(_mm512_permutexvar_epi16(from, halves))};
}

#include "gnn/functions_body.hpp"
#include "gnn/kernels_body.hpp"
#include "gnn/memory_body.hpp"
#include "gnn/memory_edges_body.hpp"
#include "gnn/memory_fetch_body.hpp"
#include "gnn/program_body.hpp"

}  // namespace
}  // namespace avx512

const Kernels& avx512_bf16_kernels() noexcept {
    static constexpr Kernels kernels{avx512::lanes, avx512::run_program};
    return kernels;
}

}  // namespace rheinfall::gnn

#else

namespace rheinfall::gnn {

const Kernels& avx512_bf16_kernels() noexcept {
    static constexpr Kernels none;
    return none;
}

}  // namespace rheinfall::gnn

#endif
