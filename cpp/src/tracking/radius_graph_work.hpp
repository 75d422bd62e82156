#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "tracking/detail/point_blocks.hpp"

/// What the versions of the radius graph (AVX-512, AVX2, portable) share: the arrays of one event and the contract of
/// the steps. Those files call nothing of the standard library, so that no wide instruction ends up in a function that
/// other files share.
namespace rheinfall::detail {

/// A candidate among the nearest: nearer first, ties to the smaller index.
struct Neighbour {
    double distance2;
    std::uint32_t index;
    friend bool operator<(const Neighbour& a, const Neighbour& b) noexcept {
        return a.distance2 < b.distance2 || (a.distance2 == b.distance2 && a.index < b.index);
    }
};

/// Below `sure` a float32 squared distance is certainly within the bound of its float64 definition, above `possible`
/// certainly not; see `bounds_of`.
struct DistanceBounds {
    double exact;
    float sure, possible;
};

/// Room that all tasks write finished rows to.
struct RowStore {
    std::uint32_t* targets;
    std::size_t capacity;
    std::atomic<std::size_t> used{0};
};

/// One search, the same for all tasks.
struct RadiusSearch {
    PointBlocks blocks;
    const float* points;  ///< in the caller's order
    DistanceBounds bounds;
    std::size_t cap;  ///< 0: none
    bool nearest;     ///< no radius: the `cap` nearest
    bool loop, undirected;
    bool pairs;            ///< each pair once, as places in the tree, and at the one that comes first there
    std::int64_t* counts;  ///< by point, or by place in the tree
    std::uint64_t* first;  ///< so too
    RowStore* store;
};

/// Pairs as a search for pairs leaves them at the front of the room for targets.
struct PairLists {
    std::int64_t* counts;    ///< by place in the tree: how many others behind it there
    std::uint64_t* first;    ///< and where they begin
    std::uint64_t* row_end;  ///< scratch
    std::size_t n_pairs;
};

/// Scratch of one task: a row of targets for each point of a leaf.
struct RowScratch {
    static constexpr std::size_t slack = 64;  ///< vectors are stored whole
    static constexpr std::size_t min_room = 2048;
    static constexpr std::size_t sorted_in_place = 256;  ///< rows up to so many are padded to be sorted

    std::uint32_t* row;
    std::size_t room;         ///< in each row, without the slack
    Neighbour* nearest;       ///< as much as one row's room, where there is a cap
    std::size_t n_truncated;  ///< points that lost neighbours to the cap

    [[nodiscard]] std::size_t stride() const noexcept { return room + slack; }
};

/// The steps that exist for each instruction set.
struct RadiusSteps {
    /// Finds the neighbours of the points of one leaf and writes them to the store.
    void (*find_rows)(const RadiusSearch& search, std::size_t leaf, RowScratch& scratch) noexcept;
    /// Copies @p n targets as 64-bit numbers.
    void (*widen)(const std::uint32_t* from, std::size_t n, std::int64_t* to) noexcept;
    /// Sorts; up to `sorted_in_place` numbers at @p row may be overwritten.
    void (*sort)(std::uint32_t* row, std::size_t n) noexcept;
};

const RadiusSteps& radius_steps_portable() noexcept;
const RadiusSteps& radius_steps_avx2() noexcept;
const RadiusSteps& radius_steps_avx512() noexcept;

/// As the public functions, by the steps of a given instruction set.
Status find_neighbours(const RadiusSteps& steps, const RadiusGraphPlan& plan, Workspace& workspace,
                       const PointsView& points, NeighbourLists& lists, const ParallelFor& parallel_for) noexcept;
Status write_edges(const RadiusSteps& steps, const RadiusGraphPlan& plan, const NeighbourLists& lists,
                   RadiusGraphBuffers& edges, const ParallelFor& parallel_for) noexcept;
Status build_radius_graph(const RadiusSteps& steps, const RadiusGraphPlan& plan, Workspace& workspace,
                          const PointsView& points, std::span<std::int64_t> counts, RadiusGraphBuffers& edges,
                          const ParallelFor& parallel_for) noexcept;

/// Counts and rows of all points from pairs; there is room for both.
void merge_pairs(const RadiusSteps& steps, const RadiusSearch& search, const PairLists& pairs, NeighbourLists& lists,
                 std::size_t n_tasks, const ParallelFor& parallel_for) noexcept;

/// What the steps call, of the baseline of the build.
/// Room in the store for @p n targets, which begins at @p at; nullptr if there is not enough.
std::uint32_t* take_room(const RadiusSearch& search, std::size_t n, std::size_t& at) noexcept;
void sort_long_row(std::uint32_t* row, std::size_t n) noexcept;
/// Moves the search.cap nearest to @p point, ties to the smaller index, to the front of @p row; the largest of their
/// squared distances.
double keep_nearest(const RadiusSearch& search, std::uint32_t point, std::uint32_t* row, std::size_t n,
                    Neighbour* scratch) noexcept;
/// Squared distances in float32 within which the definition's stay within @p bound2, and beyond which they do not.
DistanceBounds bounds_of(double bound2, std::size_t dimension) noexcept;
/// The k-th smallest of @p values, which it permutes.
float kth_smallest(float* values, std::size_t n, std::size_t k) noexcept;

}  // namespace rheinfall::detail
