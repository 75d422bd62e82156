#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "quantized/ir.hpp"
#include "quantized/kernels.hpp"
#include "quantized/ranges.hpp"
#include "rheinfall/core/status.hpp"
#include "rheinfall/quantized/model.hpp"

namespace rheinfall::quantized {

/// Memory that whole vectors may be read from, past the end too; pointers into it stay valid.
class ParameterBlock {
public:
    /// @p n zeroed values, aligned to a cache line.
    template <class T>
    T* take(std::size_t n) {
        return static_cast<T*>(take_bytes(n * sizeof(T)));
    }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

private:
    void* take_bytes(std::size_t bytes);
    struct Free {
        void operator()(std::byte* p) const noexcept;
    };
    std::vector<std::unique_ptr<std::byte[], Free>> blocks_;
    std::size_t used_ = 0;
    std::size_t capacity_ = 0;
    std::size_t size_ = 0;
};

/// How an input is read: everything but the kernel, which the element type of the caller's array picks.
struct PlanInput {
    InputStep one;
    const InputFunction* read_one = nullptr;  ///< [ElementType], for `one`
    InputStep tile;                           ///< into a row of the staging area, from which groups are transposed
    TilePack pack;                            ///< a faster way to the same groups, or the only one to rests
    std::size_t n_elements = 0;               ///< of one event
    std::size_t n_groups = 0;
    int value = 0;  ///< of the graph, that is stored
    Input input;
};

/// How a stored q becomes a real number: (q - zero_point) · scale + offset.
struct PlanOutput {
    Place place;
    std::size_t n_elements = 0;
    std::vector<double> scale;   ///< one, or one per channel
    std::vector<double> offset;  ///< empty, one, or one per channel
    std::int64_t zero_point = 0;
};

/// A layer that no kernel does: the exact executor runs it inside the plan.
struct ExactStep {
    const Graph* graph = nullptr;
    const Layer* layer = nullptr;
    bool is_wide = false;
    std::vector<Place> in;
    std::vector<std::size_t> in_size;
    std::size_t out_size = 0;
    std::size_t scratch = 0;     ///< int64 values: inputs, output, scratch memory of the layer
    std::size_t references = 0;  ///< pointers to the inputs
    std::size_t tile_at = 0;     ///< where tiles begin in the workspace
};

/// Elements that move to other places of the same lanes: a gather, or the patches of a convolution, one per row.
/// Offsets are bytes; `nowhere` in place of a source is the value `filling`.
struct CopyStep {
    static constexpr std::uint32_t nowhere = 0xffffffff;
    static constexpr std::size_t chunk =
        16;  ///< bytes that one move writes, some of them over what the next ones write
    struct Move {
        std::uint32_t from;
        std::uint32_t to;
    };
    struct TileMove {
        std::uint32_t from;
        std::uint32_t to;
        std::uint32_t bytes;  ///< of each event: 1, 2 or 4
    };
    std::vector<Move> one;  ///< in the order of their destinations
    std::vector<TileMove> tile;
    std::byte filling[chunk] = {};
};

/// The largest element of each channel under a window, or their sum, in plain lanes.
struct PoolStep {
    bool sums = false;
    std::size_t channels = 0;
    std::vector<std::uint32_t> first;   ///< per output pixel, and one more: where its sources begin
    std::vector<std::uint32_t> pixels;  ///< sources
};

/// What a step does, for inspect.
struct StepNote {
    std::string layers;  ///< names of the layers fused into it
    std::string kernel;  ///< such as "dense u8 x s8, 4 vectors"
};

/// A graph lowered to fused steps for one instruction set. Immutable.
struct Plan {
    Isa isa = Isa::portable;
    const Kernels* kernels = nullptr;
    ParameterBlock parameters;
    std::vector<PlanInput> inputs;
    std::vector<Step> one;   ///< steps of one event
    std::vector<Step> tile;  ///< steps of tile_events events
    std::vector<PlanOutput> outputs;
    std::vector<std::unique_ptr<ExactStep>> exact;
    std::vector<std::unique_ptr<CopyStep>> copies;
    std::vector<std::unique_ptr<PoolStep>> pools;
    std::vector<StepNote> notes;
    std::size_t n_inputs = 0;
    std::size_t n_outputs = 0;
    std::size_t one_bytes = 0;   ///< workspace of one event
    std::size_t scalars_at = 0;  ///< int32 inputs of an event that needs the slow way in
    std::size_t staging_at = 0;  ///< rows of inputs of a tile, as batch 1 lays them out
    std::size_t staging_row = 0;
    std::size_t workspace_bytes = 0;
};

/// The kernels of @p isa, or null where this machine or build lacks them. Not for Isa::exact.
const Kernels* find_kernels(Isa isa) noexcept;
/// Whether this machine permutes the bytes of a register of 64 (AVX-512 VBMI), which not all with avx512 do.
bool permutes_bytes() noexcept;
/// The widest set of kernels that this machine has.
Isa best_isa() noexcept;

/// Lowers a graph, which must outlive the plan, to fused steps; a layer that no kernel does is left to the exact
/// executor, as a step among the others. Null if some value does not fit 32-bit lanes; then @p why, if given, says
/// which and why, and the exact executor is the way for all layers. Throws std::invalid_argument if the machine lacks
/// @p isa.
std::shared_ptr<const Plan> make_plan(const Graph& graph, const Ranges& ranges, Isa isa, std::string* why = nullptr);

/// Bytes of workspace for @p n_events, aligned to a cache line.
std::size_t plan_workspace_size(const Plan& plan, std::size_t n_events) noexcept;

/// Runs events; statuses as Network::run. Allocates nothing.
Status run_plan(const Plan& plan, ConstArray in, MutableArray out, std::size_t n_events, std::byte* workspace) noexcept;

}  // namespace rheinfall::quantized
