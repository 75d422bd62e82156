// Compiled with AVX2 and FMA: nothing of the standard library may be called from here.
#include "gnn/kernels.hpp"

#if defined(__x86_64__)
#include "gnn/vector_avx2.hpp"
#define RHEINFALL_GNN_FUNCTION inline
#define RHEINFALL_GNN_OUTPUTS 4
#define RHEINFALL_GNN_PAIRS 0

namespace rheinfall::gnn {
namespace avx2 {
namespace {

#include "gnn/functions_body.hpp"
#include "gnn/kernels_body.hpp"
#include "gnn/memory_body.hpp"
#include "gnn/memory_edges_body.hpp"
#include "gnn/memory_fetch_body.hpp"
#include "gnn/program_body.hpp"

}  // namespace
}  // namespace avx2

const Kernels& avx2_kernels() noexcept {
    static constexpr Kernels kernels{avx2::lanes, avx2::run_program};
    return kernels;
}

}  // namespace rheinfall::gnn

#else

namespace rheinfall::gnn {

const Kernels& avx2_kernels() noexcept {
    static constexpr Kernels none;
    return none;
}

}  // namespace rheinfall::gnn

#endif
