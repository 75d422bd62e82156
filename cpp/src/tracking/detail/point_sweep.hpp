#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <rheinfall/core/workspace.hpp>
#include <rheinfall/tracking/radius_graph.hpp>
#include <span>

namespace rheinfall::detail {

/// Points sorted along the dimension in which they spread most. A search from a point runs down and up along it and
/// stops where that dimension alone is too far, which is exact: the squared difference is a term of the squared
/// distance, a rounded sum of non-negative terms is never below any of them, and differences grow along the order.
class PointSweep {
public:
    static std::size_t bytes(std::size_t n_points, std::size_t dimension) noexcept {
        return Workspace::padded<std::uint32_t>(n_points) + Workspace::padded<float>(n_points * dimension);
    }

    /// Takes `bytes` from the workspace; points that are not finite are left out.
    PointSweep(const PointsView& points, Workspace& workspace) noexcept;

    [[nodiscard]] std::size_t size() const noexcept { return index_.size(); }
    /// Index, in the caller's order, of the point at a position of the sweep.
    [[nodiscard]] std::int64_t index(std::size_t position) const noexcept { return index_[position]; }

    /// Squared distance of two points, or anything larger than @p bound if it is larger than that.
    [[nodiscard]] double distance2(std::size_t a, std::size_t b, double bound) const noexcept {
        const float* p = sorted_.data() + a * dimension_;
        const float* q = sorted_.data() + b * dimension_;
        double sum = 0.0;
        for (std::size_t d = 0; d < dimension_ && sum <= bound; ++d) {
            const double difference = static_cast<double>(p[d]) - static_cast<double>(q[d]);
            sum += difference * difference;
        }
        return sum;
    }

    /// Squared distance along the sweep alone.
    [[nodiscard]] double gap2(std::size_t a, std::size_t b) const noexcept {
        const double gap =
            static_cast<double>(sorted_[a * dimension_ + axis_]) - static_cast<double>(sorted_[b * dimension_ + axis_]);
        return gap * gap;
    }

    /// Calls `visit(position, distance2)` for each other point within @p bound of the one at @p a.
    template <class Visit>
    void visit_within(std::size_t a, double bound, Visit&& visit) const {
        const auto offer = [&](std::size_t b) {
            const double d2 = distance2(a, b, bound);
            if (d2 <= bound) visit(b, d2);
        };
        for (std::size_t b = a; b-- > 0 && gap2(a, b) <= bound;) offer(b);
        for (std::size_t b = a + 1; b < size() && gap2(a, b) <= bound; ++b) offer(b);
    }

    /// The same with a bound that `visit` may lower as it goes, nearer points along the sweep first.
    template <class Visit>
    void visit_nearest(std::size_t a, const double& bound, Visit&& visit) const {
        std::size_t below = a;
        std::size_t above = a + 1;
        const auto offer = [&](std::size_t b) {
            const double d2 = distance2(a, b, bound);
            if (d2 <= bound) visit(b, d2);
        };
        while (true) {
            const bool down = below > 0 && gap2(a, below - 1) <= bound;
            const bool up = above < size() && gap2(a, above) <= bound;
            if (!down && !up) return;
            const bool down_is_nearer = down && (!up || gap2(a, below - 1) <= gap2(a, above));
            offer(down_is_nearer ? --below : above++);
        }
    }

private:
    std::span<std::uint32_t> index_;
    std::span<float> sorted_;
    std::size_t dimension_;
    std::size_t axis_ = 0;
};

}  // namespace rheinfall::detail
