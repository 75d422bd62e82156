// Included by kernels_avx512.cpp behind kernels_body.hpp, inside its namespace: no include guard, no include.
// Chains of dense layers of one event, see DenseLink in plan_step.hpp. The values of a layer, 64 bytes or 32 shorts at
// most, are packed in one register, an image, and the next layer takes its inputs from there. Each link calls the next
// one last, which is a jump.
//
// Of an image of K vectors of bytes, or K / 2 of shorts, quarter q holds the elements 4q to 4q + 3 of all vectors:
// dword k of it a group of four bytes of vector k, or of two shorts of vector k / 2.
//
// Where the next link takes one vector of shorts, or is a merge or a sum of squares, the values go as they are, one in
// each 32-bit lane: one permutation brings a pair of them to all lanes, where an image takes a packing and two
// shuffles.

/// Sums of their own for every NV vectors of outputs, so that the latency of additions is hidden.
template <int NV>
inline constexpr int link_chains = NV <= 2 ? 4 : 2;

template <int Q>
[[gnu::always_inline]] inline V quarter(V image) noexcept {
    return {_mm512_shuffle_i32x4(image.v, image.v, Q * 0x55)};
}

/// Values of NV vectors as an image of bytes or shorts; or of one vector, as they are.
template <int NV>
[[gnu::always_inline]] inline V pack_image(Lanes lanes, const V (&v)[NV]) noexcept {
    if constexpr (NV == 1)
        if (lanes == Lanes::s32) return v[0];
    const __m512i first = _mm512_packs_epi32(v[0].v, v[NV > 1 ? 1 : 0].v);
    if (lanes != Lanes::u8) return {first};
    if constexpr (NV <= 2)
        return {_mm512_packus_epi16(first, first)};
    else
        return {_mm512_packus_epi16(first, _mm512_packs_epi32(v[2].v, v[NV > 3 ? 3 : 2].v))};
}

[[gnu::always_inline]] inline const std::byte* parameters_of(const DenseLink& k) noexcept {
    return reinterpret_cast<const std::byte*>(&k + 1);
}

[[gnu::always_inline]] inline void run_next(const DenseLink& k, V image, std::byte* workspace) noexcept {
    const auto& next = *reinterpret_cast<const DenseLink*>(reinterpret_cast<const std::byte*>(&k) + k.bytes);
    next.run(next, image, workspace);
}

template <int NV>
[[gnu::always_inline]] inline void store_form(Lanes lanes, std::byte* to, const V (&v)[NV]) noexcept {
    if (lanes == Lanes::u8) {
#pragma GCC unroll 4
        for (std::size_t i = 0; i < NV; ++i) store_u8_saturated(to + 16 * i, v[i]);
    } else if (lanes == Lanes::s16) {
#pragma GCC unroll 4
        for (std::size_t i = 0; i < NV; ++i) store_s16(to + 32 * i, v[i]);
    } else {
#pragma GCC unroll 4
        for (std::size_t i = 0; i < NV; ++i) store(to + 64 * i, v[i]);
    }
}

/// The epilogue of a link, and the jump to the next one. Bytes are clamped where they are packed.
template <Epilogue E, int NV>
[[gnu::always_inline]] inline void finish_link(const DenseLink& k, V (&v)[NV], std::byte* workspace) noexcept {
    const Count count = count1(k.shift), odd_shift = count1(k.odd_shift);
    const V c0 = set1(k.c0), odd = set1(k.odd), lo = set1(k.lo), hi = set1(k.hi);
    if constexpr (wraps_first(E)) {
        const Count left = count1(k.left), right = count1(k.right);
#pragma GCC unroll 4
        for (int i = 0; i < NV; ++i) v[i] = sar(shl(v[i], left), right);
    }
#pragma GCC unroll 4
    for (int i = 0; i < NV; ++i) {
        v[i] = sar(add(add(v[i], c0), bit_and(sar(v[i], odd_shift), odd)), count);
        if constexpr (!packs_u8(E)) v[i] = min(max(v[i], lo), hi);
    }
    if (k.n_stored > 0) {
        store_form<NV>(k.out_lanes, workspace + k.out, v);
        if (k.n_stored > 1) store_form<NV>(k.copy_lanes, workspace + k.copy, v);
    }
    if (k.bytes != 0) run_next(k, pack_image<NV>(k.next, v), workspace);
}

