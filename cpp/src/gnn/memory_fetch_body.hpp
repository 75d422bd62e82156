// Asks for the memory of the next tile while this one is worked on, behind memory_edges_body.hpp in the namespace of
// the file that includes all. Nothing that is computed hangs on it.
//
// Rows of other nodes lie anywhere, and also what is stored must come from memory first: a tile that waits for them
// takes several times as long. Linear operations, which wait for nothing, ask for a few rows with each of their blocks.

/// Rows of @p i in tile @p t that are to be asked for.
inline std::int32_t rows_to_fetch(const Instruction& i, const Tile& t) {
    switch (i.code) {
        case Code::load_rows: return i.array2 < 0 ? t.n : 2 * t.n;
        case Code::load_tiles:
        case Code::store_tiles:
        case Code::store_rows: return t.n;
        case Code::reduce: return edges_of(t.event, i.end, t.first, t.n).n;
        default: return 0;
    }
}

/// Asks for rows [first, last) of them.
inline void fetch_rows(const Instruction& i, const Tile& t, std::int32_t first, std::int32_t last) {
    if (i.code == Code::reduce) {
        const EdgeList list = edges_of(t.event, i.end, t.first, t.n);
        for (std::int32_t k = first; k < last; ++k) {
            const std::int32_t edge = list.edge(k);
            fetch_row(reduced_row(i, t.event, edge), i.width);
            if (i.array2 >= 0) fetch(t.event.arrays[i.array2].data + edge);
        }
        return;
    }
    const ArrayView& array = t.event.arrays[i.array];
    if (i.code != Code::load_rows) {
        const float* data = array.data + static_cast<std::ptrdiff_t>(t.first) * array.stride;
        for (std::int32_t k = first; k < last; ++k)
            fetch_row(data + static_cast<std::ptrdiff_t>(k) * array.stride, i.width);
        return;
    }
    for (std::int32_t k = first; k < last; ++k) {
        const bool second = k >= t.n;
        const float* row =
            second ? row_of(t, t.event.arrays[i.array2], i.index2, k - t.n) : row_of(t, array, i.index, k);
        fetch_row(row, i.width);
    }
}

/// What is still to be asked for.
struct Ahead {
    const Program& program;
    Tile next;
    std::int32_t instruction = 0;
    std::int32_t row = 0;
    std::int32_t per_block = 0;  ///< rows that each block of a linear operation asks for
};

inline void fetch_some(Ahead& a) {
    for (std::int32_t left = a.per_block; left > 0 && a.instruction < a.program.n;) {
        const Instruction& i = a.program.instructions[a.instruction];
        const std::int32_t n = rows_to_fetch(i, a.next);
        const std::int32_t last = smaller(n, a.row + left);
        fetch_rows(i, a.next, a.row, last);
        left -= last - a.row;
        a.row = last;
        if (last < n) return;
        ++a.instruction;
        a.row = 0;
    }
}
