#pragma once

/// @file
/// The kernels that search the tree. Per pair of points they cost a subtraction and a multiply-add for each dimension,
/// and one load of 16 bytes, the same for all threads of a warp, for each four.

#include "tracking/detail/device_radius.hpp"

namespace rheinfall::detail {

/// One point, in registers.
template <std::uint32_t Quads>
struct DeviceQuery {
    Quad q[Quads];
};

template <std::uint32_t Quads>
RHEINFALL_HOST_DEVICE inline float distance2(const DeviceQuery<Quads>& a, const Quad* b) {
    float sum = 0.0F;
    RHEINFALL_UNROLL
    for (std::uint32_t i = 0; i < Quads; ++i) {
        const Quad other = b[i];
        RHEINFALL_UNROLL
        for (int d = 0; d < 4; ++d) {
            const float difference = a.q[i].v[d] - other.v[d];
            sum = multiply_add(difference, difference, sum);
        }
    }
    return sum;
}

/// One instruction of a device, where neither is NaN.
RHEINFALL_HOST_DEVICE inline float larger(float a, float b) {
#if defined(__CUDA_ARCH__)
    return fmaxf(a, b);
#else
    return a > b ? a : b;
#endif
}

/// From the box [@p a_low, @p a_high], which may be a point, to another; no point inside is nearer.
template <std::uint32_t Quads>
RHEINFALL_HOST_DEVICE inline float box_distance2(const Quad* a_low, const Quad* a_high, const Quad* low,
                                                 const Quad* high) {
    float sum = 0.0F;
    RHEINFALL_UNROLL
    for (std::uint32_t i = 0; i < Quads; ++i) {
        const Quad own_from = a_low[i];  // whole, so that each is one load
        const Quad own_to = a_high[i];
        const Quad from = low[i];
        const Quad to = high[i];
        RHEINFALL_UNROLL
        for (int d = 0; d < 4; ++d) {
            const float below = from.v[d] - own_to.v[d];
            const float above = own_from.v[d] - to.v[d];
            const float gap = larger(larger(below, above), 0.0F);
            sum = multiply_add(gap, gap, sum);
        }
    }
    return sum;
}

/// What one thread does: walks through the tree, the own leaf first, then the other half of each node around it, by the
/// box of its leaf, and calls `row.found(other, sum)` for each point within `row.possible()` in float32.
template <std::uint32_t Quads, class Row>
class DeviceWalk {
public:
    RHEINFALL_HOST_DEVICE DeviceWalk(const DeviceRadius& search, std::uint32_t place, Row& row)
        : s_(search), row_(row), first_leaf_(1U << search.n_levels), own_(first_leaf_ + place / s_.leaf_size) {
        for (std::uint32_t i = 0; i < Quads; ++i) query_.q[i] = s_.points[std::size_t{place} * Quads + i];
    }

    RHEINFALL_HOST_DEVICE void run() {
        visit_leaf(own_);
        for (std::uint32_t node = own_; node > 1; node /= 2) walk(node ^ 1U);
    }

private:
    /// Goes through the nodes at and below @p root, without a stack: right halves have odd numbers.
    RHEINFALL_HOST_DEVICE void walk(std::uint32_t root) {
        for (std::uint32_t node = root;;) {
            if (is_near(node)) {
                if (node < first_leaf_) {
                    node *= 2;
                    continue;
                }
                visit_leaf(node);
            }
            while (node != root && node % 2 == 1) node /= 2;
            if (node == root) return;
            ++node;
        }
    }

    [[nodiscard]] RHEINFALL_HOST_DEVICE bool is_near(std::uint32_t node) const {
        return box_distance2<Quads>(box(s_.low, own_), box(s_.high, own_), box(s_.low, node), box(s_.high, node)) <=
               row_.possible();
    }

