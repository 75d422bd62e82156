#pragma once

/// @file
/// What the versions of graph construction (portable, AVX-512) share: the arrays of one event and the contract of the
/// two steps that take the time. Every version finds the same candidates in the same order and tags the same ones.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <rheinfall/core/workspace.hpp>
#include <rheinfall/tracking/graph_construction.hpp>
#include <span>

namespace rheinfall::detail {

/// A vector may be loaded from any element of an array of an event on, and stored from any but the last of a task's.
inline constexpr std::size_t vector_slack = 64;

/// Hits that take part, by module and in the caller's order within one; one array per coordinate.
struct PointArrays {
    std::span<float> x, y, z;      ///< [mm]
    std::span<float> r, phi, eta;  ///< [mm], [rad]
    std::span<float> together;     ///< r, phi, z, eta of each hit, for whoever looks at single hits

    static std::size_t bytes(std::size_t n) {
        return Workspace::padded<float>(4 * n) + 6 * Workspace::padded<float>(n + vector_slack);
    }

    PointArrays(std::size_t n, Workspace& workspace)
        : x(workspace.take<float>(n + vector_slack)),
          y(workspace.take<float>(n + vector_slack)),
          z(workspace.take<float>(n + vector_slack)),
          r(workspace.take<float>(n + vector_slack)),
          phi(workspace.take<float>(n + vector_slack)),
          eta(workspace.take<float>(n + vector_slack)),
          together(workspace.take<float>(4 * n)) {}
};

/// dz/dr in steps of 1/1024, to turn most pairs of candidates away 32 at a time.
///
/// Rounding to a step moves a value by half of one, so a difference by one: windows of differences are widened by two
/// (`narrow_window`). Values beyond the range make their hit `steep`, and its candidates are compared exactly.
inline constexpr float slope_steps = 1024.0f;
inline constexpr float max_narrow_slope = 31.5f;

/// Hit pairs within their doublet's limits, by source, then doublet, then target.
struct Candidates {
    std::span<std::uint32_t> target;
    std::span<float> dzdr;
    std::span<std::int16_t> narrow_dzdr;  ///< in `slope_steps`
    std::span<std::uint16_t> doublet;     ///< counted from the first doublet of the source's module
    std::span<std::uint8_t> tagged;       ///< 1 for an edge of the graph

    static std::size_t bytes(std::size_t n) {
        n += vector_slack;
        return Workspace::padded<std::uint32_t>(n) + Workspace::padded<float>(n) +
               2 * Workspace::padded<std::uint16_t>(n) + Workspace::padded<std::uint8_t>(n);
    }

    Candidates(std::size_t n, Workspace& workspace)
        : target(workspace.take<std::uint32_t>(n + vector_slack)),
          dzdr(workspace.take<float>(n + vector_slack)),
          narrow_dzdr(workspace.take<std::int16_t>(n + vector_slack)),
          doublet(workspace.take<std::uint16_t>(n + vector_slack)),
          tagged(workspace.take<std::uint8_t>(n + vector_slack)) {}

    /// Tasks may tag the same candidate.
    void tag(std::size_t candidate) const noexcept {
        std::atomic_ref<std::uint8_t>(tagged[candidate]).store(1, std::memory_order_relaxed);
    }
    [[nodiscard]] bool is_tagged(std::size_t candidate) const noexcept {
        return std::atomic_ref<std::uint8_t>(tagged[candidate]).load(std::memory_order_relaxed) != 0;
    }
};

/// Candidates are numbered below this.
inline constexpr std::uint32_t max_candidates = 0x7fffffffu;

/// The candidates that leave one hit.
struct Row {
    std::uint32_t begin;
    std::uint32_t end : 31;
    std::uint32_t steep : 1;  ///< some of their dz/dr do not fit `Candidates::narrow_dzdr`
};

/// Where one task writes its candidates.
struct CandidateRoom {
    std::size_t begin;
    std::size_t end;
    std::size_t n = 0;  ///< candidates found, beyond the room too
};

/// What the steps read and write.
struct GraphWork {
    const ModuleMap& map;
    std::span<const std::uint32_t> module_offsets;  ///< hits of module m are [offsets[m], offsets[m + 1])
    std::span<const std::uint32_t> first_doublet;   ///< doublets of inner module m, likewise
    const PointArrays& points;
    std::span<Row> rows;  ///< by hit
    const Candidates& candidates;
};

/// The two steps, for the inner modules [first, last).
struct GraphSteps {
    void (*find_candidates)(const GraphWork&, std::size_t first, std::size_t last, CandidateRoom&) noexcept;
    void (*tag_triplets)(const GraphWork&, std::size_t first, std::size_t last) noexcept;
};

const GraphSteps& graph_steps_portable() noexcept;
#if defined(__x86_64__)
const GraphSteps& graph_steps_avx512() noexcept;
#endif

/// The fastest that this processor has.
const GraphSteps& graph_steps() noexcept;

/// `build_graph` by the given steps.
GraphResult build_graph_by(const GraphSteps& steps, const ModuleMap& map, const HitsView& hits,
                           const GraphLimits& limits, EdgesBuffer edges, Workspace& workspace,
                           const ParallelFor& parallel_for = {}) noexcept;

}  // namespace rheinfall::detail
