#include "tracking/detail/point_tree.hpp"

#include <cmath>

namespace rheinfall::detail {
namespace {

bool is_finite(const PointsView& points, std::size_t i) noexcept {
    const auto point = points.coordinates.subspan(i * points.dimension, points.dimension);
    return std::ranges::all_of(point, [](float c) { return std::isfinite(c); });
}

}  // namespace

PointTree::PointTree(const PointsView& points, Workspace& workspace) noexcept
    : index_(workspace.take<std::uint32_t>(points.n_points)),
      sorted_(workspace.take<float>(points.n_points * points.dimension)),
      dimension_(points.dimension) {
    std::size_t n = 0;
    for (std::size_t i = 0; i < points.n_points; ++i) {
        if (is_finite(points, i)) index_[n++] = static_cast<std::uint32_t>(i);
    }
    index_ = index_.first(n);
    n_levels_ = n_levels(n);
    low_ = workspace.take<float>(n_nodes(n_levels_) * dimension_);
    high_ = workspace.take<float>(n_nodes(n_levels_) * dimension_);
    for (std::size_t level = 0; level <= n_levels_ && n > 0; ++level) {
        for (std::size_t node = 0; node < std::size_t{1} << level; ++node) split(points, level, node);
    }
    for (std::size_t i = 0; i < n; ++i) {
        std::ranges::copy(points.coordinates.subspan(index_[i] * dimension_, dimension_),
                          sorted_.begin() + static_cast<std::ptrdiff_t>(i * dimension_));
    }
}

/// Measures the box of a node and divides its points between its children.
void PointTree::split(const PointsView& points, std::size_t level, std::size_t node) noexcept {
    const std::size_t first = first_point(level, node);
    const std::size_t last = first_point(level, node + 1);
    const auto inside = index_.subspan(first, last - first);
    std::size_t widest = 0;
    double width = -1.0;
    for (std::size_t d = 0; d < dimension_; ++d) {
        const auto coordinate = [&](std::uint32_t i) { return points.coordinates[i * dimension_ + d]; };
        const auto [low, high] = std::ranges::minmax(inside, {}, coordinate);
        low_[box(level, node) + d] = coordinate(low);
        high_[box(level, node) + d] = coordinate(high);
        const double w = static_cast<double>(coordinate(high)) - static_cast<double>(coordinate(low));
        if (w > width) {
            width = w;
            widest = d;
        }
    }
    if (level == n_levels_) return;
    const std::size_t middle = first_point(level + 1, 2 * node + 1);
    std::ranges::nth_element(inside, inside.begin() + static_cast<std::ptrdiff_t>(middle - first), {},
                             [&](std::uint32_t i) { return points.coordinates[i * dimension_ + widest]; });
}

}  // namespace rheinfall::detail
