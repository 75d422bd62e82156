// Included by kernels_avx512.cpp behind kernels_body.hpp, inside its namespace: no include guard, no include.
// A chain of small dense layers, each of one vector of outputs: what one layer gives is packed in a register that the
// next one takes its inputs from, without the way through memory and the load behind a store.

/// Group K of inputs from packed values: of bytes, a dword of each quarter; of 16-bit values, two.
template <Lanes L, int K>
[[gnu::always_inline]] inline V link_group(V packed) noexcept {
    constexpr int quarter = L == Lanes::u8 ? K : K / 2;
    return splat<L == Lanes::u8 ? 0 : K % 2>(V{_mm512_shuffle_i32x4(packed.v, packed.v, quarter * 0x55)});
}

/// Four groups, each with sums of its own.
template <Lanes L, int First>
[[gnu::always_inline]] inline void add_link_groups(V (&acc)[4], V packed, const std::byte* w) noexcept {
    acc[0] = dot<L>(acc[0], link_group<L, First>(packed), load(w + vector_bytes * First));
    acc[1] = dot<L>(acc[1], link_group<L, First + 1>(packed), load(w + vector_bytes * (First + 1)));
    acc[2] = dot<L>(acc[2], link_group<L, First + 2>(packed), load(w + vector_bytes * (First + 2)));
    acc[3] = dot<L>(acc[3], link_group<L, First + 3>(packed), load(w + vector_bytes * (First + 3)));
}

[[gnu::always_inline]] inline void store_link(Lanes lanes, std::byte* to, V v) noexcept {
    if (lanes == Lanes::u8)
        store_u8(to, v);
    else if (lanes == Lanes::s16)
        store_s16(to, v);
    else
        store(to, v);
}

/// The epilogue of a link, and its values packed as the next link wants them.
[[gnu::always_inline]] inline V finish_link(const DenseLink& k, const V (&acc)[4], Lanes next,
                                            std::byte* workspace) noexcept {
    V v = add(add(acc[0], acc[1]), add(acc[2], acc[3]));
    if (k.wraps) v = add(sar(shl(v, count1(k.left)), count1(k.right)), set1(k.c0));
    v = min(max(shift_to_even(v, count1(k.shift), set1(k.middle)), set1(k.lo)), set1(k.hi));
    store_link(k.out_lanes, workspace + k.out, v);
    if (k.copies) store_link(k.copy_lanes, workspace + k.copy, v);
    const __m512i packed = _mm512_packs_epi32(v.v, v.v);
    return {next == Lanes::u8 ? _mm512_packus_epi16(packed, packed) : packed};
}

template <Lanes L>
[[gnu::always_inline]] inline V first_link(const Step& s, Lanes next, std::byte* workspace) noexcept {
    V acc[4] = {load(s.links[0].bias), zero(), zero(), zero()};
    const std::byte* w = s.links[0].weights;
    add_products<L, 1>(acc, workspace + s.in.one, w, s.n_groups, s.n_quads);
    return finish_link(s.links[0], acc, next, workspace);
}

void dense_chain(const Step& s, std::byte* workspace) noexcept {
    const DenseLink* k = s.links;
    const DenseLink* const last = k + s.n_links - 1;
    V x = k->in == Lanes::u8 ? first_link<Lanes::u8>(s, k[1].in, workspace)
                             : first_link<Lanes::s16>(s, k[1].in, workspace);
    while (++k <= last) {
        V acc[4] = {load(k->bias), zero(), zero(), zero()};
        if (k->in == Lanes::u8) {
            add_link_groups<Lanes::u8, 0>(acc, x, k->weights);
        } else {
            add_link_groups<Lanes::s16, 0>(acc, x, k->weights);
            if (k->n_groups > 4) add_link_groups<Lanes::s16, 4>(acc, x, k->weights);
        }
        x = finish_link(*k, acc, k < last ? k[1].in : Lanes::s16, workspace);
    }
}
