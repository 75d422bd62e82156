#include "tracking/detail/point_blocks.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

namespace rheinfall::detail {
namespace {

constexpr std::size_t leaf_size = PointBlocks::leaf_size;
constexpr std::size_t fanout = PointBlocks::fanout;

/// Coordinate, made to compare as an unsigned number, in the upper half; the point in the lower one, so that all
/// differ.
using Key = std::uint64_t;

std::size_t ceil_div(std::size_t a, std::size_t b) noexcept {
    return (a + b - 1) / b;
}

struct Range {
    std::size_t begin, end;
    [[nodiscard]] std::size_t size() const noexcept { return end - begin; }
};

/// Moves the @p rank smallest keys to the front. Pivots come from a sample around the rank, and a partition without
/// branches writes into @p spare.
void select(std::span<Key> keys, std::span<Key> spare, std::size_t rank) noexcept {
    constexpr std::size_t n_sample = 32;
    while (keys.size() > 4 * n_sample) {
        std::array<Key, n_sample> sample;
        for (std::size_t i = 0; i < n_sample; ++i) sample[i] = keys[i * (keys.size() / n_sample)];
        std::ranges::sort(sample);
        const Key pivot = sample[std::min(rank * n_sample / keys.size(), n_sample - 1)];
        std::size_t low = 0;
        std::size_t high = keys.size();
        for (const Key key : keys) {
            const bool below = key < pivot;
            spare[low] = key;
            spare[high - 1] = key;
            low += below ? 1 : 0;
            high -= below ? 0 : 1;
        }
        std::ranges::copy(spare.first(keys.size()), keys.begin());
        if (rank == low) return;
        if (rank < low) {
            keys = keys.first(low);
        } else if (low > 0) {
            keys = keys.subspan(low);
            rank -= low;
        } else {  // the pivot was the smallest: it is in place once it stands first
            std::swap(keys[0], *std::ranges::min_element(keys));
            if (rank <= 1) return;
            keys = keys.subspan(1);
            --rank;
        }
    }
    std::ranges::nth_element(keys, keys.begin() + static_cast<std::ptrdiff_t>(rank));
}

class Builder {
public:
    Builder(const PointsView& points, PointBlocks& blocks, std::span<Key> keys, std::span<Key> spare) noexcept
        : points_(points), blocks_(blocks), keys_(keys), spare_(spare) {}

    /// Where a node of these leaves is divided: at a multiple of the largest power of 16 below it, so that blocks are
    /// nodes of the tree too. For two leaves or more.
    static std::size_t middle(Range leaves) noexcept {
        std::size_t unit = 1;
        while (unit * fanout < leaves.size()) unit *= fanout;
        return leaves.begin + std::max(leaves.size() / 2 / unit, std::size_t{1}) * unit;
    }

    /// Divides the points of a node of the tree along the dimension in which they spread most.
    void divide(Range leaves) noexcept {
        if (leaves.size() < 2) return;
        const Range inside{leaves.begin * leaf_size, std::min(leaves.end * leaf_size, blocks_.n_points)};
        const auto keys = keys_.subspan(inside.begin, inside.size());
        const std::size_t d = widest(keys);
        for (Key& key : keys) {
            const std::uint32_t i = point(key);
            const auto bits = std::bit_cast<std::uint32_t>(points_.coordinates[i * points_.dimension + d]);
            const std::uint32_t flip = (0U - (bits >> 31U)) | 0x80000000U;  // no branch: signs come in any order
            key = Key{bits ^ flip} << 32U | i;
        }
        select(keys, spare_.subspan(inside.begin, inside.size()), middle(leaves) * leaf_size - inside.begin);
    }

    // NOLINTNEXTLINE(misc-no-recursion): as deep as the tree, the logarithm of the leaves
    void divide_all(Range leaves) noexcept {
        if (leaves.size() < 2) return fill_leaf(leaves);
        divide(leaves);
        divide_all({leaves.begin, middle(leaves)});
        divide_all({middle(leaves), leaves.end});
    }

    /// The boxes of a level from those below it.
    void merge_boxes(std::size_t level) const noexcept {
        for (std::size_t block = 0; block < blocks_.n_boxes[level]; ++block) {
            const std::size_t n = std::min(fanout, blocks_.n_boxes[level - 1] - block * fanout);
            for (std::size_t d = 0; d < points_.dimension; ++d) {
                const float* below = blocks_.boxes[level - 1] + (block * points_.dimension + d) * 2 * fanout;
                float* box = box_of(level, block, d);
                box[0] = *std::min_element(below, below + n);
                box[fanout] = *std::max_element(below + fanout, below + fanout + n);
            }
        }
    }

private:
    static std::uint32_t point(Key key) noexcept { return static_cast<std::uint32_t>(key); }

    [[nodiscard]] float* box_of(std::size_t level, std::size_t i, std::size_t d) const noexcept {
        return blocks_.boxes[level] + ((i / fanout) * points_.dimension + d) * 2 * fanout + i % fanout;
    }

