// What the steps of all instruction sets call.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tracking/detail/distance_bounds.hpp"
#include "tracking/radius_graph_work.hpp"

namespace rheinfall::detail {

DistanceBounds bounds_of(double bound2, std::size_t dimension) noexcept {
    const auto n = static_cast<std::uint32_t>(dimension);
    DistanceBounds bounds{bound2, std::numeric_limits<float>::infinity(), possible_distance2(bound2, n)};
    const double below = bound2 * (1.0 - relative_rounding(n)) - underflow_loss;
    if (std::isfinite(bound2)) {
        bounds.sure = below < 0.0 ? -1.0F : std::nextafter(static_cast<float>(std::min(below, largest_bound)), 0.0F);
    }
    return bounds;
}

std::uint32_t* take_room(const RadiusSearch& search, std::size_t n, std::size_t& at) noexcept {
    RowStore& store = *search.store;
    at = store.used.fetch_add(n, std::memory_order_relaxed);
    return at + n <= store.capacity ? store.targets + at : nullptr;
}

void sort_long_row(std::uint32_t* row, std::size_t n) noexcept {
    std::sort(row, row + n);
}

double keep_nearest(const RadiusSearch& search, std::uint32_t point, std::uint32_t* row, std::size_t n,
                    Neighbour* scratch) noexcept {
    const std::size_t dimension = search.blocks.dimension;
    const float* p = search.points + point * dimension;
    for (std::size_t i = 0; i < n; ++i) {
        const float* q = search.points + row[i] * dimension;
        double sum = 0.0;
        for (std::size_t d = 0; d < dimension; ++d) {
            const double difference = static_cast<double>(p[d]) - static_cast<double>(q[d]);
            sum += difference * difference;
        }
        scratch[i] = {sum, row[i]};
    }
    Neighbour* kth = scratch + (search.cap - 1);
    std::nth_element(scratch, kth, scratch + n);
    for (std::size_t i = 0; i < search.cap; ++i) row[i] = scratch[i].index;
    return kth->distance2;
}

float kth_smallest(float* values, std::size_t n, std::size_t k) noexcept {
    std::nth_element(values, values + (k - 1), values + n);
    return values[k - 1];
}

}  // namespace rheinfall::detail
