// The kernels over the Vector of the file that includes this, in a namespace of its own. Nothing of the standard
// library is called from here: such a function, compiled with these instructions, could be linked into code for other
// machines.

constexpr int lanes = Vector::lanes;
constexpr int tile_groups = tile_rows / lanes;

inline float* column(const TileScratch& s, std::int32_t i) {
    return s.columns + static_cast<std::ptrdiff_t>(i) * tile_rows;
}

inline int smaller(int a, int b) {
    return a < b ? a : b;
}

/// One tile of a stage: rows [first, first + n) of the domain.
struct Tile {
    const EventView& event;
    TileScratch& scratch;
    std::int32_t number;
    std::int32_t first;
    std::int32_t n;
    Kind kind;
};

// --- linear ---------------------------------------------------------------------------------------------------------

struct LinearCall {
    const float* in;
    const float* weights;
    const float* bias;
    const float* residual;
    float* out;
    int in_width;
    bool accumulate;
    bool relu;
};

/// N outputs for tile_vectors · lanes rows, sums in registers, inputs in order: out = (bias or out) + in · weights,
/// each product fused with its addition, then + residual. @p stride: outputs packed together.
template <int N>
inline void linear_block(const LinearCall& c, int stride) {
    constexpr int L = Vector::tile_vectors;
    for (int row = 0; row < tile_rows; row += L * lanes) {
        Vector sum[N][L];
        for (int o = 0; o < N; ++o) {
            for (int l = 0; l < L; ++l) {
                sum[o][l] = c.accumulate ? load(c.out + o * tile_rows + row + l * lanes)
                                         : all(c.bias != nullptr ? c.bias[o] : 0.0f);
            }
        }
        const float* x = c.in + row;
        const float* w = c.weights;
        for (int k = 0; k < c.in_width; ++k, x += tile_rows, w += stride) {
            Vector value[L];
            for (int l = 0; l < L; ++l) value[l] = load(x + l * lanes);
            for (int o = 0; o < N; ++o) {
                const Vector factor = all(w[o]);
                for (int l = 0; l < L; ++l) sum[o][l] = fma(value[l], factor, sum[o][l]);
            }
        }
        for (int o = 0; o < N; ++o) {
            for (int l = 0; l < L; ++l) {
                const int place = o * tile_rows + row + l * lanes;
                if (c.residual != nullptr) sum[o][l] = load(c.residual + place) + sum[o][l];
                if (c.relu) sum[o][l] = max(all(0.0f), sum[o][l]);
                store(c.out + place, sum[o][l]);
            }
        }
    }
}

inline void linear_some(const LinearCall& c, int n, int stride) {
    switch (n) {
        case 1: return linear_block<1>(c, stride);
        case 2: return linear_block<2>(c, stride);
        case 3: return linear_block<3>(c, stride);
        case 4: return linear_block<4>(c, stride);
#if RHEINFALL_GNN_OUTPUTS == 8
        case 5: return linear_block<5>(c, stride);
        case 6: return linear_block<6>(c, stride);
        case 7: return linear_block<7>(c, stride);
        default: return linear_block<8>(c, stride);
#else
        default: return;
#endif
    }
}

inline void run_linear(const Instruction& i, const Tile& t) {
    const float* weights = i.weights;
    for (int first = 0; first < i.width; first += output_block) {
        const int packed = smaller(output_block, i.width - first);
        for (int part = 0; part < packed; part += Vector::tile_outputs) {
            const int o = first + part;
            const LinearCall call{column(t.scratch, i.in),
                                  weights + part,
                                  i.scale == nullptr ? nullptr : i.scale + o,
                                  i.in2 < 0 ? nullptr : column(t.scratch, i.in2 + o),
                                  column(t.scratch, i.out + o),
                                  i.in_width,
                                  i.accumulate,
                                  i.relu};
            linear_some(call, smaller(Vector::tile_outputs, packed - part), packed);
        }
        weights += static_cast<std::ptrdiff_t>(packed) * i.in_width;
    }
}

