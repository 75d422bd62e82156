// The search, written once over a vector `V` of 32-bit lanes and compiled for each instruction set. Included inside an
// anonymous namespace; calls nothing of the standard library.
//
// The points of a leaf of the tree search together: what their common box is too far from, whole blocks of sixteen
// leaves first, none of them looks at. Then each point tests the boxes of sixteen leaves at once, and the 32 points of
// each leaf that is near enough. Per pair that costs a subtraction and a multiply-add per dimension and lane.
//
// Exactness. In float32 each difference, square and sum is rounded by a factor within 1 +- 2^-24, D + 3 of them in all
// (D + 4 without fused multiply-add), so that the sum is within (D + 8) 2^-24 of the definition's in float64,
// relatively, save for what underflows. `bounds_of` widens the bound by that on both sides; pairs in between are
// decided in float64. A box is as near as its nearest corner or face, which no point inside is nearer than, with the
// same rounding.

constexpr std::size_t leaf_size = PointBlocks::leaf_size;
constexpr std::size_t fanout = PointBlocks::fanout;
constexpr std::size_t max_dimension = 32;

/// The definition.
double exact_distance2(const float* a, const float* b, std::size_t dimension) noexcept {
    double sum = 0.0;
    for (std::size_t d = 0; d < dimension; ++d) {
        const double difference = static_cast<double>(a[d]) - static_cast<double>(b[d]);
        sum += difference * difference;
    }
    return sum;
}

/// Bit i if box i of a block comes within @p possible of the box from @p low to @p high.
unsigned near_boxes(const float* boxes, std::size_t dimension, const float* low, const float* high,
                    float possible) noexcept {
    unsigned near = 0;
    for (std::size_t i = 0; i < fanout; i += V::lanes) {
        V::F sum = V::set(0.0F);
        for (std::size_t d = 0; d < dimension; ++d) {
            const V::F below = V::sub(V::load(boxes + d * 2 * fanout + i), V::set(high[d]));
            const V::F above = V::sub(V::set(low[d]), V::load(boxes + d * 2 * fanout + fanout + i));
            const V::F gap = V::max(V::max(below, above), V::set(0.0F));
            sum = V::multiply_add(gap, gap, sum);
        }
        near |= V::less_equal(sum, V::set(possible)) << i;
    }
    return near;
}

/// The same for a point.
unsigned near_boxes(const float* boxes, std::size_t dimension, const float* point, float possible) noexcept {
    unsigned near = 0;
    for (std::size_t i = 0; i < fanout; i += V::lanes) {
        V::F sum = V::set(0.0F);
        for (std::size_t d = 0; d < dimension; ++d) {
            const V::F p = V::set(point[d]);
            const V::F inside =
                V::min(V::max(p, V::load(boxes + d * 2 * fanout + i)), V::load(boxes + d * 2 * fanout + fanout + i));
            const V::F gap = V::sub(p, inside);
            sum = V::multiply_add(gap, gap, sum);
        }
        near |= V::less_equal(sum, V::set(possible)) << i;
    }
    return near;
}

constexpr std::size_t leaf_vectors = leaf_size / V::lanes;

/// Squared distances of a point to those of a leaf.
struct LeafDistances {
    V::F sum[leaf_vectors];
};

LeafDistances leaf_distances(const float* leaf, std::size_t dimension, const float* point) noexcept {
    LeafDistances r;
    for (std::size_t v = 0; v < leaf_vectors; ++v) r.sum[v] = V::set(0.0F);
    for (std::size_t d = 0; d < dimension; ++d) {
        const V::F p = V::set(point[d]);
        for (std::size_t v = 0; v < leaf_vectors; ++v) {
            const V::F difference = V::sub(p, V::load(leaf + d * leaf_size + v * V::lanes));
            r.sum[v] = V::multiply_add(difference, difference, r.sum[v]);
        }
    }
    return r;
}

/// The same for two leaves, so that more sums are under way at a time than one multiply-add takes cycles.
void leaf_distances(const float* first, const float* second, std::size_t dimension, const float* point,
                    LeafDistances (&r)[2]) noexcept {
    V::F a[leaf_vectors];
    V::F b[leaf_vectors];
    for (std::size_t v = 0; v < leaf_vectors; ++v) a[v] = b[v] = V::set(0.0F);
    for (std::size_t d = 0; d < dimension; ++d) {
        const V::F p = V::set(point[d]);
        for (std::size_t v = 0; v < leaf_vectors; ++v) {
            const V::F x = V::sub(p, V::load(first + d * leaf_size + v * V::lanes));
            const V::F y = V::sub(p, V::load(second + d * leaf_size + v * V::lanes));
            a[v] = V::multiply_add(x, x, a[v]);
            b[v] = V::multiply_add(y, y, b[v]);
        }
    }
    for (std::size_t v = 0; v < leaf_vectors; ++v) {
        r[0].sum[v] = a[v];
        r[1].sum[v] = b[v];
    }
}