    /// By a sample: a poor choice costs time, never an edge.
    [[nodiscard]] std::size_t widest(std::span<const Key> keys) const noexcept {
        std::array<float, 32> low;
        std::array<float, 32> high;
        low.fill(std::numeric_limits<float>::infinity());
        high.fill(-std::numeric_limits<float>::infinity());
        const std::size_t step = std::max(keys.size() / 32, std::size_t{1});
        for (std::size_t i = 0; i < keys.size(); i += step) {
            const float* p = points_.coordinates.data() + point(keys[i]) * points_.dimension;
            for (std::size_t d = 0; d < points_.dimension; ++d) {
                low[d] = p[d] < low[d] ? p[d] : low[d];  // as a value, not a reference: so it becomes vectors
                high[d] = p[d] > high[d] ? p[d] : high[d];
            }
        }
        std::size_t best = 0;
        for (std::size_t d = 1; d < points_.dimension; ++d) {
            if (high[d] / 2 - low[d] / 2 > high[best] / 2 - low[best] / 2) best = d;
        }
        return best;
    }

    void fill_leaf(Range leaves) noexcept {
        if (leaves.size() == 0) return;
        const std::size_t leaf = leaves.begin;
        const std::size_t n = std::min(leaf_size, blocks_.n_points - leaf * leaf_size);
        std::uint32_t* index = blocks_.index + leaf * leaf_size;
        for (std::size_t p = 0; p < leaf_size; ++p) {
            index[p] = p < n ? point(keys_[leaf * leaf_size + p]) : PointBlocks::no_point;
        }
        for (std::size_t d = 0; d < points_.dimension; ++d) {
            float* out = blocks_.coordinates + (leaf * points_.dimension + d) * leaf_size;
            float low = std::numeric_limits<float>::infinity();
            float high = -low;
            for (std::size_t p = 0; p < n; ++p) {
                out[p] = points_.coordinates[index[p] * points_.dimension + d];
                low = out[p] < low ? out[p] : low;
                high = out[p] > high ? out[p] : high;
            }
            std::fill(out + n, out + leaf_size, std::numeric_limits<float>::quiet_NaN());
            *box_of(0, leaf, d) = low;
            *(box_of(0, leaf, d) + fanout) = high;
        }
    }

    PointsView points_;
    PointBlocks& blocks_;
    std::span<Key> keys_, spare_;
};

std::size_t keep_finite(const PointsView& points, std::span<Key> keys) noexcept {
    std::size_t n = 0;
    for (std::size_t i = 0; i < points.n_points; ++i) {
        const auto point = points.coordinates.subspan(i * points.dimension, points.dimension);
        float zero = 0.0F;  // stays so but for infinities and NaN
        for (const float c : point) zero += c * 0.0F;
        keys[n] = i;
        n += zero == 0.0F ? 1 : 0;
    }
    return n;
}

/// The nodes at the top of the tree one level after the other, then what is below them as one task each.
void divide_in_parallel(Builder& builder, std::size_t n_leaves, const ParallelFor& parallel_for) noexcept {
    if (parallel_for.n_threads() == 1 || n_leaves < 64) return builder.divide_all({0, n_leaves});
    constexpr std::size_t n_parts = 32;
    std::array<Range, n_parts> parts{Range{0, n_leaves}};
    for (std::size_t n = 1; n < n_parts; n *= 2) {
        parallel_for(n, [&](std::size_t i) { builder.divide(parts[i]); });
        for (std::size_t i = n; i-- > 0;) {
            const Range part = parts[i];
            // Halves are uneven, so that a part may be down to one leaf or none before the others.
            const std::size_t middle = part.size() < 2 ? part.end : Builder::middle(part);
            parts[2 * i] = {part.begin, middle};
            parts[2 * i + 1] = {middle, part.end};
        }
    }
    parallel_for(n_parts, [&](std::size_t i) { builder.divide_all(parts[i]); });
}

}  // namespace

std::size_t PointBlocks::bytes(std::size_t n_points, std::size_t dimension) noexcept {
    const std::size_t padded = ceil_div(n_points, leaf_size) * leaf_size;
    std::size_t bytes = 2 * Workspace::padded<Key>(n_points) + Workspace::padded<float>(padded * dimension) +
                        Workspace::padded<std::uint32_t>(padded);
    for (std::size_t n = padded / leaf_size; n > 0; n = n > fanout ? ceil_div(n, fanout) : 0) {
        bytes += Workspace::padded<float>(ceil_div(n, fanout) * dimension * 2 * fanout);
    }
    return bytes;
}

PointBlocks make_point_blocks(const PointsView& points, Workspace& workspace,
                              const ParallelFor& parallel_for) noexcept {
    PointBlocks blocks;
    blocks.dimension = points.dimension;
    const auto keys = workspace.take<Key>(points.n_points);
    const auto spare = workspace.take<Key>(points.n_points);
    blocks.n_points = keep_finite(points, keys);
    blocks.n_leaves = ceil_div(blocks.n_points, leaf_size);
    blocks.coordinates = workspace.take<float>(blocks.n_leaves * leaf_size * points.dimension).data();
    blocks.index = workspace.take<std::uint32_t>(blocks.n_leaves * leaf_size).data();
    for (std::size_t n = blocks.n_leaves; n > 0; n = n > fanout ? ceil_div(n, fanout) : 0) {
        const auto boxes = workspace.take<float>(ceil_div(n, fanout) * points.dimension * 2 * fanout);
        blocks.n_boxes[blocks.n_levels] = n;
        blocks.boxes[blocks.n_levels++] = boxes.data();
        // The last block is compared as a whole.
        std::ranges::fill(boxes.last(points.dimension * 2 * fanout), 0.0F);
    }
    Builder builder(points, blocks, keys, spare);
    divide_in_parallel(builder, blocks.n_leaves, parallel_for);
    for (std::size_t level = 1; level < blocks.n_levels; ++level) builder.merge_boxes(level);
    return blocks;
}

}  // namespace rheinfall::detail
