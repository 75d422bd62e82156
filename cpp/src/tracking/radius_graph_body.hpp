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

/// Sorts R vectors, read as columns first, by a bitonic network: columns among themselves, then pairs of columns, pairs
/// of those, until all are one; the transposition at the end makes it the order of memory.
template <std::size_t R>
void sort_vectors(std::uint32_t* row, std::size_t n) noexcept {
    V::U r[R];
    for (std::size_t i = n; i < R * V::lanes; ++i) row[i] = 0xFFFFFFFFU;
    for (std::size_t i = 0; i < R; ++i) r[i] = V::load_u(row + i * V::lanes);
    const auto compare = [&](std::size_t a, std::size_t b) {
        const V::U low = V::min(r[a], r[b]);
        r[b] = V::max(r[a], r[b]);
        r[a] = low;
    };
    for (std::size_t p = 1; p < R; p *= 2) {  // Batcher's odd-even merge sort of each column
        for (std::size_t k = p; k >= 1; k /= 2) {
            for (std::size_t j = k % p; j + k < R; j += 2 * k) {
                for (std::size_t i = 0; i < k && i + j + k < R; ++i) {
                    if ((i + j) / (2 * p) == (i + j + k) / (2 * p)) compare(i + j, i + j + k);
                }
            }
        }
    }
    for (unsigned w = 1; w < V::lanes; w *= 2) {
        V::U partner[R];
        for (std::size_t i = 0; i < R; ++i) partner[i] = V::exchange(r[R - 1 - i], 2 * w - 1);
        for (std::size_t i = 0; i < R; ++i) r[i] = V::min_max(r[i], partner[i], w);
        for (unsigned h = w / 2; h >= 1; h /= 2) {
            for (std::size_t i = 0; i < R; ++i) r[i] = V::min_max(r[i], V::exchange(r[i], h), h);
        }
        for (std::size_t h = R / 2; h >= 1; h /= 2) {
            for (std::size_t i = 0; i < R; ++i) {
                if ((i & h) == 0) compare(i, i + h);
            }
        }
    }
    for (std::size_t s = 1; s < R; s *= 2) {
        V::U t[R];
        for (std::size_t i = 0; i < R / 2; ++i) {
            t[2 * i] = V::interleave_low(r[i], r[i + R / 2]);
            t[2 * i + 1] = V::interleave_high(r[i], r[i + R / 2]);
        }
        for (std::size_t i = 0; i < R; ++i) r[i] = t[i];
    }
    for (std::size_t i = 0; i < R; ++i) V::store_u(row + i * V::lanes, r[i]);
}

void sort_row(std::uint32_t* row, std::size_t n) noexcept {
    if (n < 2) return;
    if (n <= V::lanes) return sort_vectors<1>(row, n);
    if (n <= 2 * V::lanes) return sort_vectors<2>(row, n);
    if (n <= 4 * V::lanes) return sort_vectors<4>(row, n);
    if (n <= 8 * V::lanes) return sort_vectors<8>(row, n);
    if (V::registers >= 32 && n <= 16 * V::lanes) return sort_vectors<16>(row, n);
    sort_long_row(row, n);
}

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

