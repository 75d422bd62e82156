// Batch-1 kernels: elements in lanes. Included by kernels_body.hpp behind what they share with the tile kernels: no
// include guard, no include.

// ---- dense, batch 1 -------------------------------------------------------------------------------------------------

/// Chains of additions per output vector: enough of them to hide the latency of four cycles.
template <int NV>
inline constexpr int chains_of = NV >= 3   ? 1
                                 : NV == 2 ? 2
                                           : 4;

/// Products of one group of inputs, in all lanes of @p x, with the weights of NV vectors of outputs.
template <Lanes L, int NV, int K>
[[gnu::always_inline]] inline void add_group(V (&acc)[NV * chains_of<NV>], V x, const std::byte* w) noexcept {
    constexpr int c = K % chains_of<NV>;
#pragma GCC unroll 8
    for (int i = 0; i < NV; ++i)
        acc[c * NV + i] = dot<L>(acc[c * NV + i], x, load(w + vector_bytes * static_cast<std::size_t>(K * NV + i)));
}

/// @p n is a multiple of dense_unroll: weights of the padding are zero. The first @p n_quads groups are loaded four at
/// a time, which leaves the load ports to the weights; not so behind a split row, where a load would meet two stores.
template <Lanes L, int NV>
[[gnu::always_inline]] inline void add_products(V (&acc)[NV * chains_of<NV>], const std::byte* x, const std::byte*& w,
                                                std::uint32_t n, std::uint32_t n_quads) noexcept {
    std::uint32_t g = 0;
    for (; g < n_quads; g += dense_unroll) {
        const V quad = load_quad(x);
        add_group<L, NV, 0>(acc, splat<0>(quad), w);
        add_group<L, NV, 1>(acc, splat<1>(quad), w);
        add_group<L, NV, 2>(acc, splat<2>(quad), w);
        add_group<L, NV, 3>(acc, splat<3>(quad), w);
        x += dword * dense_unroll;
        w += vector_bytes * static_cast<std::size_t>(dense_unroll * NV);
    }
    for (; g < n; g += dense_unroll) {
        add_group<L, NV, 0>(acc, broadcast(x), w);
        add_group<L, NV, 1>(acc, broadcast(x + dword), w);
        add_group<L, NV, 2>(acc, broadcast(x + 2 * dword), w);
        add_group<L, NV, 3>(acc, broadcast(x + 3 * dword), w);
        x += dword * dense_unroll;
        w += vector_bytes * static_cast<std::size_t>(dense_unroll * NV);
    }
}

template <Epilogue E, int NV>
[[gnu::always_inline]] inline void finish_row(const Step& s, V (&acc)[NV * chains_of<NV>], std::byte* row) noexcept {
    V v[NV];
#pragma GCC unroll 8
    for (int i = 0; i < NV; ++i) {
        if constexpr (chains_of<NV> == 4)
            v[i] = add(add(acc[i], acc[NV + i]), add(acc[2 * NV + i], acc[3 * NV + i]));
        else if constexpr (chains_of<NV> == 2)
            v[i] = add(acc[i], acc[NV + i]);
        else
            v[i] = acc[i];
    }
    run_epilogue<E, PerLane>(s, v, 0, V::n);
    if constexpr (packs_u8(E)) {
#pragma GCC unroll 8
        for (std::size_t i = 0; i < NV; ++i) store_u8_saturated(row + i * V::n, v[i]);
    } else {
        store_elements<NV>(s.out, row, 0, v);
    }
}

template <int NV>
[[gnu::always_inline]] inline void begin_row(const Step& s, V (&acc)[NV * chains_of<NV>]) noexcept {
#pragma GCC unroll 8
    for (int i = 0; i < NV; ++i) acc[i] = load(s.bias + static_cast<std::size_t>(i) * V::n);
#pragma GCC unroll 8
    for (int i = NV; i < NV * chains_of<NV>; ++i) acc[i] = zero();
}

template <Lanes L, int NV, Epilogue E>
void dense(const Step& s, std::byte* workspace) noexcept {
    V acc[NV * chains_of<NV>];
    begin_row<NV>(s, acc);
    const std::byte* w = s.weights;
    add_products<L, NV>(acc, workspace + s.in.one, w, s.n_groups, s.n_quads);
    finish_row<E, NV>(s, acc, workspace + s.out.one);
}

// ---- elementwise ----------------------------------------------------------------------------------------------------

template <bool Two>
void map(const Step& s, std::byte* workspace) noexcept {
    for (std::uint32_t r = 0; r < s.n_rows; ++r) {
        const std::byte* in = workspace + s.in.one + std::size_t{r} * s.in.stride;
        const std::byte* in2 = workspace + s.in2.one + std::size_t{r} * s.in2.stride;
        std::byte* out = workspace + s.out.one + std::size_t{r} * s.out.stride;
        for (std::size_t i = 0; i < s.n_out; i += V::n) {
            V v[1] = {load_elements(s.in, in, i)};
            if constexpr (Two) v[0] = combine(s, v[0], load_elements(s.in2, in2, i));
            run_stages<PerLane>(s, v, i, 0);
            store_elements<1>(s.out, out, i, v);
        }
    }
}