template <int NV, int C>
[[gnu::always_inline]] inline void begin_link(V (&acc)[NV * C], const std::byte* bias) noexcept {
#pragma GCC unroll 8
    for (int i = 0; i < NV * C; ++i) acc[i] = i < NV ? load(bias + vector_bytes * static_cast<std::size_t>(i)) : zero();
}

template <int NV, int C>
[[gnu::always_inline]] inline void add_chains(V (&v)[NV], const V (&acc)[NV * C]) noexcept {
#pragma GCC unroll 4
    for (int i = 0; i < NV; ++i) {
        if constexpr (C == 1) v[i] = acc[i];
        if constexpr (C == 2) v[i] = add(acc[i], acc[NV + i]);
        if constexpr (C == 4) v[i] = add(add(acc[i], acc[NV + i]), add(acc[2 * NV + i], acc[3 * NV + i]));
    }
}

/// Products of dwords k to K - 1 of quarter Q.
template <Lanes L, int K, int NV, int Q, int k>
[[gnu::always_inline]] inline void add_dwords(V (&acc)[NV * link_chains<NV>], V quad, const std::byte* w) noexcept {
    constexpr int c = (Q * K + k) % link_chains<NV>;
    const V x = splat<k>(quad);
#pragma GCC unroll 4
    for (int i = 0; i < NV; ++i)
        acc[c * NV + i] =
            dot<L>(acc[c * NV + i], x, load(w + vector_bytes * static_cast<std::size_t>((Q * K + k) * NV + i)));
    if constexpr (k + 1 < K) add_dwords<L, K, NV, Q, k + 1>(acc, quad, w);
}

/// Quarters Q to @p n - 1.
template <Lanes L, int K, int NV, int Q>
[[gnu::always_inline]] inline void add_quarters(V (&acc)[NV * link_chains<NV>], V image, const std::byte* w,
                                                int n) noexcept {
    add_dwords<L, K, NV, Q, 0>(acc, quarter<Q>(image), w);
    if constexpr (Q < 3)
        if (n > Q + 1) [[likely]]
            add_quarters<L, K, NV, Q + 1>(acc, image, w, n);
}

template <Lanes L, int K, int NV, Epilogue E>
void link(const DenseLink& k, V image, std::byte* workspace) noexcept {
    V acc[NV * link_chains<NV>];
    begin_link<NV, link_chains<NV>>(acc, parameters_of(k));
    add_quarters<L, K, NV, 0>(acc, image, parameters_of(k) + vector_bytes * NV, k.n_quarters);
    V v[NV];
    add_chains<NV, link_chains<NV>>(v, acc);
    finish_link<E, NV>(k, v, workspace);
}

/// Elements 2 · D and 2 · D + 1 of a vector of shorts in 32-bit lanes, as a pair, in all lanes. Which ones is a
/// constant of four bytes, where the compiler would keep one of 64 in memory.
template <int D>
[[gnu::always_inline]] inline V splat_pair(V values) noexcept {
    static constexpr std::int32_t pair = 4 * D | (4 * D + 2) << 16;
    V index;
    asm("vpbroadcastd %1, %0" : "=v"(index.v) : "m"(pair));
    return {_mm512_permutexvar_epi16(index.v, values.v)};
}

/// Products of pairs D and following, each a sum of its own; the first one begins with the bias.
template <int N, int NV, int D>
[[gnu::always_inline]] inline void multiply_pairs(V (&acc)[N * NV], V values, const std::byte* bias) noexcept {
    const V x = splat_pair<D>(values);
    const std::byte* w = bias + vector_bytes * static_cast<std::size_t>((D + 1) * NV);
#pragma GCC unroll 2
    for (std::size_t i = 0; i < NV; ++i) {
        const V weights = load(w + vector_bytes * i);
        if constexpr (D == 0)
            acc[i] = dot<Lanes::s16>(load(bias + vector_bytes * i), x, weights);
        else
            acc[D * NV + i] = {_mm512_madd_epi16(x.v, weights.v)};
    }
    if constexpr (D + 1 < N) multiply_pairs<N, NV, D + 1>(acc, values, bias);
}

