#include "tracking/detail/point_sweep.hpp"

#include <cmath>

namespace rheinfall::detail {
namespace {

bool is_finite(const PointsView& points, std::size_t i) noexcept {
    const auto point = points.coordinates.subspan(i * points.dimension, points.dimension);
    return std::ranges::all_of(point, [](float c) { return std::isfinite(c); });
}

std::size_t widest_axis(const PointsView& points, std::span<const std::uint32_t> index) noexcept {
    std::size_t axis = 0;
    double widest = -1.0;
    for (std::size_t d = 0; d < points.dimension && !index.empty(); ++d) {
        const auto at = [&](std::uint32_t i) {
            return static_cast<double>(points.coordinates[i * points.dimension + d]);
        };
        double low = at(index[0]);
        double high = low;
        for (const std::uint32_t i : index) {
            low = std::min(low, at(i));
            high = std::max(high, at(i));
        }
        if (high - low > widest) {
            widest = high - low;
            axis = d;
        }
    }
    return axis;
}

}  // namespace

PointSweep::PointSweep(const PointsView& points, Workspace& workspace) noexcept
    : index_(workspace.take<std::uint32_t>(points.n_points)),
      sorted_(workspace.take<float>(points.n_points * points.dimension)),
      dimension_(points.dimension) {
    std::size_t n = 0;
    for (std::size_t i = 0; i < points.n_points; ++i) {
        if (is_finite(points, i)) index_[n++] = static_cast<std::uint32_t>(i);
    }
    index_ = index_.first(n);
    axis_ = widest_axis(points, index_);
    std::ranges::sort(index_, [&](std::uint32_t a, std::uint32_t b) {
        const float key_a = points.coordinates[a * dimension_ + axis_];
        const float key_b = points.coordinates[b * dimension_ + axis_];
        return key_a < key_b || (key_a == key_b && a < b);
    });
    for (std::size_t i = 0; i < n; ++i) {
        std::ranges::copy(points.coordinates.subspan(index_[i] * dimension_, dimension_),
                          sorted_.begin() + static_cast<std::ptrdiff_t>(i * dimension_));
    }
}

}  // namespace rheinfall::detail
