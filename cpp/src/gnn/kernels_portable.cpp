#include "gnn/kernels.hpp"

#include "gnn/vector_portable.hpp"
#define RHEINFALL_GNN_FUNCTION inline
#define RHEINFALL_GNN_OUTPUTS 4
#define RHEINFALL_GNN_PAIRS 0

namespace rheinfall::gnn {
namespace portable {
namespace {

#include "gnn/functions_body.hpp"
#include "gnn/kernels_body.hpp"
#include "gnn/memory_body.hpp"
#include "gnn/memory_edges_body.hpp"
#include "gnn/memory_fetch_body.hpp"
#include "gnn/program_body.hpp"

}  // namespace
}  // namespace portable

const Kernels& portable_kernels() noexcept {
    static constexpr Kernels kernels{portable::lanes, portable::run_program};
    return kernels;
}

}  // namespace rheinfall::gnn
