// Included by kernels_{portable,avx2,avx512}.cpp inside their namespace, after their vector V: no include guard, and
// no include but of the kernels of single events. Those have elements in lanes, a tile kernel has events in lanes; both
// run the same epilogue.

constexpr std::size_t dword = 4;
constexpr std::size_t vector_bytes = dword * V::n;
// Four lanes: no kernels for special epilogues, no splitting of wide inputs.
inline constexpr bool splits = V::n > 4;
inline constexpr int input_vectors_at_once = splits ? split_columns / V::n : 1;
constexpr std::size_t tile_row = dword * tile_events;  // bytes of a group

[[gnu::always_inline]] inline V broadcast(const std::byte* p) noexcept {
    std::int32_t x;
    __builtin_memcpy(&x, p, sizeof x);
    return set1(x);
}

/// Parameters of an epilogue where lanes are elements.
struct PerLane {
    std::size_t element;
    V operator()(const std::int32_t* p) const noexcept { return load(p + element); }
};
/// The same where lanes are events of one element.
struct PerTile {
    std::size_t element;
    V operator()(const std::int32_t* p) const noexcept { return set1(p[element]); }
};

/// v >> count, and where the bits @p middle of v are zero the lowest bit cleared.
[[gnu::always_inline]] inline V shift_to_even(V v, Count count, V middle) noexcept {
    return clear_odd_where_zero(sar(v, count), v, middle);
}

/// One stage on N vectors: each flag is looked at once.
template <int N, class Parameters>
[[gnu::always_inline]] inline void run_stage(const Stage& s, V (&v)[N], Parameters each,
                                             std::size_t per_vector) noexcept {
    const std::uint32_t f = s.flags;
    const auto for_each = [&](auto operation) {
#pragma GCC unroll 8
        for (std::size_t i = 0; i < N; ++i) v[i] = operation(v[i], Parameters{each.element + i * per_vector});
    };
    if ((f & Stage::rare) != 0) {
        const Count count = count1(s.left_shift);
        const V lo = set1(s.lo), hi = set1(s.hi);
        if ((f & Stage::multiply_each) != 0) for_each([&](V x, Parameters p) { return mul(x, p(s.a)); });
        if ((f & Stage::leaky_each) != 0)
            for_each([&](V x, Parameters p) { return select_greater(x, zero(), shl(x, count), mul(x, p(s.a))); });
        if ((f & Stage::left) != 0) for_each([&](V x, Parameters) { return shl(x, count); });
        if ((f & Stage::add_each) != 0) for_each([&](V x, Parameters p) { return add(x, p(s.b)); });
        if ((f & Stage::shift_each) != 0) for_each([&](V x, Parameters p) { return sar(shl(x, p(s.a)), p(s.c)); });
        if ((f & Stage::right_logical) != 0) for_each([&](V x, Parameters) { return shr(x, count1(s.shift)); });
        if ((f & Stage::threshold) != 0) for_each([&](V x, Parameters) { return select_greater(x, lo, x, zero()); });
        if ((f & Stage::zero_outside) != 0)
            for_each([&](V x, Parameters) {
                const V above = select_greater(lo, x, zero(), x);
                return select_greater(above, hi, zero(), above);
            });
    }
    if ((f & Stage::add_sign) != 0) {
        const V c0 = set1(s.c0), c2 = set1(s.c2);
        for_each([&](V x, Parameters) { return add(add(x, c0), bit_and(sar_by<31>(x), c2)); });
    } else if ((f & Stage::add) != 0) {
        const V c0 = set1(s.c0);
        for_each([&](V x, Parameters) { return add(x, c0); });
    }
    if ((f & Stage::right) != 0) {
        const Count count = count1(s.shift);
        if ((f & Stage::to_even) != 0) {
            const V middle = set1(s.c1);
            for_each([&](V x, Parameters) { return shift_to_even(x, count, middle); });
        } else {
            for_each([&](V x, Parameters) { return sar(x, count); });
        }
    }
    if ((f & Stage::at_least) != 0) {
        const V lo = set1(s.lo);
        for_each([&](V x, Parameters) { return max(x, lo); });
    }
    if ((f & Stage::at_most) != 0) {
        const V hi = set1(s.hi);
        for_each([&](V x, Parameters) { return min(x, hi); });
    }
    if ((f & stage_rescale) != 0) {
        const V low = set1(s.left_shift), mask = set1((1 << s.left_shift) - 1), rest = set1(s.shift);
        for_each([&](V x, Parameters p) {
            const V a = p(s.a);
            const V carry = sar(add(mul(bit_and(x, mask), a), p(s.b)), low);
            return sar(add(add(mul(sar(x, low), a), p(s.b + s.hi)), carry), rest);
        });
    } else if ((f & stage_count) != 0) {
        for_each([&](V x, Parameters p) {
            V reached = zero();
            for (int j = 0; j < s.left_shift; ++j)
                reached =
                    add(reached, select_greater(p(s.a + static_cast<std::ptrdiff_t>(j) * s.shift), x, zero(), set1(1)));
            return add(set1(s.lo), mul(reached, set1(s.hi)));
        });
    }
}