// --- columns --------------------------------------------------------------------------------------------------------

/// Calls f(offset) for each vector of @p width columns, where column c of the result is c · tile_rows onwards.
template <class F>
inline void for_columns(int width, F&& f) {
    for (int place = 0; place < width * tile_rows; place += lanes) f(place);
}

inline Vector rectified(bool relu, Vector x) {
    return relu ? max(all(0.0f), x) : x;
}

inline void run_unary(const Instruction& i, const Tile& t) {
    const float* in = column(t.scratch, i.in);
    float* out = column(t.scratch, i.out);
    // The switch stands outside of the loop, so that each activation is a loop of its own.
    const auto loop = [&](auto unary) {
        for_columns(i.width, [&](int p) { store(out + p, activate(decltype(unary)::value, load(in + p), i.a, i.b)); });
    };
    dispatch_unary(i.unary, loop);
}

inline void run_affine(const Instruction& i, const Tile& t) {
    const float* in = column(t.scratch, i.in);
    float* out = column(t.scratch, i.out);
    for (int c = 0; c < i.width; ++c) {
        const Vector scale = all(i.scale == nullptr ? 1.0f : i.scale[c]);
        const Vector shift = all(i.shift == nullptr ? 0.0f : i.shift[c]);
        for (int p = c * tile_rows; p < (c + 1) * tile_rows; p += lanes) {
            store(out + p, rectified(i.relu, fma(load(in + p), scale, shift)));
        }
    }
}

inline void run_event_affine(const Instruction& i, const Tile& t) {
    const float* in = column(t.scratch, i.in);
    const float* event = t.event.arrays[i.array].data;
    float* out = column(t.scratch, i.out);
    for (int c = 0; c < i.width; ++c) {
        const Vector mean = all(event[c * tile_rows]);
        const Vector scale = all(event[(i.width + c) * tile_rows]);
        const Vector shift = all(i.shift == nullptr ? 0.0f : i.shift[c]);
        for (int p = c * tile_rows; p < (c + 1) * tile_rows; p += lanes) {
            store(out + p, rectified(i.relu, fma(load(in + p) - mean, scale, shift)));
        }
    }
}

inline Vector combine(Binary binary, Vector a, Vector b) {
    switch (binary) {
        case Binary::add: return a + b;
        case Binary::sub: return a - b;
        case Binary::mul: return a * b;
        case Binary::div: return a / b;
        case Binary::min: return min(a, b);
        case Binary::max: return max(a, b);
    }
    return a;
}

inline void run_binary(const Instruction& i, const Tile& t) {
    const float* a = column(t.scratch, i.in);
    const float* b = column(t.scratch, i.in2);
    float* out = column(t.scratch, i.out);
    const int step_a = i.in_width == 1 ? 0 : tile_rows;
    const int step_b = i.in2_width == 1 ? 0 : tile_rows;
    for (int c = 0; c < i.width; ++c, a += step_a, b += step_b, out += tile_rows) {
        for (int p = 0; p < tile_rows; p += lanes) {
            store(out + p, rectified(i.relu, combine(i.binary, load(a + p), load(b + p))));
        }
    }
}

/// The mean over columns of tile_vectors vectors of rows; sums of even and of odd columns apart, for the sake of speed.
inline void column_mean(const float* in, int width, Vector* mean) {
    constexpr int L = Vector::tile_vectors;
    Vector even[L];
    Vector odd[L];
    for (int l = 0; l < L; ++l) even[l] = odd[l] = all(0.0f);
    for (int c = 0; c < width; ++c) {
        for (int l = 0; l < L; ++l) {
            const Vector x = load(in + c * tile_rows + l * lanes);
            if ((c & 1) == 0) {
                even[l] = even[l] + x;
            } else {
                odd[l] = odd[l] + x;
            }
        }
    }
    for (int l = 0; l < L; ++l) mean[l] = (even[l] + odd[l]) / all(static_cast<float>(width));
}

