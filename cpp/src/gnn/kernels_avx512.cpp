// Compiled with AVX-512 (F, BW, DQ, VL): nothing of the standard library may be called from here.
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
#define RHEINFALL_GNN_PAIRS 0

namespace rheinfall::gnn {
namespace avx512 {
namespace {

#include "gnn/functions_body.hpp"
#include "gnn/kernels_body.hpp"
#include "gnn/memory_body.hpp"
#include "gnn/memory_edges_body.hpp"
#include "gnn/memory_fetch_body.hpp"
#include "gnn/program_body.hpp"

}  // namespace
}  // namespace avx512

const Kernels& avx512_kernels() noexcept {
    static constexpr Kernels kernels{avx512::lanes, avx512::run_program};
    return kernels;
}

}  // namespace rheinfall::gnn

#else

namespace rheinfall::gnn {

const Kernels& avx512_kernels() noexcept {
    static constexpr Kernels none;
    return none;
}

}  // namespace rheinfall::gnn

#endif