template <class Parameters, int N>
[[gnu::always_inline]] inline void run_stages(const Step& s, V (&v)[N], std::size_t element, std::size_t per_vector,
                                              std::uint32_t first = 0) noexcept {
    for (std::uint32_t k = first; k < s.n_stages; ++k) run_stage(s.stages[k], v, Parameters{element}, per_vector);
}

/// The whole epilogue of a step. The special ones clamp in any case.
template <Epilogue E, class Parameters, int N>
[[gnu::always_inline]] inline void run_epilogue(const Step& s, V (&v)[N], std::size_t element,
                                                std::size_t per_vector) noexcept {
    if constexpr (E == Epilogue::any) {
        run_stages<Parameters>(s, v, element, per_vector);
    } else {
        const Stage& last = s.stages[wraps_first(E) ? 1 : 0];
        const Count count = count1(last.shift);
        const V lo = set1(last.lo), hi = set1(last.hi), middle = set1(last.c1);
        if constexpr (wraps_first(E)) {
            const Count left = count1(s.stages[0].left_shift), right = count1(s.stages[0].shift);
            const V c0 = set1(last.c0);
#pragma GCC unroll 8
            for (int i = 0; i < N; ++i) v[i] = add(sar(shl(v[i], left), right), c0);
        }
#pragma GCC unroll 8
        for (int i = 0; i < N; ++i) {
            v[i] = E == Epilogue::shift_clamp ? sar(v[i], count) : shift_to_even(v[i], count, middle);
            if constexpr (!packs_u8(E)) v[i] = min(max(v[i], lo), hi);
        }
    }
}

/// Writes N vectors of elements of a row of @p out, the first being element @p at.
template <int N>
[[gnu::always_inline]] inline void store_elements(const Place& out, std::byte* row, std::size_t at,
                                                  const V (&v)[N]) noexcept {
    if (out.lanes == Lanes::u8) {
#pragma GCC unroll 8
        for (std::size_t i = 0; i < N; ++i) store_u8(row + at + i * V::n, v[i]);
    } else if (out.lanes == Lanes::s16) {
        if (!splits || out.low_mask == nullptr) {
#pragma GCC unroll 8
            for (std::size_t i = 0; i < N; ++i) store_s16(row + 2 * (at + i * V::n), v[i]);
        } else if constexpr (splits) {
            const std::size_t k = at / V::n;
            const Count low_bits = count1(out.low_bits);
#pragma GCC unroll 8
            for (std::size_t i = 0; i < N; ++i)
                store_s16(row + 2 * (at + i * V::n), bit_and(v[i], load(out.low_mask + (k + i) * V::n)));
#pragma GCC unroll 8
            for (std::size_t i = 0; i < N; ++i)
                store_s16(row + 2 * out.wide_at[k + i], compress(sar(v[i], low_bits), out.wide_mask[k + i]));
        }
    } else {
#pragma GCC unroll 8
        for (std::size_t i = 0; i < N; ++i) store(row + 4 * (at + i * V::n), v[i]);
    }
}

[[gnu::always_inline]] inline V load_elements(const Place& in, const std::byte* row, std::size_t at) noexcept {
    if (in.lanes == Lanes::u8) return load_u8(row + at);
    if (in.lanes == Lanes::s16) return load_s16(row + 2 * at);
    return load(row + 4 * at);
}

/// Two operands, brought to one grid.
[[gnu::always_inline]] inline V combine(const Step& s, V x, V y) noexcept {
    x = shl(x, count1(s.shift_x));
    y = shl(y, count1(s.shift_y));
    switch (s.merge) {
        case Merge::add: return add(x, y);
        case Merge::subtract: return sub(x, y);
        case Merge::multiply: return mul(x, y);
        case Merge::maximum: return max(x, y);
        default: return min(x, y);
    }
}

// ---- reductions to one value ----------------------------------------------------------------------------------------

/// stages[0] converts each product to the accumulator's grid; the others follow the sum.
enum class Reduction : std::uint32_t { dot, squares, sum };

[[gnu::always_inline]] inline V reduction_term(const Step& s, V x, V y) noexcept {
    const auto kind = static_cast<Reduction>(s.operation);
    V p[1] = {kind == Reduction::sum ? x : mul(x, kind == Reduction::squares ? x : y)};
    run_stage(s.stages[0], p, PerTile{0}, 0);
    return p[0];
}

