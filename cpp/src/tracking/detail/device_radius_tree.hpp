#pragma once

/// @file
/// The kernels that put the points into the order of a tree, level by level, and find the boxes of its nodes.

#include "tracking/detail/device_graph.hpp"
#include "tracking/detail/device_radius.hpp"

namespace rheinfall::detail {

inline constexpr float nothing = std::bit_cast<float>(0x7fc00000U);   ///< NaN
inline constexpr float infinite = std::bit_cast<float>(0x7f800000U);  ///< infinity

/// By caller's point: 0 for points that take part, 1 for those that are not finite, which sorting puts behind them.
struct MarkFinite {
    DeviceRadius s;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t i) const {
        bool finite = true;
        for (std::uint32_t d = 0; d < s.dimension; ++d) {
            finite = finite && is_finite(s.coordinates[i * s.dimension + d]);
        }
        s.key[i] = finite ? 0 : 1;
        s.index[i] = static_cast<std::uint32_t>(i);
    }
};

/// One call: how many take part.
struct CountFinite {
    DeviceRadius s;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t) const {
        *s.n_finite = static_cast<std::uint32_t>(first_not_below(s.sorted_key, s.n_points, std::uint64_t{1}));
    }
};

/// By node of a level and dimension: how far a sample of the node's points spreads. A poor sample costs time, no edge.
struct MeasureSpread {
    DeviceRadius s;
    std::uint32_t level;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t i) const {
        constexpr std::uint64_t n_sample = 32;
        const std::uint64_t node = i / s.dimension;
        const std::uint64_t size = std::uint64_t{DeviceRadius::leaf_size} << (s.n_levels - level);
        const std::uint64_t begin = node * size;
        const std::uint64_t end = begin + size < *s.n_finite ? begin + size : *s.n_finite;
        const std::uint64_t step = end > begin + n_sample ? (end - begin) / n_sample : 1;
        float low = infinite;
        float high = -infinite;
        for (std::uint64_t place = begin; place < end; place += step) {
            const float v = s.coordinates[std::size_t{s.index[place]} * s.dimension + i % s.dimension];
            low = v < low ? v : low;
            high = v > high ? v : high;
        }
        s.spread[i] = high * 0.5F - low * 0.5F;
    }
};

/// By place: node, then coordinate in the node's widest dimension, so that sorting halves each node at its median.
struct MakeKey {
    DeviceRadius s;
    std::uint32_t level;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t place) const {
        if (place >= *s.n_finite) {
            s.key[place] = ~std::uint64_t{0};
            return;
        }
        const std::uint64_t node = place / (std::uint64_t{DeviceRadius::leaf_size} << (s.n_levels - level));
        const float* spread = s.spread + node * s.dimension;
        std::uint32_t widest = 0;
        for (std::uint32_t d = 1; d < s.dimension; ++d) {
            if (spread[d] > spread[widest]) widest = d;
        }
        const float v = s.coordinates[std::size_t{s.index[place]} * s.dimension + widest];
        const auto bits = std::bit_cast<std::uint32_t>(v);
        const std::uint32_t flip = (0U - (bits >> 31U)) | 0x80000000U;  // rises as the numbers do
        s.key[place] = node << 32U | (bits ^ flip);
    }
};

/// By place, up to the end of the last leaf: copies the point.
struct PlaceCoordinates {
    DeviceRadius s;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t place) const {
        const bool in_use = place < *s.n_finite;
        const float* from = in_use ? s.coordinates + std::size_t{s.index[place]} * s.dimension : nullptr;
        for (std::uint32_t q = 0; q < s.n_quads; ++q) {
            Quad quad{};
            for (std::uint32_t d = 4 * q; d < 4 * q + 4; ++d) {
                quad.v[d % 4] = !in_use ? nothing : d < s.dimension ? from[d] : 0.0F;
            }
            s.points[place * s.n_quads + q] = quad;
        }
    }
};

/// By leaf: its box; an empty one is far from everything.
struct BoundLeaf {
    DeviceRadius s;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t leaf) const {
        const std::uint64_t node = (std::uint64_t{1} << s.n_levels) + leaf;
        const std::uint64_t begin = leaf * DeviceRadius::leaf_size;
        const std::uint64_t full = begin + DeviceRadius::leaf_size;
        const std::uint64_t end = full < *s.n_finite ? full : *s.n_finite;
        for (std::uint32_t q = 0; q < s.n_quads; ++q) {
            Quad low{{infinite, infinite, infinite, infinite}};
            Quad high{{-infinite, -infinite, -infinite, -infinite}};
            for (std::uint64_t place = begin; place < end; ++place) {
                const Quad p = s.points[place * s.n_quads + q];
                for (int d = 0; d < 4; ++d) {
                    low.v[d] = p.v[d] < low.v[d] ? p.v[d] : low.v[d];
                    high.v[d] = p.v[d] > high.v[d] ? p.v[d] : high.v[d];
                }
            }
            s.low[node * s.n_quads + q] = low;
            s.high[node * s.n_quads + q] = high;
        }
    }
};

/// By node of a level: its box from those of its halves.
struct BoundNode {
    DeviceRadius s;
    std::uint32_t level;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t index) const {
        const std::uint64_t node = (std::uint64_t{1} << level) + index;
        for (std::uint32_t q = 0; q < s.n_quads; ++q) {
            Quad low = s.low[2 * node * s.n_quads + q];
            Quad high = s.high[2 * node * s.n_quads + q];
            const Quad other_low = s.low[(2 * node + 1) * s.n_quads + q];
            const Quad other_high = s.high[(2 * node + 1) * s.n_quads + q];
            for (int d = 0; d < 4; ++d) {
                low.v[d] = other_low.v[d] < low.v[d] ? other_low.v[d] : low.v[d];
                high.v[d] = other_high.v[d] > high.v[d] ? other_high.v[d] : high.v[d];
            }
            s.low[node * s.n_quads + q] = low;
            s.high[node * s.n_quads + q] = high;
        }
    }
};

}  // namespace rheinfall::detail