    RHEINFALL_HOST_DEVICE void visit_leaf(std::uint32_t node) {
        const std::uint32_t leaf = node - first_leaf_;
        if (leaf >= s_.n_leaves()) return;
        if (!(box_distance2<Quads>(query_.q, query_.q, box(s_.low, node), box(s_.high, node)) <= row_.possible())) {
            return;
        }
        const std::uint32_t first = leaf * s_.leaf_size;
        const Quad* points = s_.points + std::size_t{first} * Quads;
        for (std::uint32_t k = 0; k < s_.leaf_size; ++k) {
            const float sum = distance2<Quads>(query_, points + std::size_t{k} * Quads);
            if (sum <= row_.possible()) row_.found(first + k, sum);
        }
    }

    RHEINFALL_HOST_DEVICE static const Quad* box(const Quad* corners, std::uint32_t node) {
        return corners + std::size_t{node} * Quads;
    }

    const DeviceRadius& s_;
    Row& row_;
    std::uint32_t first_leaf_, own_;
    DeviceQuery<Quads> query_;
};

/// Whether the edge from @p place to @p other is wanted at all.
RHEINFALL_HOST_DEVICE inline bool is_wanted(const DeviceRadius& s, std::uint32_t place, std::uint32_t other) {
    if (other == place) return s.loop;
    return !s.undirected || s.index[place] < s.index[other];
}

/// All neighbours of one point: the first of them into its row, or all of them into the caller's memory.
struct AllNeighbours {
    const DeviceRadius& s;
    std::uint32_t place;
    std::uint64_t* keys;  ///< null, or where to write source and target of each edge
    std::uint64_t n = 0;

    [[nodiscard]] RHEINFALL_HOST_DEVICE float possible() const { return s.possible; }
    RHEINFALL_HOST_DEVICE void found(std::uint32_t other, float sum) {
        if (sum > s.sure && !(definition_distance2(s.point(place), s.point(other), s.dimension) <= s.bound2)) return;
        if (!is_wanted(s, place, other)) return;
        if (keys != nullptr) {
            keys[n] = s.edge_key(s.index[place], s.index[other]);
        } else if (n < s.row_size) {
            s.rows[s.row_entry(place, n)] = s.index[other];
        }
        ++n;
    }
};

/// The nearest `cap` neighbours of one point, ties to the smaller index: a heap with the farthest of them on top.
struct NearestNeighbours {
    const DeviceRadius& s;
    std::uint32_t place;
    float bound;          ///< in float32, of the squared distance
    std::uint64_t n = 0;  ///< found within the radius

