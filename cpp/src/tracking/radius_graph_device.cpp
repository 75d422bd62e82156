#include "tracking/radius_graph_device.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <stdexcept>

#include "core/require.hpp"
#include "tracking/radius_graph_work.hpp"

namespace rheinfall::detail {
namespace {

constexpr std::size_t most = (std::size_t{1} << 31) - 2;  // CUB counts in int, and one more than there are points

}  // namespace

void set_device_plan(const RadiusGraphPlan& plan, std::size_t n_points, std::size_t dimension, DeviceRadius& s) {
    const DistanceBounds bounds = bounds_of(plan.radius * plan.radius, dimension);
    s.n_points = static_cast<std::uint32_t>(n_points);
    s.dimension = static_cast<std::uint32_t>(dimension);
    s.n_quads = (s.dimension + 3) / 4;
    const std::uint32_t n_leaves = s.n_leaves();
    s.n_levels = n_leaves < 2 ? 0 : static_cast<std::uint32_t>(std::bit_width(n_leaves - 1));
    s.bound2 = bounds.exact;
    s.sure = bounds.sure;
    s.possible = bounds.possible;
    s.cap = plan.max_neighbours == RadiusGraphPlan::no_cap
                ? 0
                : static_cast<std::uint32_t>(std::min(plan.max_neighbours, std::max(n_points, std::size_t{1})));
    s.row_size = s.cap == 0 ? DeviceRadius::usual_row : s.cap;
    s.index_bits = std::max(1U, static_cast<std::uint32_t>(std::bit_width(n_points)));
    s.nearest = s.cap != 0 && std::isinf(plan.radius);
    s.loop = plan.loop;
    s.undirected = !plan.directed;
}

void check_device_radius_limits(const RadiusGraphPlan& plan, std::size_t n_points, std::size_t dimension,
                                std::size_t edge_capacity) {
    require_at_most("points", n_points, most);
    require_at_most("edges", edge_capacity, most);
    const float* somewhere = nullptr;
    check_radius_graph(plan, {{somewhere, n_points * dimension}, n_points, dimension});
}

void check_device_radius(const RadiusGraphPlan& plan, const PointsView& points, std::span<const std::int64_t> counts,
                         std::span<const std::int64_t> source, std::span<const std::int64_t> target,
                         const RadiusGraphResult* result) {
    check_radius_graph(plan, points);
    check_device_radius_limits(plan, points.n_points, points.dimension, source.size());
    require_size("counts", counts.size(), points.n_points);
    require_size("target", target.size(), source.size());
    if (result == nullptr) throw std::invalid_argument("result: expected a device address, got nullptr");
}

}  // namespace rheinfall::detail
