// Asks for the memory of the next tile while this one is worked on, behind memory_edges_body.hpp in the namespace of
// the file that includes all. Nothing that is computed hangs on it.
//
// Rows of other nodes lie anywhere, and also what is stored must come from memory first: a tile that waits for them
// takes several times as long. Linear operations, which wait for nothing, ask for them: with each of a block's inputs
// for a line of a row out of a list. A row is looked up once for all of its lines, and what asks for them takes slots
// that multiply-adds leave free.

/// Lists of rows that an instruction reads or writes.
inline int n_lists(const Instruction& i) {
    switch (i.code) {
        case Code::load_rows:
        case Code::reduce: return i.array2 < 0 ? 1 : 2;
        case Code::load_tiles:
        case Code::store_tiles:
        case Code::store_rows: return 1;
        default: return 0;
    }
}

/// Rows of each of them in tile @p t.
inline std::int32_t rows_to_fetch(const Instruction& i, const Tile& t) {
    return i.code == Code::reduce ? edges_of(t.event, i.end, t.first, t.n).n : t.n;
}

/// Cache lines of each row of list @p list.
inline int lines_to_fetch(const Instruction& i, int list) {
    return i.code == Code::reduce && list == 1 ? 1 : (i.width + 15) / 16;
}

/// Puts rows [first, last) of list @p list down.
inline void list_rows(const Instruction& i, const Tile& t, int list, std::int32_t first, std::int32_t last,
                      const float** rows) {
    const ArrayView& array = t.event.arrays[list == 0 ? i.array : i.array2];
    if (i.code == Code::reduce) {
        const EdgeList edges = edges_of(t.event, i.end, t.first, t.n);
        const ReducedRows reduced(i, t.event, edges);
        for (std::int32_t k = first; k < last; ++k) *rows++ = list == 0 ? reduced.row(k) : array.data + edges.edge(k);
        return;
    }
    const Index index = i.code != Code::load_rows ? Index::self : list == 0 ? i.index : i.index2;
    const TileRows of_tile(t, array, index);
    for (std::int32_t k = first; k < last; ++k) *rows++ = of_tile.row(k);
}

/// What is still to be asked for.
struct Ahead {
    const Program& program;
    Tile next;
    const float** rows;  ///< room for most_ahead: this list's, and behind them its last as often as a block has inputs
    std::int64_t passes = 0;  ///< over a list, for one line of each row, that are to come
    int blocks = 0;           ///< of linear operations that are to come, which share them
    std::int32_t instruction = 0;
    int list = 0;
    std::int32_t row = 0;  ///< that the next list begins with
    int n = 0;             ///< rows of this list
    int n_filled = 0;
    int line = 0;  ///< of each row, next
    int n_lines = 0;
};

constexpr int list_size = 64;  ///< rows of a list

/// Passes over lists, each for one line of a row, that a program asks for.
inline std::int64_t n_passes(const Program& program, const Tile& next) {
    std::int64_t passes = 0;
    for (std::int32_t k = 0; k < program.n; ++k) {
        const Instruction& i = program.instructions[k];
        for (int list = 0; list < n_lists(i); ++list) {
            const std::int64_t lists = (std::int64_t{rows_to_fetch(i, next)} + list_size - 1) / list_size;
            passes += lists * lines_to_fetch(i, list);
        }
    }
    return passes;
}

/// The next list; false if there is none.
inline bool refill(Ahead& a) {
    for (; a.instruction < a.program.n; ++a.instruction, a.list = 0) {
        const Instruction& i = a.program.instructions[a.instruction];
        for (; a.list < n_lists(i); ++a.list, a.row = 0) {
            a.n = smaller(list_size, rows_to_fetch(i, a.next) - a.row);
            if (a.n <= 0) continue;
            list_rows(i, a.next, a.list, a.row, a.row + a.n, a.rows);
            a.row += a.n;
            a.n_filled = a.n;
            a.line = 0;
            a.n_lines = lines_to_fetch(i, a.list);
            return true;
        }
    }
    a.n = 0;
    return false;
}

/// What a block of a linear operation of @p n_inputs is to ask for; leaves @p rows alone when that is nothing.
inline void next_rows(Ahead& a, int n_inputs, RowsAhead& rows) {
    std::int64_t passes = (a.passes + a.blocks / 2) / a.blocks;
    a.passes -= passes;
    --a.blocks;
    for (; passes > 0 && (a.line < a.n_lines || refill(a)); --passes) {
        const std::ptrdiff_t line = std::ptrdiff_t{16} * a.line++;
        if (passes == 1) {
            // The block asks for as many as it has inputs.
            for (; a.n_filled < n_inputs; ++a.n_filled) a.rows[a.n_filled] = a.rows[a.n - 1];
            for (int k = n_inputs; k < a.n; ++k) fetch(a.rows[k] + line);
            rows = {a.rows, 1, line};
        } else {
            for (int k = 0; k < a.n; ++k) fetch(a.rows[k] + line);
        }
    }
}
