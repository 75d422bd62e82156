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

/// The caller's buffers, and how many edges were written.
struct RadiusGraphBuffers {
    std::span<std::int64_t> source, target;
    std::size_t n_edges = 0;
};

/// Bytes of workspace for `count_neighbours` and `build_radius_graph` on an event within @p limits.
RHEINFALL_API std::size_t radius_graph_workspace_size(const RadiusGraphLimits& limits) noexcept;

/// Throws std::invalid_argument, naming what is wrong, if the plan or the shape of the points is not as required above.
RHEINFALL_API void check_radius_graph(const RadiusGraphPlan& plan, const PointsView& points);

/// Writes to @p counts, one per point, how many edges it has as a source before any cap. Returns `empty` without
/// points, `not_finite` if some points are (they are nobody's neighbours, not even their own), `capacity_exceeded` if
/// the workspace or @p counts is too small. Allocates nothing; re-entrant.
RHEINFALL_API Status count_neighbours(const RadiusGraphPlan& plan, Workspace& workspace, const PointsView& points,
                                      std::span<std::int64_t> counts, const ParallelFor& parallel_for = {}) noexcept;

/// How many edges there are after the cap: the sum of min(count, max_neighbours).
RHEINFALL_API std::size_t count_edges(const RadiusGraphPlan& plan, std::span<const std::int64_t> counts) noexcept;

/// Writes the edges, sorted by (source, target). @p counts is what `count_neighbours` said for the same plan and
/// points. If the buffers hold fewer than `count_edges`, no edge is written, the status is `capacity_exceeded` and
/// `edges.n_edges` says how many there are. Statuses as above. Allocates nothing; re-entrant.
RHEINFALL_API Status build_radius_graph(const RadiusGraphPlan& plan, Workspace& workspace, const PointsView& points,
                                        std::span<const std::int64_t> counts, RadiusGraphBuffers& edges,
                                        const ParallelFor& parallel_for = {}) noexcept;

}  // namespace rheinfall
