#pragma once

/// @file
/// What the versions of graph construction (portable, AVX2, AVX-512) share: the arrays of one event and the contract of
/// the two steps that take the time. Every version finds the same candidates in the same order and tags the same ones.

#include <algorithm>
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
/// Candidates that leave one hit are compared with one that ends there a cache line of codes at a time.
inline constexpr std::size_t block_size = 32;

/// The first line of each hit: so many codes, and where its candidates stand, so that a candidate finds all that it is
/// compared with in one line, at an address that its target alone tells.
struct FirstBlock {
    static constexpr std::size_t n_codes = 29;
    static constexpr std::size_t n_at = 29;      ///< candidates that leave the hit, 65535 for more
    static constexpr std::size_t begin_at = 30;  ///< the first of them, in two halves
};

/// Hits that take part, by module and in the caller's order within one; one array per coordinate.
struct PointArrays {
    static constexpr std::size_t stride = 8;          ///< from hit to hit in `together`
    static constexpr std::size_t x_at = 4, y_at = 5;  ///< in there
    std::span<float> x, y, z;                         ///< [mm]
    std::span<float> r, phi, eta;                     ///< [mm], [rad]
    std::span<float> together;  ///< r, phi, z, eta, x, y of each hit, for whoever looks at single hits

    static std::size_t bytes(std::size_t n) {
        return Workspace::padded<float>(stride * n) + 6 * Workspace::padded<float>(n + vector_slack);
    }

    PointArrays(std::size_t n, Workspace& workspace)
        : x(workspace.take<float>(n + vector_slack)),
          y(workspace.take<float>(n + vector_slack)),
          z(workspace.take<float>(n + vector_slack)),
          r(workspace.take<float>(n + vector_slack)),
          phi(workspace.take<float>(n + vector_slack)),
          eta(workspace.take<float>(n + vector_slack)),
          together(workspace.take<float>(stride * n)) {}
};

/// What is asked of a candidate once its code has passed.
struct alignas(8) Segment {
    float dzdr;
    std::uint16_t doublet;  ///< counted from the first doublet of the source's module
    std::uint16_t heading;  ///< azimuth in the transverse plane, see `heading_steps`
};

/// Hit pairs within their doublet's limits, by source, then doublet, then target.
struct Candidates {
    std::span<std::uint32_t> target;
    std::span<Segment> segment;
    std::span<std::uint16_t> code;    ///< see `slope_steps`
    std::span<std::uint32_t> query;   ///< code less its joint's `first`, and 2^16 times its `last`
    std::span<std::uint8_t> tagged;   ///< 1 for an edge of the graph
    std::span<std::uint16_t> blocks;  ///< the codes once more: the hits' first blocks, then what these do not hold

    /// Most blocks of @p n candidates that leave @p n_hits hits. Before those of the candidates from a number on there
    /// is room for the blocks of those before it: a hit has none but its first up to 29 candidates, two up to 61.
    static constexpr std::size_t max_blocks(std::size_t n, std::size_t n_hits) {
        return n / (FirstBlock::n_codes + 1) + n_hits;
    }

    static std::size_t bytes(std::size_t n, std::size_t n_hits) {
        const std::size_t blocks = Workspace::padded<std::uint16_t>(block_size * max_blocks(n, n_hits));
        n += vector_slack;
        return 2 * Workspace::padded<std::uint32_t>(n) + Workspace::padded<Segment>(n) +
               Workspace::padded<std::uint16_t>(n) + Workspace::padded<std::uint8_t>(n) + blocks;
    }

    Candidates(std::size_t n, std::size_t n_hits, Workspace& workspace)
        : target(workspace.take<std::uint32_t>(n + vector_slack)),
          segment(workspace.take<Segment>(n + vector_slack)),
          code(workspace.take<std::uint16_t>(n + vector_slack)),
          query(workspace.take<std::uint32_t>(n + vector_slack)),
          tagged(workspace.take<std::uint8_t>(n + vector_slack)),
          blocks(workspace.take<std::uint16_t>(block_size * max_blocks(n, n_hits))) {}

    /// Tasks may tag the same candidate.
    static void tag(std::uint8_t& tagged) noexcept {
        std::atomic_ref<std::uint8_t>(tagged).store(1, std::memory_order_relaxed);
    }
};

/// Hits and candidates are numbered below this.
inline constexpr std::size_t max_number = 0x7fffffff;

/// The candidates that leave one hit, and the block of codes that follows its first one.
struct Row {
    std::uint32_t begin, end, next_block;
};

/// Where one task writes its candidates.
struct CandidateRoom {
    std::size_t begin;
    std::size_t end;
    std::size_t first_block;   ///< of codes, but for the hits' first ones
    std::size_t n = 0;         ///< candidates found, beyond the room too
    std::size_t n_blocks = 0;  ///< of the rows that fit
    std::size_t first_hit = 0;
    std::size_t n_edges = 0;  ///< among the candidates
    bool headless = false;    ///< some candidate's segment is too short or too long for its heading to say anything

