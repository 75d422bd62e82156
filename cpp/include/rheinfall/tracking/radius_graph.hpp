#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <rheinfall/core/execution.hpp>
#include <rheinfall/core/export.hpp>
#include <rheinfall/core/status.hpp>
#include <rheinfall/core/workspace.hpp>
#include <span>

namespace rheinfall {

/// Points of a learned embedding, or any others: `coordinates[i * dimension + d]`, owned by the caller.
struct PointsView {
    std::span<const float> coordinates;
    std::size_t n_points = 0;
    std::size_t dimension = 0;  ///< 1 to 32
};

/// Which pairs of points become edges. Two points are neighbours if the float64 squared distance of their float32
/// coordinates, summed in the order of the dimensions, is at most radius * radius (inclusive).
struct RadiusGraphPlan {
    static constexpr std::size_t no_cap = std::numeric_limits<std::size_t>::max();

    double radius = 0.0;                  ///< >= 0; infinite together with a cap: k nearest neighbours
    std::size_t max_neighbours = no_cap;  ///< of each source the nearest so many targets, ties to the smaller index
    bool loop = false;                    ///< a point is its own neighbour, at distance 0
    bool directed = true;                 ///< both directions; else each pair once, source < target, and no cap
};

/// The largest event that a workspace is made for.
struct RadiusGraphLimits {
    std::size_t n_points = 0;
    std::size_t dimension = 0;
    std::size_t max_neighbours = 0;  ///< largest cap; 0 or no_cap: none
};

/// The neighbours of each point in memory of the caller: those of point i are `targets[first[i]]` and those behind it,
/// ascending, min(counts[i], max_neighbours) of them.
struct NeighbourLists {
    std::span<std::int64_t> counts;    ///< one per point: how many there are before any cap
    std::span<std::uint64_t> first;    ///< one per point
    std::span<std::uint32_t> targets;  ///< room for twice as many as are kept
    std::size_t n_edges = 0;           ///< kept, or, if there was not room enough, to be kept
    std::size_t n_truncated = 0;       ///< points that lost neighbours to the cap
};

/// The caller's buffers, and how many edges were written.
struct RadiusGraphBuffers {
    std::span<std::int64_t> source, target;
    std::size_t n_edges = 0;
    std::size_t n_truncated = 0;  ///< points that lost neighbours to the cap
};

/// Bytes of workspace for `find_neighbours` and `build_radius_graph` on an event within @p limits.
RHEINFALL_API std::size_t radius_graph_workspace_size(const RadiusGraphLimits& limits) noexcept;

/// Throws std::invalid_argument, naming what is wrong, if the plan or the shape of the points is not as required above.
RHEINFALL_API void check_radius_graph(const RadiusGraphPlan& plan, const PointsView& points);

/// Finds all neighbours in one pass. Returns `empty` without points, `not_finite` if some points are (they are nobody's
/// neighbours, not even their own), `capacity_exceeded` if the workspace, `lists.counts` or `lists.first` is too small
/// (nothing is written) or `lists.targets` is (n_edges is right, the rest is not). Allocates nothing; re-entrant.
RHEINFALL_API Status find_neighbours(const RadiusGraphPlan& plan, Workspace& workspace, const PointsView& points,
                                     NeighbourLists& lists, const ParallelFor& parallel_for = {}) noexcept;

/// Writes what was found for @p plan as edges, sorted by (source, target). `lists.targets` may lie in the memory of
/// `edges.source`, which is filled last. `capacity_exceeded`, and nothing written, if the buffers hold fewer than
/// `lists.n_edges`.
RHEINFALL_API Status write_edges(const RadiusGraphPlan& plan, const NeighbourLists& lists, RadiusGraphBuffers& edges,
                                 const ParallelFor& parallel_for = {}) noexcept;

/// Both steps: @p counts (one per point) as in `NeighbourLists`, the edges sorted by (source, target), without
/// duplicates. If the buffers are too small, no edge is valid, the status is `capacity_exceeded`, `edges.n_edges` says
/// how many there are. Statuses as above. Allocates nothing; re-entrant.
RHEINFALL_API Status build_radius_graph(const RadiusGraphPlan& plan, Workspace& workspace, const PointsView& points,
                                        std::span<std::int64_t> counts, RadiusGraphBuffers& edges,
                                        const ParallelFor& parallel_for = {}) noexcept;

}  // namespace rheinfall
