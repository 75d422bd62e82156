#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <rheinfall/core/execution.hpp>
#include <rheinfall/core/export.hpp>
#include <rheinfall/core/status.hpp>
#include <rheinfall/core/views.hpp>
#include <rheinfall/core/workspace.hpp>
#include <span>
#include <string>
#include <string_view>

namespace rheinfall {

/// The kernels of an edge classifier. All give the same bits.
enum class GnnIsa : std::uint8_t {
    best,      ///< the widest that this machine offers
    portable,  ///< no instruction beyond the baseline of the build; slow where that has no fused multiply-add
    avx2,
    avx512,
    avx512_bf16,  ///< avx512 with products of bf16 by their own instruction; best takes it where they are asked for
};

/// How the linear operations of a network are computed; all else is float32.
enum class GnnPrecision : std::uint8_t {
    fp32,
    /// Inputs and weights of the edges' linear operations are rounded to bf16 and their products summed in float32, in
    /// an order of its own (docs/edge_classification.md); those of nodes stay float32.
    bf16,
};

/// The largest graph that a workspace is made for, each at most 2^31 - 49.
struct EdgeClassifierLimits {
    std::size_t n_nodes;
    std::size_t n_edges;
};

/// One graph. Features are rows one after the other, without gaps.
struct EdgeClassifierInput {
    std::size_t n_nodes = 0;
    std::span<const float> node_features;  ///< (n_nodes, n_node_features())
    EdgesView edges;                       ///< in any order; both ends below n_nodes
    std::span<const float> edge_features;  ///< (n_edges, n_edge_features()); empty where the network has none
};

enum class EdgeOutput : std::uint8_t { scores, logits };

/// A graph network, compiled for the CPU: immutable after load, copies share it, and any number of graphs may be in
/// flight at once, each with its own workspace.
///
/// Results are equal bit for bit for any number of threads, any order of the edges (edges that agree in both ends and
/// in all features have equal results) and any instruction set; the numbering of nodes changes the order of sums.
class RHEINFALL_API EdgeClassifier {
public:
    /// Reads a file in the format of docs/gnn_format.md. Throws std::runtime_error that names the file, the field and
    /// what was expected; std::invalid_argument for an @p isa that this machine lacks.
    /// @p precision bf16 throws std::runtime_error too where no linear operation is an edge's.
    static EdgeClassifier load(const std::string& path, GnnIsa isa = GnnIsa::best,
                               GnnPrecision precision = GnnPrecision::fp32);
    /// The same from memory; @p name stands in messages.
    static EdgeClassifier parse(std::span<const std::byte> bytes, std::string_view name, GnnIsa isa = GnnIsa::best,
                                GnnPrecision precision = GnnPrecision::fp32);

    [[nodiscard]] std::size_t n_node_features() const noexcept;
    [[nodiscard]] std::size_t n_edge_features() const noexcept;  ///< 0: the network reads none
    [[nodiscard]] GnnIsa isa() const noexcept;
    [[nodiscard]] GnnPrecision precision() const noexcept;

    /// The plan as text: stages, what each computes, floating-point operations and bytes moved for such a graph.
    [[nodiscard]] std::string explain(const EdgeClassifierLimits& graph) const;
    /// Floating-point operations of linear operations (2 for each multiply-add) for such a graph.
    [[nodiscard]] double linear_flops(const EdgeClassifierLimits& graph) const noexcept;

    /// Bytes of workspace for graphs within @p limits on up to @p n_threads threads. Throws std::invalid_argument for
    /// limits beyond 2^31 - 49.
    [[nodiscard]] std::size_t workspace_size(const EdgeClassifierLimits& limits, std::size_t n_threads = 1) const;

    /// Writes a score in [0, 1], or a logit, for each edge to @p out, in the caller's order of edges.
    ///
    /// `empty` without edges; `not_finite` if a result is NaN or infinite; `capacity_exceeded` if the workspace is too
    /// small, `invalid_argument` if sizes do not agree or an edge leads out of range: nothing was written then.
    /// Allocates nothing, throws nothing, touches nothing but its arguments: re-entrant. Its tasks wait, briefly in a
    /// loop and then asleep, for rows that others work on, never for a task that has not begun.
    Status run(Workspace& workspace, const EdgeClassifierInput& input, EdgeOutput output, std::span<float> out,
               const ParallelFor& parallel_for = {}) const noexcept;

private:
    struct Impl;
    explicit EdgeClassifier(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
    std::shared_ptr<const Impl> impl_;
};

}  // namespace rheinfall