/// 1 / sqrt(variance + epsilon) of rows around @p mean, summed likewise.
inline void column_factor(const float* in, int width, float epsilon, const Vector* mean, Vector* factor) {
    constexpr int L = Vector::tile_vectors;
    Vector even[L];
    Vector odd[L];
    for (int l = 0; l < L; ++l) even[l] = odd[l] = all(0.0f);
    const auto square = [&](Vector* sum, const float* column) {
        for (int l = 0; l < L; ++l) {
            const Vector x = load(column + l * lanes) - mean[l];
            sum[l] = fma(x, x, sum[l]);
        }
    };
    int c = 0;
    for (; c + 1 < width; c += 2) {
        square(even, in + c * tile_rows);
        square(odd, in + (c + 1) * tile_rows);
    }
    if (c < width) square(even, in + c * tile_rows);
    const Vector n = all(static_cast<float>(width));
    for (int l = 0; l < L; ++l) factor[l] = all(1.0f) / sqrt((even[l] + odd[l]) / n + all(epsilon));
}

template <bool Relu>
inline void layer_norm(const Instruction& i, const float* in, float* out) {
    constexpr int L = Vector::tile_vectors;
    Vector mean[L];
    Vector factor[L];
    for (int l = 0; l < L; ++l) mean[l] = all(0.0f);
    if (!i.centred) column_mean(in, i.width, mean);
    column_factor(in, i.width, i.a, mean, factor);
    for (int c = 0; c < i.width; ++c) {
        const Vector scale = all(i.scale == nullptr ? 1.0f : i.scale[c]);
        const Vector shift = all(i.shift == nullptr ? 0.0f : i.shift[c]);
        for (int l = 0; l < L; ++l) {
            const Vector x = (load(in + c * tile_rows + l * lanes) - mean[l]) * factor[l];
            store(out + c * tile_rows + l * lanes, rectified(Relu, fma(x, scale, shift)));
        }
    }
}

inline void run_layer_norm(const Instruction& i, const Tile& t) {
    for (int row = 0; row < tile_rows; row += Vector::tile_vectors * lanes) {
        const float* in = column(t.scratch, i.in) + row;
        float* out = column(t.scratch, i.out) + row;
        i.relu ? layer_norm<true>(i, in, out) : layer_norm<false>(i, in, out);
    }
}

inline void run_row_reduce(const Instruction& i, const Tile& t) {
    for (int row = 0; row < tile_rows; row += lanes) {
        const float* in = column(t.scratch, i.in) + row;
        Vector sum = load(in);
        for (int c = 1; c < i.in_width; ++c) {
            const Vector x = load(in + c * tile_rows);
            sum = i.how == How::max ? max(sum, x) : sum + x;
        }
        if (i.how == How::mean) sum = sum / all(static_cast<float>(i.in_width));
        store(column(t.scratch, i.out) + row, sum);
    }
}

inline void run_copy(const Instruction& i, const Tile& t) {
    const float* in = column(t.scratch, i.in);
    float* out = column(t.scratch, i.out);
    for_columns(i.width, [&](int p) { store(out + p, load(in + p)); });
}

/// Rows behind the last of a graph count as zero.
inline void run_statistics(const Instruction& i, const Tile& t) {
    const float* in = column(t.scratch, i.in);
    double* sums = t.scratch.statistics + static_cast<std::ptrdiff_t>(i.in2_width) * 2 * statistic_lanes;
    for (int c = 0; c < i.width; ++c, in += tile_rows, sums += 2 * statistic_lanes) {
        for (int p = 0; p < tile_rows; p += statistic_lanes) {
            for (int l = 0; l < statistic_lanes; ++l) {
                const double x = p + l < t.n ? static_cast<double>(in[p + l]) : 0.0;
                sums[l] += x;
                sums[statistic_lanes + l] += x * x;  // exact, so it does not matter whether it is fused
            }
        }
    }
}

