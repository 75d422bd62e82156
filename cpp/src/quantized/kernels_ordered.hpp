// Included by kernels_body.hpp, behind the kernels of tiles: no include guard, no include. Dense layers whose products
// are converted one by one, and whose sums may be too: the first stages of a step are done on each product, the next
// ones on each sum, in order. Every lane has a sum of its own, 32 bits wide.

/// Vectors of outputs of a single event that go through the stages at once.
inline constexpr int ordered_sums = 4;

/// Outputs of a row of weights, [input][output].
[[gnu::always_inline]] inline std::size_t ordered_columns(const Step& s) noexcept {
    return (s.n_out + V::n - 1) / V::n * V::n;
}

/// Stages without parameters.
template <int N>
[[gnu::always_inline]] inline void run_some(const Stage* stages, std::uint32_t n, V (&v)[N]) noexcept {
    for (std::uint32_t k = 0; k < n; ++k) run_stage(stages[k], v, PerTile{0}, 0);
}

template <int N>
[[gnu::always_inline]] inline void add_ordered(const Step& s, V (&product)[N], V (&sum)[N]) noexcept {
    run_some(s.stages, s.n_product_stages, product);
#pragma GCC unroll 4
    for (int i = 0; i < N; ++i) sum[i] = add(sum[i], product[i]);
    run_some(s.stages + s.n_product_stages, s.n_sum_stages, sum);
}

/// A single event: N vectors of outputs from @p o on.
template <int N>
void ordered_vectors(const Step& s, const std::byte* x, std::byte* row, std::size_t o) noexcept {
    const std::size_t columns = ordered_columns(s);
    V sum[N];
#pragma GCC unroll 4
    for (std::size_t i = 0; i < N; ++i) sum[i] = load(s.bias + o + i * V::n);
    const std::byte* w = s.weights + dword * o;
    for (std::uint32_t k = 0; k < s.n_groups; ++k, w += dword * columns) {
        const V xs = broadcast(x + dword * s.taps[k]);
        V product[N];
#pragma GCC unroll 4
        for (std::size_t i = 0; i < N; ++i) product[i] = mul(xs, load(w + vector_bytes * i));
        add_ordered(s, product, sum);
    }
    run_stages<PerLane>(s, sum, o, V::n, s.n_product_stages + s.n_sum_stages);
    store_elements<N>(s.out, row, o, sum);
}

/// Rows and outputs in order: what a whole vector writes over the end of a row is written again.
void ordered(const Step& s, std::byte* workspace) noexcept {
    for (std::uint32_t r = 0; r < s.n_rows; ++r) {
        const std::byte* x = workspace + s.in.one + std::size_t{r} * s.in.stride;
        std::byte* row = workspace + s.out.one + std::size_t{r} * s.out.stride;
        for (std::size_t o = 0; o < s.n_out; o += ordered_sums * V::n) {
            switch ((s.n_out - o + V::n - 1) / V::n) {
                case 1: ordered_vectors<1>(s, x, row, o); break;
                case 2: ordered_vectors<2>(s, x, row, o); break;
                case 3: ordered_vectors<3>(s, x, row, o); break;
                default: ordered_vectors<4>(s, x, row, o); break;
            }
        }
    }
}

/// Up to four outputs, whose lists of weights that are not zero begin at @p list; returns where they end. A product of
/// nothing is nothing in any accumulator, and so is adding it.
template <int BO>
const SparseGroup* ordered_block(const Step& s, const std::byte* in, std::uint32_t first, const SparseGroup* list,
                                 std::byte* out) noexcept {
    constexpr int bv = vectors_of_block<BO>;
    const SparseGroup* w = list;
    for (std::size_t e = 0; e < tile_row; e += vector_bytes * bv) {
        V sum[BO][bv];
        w = list;
#pragma GCC unroll 4
        for (std::uint32_t o = 0; o < BO; ++o) {
#pragma GCC unroll 4
            for (int i = 0; i < bv; ++i) sum[o][i] = set1(s.bias[first + o]);
            for (std::uint32_t k = 0; k < s.taps[first + o]; ++k, ++w) {
                const V weight = set1(static_cast<std::int32_t>(w->weights));
                const std::byte* x = in + w->at + e;
                V product[bv];
#pragma GCC unroll 4
                for (int i = 0; i < bv; ++i)
                    product[i] = mul(load(x + vector_bytes * static_cast<std::size_t>(i)), weight);
                add_ordered(s, product, sum[o]);
            }
            run_stages<PerTile>(s, sum[o], first + o, 0, s.n_product_stages + s.n_sum_stages);
        }
#pragma GCC unroll 4
        for (int i = 0; i < bv; ++i) {
            V v[BO];
#pragma GCC unroll 4
            for (int o = 0; o < BO; ++o) v[o] = sum[o][i];
            store_block<BO>(s.out.lanes, out + e + vector_bytes * static_cast<std::size_t>(i), v);
        }
    }
    return w;
}

void ordered_tile(const Step& s, std::byte* workspace) noexcept {
    const auto group = static_cast<std::size_t>(elements_per_group(s.out.lanes));
    for (std::uint32_t r = 0; r < s.n_rows; ++r) {
        const std::byte* in = workspace + s.in.tile + std::size_t{r} * s.in.stride * tile_events;
        std::byte* row = workspace + s.out.tile + std::size_t{r} * s.out.stride * tile_events;
        const auto* w = reinterpret_cast<const SparseGroup*>(s.weights);
        for (std::uint32_t o = 0; o < s.n_out; o += 4) {
            std::byte* out = row + o / group * tile_row;
            switch (s.n_out - o) {
                case 1: w = ordered_block<1>(s, in, o, w, out); break;
                case 2: w = ordered_block<2>(s, in, o, w, out); break;
                case 3: w = ordered_block<3>(s, in, o, w, out); break;
                default: w = ordered_block<4>(s, in, o, w, out); break;
            }
        }
    }
}