/// Searches for the points of one leaf. A block of leaves is read once for all of them: its coordinates stay in the
/// innermost cache while each point looks at those leaves that are near enough.
class Tile {
public:
    Tile(const RadiusSearch& search, std::size_t leaf, RowScratch& scratch) noexcept
        : s_(search), b_(search.blocks), t_(scratch), leaf_(leaf), index_(b_.index + leaf * leaf_size) {
        while (n_ < leaf_size && index_[n_] != PointBlocks::no_point) ++n_;
        active_ = n_ == leaf_size ? 0xFFFFFFFFU : (1U << n_) - 1U;
        const float* from = b_.coordinates + leaf * b_.dimension * leaf_size;
        for (std::size_t p = 0; p < n_; ++p) {
            for (std::size_t d = 0; d < b_.dimension; ++d) points_[p][d] = from[d * leaf_size + p];
            rows_[p] = {s_.bounds.sure, s_.bounds.possible, t_.row + p * t_.stride(), 0, 0};
            near_blocks_[p] = 0xFFFFU;
        }
        for (std::size_t d = 0; d < b_.dimension; ++d) {
            const float* box = b_.boxes[0] + ((leaf / fanout) * b_.dimension + d) * 2 * fanout + leaf % fanout;
            low_[d] = box[0];
            high_[d] = box[fanout];
        }
    }

    void run() noexcept {
        room_ = t_.room;
        widest_ = s_.bounds.possible;
        if (s_.nearest) look_around();
        visit(b_.n_levels - 1, 0);
        finish_rows();
    }

private:
    /// The neighbours of one point, in the making.
    struct Row {
        float sure, possible;  ///< the bounds, which shrink where only the nearest are wanted
        std::uint32_t* targets;
        std::size_t n;
        std::size_t n_dropped;  ///< found, but no longer in the row
    };

    /// Bounds for the k nearest of each point: those in some leaves around first, then those in its block.
    void look_around() noexcept {
        if (2 * s_.cap + 2 * leaf_size < room_) room_ = 2 * s_.cap + 2 * leaf_size;
        for (std::size_t p = 0; p < n_; ++p) rows_[p].sure = rows_[p].possible = first_bound(p);
        const std::size_t own = leaf_ / fanout;
        const std::size_t n = b_.n_leaves - own * fanout;
        visit_block(own, n < fanout ? (1U << n) - 1U : 0xFFFFU);
        visited_ = own;
        widest_ = 0.0F;
        for (std::size_t p = 0; p < n_; ++p) {
            if (rows_[p].n > s_.cap) shorten(p);
            if (rows_[p].possible > widest_) widest_ = rows_[p].possible;
        }
    }

    /// A bound that the k nearest lie within: what holds k of the points in some leaves around.
    float first_bound(std::size_t p) noexcept {
        constexpr std::size_t most = 16;
        float distances[most * leaf_size];
        const std::size_t wanted = s_.cap + (s_.loop ? 0 : 1);
        std::size_t n_leaves = 2 * wanted / leaf_size + 1;
        if (n_leaves > most) return V::infinity();
        if (n_leaves > b_.n_leaves) n_leaves = b_.n_leaves;
        std::size_t from = leaf_ > n_leaves / 2 ? leaf_ - n_leaves / 2 : 0;
        if (from + n_leaves > b_.n_leaves) from = b_.n_leaves - n_leaves;
        std::size_t n = 0;
        for (std::size_t leaf = from; leaf < from + n_leaves; ++leaf) {
            const LeafDistances near = leaf_distances(coordinates(leaf), b_.dimension, points_[p]);
            for (std::size_t v = 0; v < leaf_vectors; ++v) V::store(distances + n + v * V::lanes, near.sum[v]);
            const std::size_t left = b_.n_points - leaf * leaf_size;
            n += left < leaf_size ? left : leaf_size;
        }
        if (n < wanted) return V::infinity();
        // By definition those k are within the inner bound; so are the k nearest, which then meet the outer one.
        const float kth = kth_smallest(distances, n, wanted);
        return bounds_of(static_cast<double>(bounds_of(static_cast<double>(kth), b_.dimension).possible), b_.dimension)
            .possible;
    }