// --- memory ---------------------------------------------------------------------------------------------------------

inline std::ptrdiff_t tile_place(const Tile& t, const ArrayView& array) {
    return static_cast<std::ptrdiff_t>(t.number) * tile_rows * array.stride;
}

inline void run_load_tiles(const Instruction& i, const Tile& t) {
    const ArrayView& array = t.event.arrays[i.array];
    const float* from = array.data + tile_place(t, array);
    float* out = column(t.scratch, i.out);
    for_columns(i.width, [&](int p) { store(out + p, load(from + p)); });
}

inline void run_store_tiles(const Instruction& i, const Tile& t) {
    const ArrayView& array = t.event.arrays[i.array];
    float* to = array.data + tile_place(t, array);
    const float* in = column(t.scratch, i.in);
    for_columns(i.width, [&](int p) { store(to + p, load(in + p)); });
}

inline void run_load_event(const Instruction& i, const Tile& t) {
    const float* from = t.event.arrays[i.array].data;
    float* out = column(t.scratch, i.out);
    for (int c = 0; c < i.width; ++c) {
        for (int p = 0; p < tile_rows; p += lanes) store(out + c * tile_rows + p, all(from[c * tile_rows]));
    }
}

/// Where row @p row of the tile lies in an array; rows behind the last repeat the last.
inline const float* row_of(const Tile& t, const ArrayView& array, Index index, int row) {
    std::int32_t place = t.first + smaller(row, t.n - 1);
    switch (index) {
        case Index::self: break;
        case Index::source: place = t.event.source[place]; break;
        case Index::target: place = t.event.target[place]; break;
        case Index::caller: place = t.event.caller[place]; break;
    }
    return array.data + static_cast<std::ptrdiff_t>(place) * array.stride;
}

/// Transposes lanes rows to columns, a block of lanes columns at a time.
template <class LoadRow>
inline void rows_to_columns(float* out, int width, LoadRow&& load_row) {
    for (int c = 0; c < width; c += lanes) {
        const int n = smaller(lanes, width - c);
        Vector block[lanes];
        for (int r = 0; r < lanes; ++r) block[r] = load_row(r, c, n);
        transpose(block);
        for (int j = 0; j < n; ++j) store(out + (c + j) * tile_rows, block[j]);
    }
}

/// Asks for the rows that the next tile will gather, into the second cache: the first is full of this tile.
inline void fetch_next_rows(const Instruction& i, const Tile& t, std::int32_t array, Index index) {
    if (index == Index::self) return;
    const ArrayView& view = t.event.arrays[array];
    const std::int32_t next = t.first + tile_rows;
    const std::int32_t last = next + tile_rows < t.event.n_edges ? next + tile_rows : t.event.n_edges;
    const std::int32_t* places = index == Index::source   ? t.event.source
                                 : index == Index::target ? t.event.target
                                                          : t.event.caller;
    for (std::int32_t k = next; k < last; ++k) {
        const float* row = view.data + static_cast<std::ptrdiff_t>(places[k]) * view.stride;
        for (int c = 0; c < i.width; c += 16) __builtin_prefetch(row + c, 0, 2);
    }
}

inline void run_load_rows(const Instruction& i, const Tile& t) {
    const ArrayView& first = t.event.arrays[i.array];
    fetch_next_rows(i, t, i.array, i.index);
    if (i.array2 >= 0) fetch_next_rows(i, t, i.array2, i.index2);
    for (int group = 0; group < tile_groups; ++group) {
        const float* rows[lanes];
        const float* added[lanes];
        for (int r = 0; r < lanes; ++r) rows[r] = row_of(t, first, i.index, group * lanes + r);
        float* out = column(t.scratch, i.out) + group * lanes;
        if (i.array2 < 0) {
            rows_to_columns(out, i.width, [&](int r, int c, int n) { return load_first(rows[r] + c, n); });
            continue;
        }
        const ArrayView& second = t.event.arrays[i.array2];
        for (int r = 0; r < lanes; ++r) added[r] = row_of(t, second, i.index2, group * lanes + r);
        rows_to_columns(out, i.width,
                        [&](int r, int c, int n) { return load_first(rows[r] + c, n) + load_first(added[r] + c, n); });
    }
}

