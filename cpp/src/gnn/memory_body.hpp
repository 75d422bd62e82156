// Loads, stores and sums over edges, behind kernels_body.hpp in the namespace of the file that includes both.

inline std::ptrdiff_t tile_place(const Tile& t, const ArrayView& array) {
    return static_cast<std::ptrdiff_t>(t.number) * tile_rows * array.stride;
}

[[gnu::noinline]] inline void run_load_tiles(const Instruction& i, const Tile& t) {
    const ArrayView& array = t.event.arrays[i.array];
    const float* from = array.data + tile_place(t, array);
    float* out = column(t.scratch, i.out);
    for_columns(i.width, [&](int p) { store(out + p, load(from + p)); });
}

[[gnu::noinline]] inline void run_store_tiles(const Instruction& i, const Tile& t) {
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

/// The row of an array that belongs to row @p i of a domain.
[[gnu::always_inline]] inline std::int32_t row_at(const EventView& event, Index index, Kind kind, std::int32_t i) {
    switch (index) {
        case Index::self: return i;
        case Index::source: return event.source[i];
        case Index::target: return event.target[i];
        case Index::caller: return kind == Kind::edge ? event.caller[i] : event.nodes[i];
        case Index::caller_source: return event.nodes[event.source[i]];
        case Index::caller_target: return event.nodes[event.target[i]];
    }
    return i;
}

/// Where a tile's rows lie in an array.
struct TileRows {
    TileRows(const Tile& of, const ArrayView& in, Index by)
        : tile(of),
          array(in),
          index(by),
          ends(by == Index::source   ? of.event.source
               : by == Index::target ? of.event.target
                                     : nullptr) {}

    /// Of row @p k of the tile; rows behind the last repeat the last.
    [[gnu::always_inline]] const float* row(std::int32_t k) const {
        const std::int32_t i = tile.first + smaller(k, tile.n - 1);
        const std::int32_t place = ends != nullptr ? ends[i] : row_at(tile.event, index, tile.kind, i);
        return array.data + static_cast<std::ptrdiff_t>(place) * array.stride;
    }

    const Tile& tile;
    const ArrayView array;
    const Index index;
    const std::int32_t* ends;  ///< null: neither end of an edge tells
};

/// Asks for a cache line. In assembly, since gcc 12 takes a function that only prefetches for one without any effect,
/// and drops its calls.
inline void fetch(const float* line) {
#if defined(__x86_64__)
    asm volatile("prefetcht1 %0" : : "m"(*line));
#else
    __builtin_prefetch(line, 0, 2);
#endif
}

/// Transposes lanes rows to columns, a block of lanes columns at a time.
template <class LoadRow>
[[gnu::always_inline]] inline void rows_to_columns(float* out, int width, LoadRow&& load_row) {
    for (int c = 0; c < width; c += lanes) {
        const int n = smaller(lanes, width - c);
        Vector block[lanes];
        repeat<lanes>([&](auto r) { block[r] = load_row(r, c, n); });
        transpose(block);
        repeat<lanes>([&](auto j) {
            if (j < n) store(out + (c + j) * column_size, block[j]);
        });
    }
}

[[gnu::noinline]] inline void run_load_rows(const Instruction& i, const Tile& t) {
    const TileRows first(t, t.event.arrays[i.array], i.index);
    for (int group = 0; group < tile_groups; ++group) {
        const float* rows[lanes];
        const float* added[lanes];
        for (int r = 0; r < lanes; ++r) rows[r] = first.row(group * lanes + r);
        float* out = column(t.scratch, i.out) + group * vector_size;
        if (i.array2 < 0) {
            rows_to_columns(out, i.width, [&](int r, int c, int n) { return load_first(rows[r] + c, n); });
            continue;
        }
        const TileRows second(t, t.event.arrays[i.array2], i.index2);
        for (int r = 0; r < lanes; ++r) added[r] = second.row(group * lanes + r);
        rows_to_columns(out, i.width,
                        [&](int r, int c, int n) { return load_first(rows[r] + c, n) + load_first(added[r] + c, n); });
    }
}

[[gnu::noinline]] inline void run_store_rows(const Instruction& i, const Tile& t) {
    const ArrayView& array = t.event.arrays[i.array];
    for (int group = 0; group < tile_groups && group * lanes < t.n; ++group) {
        const float* in = column(t.scratch, i.in) + group * vector_size;
        float* to = array.data + (t.first + group * vector_size) * array.stride;
        const int n_rows = smaller(lanes, t.n - group * lanes);
        for (int c = 0; c < i.width; c += lanes) {
            const int n = smaller(lanes, i.width - c);
            Vector block[lanes];
            repeat<lanes>([&](auto j) { block[j] = j < n ? load(in + (c + j) * column_size) : all(0.0f); });
            transpose(block);
            // Rows of whole vectors are written whole, with zeros behind the last column.
            const bool whole = c + lanes <= array.stride;
            repeat<lanes>([&](auto r) {
                if (r >= n_rows) return;
                float* place = to + std::ptrdiff_t{r} * array.stride + c;
                whole ? store(place, block[r]) : store_first(place, n, block[r]);
            });
        }
    }
}

[[gnu::noinline]] inline void run_output(const Instruction& i, const Tile& t) {
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