/// The sum of N products from product First on, every NV vectors, as a tree.
template <int First, int N, int NV>
[[gnu::always_inline]] inline V sum_products(const V* acc) noexcept {
    constexpr int half = N > 4 ? 4 : N > 2 ? 2 : 1;
    if constexpr (N == 1)
        return acc[First * NV];
    else
        return add(sum_products<First, half, NV>(acc), sum_products<First + half, N - half, NV>(acc));
}

/// A layer of N pairs of inputs at most, one vector of shorts in 32-bit lanes.
template <int N, int NV, Epilogue E>
void link_direct(const DenseLink& k, V values, std::byte* workspace) noexcept {
    V acc[N * NV];
    multiply_pairs<N, NV, 0>(acc, values, parameters_of(k));
    V v[NV];
#pragma GCC unroll 2
    for (int i = 0; i < NV; ++i) v[i] = sum_products<0, N, NV>(acc + i);
    finish_link<E, NV>(k, v, workspace);
}

/// Element @p index of the image for each element of a vector. Instructions of VBMI, which asks for a check of its own
/// (see take_listed), are not known to the compiler here.
template <Lanes L>
[[gnu::always_inline]] inline V pick_elements(V image, V index) noexcept {
    if constexpr (L == Lanes::u8) {
        V picked;
        asm("vpermb %1, %2, %0" : "=v"(picked.v) : "v"(image.v), "v"(index.v));
        return picked;
    } else {
        return {_mm512_permutexvar_epi16(index.v, image.v)};
    }
}

/// A layer of few weights: each output picks four bytes (or two shorts) at a time that it has weights for. Behind the
/// biases, of each time and vector of outputs: which ones, and the weights.
template <Lanes L, int NV, Epilogue E>
void link_listed(const DenseLink& k, V image, std::byte* workspace) noexcept {
    constexpr int c = NV <= 2 ? 2 : 1;
    V acc[NV * c];
    begin_link<NV, c>(acc, parameters_of(k));
    const std::byte* w = parameters_of(k) + vector_bytes * NV;
    const auto add_picked = [&]<int Chain>() {
#pragma GCC unroll 4
        for (int i = 0; i < NV; ++i, w += 2 * vector_bytes)
            acc[Chain * NV + i] = dot<L>(acc[Chain * NV + i], pick_elements<L>(image, load(w)), load(w + vector_bytes));
    };
    int n = k.n_quarters;
    for (; n > 1; n -= 2) {
        add_picked.template operator()<0>();
        add_picked.template operator()<c - 1>();
    }
    if (n > 0) add_picked.template operator()<0>();
    V v[NV];
    add_chains<NV, c>(v, acc);
    finish_link<E, NV>(k, v, workspace);
}

/// The first link of a chain whose input lies in the workspace, of any size.
template <Lanes L, int NV, Epilogue E>
void link_head(const Step& s, std::byte* workspace) noexcept {
    const DenseLink& k = *s.links;
    V acc[NV * chains_of<NV>];
    begin_link<NV, chains_of<NV>>(acc, parameters_of(k));
    const std::byte* w = parameters_of(k) + vector_bytes * NV;
    add_products<L, NV>(acc, workspace + s.in.one, w, s.n_groups, s.n_quads);
    V v[NV];
    add_chains<NV, chains_of<NV>>(v, acc);
    finish_link<E, NV>(k, v, workspace);
}

// ---- other links ----------------------------------------------------------------------------------------------------