inline void run_store_rows(const Instruction& i, const Tile& t) {
    const ArrayView& array = t.event.arrays[i.array];
    for (int group = 0; group < tile_groups && group * lanes < t.n; ++group) {
        const float* in = column(t.scratch, i.in) + group * lanes;
        float* to = array.data + static_cast<std::ptrdiff_t>(t.first + group * lanes) * array.stride;
        const int n_rows = smaller(lanes, t.n - group * lanes);
        for (int c = 0; c < i.width; c += lanes) {
            const int n = smaller(lanes, i.width - c);
            Vector block[lanes];
            for (int j = 0; j < lanes; ++j) block[j] = j < n ? load(in + (c + j) * tile_rows) : all(0.0f);
            transpose(block);
            for (int r = 0; r < n_rows; ++r) {
                store_first(to + static_cast<std::ptrdiff_t>(r) * array.stride + c, n, block[r]);
            }
        }
    }
}

// --- sums over edges ------------------------------------------------------------------------------------------------

struct EdgeList {
    const std::int32_t* edges;  ///< null: they are numbered in order
    std::int32_t first;
    std::int32_t n;

    [[nodiscard]] std::int32_t edge(std::int32_t k) const { return edges == nullptr ? first + k : edges[first + k]; }
    /// The one some places on, which may be the next node's.
    [[nodiscard]] std::int32_t ahead(std::int32_t k, std::int32_t n_edges) const {
        const std::int32_t last = n_edges - 1 - first;
        return edge(k + 8 < last ? k + 8 : last);
    }
};

inline EdgeList edges_of(const EventView& event, End end, std::int32_t node) {
    const std::int32_t* first = end == End::target ? event.first_in : event.first_out;
    return {end == End::target ? nullptr : event.edges_out, first[node], first[node + 1] - first[node]};
}

inline const float* reduced_row(const Instruction& i, const EventView& event, std::int32_t edge) {
    const std::int32_t row = i.index == Index::self     ? edge
                             : i.index == Index::source ? event.source[edge]
                             : i.index == Index::target ? event.target[edge]
                                                        : event.caller[edge];
    const ArrayView& array = event.arrays[i.array];
    return array.data + static_cast<std::ptrdiff_t>(row) * array.stride;
}

inline void fetch_row(const float* row, int width) {
    for (int c = 0; c < width; c += 16) __builtin_prefetch(row + c);
}

enum class Reduction : unsigned char { sum, weighted_sum, largest, smallest };

/// Combines N vectors of columns of the edges of one node, in the order of the list.
template <int N, Reduction R>
inline void reduce_columns(const Instruction& i, const EventView& event, const EdgeList& list, int column, int last,
                           float* to) {
    const float* factors = i.array2 < 0 ? nullptr : event.arrays[i.array2].data;
    const bool sums = R == Reduction::sum || R == Reduction::weighted_sum;
    Vector sum[N];
    for (int v = 0; v < N; ++v) sum[v] = all(sums ? 0.0f : i.a);
    for (std::int32_t k = 0; k < list.n; ++k) {
        const std::int32_t edge = list.edge(k);
        // Rows of other nodes lie anywhere: those of the edges to come are asked for early.
        if (column == 0) fetch_row(reduced_row(i, event, list.ahead(k, event.n_edges)), i.width);
        const float* row = reduced_row(i, event, edge) + column;
        const Vector factor = all(factors == nullptr ? 1.0f : factors[edge]);
        for (int v = 0; v < N; ++v) {
            Vector x = v + 1 < N ? load(row + v * lanes) : load_first(row + v * lanes, last);
            if (R == Reduction::weighted_sum) sum[v] = fma(x, factor, sum[v]);
            if (R == Reduction::sum) sum[v] = sum[v] + x;
            if (!sums && factors != nullptr) x = x * factor;
            if (R == Reduction::largest) sum[v] = max(sum[v], x);
            if (R == Reduction::smallest) sum[v] = min(sum[v], x);
        }
    }
    if (i.how == How::mean) {
        const Vector n = all(static_cast<float>(list.n > 0 ? list.n : 1));
        for (int v = 0; v < N; ++v) sum[v] = sum[v] / n;
    }
    for (int v = 0; v < N; ++v) store(to + column + v * lanes, sum[v]);
}

