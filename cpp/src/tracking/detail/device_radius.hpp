#pragma once

/// @file
/// The radius graph as a device runs it: the arrays of one event, distances and their bounds. The tree of boxes is in
/// device_radius_tree.hpp, the search in device_radius_search.hpp, the order of the kernels in device_radius_steps.hpp.
///
/// A *place* numbers the finite points in the order of a tree that halves them at the median of their widest dimension:
/// node b of level l holds the places [b, b + 1) * (leaf_size << (n_levels - l)). A warp searches for the points of one
/// leaf, and walks through the tree by the box of that leaf, so that its threads go the same way and read the same
/// addresses, without shared memory.

#include <cstddef>
#include <cstdint>
#include <rheinfall/tracking/radius_graph_cuda.hpp>

#include "tracking/detail/distance_bounds.hpp"
#include "tracking/detail/host_device.hpp"

namespace rheinfall::detail {

/// Four coordinates, in one load of 16 bytes.
struct alignas(16) Quad {
    float v[4];
};

/// One search.
struct DeviceRadius {
    static constexpr std::uint32_t leaf_size = 32;
    /// Rows hold so many neighbours where there is no cap; longer ones are searched for twice.
    static constexpr std::uint32_t usual_row = 64;

    const float* coordinates;  ///< of the caller
    std::uint32_t n_points, dimension;
    std::uint32_t n_quads;     ///< of one point, padded with zeros
    std::uint32_t n_levels;    ///< of divisions; there are 2^n_levels leaves, the last ones perhaps empty
    double bound2;             ///< the definition's bound on squared distances
    float sure, possible;      ///< in float32 certainly within it up to `sure`, certainly not beyond `possible`
    std::uint32_t cap;         ///< 0: none
    std::uint32_t row_size;    ///< room in each row
    std::uint32_t index_bits;  ///< of a point's number, in keys of edges
    bool nearest;              ///< no radius: the `cap` nearest
    bool loop, undirected;
    std::uint64_t capacity;  ///< of the caller's edges
    std::int64_t *counts, *edge_source, *edge_target;
    RadiusGraphResult* result;

    std::uint64_t *key, *sorted_key;      ///< by place: what the points are sorted by
    std::uint32_t *index, *sorted_index;  ///< by place: the caller's point
    std::uint32_t* n_finite;              ///< one number: places in use
    float* spread;                        ///< by node of one level and dimension: how far the points spread
    Quad* points;                         ///< by place, NaN behind the last
    Quad *low, *high;                     ///< boxes, by node: 1 is the root, 2 i and 2 i + 1 are the halves of i
    std::uint32_t* rows;                  ///< neighbours found: [leaf][entry][point of the leaf]
    double* row_distances;                ///< likewise their squared distances, where there is a cap
    std::uint64_t *kept, *first;          ///< (n_points + 1,) by caller's point: edges that leave it; their sums
    std::uint64_t *cut, *n_cut;           ///< likewise: 1 for points that lost neighbours to the cap

    [[nodiscard]] RHEINFALL_HOST_DEVICE std::uint32_t n_leaves() const {
        return (n_points + leaf_size - 1) / leaf_size;
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE std::uint64_t row_entry(std::uint32_t place, std::uint64_t entry) const {
        return (std::uint64_t{place / leaf_size} * row_size + entry) * leaf_size + place % leaf_size;
    }
    /// Sorts by source, then target.
    [[nodiscard]] RHEINFALL_HOST_DEVICE std::uint64_t edge_key(std::uint32_t source, std::uint32_t target) const {
        return std::uint64_t{source} << index_bits | target;
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE std::uint64_t n_edges() const { return first[n_points]; }
    [[nodiscard]] RHEINFALL_HOST_DEVICE bool fits() const { return n_edges() <= capacity; }
    [[nodiscard]] RHEINFALL_HOST_DEVICE const float* point(std::uint32_t place) const {
        return points[std::size_t{place} * n_quads].v;
    }
};

/// The definition.
RHEINFALL_HOST_DEVICE inline double definition_distance2(const float* a, const float* b, std::uint32_t dimension) {
    double sum = 0.0;
    for (std::uint32_t d = 0; d < dimension; ++d) {
        const double difference = static_cast<double>(a[d]) - static_cast<double>(b[d]);
        sum += difference * difference;
    }
    return sum;
}

/// a * b + c, rounded once or twice: for what only turns away what is too far by a proven margin.
RHEINFALL_HOST_DEVICE inline float multiply_add(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
    return __fmaf_rn(a, b, c);
#else
    return a * b + c;
#endif
}

}  // namespace rheinfall::detail