inline LeafDistances leaf_distances(const float* leaf, std::size_t dimension, const float* point) noexcept {
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

/// Searches for the points of one leaf.
class Tile {
public:
    Tile(const RadiusSearch& search, std::size_t leaf, RowScratch& scratch) noexcept
        : s_(search), b_(search.blocks), t_(scratch), leaf_(leaf), index_(b_.index + leaf * leaf_size) {
        while (n_ < leaf_size && index_[n_] != PointBlocks::no_point) ++n_;
        const float* from = b_.coordinates + leaf * b_.dimension * leaf_size;
        for (std::size_t p = 0; p < n_; ++p) {
            for (std::size_t d = 0; d < b_.dimension; ++d) points_[p][d] = from[d * leaf_size + p];
        }
        for (std::size_t d = 0; d < b_.dimension; ++d) {
            const float* box = b_.boxes[0] + ((leaf / fanout) * b_.dimension + d) * 2 * fanout + leaf % fanout;
            low_[d] = box[0];
            high_[d] = box[fanout];
        }
    }

    void run() noexcept {
        float possible[leaf_size];
        float widest = s_.bounds.possible;
        if (s_.nearest) {
            widest = 0.0F;
            for (std::size_t p = 0; p < n_; ++p) {
                possible[p] = first_bound(p);
                if (possible[p] > widest) widest = possible[p];
            }
        }
        collect(b_.n_levels - 1, 0, widest);
        if (s_.nearest) put_own_block_first();
        for (std::size_t p = 0; p < n_; ++p) {
            bounds_ = s_.bounds;
            if (s_.nearest) bounds_.possible = bounds_.sure = possible[p];
            find_row(p);
            finish_row(p);
        }
    }

private:
    void put_own_block_first() noexcept {
        for (std::size_t i = 1; i < n_hits_; ++i) {
            if (t_.hits[i].block != leaf_ / fanout) continue;
            const BlockHit own = t_.hits[i];
            t_.hits[i] = t_.hits[0];
            t_.hits[0] = own;
        }
    }

    /// A bound that the k nearest lie within: what holds k of the points in some leaves around.
    float first_bound(std::size_t p) noexcept {
        constexpr std::size_t most = 16;
        float distances[most * leaf_size];
        const std::size_t wanted = s_.cap + (s_.loop ? 0 : 1);
        std::size_t n_leaves = 2 * wanted / leaf_size + 1;
        if (wanted > most * leaf_size / 2) return V::infinity();
        if (n_leaves > b_.n_leaves) n_leaves = b_.n_leaves;
        std::size_t from = leaf_ > n_leaves / 2 ? leaf_ - n_leaves / 2 : 0;
        if (from + n_leaves > b_.n_leaves) from = b_.n_leaves - n_leaves;
        std::size_t n = 0;
        for (std::size_t leaf = from; leaf < from + n_leaves; ++leaf) {
            const LeafDistances near =
                leaf_distances(b_.coordinates + leaf * b_.dimension * leaf_size, b_.dimension, points_[p]);
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

    /// Lists the blocks of leaves that come within @p possible of the tile.
    void collect(std::size_t level, std::size_t block, float possible) noexcept {
        const std::size_t n = b_.n_boxes[level] - block * fanout;
        const float* boxes = b_.boxes[level] + block * b_.dimension * 2 * fanout;
        unsigned near = near_boxes(boxes, b_.dimension, low_, high_, possible);
        if (n < fanout) near &= (1U << n) - 1U;
        if (level == 0) {
            if (near != 0) t_.hits[n_hits_++] = {static_cast<std::uint32_t>(block), near};
            return;
        }
        for (; near != 0; near &= near - 1) {
            collect(level - 1, block * fanout + static_cast<std::size_t>(__builtin_ctz(near)), possible);
        }
    }

    /// Writes the neighbours of point @p p, in any order, behind the pending rows.
    void find_row(std::size_t p) noexcept {
        const std::size_t wanted = s_.nearest ? 2 * s_.cap + 2 * leaf_size : t_.capacity / 4;
        if (t_.capacity - t_.n_entries < wanted || t_.n_pending == RowScratch::max_pending) flush_rows(s_, t_);
        room_ = s_.nearest ? wanted : t_.capacity - t_.n_entries;
        row_ = t_.row + t_.n_entries;
        n_row_ = 0;
        n_dropped_ = 0;
        scan_blocks(p);
        if (n_dropped_ > 0 && s_.cap == 0) scan_again(p);
    }

    /// A row that is longer than the scratch: it was only counted, and is written to the store piece by piece.
    void scan_again(std::size_t p) noexcept {
        const std::size_t n = n_dropped_ + n_row_;
        n_row_ = 0;
        n_dropped_ = 0;
        long_row_ = take_room(s_, index_[p], n);
        if (long_row_ != nullptr) {
            scan_blocks(p);
            __builtin_memcpy(long_row_ + n_dropped_, row_, n_row_ * sizeof(std::uint32_t));
            sort_long_row(long_row_, n);
        }
        long_row_ = nullptr;
        s_.counts[index_[p]] = static_cast<std::int64_t>(n);
        is_written_ = true;
    }

    void scan_blocks(std::size_t p) noexcept {
        for (std::size_t i = 0; i < n_hits_; ++i) {
            const BlockHit hit = t_.hits[i];
            const float* boxes = b_.boxes[0] + hit.block * b_.dimension * 2 * fanout;
            unsigned near = hit.leaves & near_boxes(boxes, b_.dimension, points_[p], bounds_.possible);
            for (; near != 0; near &= near - 1) {
                scan_leaf(p, hit.block * fanout + static_cast<std::size_t>(__builtin_ctz(near)));
            }
        }
    }

    void finish_row(std::size_t p) noexcept {
        if (is_written_) {
            is_written_ = false;
            return;
        }
        std::size_t n_found = n_row_ + n_dropped_;
        if (s_.nearest) n_found = b_.n_points - (s_.loop ? 0 : 1);
        if (s_.cap != 0 && n_row_ > s_.cap) shorten(p);
        if (s_.cap != 0 && n_found > s_.cap) ++t_.n_truncated;
        sort_row(row_, n_row_);
        s_.counts[index_[p]] = static_cast<std::int64_t>(n_found);
        t_.pending_point[t_.n_pending] = index_[p];
        t_.pending_size[t_.n_pending++] = static_cast<std::uint32_t>(n_row_);
        t_.n_entries += n_row_;
    }

    /// Keeps of the row the nearest.
    void shorten(std::size_t p) noexcept {
        const double farthest = keep_nearest(s_, index_[p], row_, n_row_, t_.nearest);
        n_dropped_ += n_row_ - s_.cap;
        n_row_ = s_.cap;
        if (!s_.nearest) return;
        const float possible = bounds_of(farthest, b_.dimension).possible;
        if (possible < bounds_.possible) bounds_.possible = bounds_.sure = possible;
    }

    void make_room(std::size_t p) noexcept {
        if (s_.cap != 0 && n_row_ > s_.cap) return shorten(p);
        if (long_row_ != nullptr) __builtin_memcpy(long_row_ + n_dropped_, row_, n_row_ * sizeof(std::uint32_t));
        n_dropped_ += n_row_;
        n_row_ = 0;
    }

    void scan_leaf(std::size_t p, std::size_t leaf) noexcept {
        const std::size_t dimension = b_.dimension;
        const LeafDistances near = leaf_distances(b_.coordinates + leaf * dimension * leaf_size, dimension, points_[p]);
        unsigned within[leaf_vectors];
        unsigned any = 0;
        for (std::size_t v = 0; v < leaf_vectors; ++v) {
            within[v] = V::less_equal(near.sum[v], V::set(bounds_.possible));
            any |= within[v];
        }
        if (any == 0) return;
        if (n_row_ + leaf_size > room_) make_room(p);
        const std::uint32_t* index = b_.index + leaf * leaf_size;
        for (std::size_t v = 0; v < leaf_vectors; ++v) {
            unsigned in = within[v];
            const unsigned unsure = in & ~V::less_equal(near.sum[v], V::set(bounds_.sure));
            if (unsure != 0) in &= ~beyond(unsure, p, leaf, v * V::lanes);
            const V::U numbers = V::load_u(index + v * V::lanes);
            if (s_.undirected) in &= V::greater(numbers, V::set_u(index_[p]));
            if (leaf == leaf_ && p / V::lanes == v) {
                const unsigned itself = 1U << p % V::lanes;
                in = s_.loop ? in | itself : in & ~itself;
            }
            V::compress(row_ + n_row_, numbers, in);
            n_row_ += static_cast<std::size_t>(__builtin_popcount(in));
        }
    }

    /// Which of the @p unsure points are not within the bound by definition.
    unsigned beyond(unsigned unsure, std::size_t p, std::size_t leaf, std::size_t first) const noexcept {
        unsigned out = 0;
        for (unsigned left = unsure; left != 0; left &= left - 1) {
            const unsigned lane = static_cast<unsigned>(__builtin_ctz(left));
            const std::uint32_t other = b_.index[leaf * leaf_size + first + lane];
            if (other == PointBlocks::no_point ||
                !(exact_distance2(points_[p], s_.points + other * b_.dimension, b_.dimension) <= bounds_.exact)) {
                out |= 1U << lane;
            }
        }
        return out;
    }

    const RadiusSearch& s_;
    const PointBlocks& b_;
    RowScratch& t_;
    std::size_t leaf_;
    const std::uint32_t* index_;
    std::size_t n_ = 0;
    std::size_t n_hits_ = 0;
    std::uint32_t* row_ = nullptr;  ///< the row in the making
    std::size_t room_ = 0;          ///< for it
    std::size_t n_row_ = 0;
    std::size_t n_dropped_ = 0;  ///< found, but no longer in the row
    std::uint32_t* long_row_ = nullptr;
    bool is_written_ = false;
    DistanceBounds bounds_ = {};
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