/// An operation of the values with others of plain lanes, each brought to one grid.
template <Merge M>
void link_merge(const DenseLink& k, V values, std::byte* workspace) noexcept {
    const V other = load(workspace + k.in);
    const V x = shl(values, count1(k.left)), y = shl(other, count1(k.right));
    V v[1];
    if constexpr (M == Merge::add) v[0] = add(x, y);
    if constexpr (M == Merge::subtract) v[0] = k.is_second ? sub(y, x) : sub(x, y);
    if constexpr (M == Merge::multiply) v[0] = mul(x, y);
    if constexpr (M == Merge::maximum) v[0] = max(x, y);
    if constexpr (M == Merge::minimum) v[0] = min(x, y);
    finish_link<Epilogue::even_clamp, 1>(k, v, workspace);
}

/// The sum of the first @p n lanes, the others being 0, in lane 0.
[[gnu::always_inline]] inline V sum_lanes(V x, std::uint32_t n) noexcept {
    if (n > 8) x = add(x, V{_mm512_shuffle_i32x4(x.v, x.v, 0x4e)});
    if (n > 4) x = add(x, V{_mm512_shuffle_i32x4(x.v, x.v, 0xb1)});
    x = add(x, V{_mm512_shuffle_epi32(x.v, _MM_PERM_BADC)});
    return add(x, V{_mm512_shuffle_epi32(x.v, _MM_PERM_CDAB)});
}

/// The sum of squares, each cut by odd_shift; then it wraps.
template <bool Logical>
void link_squares(const DenseLink& k, V x, std::byte* workspace) noexcept {
    const V squares = bit_and(sar(mul(x, x), count1(k.odd_shift)), lane_mask(k.n_lanes));
    const V sum = shl(sum_lanes(squares, k.n_lanes), count1(k.left));
    store(workspace + k.out, Logical ? shr(sum, count1(k.right)) : sar(sum, count1(k.right)));
}

// ---- inputs in planes of bytes --------------------------------------------------------------------------------------

template <int NV>
inline constexpr int plane_chains = NV <= 2 ? 2 : 1;

/// Sums of the products of bytes 0, of bytes 1 and of bytes 2.
template <int NV>
struct PlaneSums {
    V low[NV * plane_chains<NV>];
    V middle[NV * plane_chains<NV>];
    V high[NV];
};

/// Bytes 0, 1, 2 and 3 of the four elements of each quarter, as its four dwords.
[[gnu::always_inline]] inline V to_planes(V v) noexcept {
    return {_mm512_shuffle_epi8(v.v, _mm512_set4_epi32(0x0f0b0703, 0x0e0a0602, 0x0d090501, 0x0c080400))};
}

/// Weights that meet two inputs: once in a register, where the compiler would load them twice.
[[gnu::always_inline]] inline V load_shared(const std::byte* p) noexcept {
    V w = load(p);
    asm("" : "+v"(w.v));
    return w;
}

/// Quads of elements G to @p n - 1: bytes 0 and 1 meet the same weights.
template <int NV, int G>
[[gnu::always_inline]] inline void add_quads(PlaneSums<NV>& sums, const std::byte* x, const std::byte* w,
                                             int n) noexcept {
    constexpr int c = G % plane_chains<NV>;
    const V low = broadcast(x + 16 * G), middle = broadcast(x + 16 * G + 4);
#pragma GCC unroll 4
    for (int i = 0; i < NV; ++i) {
        const V weights = load_shared(w + vector_bytes * static_cast<std::size_t>(G * NV + i));
        sums.low[c * NV + i] = dot<Lanes::u8>(sums.low[c * NV + i], low, weights);
        sums.middle[c * NV + i] = dot<Lanes::u8>(sums.middle[c * NV + i], middle, weights);
    }
    if constexpr (G < 15)
        if (n > G + 1) [[likely]]
            add_quads<NV, G + 1>(sums, x, w, n);
}

/// Bytes 2 of the quads Q to @p n - 1 of one vector.
template <int NV, int Q>
[[gnu::always_inline]] inline void add_high(PlaneSums<NV>& sums, const std::byte* x, const std::byte* w,
                                            int n) noexcept {
    const V high = broadcast(x + 16 * Q + 8);
#pragma GCC unroll 4
    for (int i = 0; i < NV; ++i)
        sums.high[i] =
            dot<Lanes::u8>(sums.high[i], high, load(w + vector_bytes * static_cast<std::size_t>(Q * NV + i)));
    if constexpr (Q < 3)
        if (n > Q + 1) [[likely]]
            add_high<NV, Q + 1>(sums, x, w, n);
}

