#include "gnn/kernels.hpp"

#include "gnn/vector_portable.hpp"
#define RHEINFALL_GNN_OUTPUTS 4

namespace rheinfall::gnn {
namespace portable {
namespace {

#include "gnn/functions_body.hpp"
// Behind the functions that it calls.
#include "gnn/kernels_body.hpp"

}  // namespace
}  // namespace portable

const Kernels& portable_kernels() noexcept {
    static constexpr Kernels kernels{portable::lanes, portable::run_program};
    return kernels;
}

}  // namespace rheinfall::gnn