    /// Goes down to the leaves that come near the tile.
    // NOLINTNEXTLINE(misc-no-recursion): as deep as there are levels, at most 8
    void visit(std::size_t level, std::size_t block) noexcept {
        const std::size_t n = b_.n_boxes[level] - block * fanout;
        const float* boxes = b_.boxes[level] + block * b_.dimension * 2 * fanout;
        unsigned near = near_boxes(boxes, b_.dimension, low_, high_, widest_);
        if (n < fanout) near &= (1U << n) - 1U;
        if (s_.pairs) near &= from_own(level, block);
        if (level == 0) {
            if (near != 0 && block != visited_) visit_block(block, near);
            return;
        }
        if (level == 1) {
            for (unsigned left = active_; left != 0; left &= left - 1) {
                const auto p = static_cast<std::size_t>(__builtin_ctz(left));
                near_blocks_[p] = near_boxes(boxes, b_.dimension, points_[p], rows_[p].possible);
            }
        }
        for (; near != 0; near &= near - 1) {
            visit(level - 1, block * fanout + static_cast<std::size_t>(__builtin_ctz(near)));
        }
    }

    /// Of the boxes of a block those that the tile's own leaf lies in or before.
    [[nodiscard]] unsigned from_own(std::size_t level, std::size_t block) const noexcept {
        const std::size_t own = leaf_ >> 4 * level;
        if (own <= block * fanout) return 0xFFFFU;
        return own < (block + 1) * fanout ? 0xFFFFU << own % fanout : 0U;
    }

    void visit_block(std::size_t block, unsigned leaves) noexcept {
        const float* boxes = b_.boxes[0] + block * b_.dimension * 2 * fanout;
        for (unsigned left = active_; left != 0; left &= left - 1) {
            const auto p = static_cast<std::size_t>(__builtin_ctz(left));
            if ((near_blocks_[p] >> block % fanout & 1U) == 0) continue;
            unsigned near = leaves & near_boxes(boxes, b_.dimension, points_[p], rows_[p].possible);
            while (near != 0) {
                const std::size_t leaf = block * fanout + static_cast<std::size_t>(__builtin_ctz(near));
                near &= near - 1;
                if (V::registers < 32 || near == 0) {
                    keep_near(p, leaf, leaf_distances(coordinates(leaf), b_.dimension, points_[p]));
                    continue;
                }
                const std::size_t next = block * fanout + static_cast<std::size_t>(__builtin_ctz(near));
                near &= near - 1;
                LeafDistances r[2];
                leaf_distances(coordinates(leaf), coordinates(next), b_.dimension, points_[p], r);
                keep_near(p, leaf, r[0]);
                keep_near(p, next, r[1]);
            }
        }
    }

    [[nodiscard]] const float* coordinates(std::size_t leaf) const noexcept {
        return b_.coordinates + leaf * b_.dimension * leaf_size;
    }

    /// Adds the points of a leaf that are near enough to the row of point @p p.
    void keep_near(std::size_t p, std::size_t leaf, const LeafDistances& near) noexcept {
        Row& row = rows_[p];
        unsigned within[leaf_vectors];
        unsigned any = 0;
        for (std::size_t v = 0; v < leaf_vectors; ++v) {
            within[v] = V::less_equal(near.sum[v], V::set(row.possible));
            any |= within[v];
        }
        if (any == 0) return;
        if (row.n + leaf_size > room_) make_room(p);
        const std::uint32_t* index = b_.index + leaf * leaf_size;
        for (std::size_t v = 0; v < leaf_vectors; ++v) {
            unsigned in = within[v];
            const unsigned unsure = in & ~V::less_equal(near.sum[v], V::set(row.sure));
            if (unsure != 0) in &= ~beyond(unsure, p, leaf, v * V::lanes);
            if (s_.pairs) {
                if (leaf == leaf_) in &= behind(p, v);
                const std::size_t place = leaf * leaf_size + v * V::lanes;
                V::compress(row.targets + row.n, V::count_from(static_cast<std::uint32_t>(place)), in);
                row.n += static_cast<std::size_t>(__builtin_popcount(in));
                continue;
            }
            const V::U numbers = V::load_u(index + v * V::lanes);
            if (s_.undirected) in &= V::greater(numbers, V::set_u(index_[p]));
            if (leaf == leaf_ && p / V::lanes == v) {
                const unsigned itself = 1U << p % V::lanes;
                in = s_.loop ? in | itself : in & ~itself;
            }
            V::compress(row.targets + row.n, numbers, in);
            row.n += static_cast<std::size_t>(__builtin_popcount(in));
        }
    }

    /// The lanes of vector @p v of the own leaf that come behind point @p p.
    static unsigned behind(std::size_t p, std::size_t v) noexcept {
        if (p < v * V::lanes) return ~0U;
        return p < (v + 1) * V::lanes ? ~1U << p % V::lanes : 0U;
    }

