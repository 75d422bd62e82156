// Loads, stores and sums over edges, behind kernels_body.hpp in the namespace of the file that includes both.

inline std::ptrdiff_t tile_place(const Tile& t, const ArrayView& array) {
    return static_cast<std::ptrdiff_t>(t.number) * tile_rows * array.stride;
}

inline void run_load_tiles(const Instruction& i, const Tile& t) {
    const ArrayView& array = t.event.arrays[i.array];
    const float* from = array.data + tile_place(t, array);
    float* out = column(t.scratch, i.out);
    for_columns(i.width, [&](int p) { store(out + p, load(from + p)); });
}

inline void run_store_tiles(const Instruction& i, const Tile& t) {
    const ArrayView& array = t.event.arrays[i.array];
    float* to = array.data + tile_place(t, array);
    const float* in = column(t.scratch, i.in);
    for_columns(i.width, [&](int p) { store(to + p, load(in + p)); });
}

inline void run_load_event(const Instruction& i, const Tile& t) {
    const float* from = t.event.arrays[i.array].data;
    float* out = column(t.scratch, i.out);
    for (int c = 0; c < i.width; ++c) {
        for (int p = 0; p < tile_rows; p += lanes) store(out + c * column_size + p, all(from[c * column_size]));
    }
}

/// Where row @p row of the tile lies in an array; rows behind the last repeat the last.
inline const float* row_of(const Tile& t, const ArrayView& array, Index index, int row) {
    std::int32_t place = t.first + smaller(row, t.n - 1);
    switch (index) {
        case Index::self: break;
        case Index::source: place = t.event.source[place]; break;
        case Index::target: place = t.event.target[place]; break;
        case Index::caller: place = t.event.caller[place]; break;
    }
    return array.data + static_cast<std::ptrdiff_t>(place) * array.stride;
}

/// Transposes lanes rows to columns, a block of lanes columns at a time.
template <class LoadRow>
inline void rows_to_columns(float* out, int width, LoadRow&& load_row) {
    for (int c = 0; c < width; c += lanes) {
        const int n = smaller(lanes, width - c);
        Vector block[lanes];
        for (int r = 0; r < lanes; ++r) block[r] = load_row(r, c, n);
        transpose(block);
        for (int j = 0; j < n; ++j) store(out + (c + j) * column_size, block[j]);
    }
}

inline void run_load_rows(const Instruction& i, const Tile& t) {
    const ArrayView& first = t.event.arrays[i.array];
    for (int group = 0; group < tile_groups; ++group) {
        const float* rows[lanes];
        const float* added[lanes];
        for (int r = 0; r < lanes; ++r) rows[r] = row_of(t, first, i.index, group * lanes + r);
        float* out = column(t.scratch, i.out) + group * vector_size;
        if (i.array2 < 0) {
            rows_to_columns(out, i.width, [&](int r, int c, int n) { return load_first(rows[r] + c, n); });
            continue;
        }
        const ArrayView& second = t.event.arrays[i.array2];
        for (int r = 0; r < lanes; ++r) added[r] = row_of(t, second, i.index2, group * lanes + r);
        rows_to_columns(out, i.width,
                        [&](int r, int c, int n) { return load_first(rows[r] + c, n) + load_first(added[r] + c, n); });
    }
}

inline void run_store_rows(const Instruction& i, const Tile& t) {
    const ArrayView& array = t.event.arrays[i.array];
    for (int group = 0; group < tile_groups && group * lanes < t.n; ++group) {
        const float* in = column(t.scratch, i.in) + group * vector_size;
        float* to = array.data + (t.first + group * vector_size) * array.stride;
        const int n_rows = smaller(lanes, t.n - group * lanes);
        for (int c = 0; c < i.width; c += lanes) {
            const int n = smaller(lanes, i.width - c);
            Vector block[lanes];
            for (int j = 0; j < lanes; ++j) block[j] = j < n ? load(in + (c + j) * column_size) : all(0.0f);
            transpose(block);
            for (int r = 0; r < n_rows; ++r) {
                store_first(to + static_cast<std::ptrdiff_t>(r) * array.stride + c, n, block[r]);
            }
        }
    }
}

// --- sums over edges ------------------------------------------------------------------------------------------------

struct EdgeList {
    const std::int32_t* edges;  ///< null: they are numbered in order
    std::int32_t first;
    std::int32_t n;

    [[nodiscard]] std::int32_t edge(std::int32_t k) const { return edges == nullptr ? first + k : edges[first + k]; }
    /// The one some places on, which may be the next node's.
    [[nodiscard]] std::int32_t ahead(std::int32_t k, std::int32_t n_edges) const {
        const std::int32_t last = n_edges - 1 - first;
        return edge(k + 8 < last ? k + 8 : last);
    }
};

inline EdgeList edges_of(const EventView& event, End end, std::int32_t node) {
    const std::int32_t* first = end == End::target ? event.first_in : event.first_out;
    return {end == End::target ? nullptr : event.edges_out, first[node], first[node + 1] - first[node]};
}

inline const float* reduced_row(const Instruction& i, const EventView& event, std::int32_t edge) {
    const std::int32_t row = i.index == Index::self     ? edge
                             : i.index == Index::source ? event.source[edge]
                             : i.index == Index::target ? event.target[edge]
                                                        : event.caller[edge];
    const ArrayView& array = event.arrays[i.array];
    return array.data + static_cast<std::ptrdiff_t>(row) * array.stride;
}

