// Included by kernels_body.hpp, behind what both ways share: no include guard, no include. Kernels of tiles: events in
// lanes, values as [group of 4 bytes][event].

/// Has what a TilePack needs.
inline constexpr bool packs_inputs = V::n == 16;
constexpr std::size_t tile_row = dword * tile_events;  // bytes of a group

// ---- dense ---------------------------------------------------------------------------------------------------------

/// Outputs and event vectors whose sums are held in registers at once.
inline constexpr int block_outputs = V::n == 16 ? 4 : 2;
inline constexpr int block_vectors = 4;

/// Packs up to four outputs of the same events into groups of @p lanes.
template <int BO>
[[gnu::always_inline]] inline void store_block(Lanes lanes, std::byte* first_group, const V (&v)[BO]) noexcept {
    if (lanes == Lanes::u8) {
        V x = v[0];
        if constexpr (BO > 1) x = bit_or(x, shl_by<8>(v[1]));
        if constexpr (BO > 2) x = bit_or(x, shl_by<16>(v[2]));
        if constexpr (BO > 3) x = bit_or(x, shl_by<24>(v[3]));
        store(first_group, x);
    } else if (lanes == Lanes::s16) {
        const V low = set1(0xffff);
        if constexpr (BO == 1) store(first_group, bit_and(v[0], low));
        if constexpr (BO > 1) store(first_group, bit_or(bit_and(v[0], low), shl_by<16>(v[1])));
        if constexpr (BO == 3) store(first_group + tile_row, bit_and(v[2], low));
        if constexpr (BO > 3) store(first_group + tile_row, bit_or(bit_and(v[2], low), shl_by<16>(v[3])));
    } else {
        for (int i = 0; i < BO; ++i) store(first_group + tile_row * static_cast<std::size_t>(i), v[i]);
    }
}

/// The sums of BO outputs of BV vectors of events: epilogue, and the way into groups.
template <Epilogue E, int BO, int BV>
[[gnu::always_inline]] inline void finish_block(const Step& s, V (&acc)[BO][BV], std::uint32_t first,
                                                std::byte* out) noexcept {
#pragma GCC unroll 4
    for (int o = 0; o < BO; ++o) run_epilogue<E, PerTile>(s, acc[o], first + static_cast<std::uint32_t>(o), 0);
#pragma GCC unroll 4
    for (int i = 0; i < BV; ++i) {
        V v[BO];
#pragma GCC unroll 4
        for (int o = 0; o < BO; ++o) v[o] = acc[o][i];
        std::byte* to = out + vector_bytes * static_cast<std::size_t>(i);
        if constexpr (packs_u8(E)) {
            store(to, pack_u8_saturated(v[0], BO > 1 ? v[BO > 1 ? 1 : 0] : zero(), BO > 2 ? v[BO > 2 ? 2 : 0] : zero(),
                                        BO > 3 ? v[BO > 3 ? 3 : 0] : zero()));
        } else {
            store_block<BO>(s.out.lanes, to, v);
        }
    }
}

/// Vectors of events whose sums of BO outputs are held at once.
template <int BO>
inline constexpr int vectors_of_block = BO > 2 && V::n == 8 ? 2 : block_vectors;

/// Up to four outputs (BO) of a group of event vectors: weights are [group][BO] dwords.
template <Lanes L, int BO, Epilogue E>
void dense_block(const Step& s, const std::byte* in, std::uint32_t first, const std::byte* weights,
                 std::byte* out) noexcept {
    constexpr int bv = vectors_of_block<BO>;
    for (std::size_t e = 0; e < tile_row; e += vector_bytes * bv) {
        V acc[BO][bv];
#pragma GCC unroll 4
        for (int o = 0; o < BO; ++o)
#pragma GCC unroll 4
            for (int i = 0; i < bv; ++i) acc[o][i] = set1(s.bias[first + static_cast<std::uint32_t>(o)]);
        const std::byte* w = weights;
        const std::byte* x = in + e;
        const auto add_group = [&]<Lanes lanes>() {
            V xs[bv];
#pragma GCC unroll 4
            for (int i = 0; i < bv; ++i) xs[i] = load(x + vector_bytes * static_cast<std::size_t>(i));
#pragma GCC unroll 4
            for (int o = 0; o < BO; ++o) {
                const V wo = broadcast(w + dword * static_cast<std::size_t>(o));
#pragma GCC unroll 4
                for (int i = 0; i < bv; ++i) acc[o][i] = dot<lanes>(acc[o][i], xs[i], wo);
            }
            x += tile_row;
            w += dword * BO;
        };
        for (std::uint32_t g = 0; g < s.n_groups; ++g) add_group.template operator()<L>();
        if constexpr (L == Lanes::s16 && packs_inputs)
            for (std::uint32_t g = 0; g < s.n_rest_groups; ++g) add_group.template operator()<Lanes::u8>();
        finish_block<E>(s, acc, first, out + e);
    }
}