/// Terms of 64 bits: stages[0] has the shift to the accumulator's grid, and in c0 whether half is added before.
[[gnu::always_inline]] inline std::uint32_t wide_term(const Stage& s, std::int32_t x, std::int32_t y) noexcept {
    const std::int64_t half = std::int64_t{s.c0} << (s.shift - 1);
    return static_cast<std::uint32_t>(static_cast<std::uint64_t>((std::int64_t{x} * y + half) >> s.shift));
}

#include "quantized/kernels_single.hpp"

// ---- dense, tile ----------------------------------------------------------------------------------------------------

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

/// Up to four outputs (BO) of a group of event vectors: weights are [group][BO] dwords.
template <Lanes L, int BO, Epilogue E>
void dense_block(const Step& s, const std::byte* workspace, std::uint32_t row, std::uint32_t first,
                 const std::byte* weights, std::byte* out) noexcept {
    constexpr int bv = BO > 2 && V::n == 8 ? 2 : block_vectors;
    const std::byte* in = workspace + s.in.tile;
    for (std::size_t e = 0; e < tile_row; e += vector_bytes * bv) {
        V acc[BO][bv];
#pragma GCC unroll 4
        for (int o = 0; o < BO; ++o)
#pragma GCC unroll 4
            for (int i = 0; i < bv; ++i) acc[o][i] = set1(s.bias[first + static_cast<std::uint32_t>(o)]);
        const std::byte* w = weights;
        for (std::uint32_t t = 0; t < s.n_taps; ++t) {
            const std::size_t offset =
                s.taps != nullptr ? s.taps[std::size_t{row} * s.n_taps + t] : std::size_t{row} * s.in.stride;
            const std::byte* x = in + offset * tile_events + e;
            for (std::uint32_t g = 0; g < s.n_groups; ++g, x += tile_row, w += dword * BO) {
                V xs[bv];
#pragma GCC unroll 4
                for (int i = 0; i < bv; ++i) xs[i] = load(x + vector_bytes * static_cast<std::size_t>(i));
#pragma GCC unroll 4
                for (int o = 0; o < BO; ++o) {
                    const V wo = broadcast(w + dword * static_cast<std::size_t>(o));
#pragma GCC unroll 4
                    for (int i = 0; i < bv; ++i) acc[o][i] = dot<L>(acc[o][i], xs[i], wo);
                }
            }
        }
#pragma GCC unroll 4
        for (int o = 0; o < BO; ++o) run_epilogue<E, PerTile>(s, acc[o], first + static_cast<std::uint32_t>(o), 0);
#pragma GCC unroll 4
        for (int i = 0; i < bv; ++i) {
            V v[BO];
#pragma GCC unroll 4
            for (int o = 0; o < BO; ++o) v[o] = acc[o][i];
            std::byte* to = out + e + vector_bytes * static_cast<std::size_t>(i);
            if constexpr (packs_u8(E)) {
                store(to, pack_u8_saturated(v[0], BO > 1 ? v[BO > 1 ? 1 : 0] : zero(),
                                            BO > 2 ? v[BO > 2 ? 2 : 0] : zero(), BO > 3 ? v[BO > 3 ? 3 : 0] : zero()));
            } else {
                store_block<BO>(s.out.lanes, to, v);
            }
        }
    }
}

template <Lanes L, Epilogue E>
void dense_tile(const Step& s, std::byte* workspace) noexcept {
    const std::size_t out_group = static_cast<std::size_t>(elements_per_group(s.out.lanes));
    for (std::uint32_t r = 0; r < s.n_rows; ++r) {
        std::byte* row = workspace + s.out.tile + std::size_t{r} * s.out.stride * tile_events;
        const std::byte* w = s.weights;
        for (std::uint32_t o = 0; o < s.n_out; o += 4) {
            std::byte* out = row + o / out_group * tile_row;
            const std::size_t bytes = dword * s.n_groups * s.n_taps;
            switch (s.n_out - o) {
                case 1: dense_block<L, 1, E>(s, workspace, r, o, w, out); break;
                case 2: dense_block<L, 2, E>(s, workspace, r, o, w, out); break;
                case 3: dense_block<L, 3, E>(s, workspace, r, o, w, out); break;
                default: dense_block<L, 4, E>(s, workspace, r, o, w, out); break;
            }
            w += bytes * 4;
        }
    }
}

// ---- elementwise ----------------------------------------------------------------------------------------------------

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

