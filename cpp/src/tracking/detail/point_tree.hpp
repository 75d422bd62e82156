#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <rheinfall/core/workspace.hpp>
#include <rheinfall/tracking/radius_graph.hpp>
#include <span>

namespace rheinfall::detail {

/// Points in a balanced binary tree of bounding boxes, each node split at the median of its widest dimension. A search
/// skips a box whose distance exceeds the bound. That is exact: the distance to a box adds, in the order of the
/// dimensions, squares that are not larger than those of any point inside, and rounding keeps such an order.
///
/// Node `first_of_level + i` of level l holds the points at positions [i * n >> l, (i + 1) * n >> l).
class PointTree {
public:
    static std::size_t bytes(std::size_t n_points, std::size_t dimension) noexcept {
        return Workspace::padded<std::uint32_t>(n_points) + Workspace::padded<float>(n_points * dimension) +
               2 * Workspace::padded<float>(n_nodes(n_levels(n_points)) * dimension);
    }

    /// Takes at most `bytes` from the workspace; points that are not finite are left out.
    PointTree(const PointsView& points, Workspace& workspace) noexcept;

    [[nodiscard]] std::size_t size() const noexcept { return index_.size(); }
    /// Index, in the caller's order, of the point at a position of the tree.
    [[nodiscard]] std::int64_t index(std::size_t position) const noexcept { return index_[position]; }

    /// Calls `visit(position, distance2)` for each other point within @p bound of the one at @p a, in any order, nearer
    /// boxes first. `visit` may lower the bound as it goes.
    template <class Visit>
    void visit_within(std::size_t a, const double& bound, Visit&& visit) const {
        std::array<Step, max_stack> stack;
        std::size_t n_stack = 0;
        stack[n_stack++] = {0.0, 0, 0};
        while (n_stack > 0) {
            const Step step = stack[--n_stack];
            if (step.distance2 > bound) continue;
            if (step.level == n_levels_) {
                visit_leaf(a, step.node, bound, visit);
                continue;
            }
            Step near = child(a, step, 0, bound);
            Step far = child(a, step, 1, bound);
            if (far.distance2 < near.distance2) std::swap(near, far);
            stack[n_stack++] = far;
            stack[n_stack++] = near;
        }
    }

private:
    static constexpr std::size_t leaf_size = 16;
    static constexpr std::size_t max_stack = 64;  // one per level and one more; levels < 32

    /// A box to look into: its distance, its number within its level.
    struct Step {
        double distance2;
        std::size_t level;
        std::size_t node;
    };

    static std::size_t n_levels(std::size_t n_points) noexcept {
        std::size_t level = 0;
        while ((n_points >> level) > leaf_size) ++level;
        return level;
    }
    static std::size_t n_nodes(std::size_t level) noexcept { return (std::size_t{2} << level) - 1; }
    [[nodiscard]] std::size_t first_point(std::size_t level, std::size_t node) const noexcept {
        return (node * size()) >> level;
    }
    /// Where the box of a node begins in `low_` and `high_`.
    [[nodiscard]] std::size_t box(std::size_t level, std::size_t node) const noexcept {
        return ((std::size_t{1} << level) - 1 + node) * dimension_;
    }

    void split(const PointsView& points, std::size_t level, std::size_t node) noexcept;

    [[nodiscard]] Step child(std::size_t a, const Step& parent, std::size_t side, double bound) const noexcept {
        Step step{0.0, parent.level + 1, 2 * parent.node + side};
        const float* p = sorted_.data() + a * dimension_;
        const float* low = low_.data() + box(step.level, step.node);
        const float* high = high_.data() + box(step.level, step.node);
        for (std::size_t d = 0; d < dimension_ && step.distance2 <= bound; ++d) {
            const double below = static_cast<double>(low[d]) - static_cast<double>(p[d]);
            const double above = static_cast<double>(p[d]) - static_cast<double>(high[d]);
            const double gap = std::max({below, above, 0.0});
            step.distance2 += gap * gap;
        }
        return step;
    }

    template <class Visit>
    void visit_leaf(std::size_t a, std::size_t leaf, const double& bound, Visit&& visit) const {
        for (std::size_t b = first_point(n_levels_, leaf); b < first_point(n_levels_, leaf + 1); ++b) {
            if (b == a) continue;
            const double d2 = distance2(a, b, bound);
            if (d2 <= bound) visit(b, d2);
        }
    }

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

    std::span<std::uint32_t> index_;
    std::span<float> sorted_;  ///< coordinates in the order of the tree
    std::span<float> low_, high_;
    std::size_t dimension_;
    std::size_t n_levels_ = 0;
};

}  // namespace rheinfall::detail