template <Lanes L, Epilogue E>
void dense_tile(const Step& s, std::byte* workspace) noexcept {
    const std::size_t out_group = static_cast<std::size_t>(elements_per_group(s.out.lanes));
    for (std::uint32_t r = 0; r < s.n_rows; ++r) {
        const std::byte* in = workspace + s.in.tile + std::size_t{r} * s.in.stride * tile_events;
        std::byte* row = workspace + s.out.tile + std::size_t{r} * s.out.stride * tile_events;
        const std::byte* w = s.weights;
        for (std::uint32_t o = 0; o < s.n_out; o += 4) {
            std::byte* out = row + o / out_group * tile_row;
            switch (s.n_out - o) {
                case 1: dense_block<L, 1, E>(s, in, o, w, out); break;
                case 2: dense_block<L, 2, E>(s, in, o, w, out); break;
                case 3: dense_block<L, 3, E>(s, in, o, w, out); break;
                default: dense_block<L, 4, E>(s, in, o, w, out); break;
            }
            w += dword * 4 * (std::size_t{s.n_groups} + s.n_rest_groups);
        }
    }
}

// ---- elementwise ---------------------------------------------------------------------------------------------------

/// Element @p i of a row, for the events of one vector.
[[gnu::always_inline]] inline V load_tile(const Place& in, const std::byte* row, std::size_t i) noexcept {
    if (in.lanes == Lanes::u8) {
        const V x = load(row + i / 4 * tile_row);
        return bit_and(shr(x, count1(static_cast<std::int32_t>(i % 4 * 8))), set1(0xff));
    }
    if (in.lanes == Lanes::s16) {
        const V x = load(row + i / 2 * tile_row);
        return i % 2 == 0 ? sar_by<16>(shl_by<16>(x)) : sar_by<16>(x);
    }
    return load(row + i * tile_row);
}

/// Elements [i, i + N) of a row for all events.
template <bool Two, int N>
void map_block(const Step& s, const std::byte* in, const std::byte* in2, std::byte* out, std::size_t i) noexcept {
    const std::size_t group = static_cast<std::size_t>(elements_per_group(s.out.lanes));
    for (std::size_t e = 0; e < tile_row; e += vector_bytes) {
        V v[N];
#pragma GCC unroll 4
        for (std::size_t k = 0; k < N; ++k) {
            v[k] = load_tile(s.in, in + e, i + k);
            if constexpr (Two) v[k] = combine(s, v[k], load_tile(s.in2, in2 + e, i + k));
        }
        run_stages<PerTile>(s, v, i, 1);
        store_block<N>(s.out.lanes, out + i / group * tile_row + e, v);
    }
}

template <bool Two>
void map_tile(const Step& s, std::byte* workspace) noexcept {
    for (std::uint32_t r = 0; r < s.n_rows; ++r) {
        const std::byte* in = workspace + s.in.tile + std::size_t{r} * s.in.stride * tile_events;
        const std::byte* in2 = workspace + s.in2.tile + std::size_t{r} * s.in2.stride * tile_events;
        std::byte* out = workspace + s.out.tile + std::size_t{r} * s.out.stride * tile_events;
        std::size_t i = 0;
        for (; i + 4 <= s.n_out; i += 4) map_block<Two, 4>(s, in, in2, out, i);
        switch (s.n_out - i) {  // no group behind the row is written
            case 3: map_block<Two, 3>(s, in, in2, out, i); break;
            case 2: map_block<Two, 2>(s, in, in2, out, i); break;
            case 1: map_block<Two, 1>(s, in, in2, out, i); break;
            default: break;
        }
    }
}

/// The terms of N elements, added to @p total.
template <int N>
[[gnu::always_inline]] inline V add_terms(const Step& s, const std::byte* x, const std::byte* y, std::size_t i,
                                          V total) noexcept {
    const auto kind = static_cast<Reduction>(s.operation);
    V v[N];
#pragma GCC unroll 4
    for (std::size_t k = 0; k < N; ++k) {
        v[k] = load_tile(s.in, x, i + k);
        if (kind == Reduction::squares) v[k] = mul(v[k], v[k]);
        if (kind == Reduction::dot) v[k] = mul(v[k], load_tile(s.in2, y, i + k));
    }
    run_stage(s.stages[0], v, PerTile{0}, 0);
#pragma GCC unroll 4
    for (int k = 0; k < N; ++k) total = add(total, v[k]);
    return total;
}

void reduce_tile(const Step& s, std::byte* workspace) noexcept {
    for (std::size_t e = 0; e < tile_row; e += vector_bytes) {
        V total[1] = {zero()};
        const std::byte* x = workspace + s.in.tile + e;
        const std::byte* y = workspace + s.in2.tile + e;
        std::size_t i = 0;
        for (; i + 4 <= s.n_groups; i += 4) total[0] = add_terms<4>(s, x, y, i, total[0]);
        for (; i < s.n_groups; ++i) total[0] = add_terms<1>(s, x, y, i, total[0]);
        run_stages<PerTile>(s, total, 0, 0, 1);
        store_block<1>(s.out.lanes, workspace + s.out.tile + e, total);
    }
}

void reduce_wide_tile(const Step& s, std::byte* workspace) noexcept {
    std::uint32_t total[tile_events] = {};
    const auto* x = reinterpret_cast<const std::int32_t*>(workspace + s.in.tile);
    const auto* y = reinterpret_cast<const std::int32_t*>(workspace + s.in2.tile);
    for (std::size_t i = 0; i < s.n_groups; ++i)
        for (std::size_t e = 0; e < tile_events; ++e)
            total[e] += wide_term(s.stages[0], x[i * tile_events + e], y[i * tile_events + e]);
    for (std::size_t e = 0; e < tile_events; e += V::n) {
        V v[1] = {load(total + e)};
        run_stages<PerTile>(s, v, 0, 0, 1);
        store_block<1>(s.out.lanes, workspace + s.out.tile + e * dword, v);
    }
}
