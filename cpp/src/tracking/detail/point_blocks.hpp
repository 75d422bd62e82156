#pragma once

#include <cstddef>
#include <cstdint>
#include <rheinfall/core/workspace.hpp>
#include <rheinfall/tracking/radius_graph.hpp>

namespace rheinfall::detail {

/// Points in a k-d tree whose leaves are full, and bounding boxes over 16 leaves, 16 times 16, and so on: what a search
/// compares a tile of points with, sixteen boxes at a time. Raw pointers, since files of wider instruction sets read it
/// and must not instantiate anything that other files share.
struct PointBlocks {
    static constexpr std::size_t leaf_size = 32;
    static constexpr std::size_t fanout = 16;
    static constexpr std::size_t max_levels = 8;  ///< 32 * 16^7 > 2^32 points
    static constexpr std::uint32_t no_point = 0xFFFFFFFFU;

    std::size_t dimension = 0;
    std::size_t n_points = 0;  ///< those that are finite
    std::size_t n_leaves = 0;
    std::size_t n_levels = 0;
    float* coordinates = nullptr;          ///< [leaf][dimension][32]; NaN behind the last point
    std::uint32_t* index = nullptr;        ///< [leaf][32]: the caller's number of each point; else no_point
    float* boxes[max_levels] = {};         ///< level 0 the leaves': [block of 16][dimension][low 16, high 16]
    std::size_t n_boxes[max_levels] = {};  ///< of each level; 16 at most at the last

    static std::size_t bytes(std::size_t n_points, std::size_t dimension) noexcept;
};

/// Takes at most `PointBlocks::bytes` of the workspace; points that are not finite are left out.
PointBlocks make_point_blocks(const PointsView& points, Workspace& workspace, const ParallelFor& parallel_for) noexcept;

}  // namespace rheinfall::detail
