#pragma once

/// @file
/// The radius graph on a device, step by step, over an executor as in device_graph_steps.hpp.

#include <algorithm>
#include <cmath>
#include <utility>

#include "tracking/detail/device_arena.hpp"
#include "tracking/detail/device_radius_search.hpp"
#include "tracking/detail/device_radius_tree.hpp"
#include "tracking/radius_graph_device.hpp"

namespace rheinfall::detail {

/// Takes the arrays of an event of @p n_points points, and sets what the plan says; the caller sets the rest.
template <class Arena>
DeviceRadius take_device_radius(Arena& arena, const RadiusGraphPlan& plan, std::size_t n_points,
                                std::size_t dimension) {
    DeviceRadius s{};
    set_device_plan(plan, n_points, dimension, s);
    const std::size_t n_places = std::size_t{s.n_leaves()} * DeviceRadius::leaf_size;
    const std::size_t n_nodes = std::size_t{2} << s.n_levels;
    s.key = arena.template take<std::uint64_t>(n_points);
    s.sorted_key = arena.template take<std::uint64_t>(n_points);
    s.index = arena.template take<std::uint32_t>(n_points);
    s.sorted_index = arena.template take<std::uint32_t>(n_points);
    s.n_finite = arena.template take<std::uint32_t>(1);
    s.spread = arena.template take<float>(n_nodes * dimension);
    s.points = arena.template take<Quad>(n_places * s.n_quads);
    s.low = arena.template take<Quad>(n_nodes * s.n_quads);
    s.high = arena.template take<Quad>(n_nodes * s.n_quads);
    s.rows = arena.template take<std::uint32_t>(n_places * s.row_size);
    s.row_distances = arena.template take<double>(s.cap == 0 ? 0 : n_places * s.row_size);
    s.kept = arena.template take<std::uint64_t>(n_points + 1);
    s.first = arena.template take<std::uint64_t>(n_points + 1);
    s.cut = arena.template take<std::uint64_t>(n_points + 1);
    s.n_cut = arena.template take<std::uint64_t>(n_points + 1);
    return s;
}

/// Puts the points into the order of the tree and finds its boxes.
template <class Executor>
void build_device_tree(Executor& on, DeviceRadius& s) {
    const auto sort = [&](int n_bits) {
        on.sort_pairs(s.key, s.sorted_key, s.index, s.sorted_index, s.n_points, n_bits);
        std::swap(s.index, s.sorted_index);
    };
    on.for_each(s.n_points, MarkFinite{s});
    sort(1);
    on.for_each(1, CountFinite{s});
    for (std::uint32_t level = 0; level < s.n_levels; ++level) {
        on.for_each((std::uint64_t{1} << level) * s.dimension, MeasureSpread{s, level});
        on.for_each(s.n_points, MakeKey{s, level});
        sort(static_cast<int>(32 + level + 1));  // one bit more than nodes need: points that take no part go last
    }
    on.for_each(std::uint64_t{s.n_leaves()} * DeviceRadius::leaf_size, PlaceCoordinates{s});
    on.for_each(std::uint64_t{1} << s.n_levels, BoundLeaf{s});
    for (std::uint32_t level = s.n_levels; level > 0; --level) {
        on.for_each(std::uint64_t{1} << (level - 1), BoundNode{s, level - 1});
    }
}

template <std::uint32_t Quads, class Executor>
void search_device_tree(Executor& on, const DeviceRadius& s) {
    const std::uint64_t n = s.n_points;
    auto* keys = reinterpret_cast<std::uint64_t*>(s.edge_source);  // edges are sorted in the caller's memory
    auto* other = reinterpret_cast<std::uint64_t*>(s.edge_target);
    on.for_each(n + 1, FindRow<Quads>{s});
    on.exclusive_sum(s.kept, s.first, n + 1);
    on.exclusive_sum(s.cut, s.n_cut, n + 1);
    on.for_each(n, WriteRow<Quads>{s, keys});
    on.for_each(s.capacity, PadKeys{s, keys});
    const std::uint64_t* sorted = on.sort_keys(keys, other, s.capacity, static_cast<int>(2 * s.index_bits + 1));
    on.for_each(s.capacity, SplitKeys{s, sorted});
}

/// Runs all steps on @p on; the grids depend on the number of points and the capacity alone.
template <class Executor>
void build_device_radius(Executor& on, DeviceRadius s) {
    if (s.n_points > 0) {
        build_device_tree(on, s);
        switch (s.n_quads) {
            case 1: search_device_tree<1>(on, s); break;
            case 2: search_device_tree<2>(on, s); break;
            case 3: search_device_tree<3>(on, s); break;
            case 4: search_device_tree<4>(on, s); break;
            case 5: search_device_tree<5>(on, s); break;
            case 6: search_device_tree<6>(on, s); break;
            case 7: search_device_tree<7>(on, s); break;
            default: search_device_tree<8>(on, s); break;
        }
    }
    on.for_each(1, FinishRadius{s});
}

}  // namespace rheinfall::detail