inline void fetch_row(const float* row, int width) {
    for (int c = 0; c < width; c += 16) __builtin_prefetch(row + c);
}

enum class Reduction : unsigned char { sum, weighted_sum, largest, smallest };

/// Combines N vectors of columns of the edges of one node, in the order of the list.
template <int N, Reduction R>
inline void reduce_columns(const Instruction& i, const EventView& event, const EdgeList& list, int column, int last,
                           float* to) {
    const float* factors = i.array2 < 0 ? nullptr : event.arrays[i.array2].data;
    const bool sums = R == Reduction::sum || R == Reduction::weighted_sum;
    Vector sum[N];
    for (int v = 0; v < N; ++v) sum[v] = all(sums ? 0.0f : i.a);
    for (std::int32_t k = 0; k < list.n; ++k) {
        const std::int32_t edge = list.edge(k);
        // Rows of other nodes lie anywhere: those of the edges to come are asked for early.
        if (column == 0) fetch_row(reduced_row(i, event, list.ahead(k, event.n_edges)), i.width);
        const float* row = reduced_row(i, event, edge) + column;
        const Vector factor = all(factors == nullptr ? 1.0f : factors[edge]);
        for (int v = 0; v < N; ++v) {
            Vector x = v + 1 < N ? load(row + v * vector_size) : load_first(row + v * vector_size, last);
            if (R == Reduction::weighted_sum) sum[v] = fma(x, factor, sum[v]);
            if (R == Reduction::sum) sum[v] = sum[v] + x;
            if (!sums && factors != nullptr) x = x * factor;
            if (R == Reduction::largest) sum[v] = larger(sum[v], x);
            if (R == Reduction::smallest) sum[v] = lesser(sum[v], x);
        }
    }
    if (i.how == How::mean) {
        const Vector n = all(static_cast<float>(list.n > 0 ? list.n : 1));
        for (int v = 0; v < N; ++v) sum[v] = sum[v] / n;
    }
    for (int v = 0; v < N; ++v) store(to + column + v * vector_size, sum[v]);
}

template <Reduction R>
inline void reduce_row(const Instruction& i, const EventView& event, const EdgeList& list, float* to) {
    constexpr int most = 80 / lanes < 8 ? 80 / lanes : 8;
    for (int c = 0; c < i.width;) {
        const int left = i.width - c;
        if (left > 4 * lanes && left <= 5 * lanes && most >= 5) {
            return reduce_columns<5, R>(i, event, list, c, left - 4 * lanes, to);
        }
        if (left > 4 * lanes) {
            reduce_columns<4, R>(i, event, list, c, lanes, to);
            c += 4 * lanes;
            continue;
        }
        const int n = (left + lanes - 1) / lanes;
        const int last = left - (n - 1) * lanes;
        if (n == 4) return reduce_columns<4, R>(i, event, list, c, last, to);
        if (n == 3) return reduce_columns<3, R>(i, event, list, c, last, to);
        if (n == 2) return reduce_columns<2, R>(i, event, list, c, last, to);
        return reduce_columns<1, R>(i, event, list, c, last, to);
    }
}

template <Reduction R>
inline void reduce_rows(const Instruction& i, const Tile& t, int stride) {
    for (int r = 0; r < tile_rows; ++r) {
        const EdgeList list = edges_of(t.event, i.end, t.first + smaller(r, t.n - 1));
        reduce_row<R>(i, t.event, list, t.scratch.rows + static_cast<std::ptrdiff_t>(r) * stride);
    }
}

inline void run_reduce(const Instruction& i, const Tile& t) {
    const int stride = (i.width + 15) / 16 * 16;
    switch (i.how) {
        case How::max: reduce_rows<Reduction::largest>(i, t, stride); break;
        case How::min: reduce_rows<Reduction::smallest>(i, t, stride); break;
        default:
            i.array2 < 0 ? reduce_rows<Reduction::sum>(i, t, stride)
                         : reduce_rows<Reduction::weighted_sum>(i, t, stride);
    }
    for (int group = 0; group < tile_groups; ++group) {
        const float* rows = t.scratch.rows + group * vector_size * stride;
        rows_to_columns(column(t.scratch, i.out) + group * vector_size, i.width, [&](int r, int c, int n) {
            return load_first(rows + static_cast<std::ptrdiff_t>(r) * stride + c, n);
        });
    }
}

inline void run_degree(const Instruction& i, const Tile& t) {
    float* out = column(t.scratch, i.out);
    for (int r = 0; r < tile_rows; ++r) {
        out[r] = static_cast<float>(edges_of(t.event, i.end, t.first + smaller(r, t.n - 1)).n);
    }
}

inline void run_output(const Instruction& i, const Tile& t) {
    float values[tile_rows];
    const float* in = column(t.scratch, i.in);
    for (int p = 0; p < tile_rows; p += lanes) {
        const Vector value = t.event.scores ? sigmoid_of(load(in + p)) : load(in + p);
        // Which bits an operation gives to what is not a number hangs on its operands' order: here they become one.
        store(values + p, select(not_number(value), all(__builtin_nanf("")), value));
    }
    for (int r = 0; r < t.n; ++r) {
        t.event.out[t.event.caller[t.first + r]] = values[r];
        if (!__builtin_isfinite(in[r])) t.scratch.not_finite = true;
    }
}