    [[nodiscard]] RHEINFALL_HOST_DEVICE float possible() const { return bound; }
    RHEINFALL_HOST_DEVICE void found(std::uint32_t other, float /*sum*/) {
        const double distance2 = definition_distance2(s.point(place), s.point(other), s.dimension);
        if (!(distance2 <= s.bound2) || !is_wanted(s, place, other)) return;
        const std::uint32_t index = s.index[other];
        ++n;
        if (n <= s.cap) {
            rise(n - 1, distance2, index);
        } else if (is_before(distance2, index, 0)) {
            sink(distance2, index);
        }
        if (s.nearest && n >= s.cap) {
            const float nearer = possible_distance2(s.row_distances[s.row_entry(place, 0)], s.dimension);
            bound = nearer < bound ? nearer : bound;
        }
    }

private:
    /// Whether a neighbour comes before the one in @p entry of the heap.
    [[nodiscard]] RHEINFALL_HOST_DEVICE bool is_before(double distance2, std::uint32_t index,
                                                       std::uint64_t entry) const {
        const std::uint64_t at = s.row_entry(place, entry);
        return distance2 < s.row_distances[at] || (distance2 == s.row_distances[at] && index < s.rows[at]);
    }
    RHEINFALL_HOST_DEVICE void put(std::uint64_t entry, double distance2, std::uint32_t index) {
        const std::uint64_t at = s.row_entry(place, entry);
        s.row_distances[at] = distance2;
        s.rows[at] = index;
    }
    RHEINFALL_HOST_DEVICE void move(std::uint64_t from, std::uint64_t to) {
        const std::uint64_t at = s.row_entry(place, from);
        put(to, s.row_distances[at], s.rows[at]);
    }
    RHEINFALL_HOST_DEVICE void rise(std::uint64_t entry, double distance2, std::uint32_t index) {
        while (entry > 0 && !is_before(distance2, index, (entry - 1) / 2)) {
            move((entry - 1) / 2, entry);
            entry = (entry - 1) / 2;
        }
        put(entry, distance2, index);
    }
    /// In place of the top.
    RHEINFALL_HOST_DEVICE void sink(double distance2, std::uint32_t index) {
        std::uint64_t entry = 0;
        for (std::uint64_t child = 1; child < s.cap; child = 2 * entry + 1) {
            const std::uint64_t other = s.row_entry(place, child + 1);
            if (child + 1 < s.cap && !is_before(s.row_distances[other], s.rows[other], child)) ++child;
            if (!is_before(distance2, index, child)) break;
            move(child, entry);
            entry = child;
        }
        put(entry, distance2, index);
    }
};

/// By place, and one behind the last: its row of neighbours, and how many there are.
template <std::uint32_t Quads>
struct FindRow {
    DeviceRadius s;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t index) const {
        const auto place = static_cast<std::uint32_t>(index);
        const std::uint32_t i = place < s.n_points ? s.index[place] : s.n_points;
        std::uint64_t n = 0;
        if (place < *s.n_finite) n = s.cap == 0 ? all(place) : nearest(place);
        const bool is_cut = s.cap != 0 && n > s.cap;
        s.kept[i] = is_cut ? s.cap : n;
        s.cut[i] = is_cut ? 1 : 0;
        if (place < s.n_points) s.counts[i] = static_cast<std::int64_t>(n);
    }

private:
    [[nodiscard]] RHEINFALL_HOST_DEVICE std::uint64_t all(std::uint32_t place) const {
        AllNeighbours row{s, place, nullptr};
        DeviceWalk<Quads, AllNeighbours>(s, place, row).run();
        return row.n;
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE std::uint64_t nearest(std::uint32_t place) const {
        NearestNeighbours row{s, place, s.possible};
        DeviceWalk<Quads, NearestNeighbours>(s, place, row).run();
        return s.nearest ? *s.n_finite - (s.loop ? 0U : 1U) : row.n;
    }
};

/// By place: its edges as keys, if all edges have room. Rows that were too short are searched for again.
template <std::uint32_t Quads>
struct WriteRow {
    DeviceRadius s;
    std::uint64_t* keys;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t index) const {
        const auto place = static_cast<std::uint32_t>(index);
        if (place >= *s.n_finite || !s.fits()) return;
        const std::uint32_t i = s.index[place];
        const std::uint64_t n = s.kept[i];
        if (n > s.row_size) {
            AllNeighbours row{s, place, keys + s.first[i]};
            DeviceWalk<Quads, AllNeighbours>(s, place, row).run();
            return;
        }
        for (std::uint64_t e = 0; e < n; ++e) keys[s.first[i] + e] = s.edge_key(i, s.rows[s.row_entry(place, e)]);
    }
};

/// By entry of the caller's memory: those behind the last edge sort behind it.
struct PadKeys {
    DeviceRadius s;
    std::uint64_t* keys;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t e) const {
        if (!s.fits() || e >= s.n_edges()) keys[e] = ~std::uint64_t{0};
    }
};

/// By edge: source and target, in place of the sorted keys.
struct SplitKeys {
    DeviceRadius s;
    const std::uint64_t* keys;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t e) const {
        if (!s.fits() || e >= s.n_edges()) return;
        const std::uint64_t key = keys[e];
        s.edge_source[e] = static_cast<std::int64_t>(key >> s.index_bits);
        s.edge_target[e] = static_cast<std::int64_t>(key & ((std::uint64_t{1} << s.index_bits) - 1));
    }
};

/// One call: the result.
struct FinishRadius {
    DeviceRadius s;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t) const {
        RadiusGraphResult result;
        if (s.n_points == 0) {
            result.status = Status::empty;
        } else {
            result.n_edges = s.n_edges();
            result.n_truncated = s.n_cut[s.n_points];
            if (*s.n_finite < s.n_points) result.status = Status::not_finite;
            if (!s.fits()) result.status = Status::capacity_exceeded;
        }
        *s.result = result;
    }
};

}  // namespace rheinfall::detail