// ---- reductions to one value ----------------------------------------------------------------------------------------

[[gnu::always_inline]] inline V lane_mask(std::size_t n) noexcept {
    alignas(64) static constexpr std::int32_t ones[32] = {-1, -1, -1, -1, -1, -1, -1, -1,
                                                          -1, -1, -1, -1, -1, -1, -1, -1};
    return load(ones + 16 - (n < V::n ? n : static_cast<std::size_t>(V::n)));
}

void reduce(const Step& s, std::byte* workspace) noexcept {
    V total = zero();
    const std::byte* x = workspace + s.in.one;
    const std::byte* y = workspace + s.in2.one;
    for (std::size_t i = 0; i < s.n_groups; i += V::n) {
        const V vx = load_elements(s.in, x, i);
        const V vy = s.operation == 0 ? load_elements(s.in2, y, i) : vx;
        total = add(total, bit_and(reduction_term(s, vx, vy), lane_mask(s.n_groups - i)));
    }
    V v[1] = {set1(sum(total))};
    run_stages<PerLane>(s, v, 0, 0, 1);
    store_elements<1>(s.out, workspace + s.out.one, 0, v);
}

void reduce_wide(const Step& s, std::byte* workspace) noexcept {
    const auto* x = reinterpret_cast<const std::int32_t*>(workspace + s.in.one);
    const auto* y = reinterpret_cast<const std::int32_t*>(workspace + s.in2.one);
    std::uint32_t total = 0;
    for (std::size_t i = 0; i < s.n_groups; ++i) total += wide_term(s.stages[0], x[i], y[i]);
    V v[1] = {set1(static_cast<std::int32_t>(total))};
    run_stages<PerLane>(s, v, 0, 0, 1);
    store_elements<1>(s.out, workspace + s.out.one, 0, v);
}

// ---- inputs ---------------------------------------------------------------------------------------------------------

/// N vectors of a row, the last of which may lack elements; true if one lies outside.
template <int N, class T>
[[gnu::always_inline]] inline bool input_vectors(const InputStep& s, const T* from, std::size_t at,
                                                 std::byte* row) noexcept {
    const V lo = set1(s.smallest), hi = set1(s.largest);
    V v[N];
#pragma GCC unroll 8
    for (std::size_t i = 0; i + 1 < N; ++i) v[i] = load_all(from + at + i * V::n);
    const std::size_t last = at + (N - 1) * V::n;
    const std::size_t left = s.step.n_out - last;
    v[N - 1] = left >= V::n ? load_all(from + last) : load_first(from + last, static_cast<int>(left));
    V low = v[0], high = v[0];
#pragma GCC unroll 8
    for (int i = 1; i < N; ++i) {
        low = min(low, v[i]);
        high = max(high, v[i]);
    }
    run_stages<PerLane>(s.step, v, at, V::n);
    store_elements<N>(s.step.out, row, at, v);
    return any_outside(low, high, lo, hi);
}

template <class T>
bool input(const InputStep& s, const void* event, std::byte* workspace) noexcept {
    const T* from = static_cast<const T*>(event) + s.first;
    bool outside = false;
    std::byte* row = workspace + s.step.out.one;
    for (std::uint32_t r = 0; r < s.step.n_rows; ++r, from += s.step.n_out, row += s.step.out.stride) {
        // Vectors together, so that each stage is looked at once, and so that the high parts of split elements, which
        // begin behind the row, are stored after all of it (split_wide in plan_lowering.cpp keeps such rows short).
        for (std::size_t i = 0; i < s.step.n_out; i += input_vectors_at_once * V::n) {
            const std::size_t n = (s.step.n_out - i + V::n - 1) / V::n;
            if (n == 1 || input_vectors_at_once == 1) {
                outside |= input_vectors<1>(s, from, i, row);
            } else if constexpr (input_vectors_at_once >= 4) {
                if (n == 2)
                    outside |= input_vectors<2>(s, from, i, row);
                else if (n == 3)
                    outside |= input_vectors<3>(s, from, i, row);
                else if (n == 4 || input_vectors_at_once == 4)
                    outside |= input_vectors<4>(s, from, i, row);
                else if constexpr (input_vectors_at_once == 8) {
                    if (n == 5)
                        outside |= input_vectors<5>(s, from, i, row);
                    else if (n == 6)
                        outside |= input_vectors<6>(s, from, i, row);
                    else if (n == 7)
                        outside |= input_vectors<7>(s, from, i, row);
                    else
                        outside |= input_vectors<8>(s, from, i, row);
                }
            }
        }
    }
    return outside;
}

// ---- outputs --------------------------------------------------------------------------------------------------------

template <class T>
void output(const std::byte* from, std::size_t n, void* to) noexcept {
    T* p = static_cast<T*>(to);
    if (n == 1) {  // a score: what reads it next meets a plain store
        std::int32_t x;
        __builtin_memcpy(&x, from, sizeof x);
        *p = static_cast<T>(x);
        return;
    }
    for (std::size_t i = 0; i < n; i += V::n) {
        const V x = load(from + 4 * i);
        if (n - i >= V::n)
            store_all(p + i, x);
        else
            store_first(p + i, x, static_cast<int>(n - i));
    }
}