template <bool Two>
void map_tile(const Step& s, std::byte* workspace) noexcept {
    const std::size_t group = static_cast<std::size_t>(elements_per_group(s.out.lanes));
    for (std::uint32_t r = 0; r < s.n_rows; ++r) {
        const std::byte* in = workspace + s.in.tile + std::size_t{r} * s.in.stride * tile_events;
        const std::byte* in2 = workspace + s.in2.tile + std::size_t{r} * s.in2.stride * tile_events;
        std::byte* out = workspace + s.out.tile + std::size_t{r} * s.out.stride * tile_events;
        for (std::size_t i = 0; i < s.n_out; i += 4) {
            const std::size_t n = s.n_out - i < 4 ? s.n_out - i : 4;
            for (std::size_t e = 0; e < tile_row; e += vector_bytes) {
                V v[4] = {zero(), zero(), zero(), zero()};
                for (std::size_t k = 0; k < n; ++k) {
                    V one[1] = {load_tile(s.in, in + e, i + k)};
                    if constexpr (Two) one[0] = combine(s, one[0], load_tile(s.in2, in2 + e, i + k));
                    run_stages<PerTile>(s, one, i + k, 0);
                    v[k] = one[0];
                }
                std::byte* to = out + i / group * tile_row + e;
                if (n == 4) {
                    store_block<4>(s.out.lanes, to, v);
                } else {
                    // The last block: no group behind the row is written.
                    const V v3[3] = {v[0], v[1], v[2]}, v2[2] = {v[0], v[1]}, v1[1] = {v[0]};
                    if (n == 3)
                        store_block<3>(s.out.lanes, to, v3);
                    else if (n == 2)
                        store_block<2>(s.out.lanes, to, v2);
                    else
                        store_block<1>(s.out.lanes, to, v1);
                }
            }
        }
    }
}

void reduce_tile(const Step& s, std::byte* workspace) noexcept {
    for (std::size_t e = 0; e < tile_row; e += vector_bytes) {
        V total[1] = {zero()};
        const std::byte* x = workspace + s.in.tile + e;
        const std::byte* y = workspace + s.in2.tile + e;
        for (std::size_t i = 0; i < s.n_groups; ++i) {
            const V vx = load_tile(s.in, x, i);
            const V vy = s.operation == 0 ? load_tile(s.in2, y, i) : vx;
            total[0] = add(total[0], reduction_term(s, vx, vy));
        }
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

// ---- table ----------------------------------------------------------------------------------------------------------

template <Lanes L, Epilogue E>
constexpr void fill_epilogue(Kernels& k) noexcept {
    const auto i = static_cast<std::size_t>(L);
    const auto e = static_cast<std::size_t>(E);
    k.dense[i][e][1] = dense<L, 1, E>;
    k.dense[i][e][2] = dense<L, 2, E>;
    k.dense[i][e][3] = dense<L, 3, E>;
    k.dense[i][e][4] = dense<L, 4, E>;
    k.dense_tile[i][e] = dense_tile<L, E>;
}

template <Lanes L>
constexpr void fill_dense(Kernels& k) noexcept {
    const auto i = static_cast<std::size_t>(L);
    fill_epilogue<L, Epilogue::any>(k);
    if constexpr (splits) {
        fill_epilogue<L, Epilogue::shift_clamp>(k);
        fill_epilogue<L, Epilogue::even_clamp>(k);
        fill_epilogue<L, Epilogue::wrap_even_clamp>(k);
    }
    k.dense_rows[i][1] = dense_rows<L, 1>;
    k.dense_rows[i][2] = dense_rows<L, 2>;
    k.dense_rows[i][3] = dense_rows<L, 3>;
    k.dense_rows[i][4] = dense_rows<L, 4>;
}

constexpr Kernels make_kernels() noexcept {
    Kernels k;
    k.lanes = V::n;
    k.wide = splits;
    fill_dense<Lanes::s16>(k);
    fill_dense<Lanes::s32>(k);
    k.map = map<false>;
    k.map_tile = map_tile<false>;
    k.merge = map<true>;
    k.merge_tile = map_tile<true>;
    k.reduce = reduce;
    k.reduce_tile = reduce_tile;
    k.reduce_wide = reduce_wide;
    k.reduce_wide_tile = reduce_wide_tile;
    // In the order of ElementType. Unsigned integers of the same width get the same bits.
    k.input[0] = input<std::int8_t>;
    k.input[1] = input<std::int16_t>;
    k.input[2] = input<std::int32_t>;
    k.input[4] = input<std::uint8_t>;
    k.input[5] = input<std::uint16_t>;
    k.output[0] = k.output[4] = output<std::int8_t>;
    k.output[1] = k.output[5] = output<std::int16_t>;
    k.output[2] = k.output[6] = output<std::int32_t>;
    return k;
}