    /// Where the next candidate goes. One behind the room stands for all places beyond: there may be more than 2^32.
    [[nodiscard]] std::uint32_t next() const noexcept {
        return static_cast<std::uint32_t>(std::min(begin + n, end + 1));
    }
};

/// The hits that those of one module may form candidates with, each with its doublet's limits: one array per quantity,
/// so that a vector holds hits of several modules.
struct Partners {
    static constexpr std::size_t capacity = 4096;
    template <class T>
    using Array = std::array<T, capacity + vector_slack>;

    alignas(64) Array<float> phi, eta, r, x, y, z;
    Array<float> dphi_low, dphi_high, deta_low, deta_high;
    Array<float> z0_low, z0_high, slope_low, slope_high;
    Array<std::uint32_t> hit, doublet, window;  ///< window: its joint's `first`, and 2^16 times its `last`
    Array<std::uint32_t> block, passed;  ///< vectors in which some hit passes the cuts without a division, and which

    static constexpr std::size_t max_segments = 2 * capacity;
    template <class T>
    using BySegment = std::array<T, max_segments + vector_slack>;
    /// Of the candidates whose segments and codes are still to be written; dx and dy in the transverse plane [mm].
    BySegment<float> dx, dy, dzdr;
    BySegment<std::uint32_t> doublets, windows;
};

/// A candidate, and bits of those from `outer` on that leave its target and whose direction differs by as little as
/// some triplet of its doublet allows.
struct Meeting {
    std::uint32_t inner, outer, met;
};

/// A candidate that is to be compared with a @p block of the `n_left` from `outer` on that leave its target.
struct alignas(16) Rest {
    std::uint32_t inner, outer, block, n_left;
};

/// Two candidates that meet, the hit that the inner one leaves and the doublet of that one.
struct Pair {
    std::uint32_t source, inner, outer, doublet;
};

struct Match {
    Pair pair;
    std::uint32_t triplet;
    std::uint32_t outer_doublet;
};

/// Memory of one task that tags.
struct TagMemory {
    static constexpr std::size_t max_candidates = 512;  ///< compared before what they meet is looked at
    static constexpr std::size_t max_pairs = 256;
    static constexpr std::size_t max_matches = 256;
    template <class T>
    using ByMatch = std::array<T, max_matches + max_pairs + block_size + vector_slack>;
    /// What a match's bend is computed from, and its limits.
    struct Measured {
        ByMatch<float> x12, y12, x23, y23;  ///< the two segments [mm]
        ByMatch<std::uint32_t> bends;       ///< low and high end, two bfloat16
    };

    std::array<Meeting, max_candidates + 1> meetings;
    std::array<Rest, max_candidates + 1> rests;
    std::array<std::uint32_t, max_candidates + vector_slack> sources;  ///< by candidate
    std::array<Pair, max_pairs + block_size + 1> pairs;
    ByMatch<Match> matches;  ///< within their triplet's limits of the change of dz/dr, and about of the bend
    Measured measured;
    ByMatch<std::uint32_t> near;  ///< matches within their triplet's limits of the bend
    std::uint8_t trash;           ///< tagged for pairs that do not pass
};

/// So many candidates before a target is looked at, memory is asked for it; what follows a task's candidates in its
/// room may be taken for that many.
inline constexpr std::size_t targets_ahead = 24;

/// What the steps read and write.
struct GraphWork {
    const ModuleMap& map;
    std::span<const std::uint32_t> module_offsets;  ///< hits of module m are [offsets[m], offsets[m + 1])
    const PointArrays& points;
    std::span<Row> rows;  ///< by hit
    const Candidates& candidates;
    std::size_t end_of_rooms = 0;  ///< targets of candidates below this are hits
    bool headless = false;         ///< of any task's candidates
};

/// What is compiled for each set of instructions.
struct GraphSteps {
    /// Computes the points [begin, end) of hits in @p order.
    void (*place_points)(const HitsView&, std::span<const std::uint32_t> order, const PointArrays&, std::size_t begin,
                         std::size_t end) noexcept;
    // For the inner modules [first, last):
    void (*find_candidates)(const GraphWork&, std::size_t first, std::size_t last, CandidateRoom&, Partners&) noexcept;
    void (*tag_triplets)(const GraphWork&, std::size_t first, std::size_t last, TagMemory&) noexcept;
};

const GraphSteps& graph_steps_portable() noexcept;
#if defined(__x86_64__)
const GraphSteps& graph_steps_avx2() noexcept;
const GraphSteps& graph_steps_avx512() noexcept;
#endif

/// The fastest that this processor has.
const GraphSteps& graph_steps() noexcept;

/// `build_graph` by the given steps.
GraphResult build_graph_by(const GraphSteps& steps, const ModuleMap& map, const HitsView& hits,
                           const GraphLimits& limits, EdgesBuffer edges, Workspace& workspace,
                           const ParallelFor& parallel_for = {}) noexcept;

}  // namespace rheinfall::detail
