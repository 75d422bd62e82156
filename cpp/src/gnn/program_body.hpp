// Runs programs, behind memory_body.hpp in the namespace of the file that includes all.

inline void run_instruction(const Instruction& i, const Tile& t) {
    switch (i.code) {
        case Code::load_tiles: return run_load_tiles(i, t);
        case Code::load_rows: return run_load_rows(i, t);
        case Code::load_event: return run_load_event(i, t);
        case Code::reduce: return run_reduce(i, t);
        case Code::degree: return run_degree(i, t);
        case Code::linear: return run_linear(i, t);
        case Code::unary: return run_unary(i, t);
        case Code::affine: return run_affine(i, t);
        case Code::event_affine: return run_event_affine(i, t);
        case Code::binary: return run_binary(i, t);
        case Code::layer_norm: return run_layer_norm(i, t);
        case Code::row_reduce: return run_row_reduce(i, t);
        case Code::copy: return run_copy(i, t);
        case Code::store_tiles: return run_store_tiles(i, t);
        case Code::store_rows: return run_store_rows(i, t);
        case Code::statistics: return run_statistics(i, t);
        case Code::output: return run_output(i, t);
    }
}

void run_program(const Program& program, const EventView& event, std::int32_t first, std::int32_t last,
                 TileScratch& scratch) noexcept {
    const std::int32_t n_rows = program.kind == Kind::edge   ? event.n_edges
                                : program.kind == Kind::node ? event.n_nodes
                                                             : 1;
    // What a tile asks memory for is spread over the blocks of its linear operations.
    std::int32_t blocks = 0;
    for (std::int32_t k = 0; k < program.n; ++k) {
        const Instruction& i = program.instructions[k];
        if (i.code == Code::linear) blocks += (i.width + output_block - 1) / output_block;
    }
    const float* rows_ahead[most_ahead] = {};
    for (std::int32_t tile = first; tile < last; ++tile) {
        const std::int32_t row = tile * tile_rows;
        Tile t{event, scratch, tile, row, smaller(tile_rows, n_rows - row), program.kind};
        Ahead ahead{program, t, rows_ahead};
        const std::int32_t left = n_rows - row - tile_rows;
        if (blocks > 0 && left > 0) {
            ahead.next.number += 1;
            ahead.next.first += tile_rows;
            ahead.next.n = smaller(tile_rows, left);
            ahead.passes = n_passes(program, ahead.next);
            ahead.blocks = blocks;
            t.ahead = &ahead;
        }
        for (std::int32_t k = 0; k < program.n; ++k) run_instruction(program.instructions[k], t);
    }
}
