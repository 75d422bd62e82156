// Included by kernels_body.hpp, behind the kernels of tiles: no include guard, no include. Dense layers of a tile whose
// weights are mostly zero: each output has a list of the groups in which it has a weight, one output after the other
// (step.weights), and their numbers (step.taps: of groups of L, and of groups of rests behind them).

/// Adds @p n groups of a list to the sums of one output.
template <Lanes L, int BV>
[[gnu::always_inline]] inline void add_listed(V (&acc)[BV], const std::byte* in, const SparseGroup*& w,
                                              std::uint32_t n) noexcept {
    for (std::uint32_t k = 0; k < n; ++k, ++w) {
        const V weights = set1(static_cast<std::int32_t>(w->weights));
        const std::byte* x = in + w->at;
#pragma GCC unroll 4
        for (int i = 0; i < BV; ++i)
            acc[i] = dot<L>(acc[i], load(x + vector_bytes * static_cast<std::size_t>(i)), weights);
    }
}

/// Up to four outputs, whose lists begin at @p list; returns where they end.
template <Lanes L, int BO, Epilogue E>
const SparseGroup* sparse_block(const Step& s, const std::byte* in, std::uint32_t first, const SparseGroup* list,
                                std::byte* out) noexcept {
    constexpr int bv = vectors_of_block<BO>;
    const SparseGroup* w = list;
    for (std::size_t e = 0; e < tile_row; e += vector_bytes * bv) {
        V acc[BO][bv];
        w = list;
#pragma GCC unroll 4
        for (std::uint32_t o = 0; o < BO; ++o) {
            const std::uint32_t* n = s.taps + 2 * std::size_t{first + o};
#pragma GCC unroll 4
            for (int i = 0; i < bv; ++i) acc[o][i] = set1(s.bias[first + o]);
            add_listed<L>(acc[o], in + e, w, n[0]);
            if constexpr (L == Lanes::s16 && packs_inputs) add_listed<Lanes::u8>(acc[o], in + e, w, n[1]);
        }
        finish_block<E>(s, acc, first, out + e);
    }
    return w;
}

template <Lanes L, Epilogue E>
void sparse_tile(const Step& s, std::byte* workspace) noexcept {
    const std::size_t out_group = static_cast<std::size_t>(elements_per_group(s.out.lanes));
    for (std::uint32_t r = 0; r < s.n_rows; ++r) {
        const std::byte* in = workspace + s.in.tile + std::size_t{r} * s.in.stride * tile_events;
        std::byte* row = workspace + s.out.tile + std::size_t{r} * s.out.stride * tile_events;
        const auto* w = reinterpret_cast<const SparseGroup*>(s.weights);
        for (std::uint32_t o = 0; o < s.n_out; o += 4) {
            std::byte* out = row + o / out_group * tile_row;
            switch (s.n_out - o) {
                case 1: w = sparse_block<L, 1, E>(s, in, o, w, out); break;
                case 2: w = sparse_block<L, 2, E>(s, in, o, w, out); break;
                case 3: w = sparse_block<L, 3, E>(s, in, o, w, out); break;
                default: w = sparse_block<L, 4, E>(s, in, o, w, out); break;
            }
        }
    }
}