/// The first link of a chain whose input, up to four vectors of 24 bits without a sign, is cut into bytes. They go
/// through memory: as many shuffles as bytes of the input would take from the multiply-adds' ports. The elements of
/// more than 16 bits are brought together before their third bytes are met with weights.
template <int NV, Epilogue E>
void link_planes(const DenseLink& k, V a, V b, V c, V d, std::byte* workspace) noexcept {
    std::byte* x = workspace + k.in;
    const std::byte* w = parameters_of(k) + vector_bytes * NV;
    const std::byte* wide = w + vector_bytes * NV * k.n_quarters;
    store(x, to_planes(a));
    store(x + 64, to_planes(b));
    store(x + 128, to_planes(c));
    store(x + 192, to_planes(d));
    for (int h = 0; 4 * h < k.n_high; ++h) {
        const V from = load(wide + vector_bytes * static_cast<std::size_t>(h * (1 + 4 * NV)));
        const __m512i first = _mm512_permutex2var_epi32(a.v, from.v, b.v);
        const __m512i second = _mm512_permutex2var_epi32(c.v, from.v, d.v);
        const __mmask16 of_second = _mm512_test_epi32_mask(from.v, _mm512_set1_epi32(32));
        store(x + 256 + 64 * h, to_planes({_mm512_mask_blend_epi32(of_second, first, second)}));
    }
    PlaneSums<NV> sums;
    begin_link<NV, plane_chains<NV>>(sums.low, parameters_of(k));
#pragma GCC unroll 8
    for (int i = 0; i < NV * plane_chains<NV>; ++i) sums.middle[i] = zero();
#pragma GCC unroll 4
    for (int i = 0; i < NV; ++i) sums.high[i] = zero();
    add_quads<NV, 0>(sums, x, w, k.n_quarters);
    x += 256;
    for (int left = k.n_high; left > 0; left -= 4, x += 64, wide += vector_bytes * (1 + 4 * NV))
        add_high<NV, 0>(sums, x, wide + vector_bytes, left);
    V v[NV], middle[NV];
    add_chains<NV, plane_chains<NV>>(v, sums.low);
    add_chains<NV, plane_chains<NV>>(middle, sums.middle);
#pragma GCC unroll 4
    for (int i = 0; i < NV; ++i) v[i] = add(v[i], add(shl_by<8>(middle[i]), shl_by<16>(sums.high[i])));
    finish_link<E, NV>(k, v, workspace);
}

/// Reads an event of N vectors and runs the chain behind it.
template <class T, int N>
bool input_chain(const InputStep& s, const void* event, std::byte* workspace) noexcept {
    const ChainInput& c = *s.chain;
    const T* from = static_cast<const T*>(event) + c.first;
    V v[N];
#pragma GCC unroll 4
    for (std::size_t i = 0; i + 1 < N; ++i) v[i] = load_all(from + i * V::n);
    v[N - 1] = load_first(from + (N - 1) * V::n, static_cast<int>(c.n_in) - (N - 1) * V::n);
    V low = v[0], high = v[0];
#pragma GCC unroll 4
    for (int i = 1; i < N; ++i) {
        low = min(low, v[i]);
        high = max(high, v[i]);
    }
    const bool outside = any_outside(low, high, set1(c.smallest), set1(c.largest));
    if (c.scales) {
#pragma GCC unroll 4
        for (std::size_t i = 0; i < N; ++i) {
            const V x = add(v[i], load(c.stages[0].b + i * V::n));
            v[i] = sar(shl(x, load(c.stages[0].a + i * V::n)), load(c.stages[0].c + i * V::n));
        }
    }
    for (std::uint32_t k = c.scales ? 1 : 0; k < c.n_stages; ++k) run_stage(c.stages[k], v, PerLane{0}, V::n);
    if (c.offset != nullptr) {
#pragma GCC unroll 4
        for (std::size_t i = 0; i < N; ++i) v[i] = add(v[i], load(c.offset + i * V::n));
    }
    const auto& first = *reinterpret_cast<const DenseLink*>(&c + 1);
    if (c.planes != nullptr)
        c.planes(first, v[0], v[N > 1 ? 1 : 0], v[N > 2 ? 2 : 0], v[N > 3 ? 3 : 0], workspace);
    else
        first.run(first, pack_image<N>(c.image, v), workspace);
    return outside;
}