    /// Which of the @p unsure points are not within the bound by definition.
    unsigned beyond(unsigned unsure, std::size_t p, std::size_t leaf, std::size_t first) const noexcept {
        unsigned out = 0;
        for (unsigned left = unsure; left != 0; left &= left - 1) {
            const auto lane = static_cast<unsigned>(__builtin_ctz(left));
            const float* other = s_.points + b_.index[leaf * leaf_size + first + lane] * b_.dimension;
            if (!(exact_distance2(points_[p], other, b_.dimension) <= s_.bounds.exact)) out |= 1U << lane;
        }
        return out;
    }

    void make_room(std::size_t p) noexcept {
        Row& row = rows_[p];
        if (s_.cap != 0 && row.n > s_.cap) return shorten(p);
        if (long_row_ != nullptr)
            __builtin_memcpy(long_row_ + row.n_dropped, row.targets, row.n * sizeof(std::uint32_t));
        row.n_dropped += row.n;
        row.n = 0;
    }

    /// Keeps of the row the nearest.
    void shorten(std::size_t p) noexcept {
        Row& row = rows_[p];
        const double farthest = keep_nearest(s_, index_[p], row.targets, row.n, t_.nearest);
        row.n_dropped += row.n - s_.cap;
        row.n = s_.cap;
        if (!s_.nearest) return;
        const float possible = bounds_of(farthest, b_.dimension).possible;
        if (possible < row.possible) row.possible = row.sure = possible;
    }

    void finish_rows() noexcept {
        std::size_t n_targets = 0;
        for (std::size_t p = 0; p < n_; ++p) {
            Row& row = rows_[p];
            if (row.n_dropped > 0 && s_.cap == 0) {
                write_long_row(p);
                row.n = 0;
                continue;
            }
            const std::size_t n_found = s_.nearest ? b_.n_points - (s_.loop ? 0 : 1) : row.n + row.n_dropped;
            if (s_.cap != 0 && row.n > s_.cap) shorten(p);
            if (s_.cap != 0 && n_found > s_.cap) ++t_.n_truncated;
            s_.counts[number(p)] = static_cast<std::int64_t>(n_found);
            n_targets += row.n;
        }
        std::size_t at = 0;
        std::uint32_t* room = take_room(s_, n_targets, at);
        for (std::size_t p = 0; p < n_; ++p) {
            const Row& row = rows_[p];
            if (row.n_dropped > 0 && s_.cap == 0) continue;
            s_.first[number(p)] = at;
            at += row.n;
            if (room == nullptr) continue;
            if (!s_.pairs) sort_row(row.targets, row.n);
            __builtin_memcpy(room, row.targets, row.n * sizeof(std::uint32_t));
            room += row.n;
        }
    }

    /// What the lists know point @p p by.
    [[nodiscard]] std::size_t number(std::size_t p) const noexcept {
        return s_.pairs ? leaf_ * leaf_size + p : index_[p];
    }

    /// A row that is longer than the scratch was only counted: the search is done again for it alone, and written piece
    /// by piece.
    void write_long_row(std::size_t p) noexcept {
        Row& row = rows_[p];
        const std::size_t n = row.n_dropped + row.n;
        s_.counts[number(p)] = static_cast<std::int64_t>(n);
        std::size_t at = 0;
        long_row_ = take_room(s_, n, at);
        s_.first[number(p)] = at;
        if (long_row_ == nullptr) return;
        row.n = row.n_dropped = 0;
        active_ = 1U << p;
        visit(b_.n_levels - 1, 0);
        __builtin_memcpy(long_row_ + row.n_dropped, row.targets, row.n * sizeof(std::uint32_t));
        row.n_dropped = n;
        if (!s_.pairs) sort_long_row(long_row_, n);
        long_row_ = nullptr;
    }

    const RadiusSearch& s_;
    const PointBlocks& b_;
    RowScratch& t_;
    std::size_t leaf_;
    const std::uint32_t* index_;
    std::size_t n_ = 0;
    std::uint32_t active_;                                ///< a bit for each point that searches
    std::size_t room_ = 0;                                ///< in each row
    float widest_ = 0.0F;                                 ///< of the points' bounds
    std::size_t visited_ = static_cast<std::size_t>(-1);  ///< a block that is done already
    std::uint32_t* long_row_ = nullptr;
    Row rows_[leaf_size];
    unsigned near_blocks_[leaf_size];  ///< bits for the blocks of the node of level 1 that is visited
    float points_[leaf_size][max_dimension];
    float low_[max_dimension], high_[max_dimension];
};

void find_rows(const RadiusSearch& search, std::size_t leaf, RowScratch& scratch) noexcept {
    Tile(search, leaf, scratch).run();
}

void widen(const std::uint32_t* from, std::size_t n, std::int64_t* to) noexcept {
    std::size_t i = 0;
    for (; i + V::lanes <= n; i += V::lanes) V::widen(from + i, to + i);
    for (; i < n; ++i) to[i] = from[i];
}

constexpr RadiusSteps radius_steps{find_rows, widen, sort_row};