template <Reduction R>
inline void reduce_row(const Instruction& i, const EventView& event, const EdgeList& list, float* to) {
    constexpr int most = 80 / lanes < 8 ? 80 / lanes : 8;
    for (int c = 0; c < i.width;) {
        const int left = i.width - c;
        if (left > 4 * lanes && left <= 5 * lanes && most >= 5) {
            return reduce_columns<5, R>(i, event, list, c, left - 4 * lanes, to);
        }
        if (left > 4 * lanes) {
            reduce_columns<4, R>(i, event, list, c, lanes, to);
            c += 4 * lanes;
            continue;
        }
        const int n = (left + lanes - 1) / lanes;
        const int last = left - (n - 1) * lanes;
        if (n == 4) return reduce_columns<4, R>(i, event, list, c, last, to);
        if (n == 3) return reduce_columns<3, R>(i, event, list, c, last, to);
        if (n == 2) return reduce_columns<2, R>(i, event, list, c, last, to);
        return reduce_columns<1, R>(i, event, list, c, last, to);
    }
}

template <Reduction R>
inline void reduce_rows(const Instruction& i, const Tile& t, int stride) {
    for (int r = 0; r < tile_rows; ++r) {
        const EdgeList list = edges_of(t.event, i.end, t.first + smaller(r, t.n - 1));
        reduce_row<R>(i, t.event, list, t.scratch.rows + r * stride);
    }
}

inline void run_reduce(const Instruction& i, const Tile& t) {
    const int stride = (i.width + 15) / 16 * 16;
    switch (i.how) {
        case How::max: reduce_rows<Reduction::largest>(i, t, stride); break;
        case How::min: reduce_rows<Reduction::smallest>(i, t, stride); break;
        default:
            i.array2 < 0 ? reduce_rows<Reduction::sum>(i, t, stride)
                         : reduce_rows<Reduction::weighted_sum>(i, t, stride);
    }
    for (int group = 0; group < tile_groups; ++group) {
        const float* rows = t.scratch.rows + group * lanes * stride;
        rows_to_columns(column(t.scratch, i.out) + group * lanes, i.width,
                        [&](int r, int c, int n) { return load_first(rows + r * stride + c, n); });
    }
}

inline void run_degree(const Instruction& i, const Tile& t) {
    float* out = column(t.scratch, i.out);
    for (int r = 0; r < tile_rows; ++r) {
        out[r] = static_cast<float>(edges_of(t.event, i.end, t.first + smaller(r, t.n - 1)).n);
    }
}

inline void run_output(const Instruction& i, const Tile& t) {
    float values[tile_rows];
    const float* in = column(t.scratch, i.in);
    for (int p = 0; p < tile_rows; p += lanes) {
        store(values + p, t.event.scores ? sigmoid_of(load(in + p)) : load(in + p));
    }
    for (int r = 0; r < t.n; ++r) {
        t.event.out[t.event.caller[t.first + r]] = values[r];
        if (!(in[r] - in[r] == 0.0f)) t.scratch.not_finite = true;
    }
}

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
    for (std::int32_t tile = first; tile < last; ++tile) {
        const std::int32_t row = tile * tile_rows;
        const Tile t{event, scratch, tile, row, smaller(tile_rows, n_rows - row), program.kind};
        for (std::int32_t k = 0; k < program.n; ++k) run_instruction(program.instructions[k], t);
    }
}
