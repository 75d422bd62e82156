// Included by kernels_{portable,avx2,avx512}.cpp inside their namespace, after their vector V: no include guard, and
// no include but of the kernels of single events. Those have elements in lanes, a tile kernel has events in lanes; both
// run the same epilogue.

constexpr std::size_t dword = 4;
constexpr std::size_t vector_bytes = dword * V::n;
// Four lanes: no kernels for special epilogues, no splitting of wide inputs.
inline constexpr bool splits = V::n > 4;
inline constexpr int input_vectors_at_once = splits ? split_columns / V::n : 1;

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
    } else if ((f & stage_lookup) != 0) {
        const V lo = set1(s.lo), last = set1(s.hi);
        for_each([&](V x, Parameters) { return look_up(s.table, min(max(sub(x, lo), zero()), last)); });
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
#include "quantized/kernels_tile.hpp"
// Behind the blocks that they store.
#include "quantized/kernels_ordered.hpp"
#include "quantized/kernels_sparse.hpp"

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
    k.sparse_tile[i][e] = sparse_tile<L, E>;
}

template <Lanes L>
constexpr void fill_dense(Kernels& k) noexcept {
    fill_epilogue<L, Epilogue::any>(k);
    if constexpr (splits) {
        fill_epilogue<L, Epilogue::shift_clamp>(k);
        fill_epilogue<L, Epilogue::even_clamp>(k);
        fill_epilogue<L, Epilogue::wrap_even_clamp>(k);
    }
}

constexpr Kernels make_kernels() noexcept {
    Kernels k;
    k.lanes = V::n;
    k.wide = splits;
    fill_dense<Lanes::s16>(k);
    fill_dense<Lanes::s32>(k);
    k.ordered = ordered;
    k.ordered_tile = ordered_tile;
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