// ---- table ----------------------------------------------------------------------------------------------------------

template <int NV, Epilogue E>
constexpr void fill_links(LinkKernels& k) noexcept {
    constexpr std::size_t e = link_epilogue(E);
    k.link[0][1][NV][e] = link<Lanes::u8, 1, NV, E>;
    k.link[0][2][NV][e] = link<Lanes::u8, 2, NV, E>;
    k.link[0][3][NV][e] = link<Lanes::u8, 3, NV, E>;
    k.link[0][4][NV][e] = link<Lanes::u8, 4, NV, E>;
    k.link[1][2][NV][e] = link<Lanes::s16, 2, NV, E>;
    k.link[1][4][NV][e] = link<Lanes::s16, 4, NV, E>;
    k.listed[0][NV][e] = link_listed<Lanes::u8, NV, E>;
    k.listed[1][NV][e] = link_listed<Lanes::s16, NV, E>;
    k.head[0][NV][e] = link_head<Lanes::u8, NV, E>;
    k.head[1][NV][e] = link_head<Lanes::s16, NV, E>;
    k.planes[NV][e] = link_planes<NV, E>;
}

template <int NV, Epilogue E>
constexpr void fill_direct(LinkKernels& k) noexcept {
    constexpr std::size_t e = link_epilogue(E);
    k.direct[1][NV][e] = link_direct<2, NV, E>;
    k.direct[2][NV][e] = link_direct<4, NV, E>;
    k.direct[3][NV][e] = link_direct<6, NV, E>;
    k.direct[4][NV][e] = link_direct<8, NV, E>;
}

template <int NV>
constexpr void fill_links(LinkKernels& k) noexcept {
    if constexpr (NV <= max_direct_vectors) {
        fill_direct<NV, Epilogue::even_clamp>(k);
        fill_direct<NV, Epilogue::wrap_even_clamp>(k);
        fill_direct<NV, Epilogue::even_u8>(k);
        fill_direct<NV, Epilogue::wrap_even_u8>(k);
    }
    fill_links<NV, Epilogue::even_clamp>(k);
    fill_links<NV, Epilogue::wrap_even_clamp>(k);
    fill_links<NV, Epilogue::even_u8>(k);
    fill_links<NV, Epilogue::wrap_even_u8>(k);
    k.input[NV][0] = input_chain<std::int8_t, NV>;
    k.input[NV][1] = input_chain<std::int16_t, NV>;
    k.input[NV][2] = input_chain<std::int32_t, NV>;
    k.input[NV][4] = input_chain<std::uint8_t, NV>;
    k.input[NV][5] = input_chain<std::uint16_t, NV>;
}

constexpr LinkKernels make_links() noexcept {
    LinkKernels k;
    fill_links<1>(k);
    fill_links<2>(k);
    fill_links<3>(k);
    fill_links<4>(k);
    k.merge[static_cast<int>(Merge::add)] = link_merge<Merge::add>;
    k.merge[static_cast<int>(Merge::subtract)] = link_merge<Merge::subtract>;
    k.merge[static_cast<int>(Merge::multiply)] = link_merge<Merge::multiply>;
    k.merge[static_cast<int>(Merge::maximum)] = link_merge<Merge::maximum>;
    k.merge[static_cast<int>(Merge::minimum)] = link_merge<Merge::minimum>;
    k.squares[0] = link_squares<false>;
    k.squares[1] = link_squares<true>;
    return k;
}

constexpr LinkKernels link_kernels = make_links();
