// The kernels over the Vector of the file that includes this, in a namespace of its own. Nothing of the standard
// library is called from here: such a function, compiled with these instructions, could be linked into code for other
// machines.
//
// The larger instructions are kept out of line: all in one function, compilers leave their inner loops rolled and their
// vectors in memory.

constexpr int lanes = Vector::lanes;
constexpr int tile_groups = tile_rows / lanes;
constexpr std::ptrdiff_t vector_size = lanes;      ///< a vector of rows, in steps of a pointer
constexpr std::ptrdiff_t column_size = tile_rows;  ///< a column of a tile, in steps of a pointer

inline float* column(const TileScratch& s, std::int32_t i) {
    return s.columns + static_cast<std::ptrdiff_t>(i) * tile_rows;
}

inline int smaller(int a, int b) {
    return a < b ? a : b;
}

/// Rows of whose memory one block of a linear operation asks for a cache line each, one with each of its inputs.
constexpr int most_ahead = 256;
struct RowsAhead {
    const float* const* rows;
    std::ptrdiff_t step;  ///< from input to input; 0: there is nothing more to ask for
    std::ptrdiff_t line;  ///< floats from a row's start
};

struct Ahead;

/// One tile of a stage: rows [first, first + n) of the domain.
struct Tile {
    const EventView& event;
    TileScratch& scratch;
    std::int32_t number;
    std::int32_t first;
    std::int32_t n;
    Kind kind;
    Ahead* ahead = nullptr;  ///< what to ask memory for meanwhile
};

inline void fetch(const float* line);
inline void next_rows(Ahead& ahead, int n_inputs, RowsAhead& rows);

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
    RowsAhead ahead;
};

template <int I>
struct Number {
    constexpr operator int() const { return I; }  // NOLINT(*-explicit-constructor): a number, where one is wanted
};

/// Calls f(Number<0>()) to f(Number<N - 1>()): indices that the compiler knows keep arrays of vectors in registers.
template <int N, class F>
[[gnu::always_inline]] inline void repeat(F&& f) {
    if constexpr (N > 0) {
        repeat<N - 1>(f);
        f(Number<N - 1>());
    }
}

/// A product and its sum in float32.
struct SingleProduct {
    static Vector add(Vector value, Vector weight, Vector sum) { return fma(value, weight, sum); }
};

#if RHEINFALL_GNN_PAIRS == 1

using Bf16Product = PairProduct;

/// Rounds columns to bf16, two side by side; a zero behind the last of an odd number. How many columns that makes.
inline int round_columns(const float* in, int width, float* out) {
    for (int c = 0; c < width; c += 2, out += tile_rows) {
        for (int p = 0; p < tile_rows; p += lanes) {
            const float* even = in + c * column_size + p;
            store(out + p, bf16_pair(load(even), c + 1 < width ? load(even + column_size) : all(0.0f)));
        }
    }
    return (width + 1) / 2;
}

#else

using Bf16Product = SingleProduct;

/// Rounds columns to bf16, in the order in which their products are added; a zero stands for the one that makes them
/// even. How many columns that makes.
inline int round_columns(const float* in, int width, float* out) {
    const int n = (width + 1) / 2 * 2;
    for (int c = 0; c < n; ++c) {
        float* to = out + (c ^ 1) * column_size;
        for (int p = 0; p < tile_rows; p += lanes) {
            const Vector x = c < width ? load(in + c * column_size + p) : all(0.0f);
            const Vector nonzero = select(less(max(all(0.0f) - x, x), all(least_bf16_input)), all(0.0f), round_bits(x));
            store(to + p, select(not_number(x), x, nonzero));
        }
    }
    return n;
}

#endif

/// N outputs for tile_vectors · lanes rows, sums in registers, inputs in order: out = (bias or out) + in · weights,
/// each product fused with its addition, then + residual. @p stride: outputs packed together.
template <class Product, int N>
inline void linear_block(const LinearCall& c, int stride) {
    constexpr int n_vectors = Vector::tile_vectors;
    for (int row = 0; row < tile_rows; row += n_vectors * lanes) {
        Vector sum[N][n_vectors];
        const auto for_sums = [&](auto&& f) {
            repeat<N>([&](auto o) {
                repeat<n_vectors>([&](auto l) { f(sum[o][l], o * column_size + row + l * vector_size); });
            });
        };
        if (c.accumulate) {
            for_sums([&](Vector& x, std::ptrdiff_t place) { x = load(c.out + place); });
        } else {
            repeat<N>([&](auto o) {
                const Vector bias = all(c.bias != nullptr ? c.bias[o] : 0.0f);
                repeat<n_vectors>([&](auto l) { sum[o][l] = bias; });
            });
        }
        const float* x = c.in + row;
        const float* w = c.weights;
        const float* const* ahead = c.ahead.rows;
        const std::ptrdiff_t step = row == 0 ? c.ahead.step : 0;
        for (int k = 0; k < c.in_width; ++k, x += tile_rows, w += stride, ahead += step) {
            fetch(*ahead + c.ahead.line);
            Vector value[n_vectors];
            repeat<n_vectors>([&](auto l) { value[l] = held(load(x + l * vector_size)); });
            repeat<N>([&](auto o) {
                const Vector factor = all(w[o]);
                repeat<n_vectors>([&](auto l) { sum[o][l] = Product::add(value[l], factor, sum[o][l]); });
            });
        }
        if (c.residual != nullptr) {
            for_sums([&](Vector& y, std::ptrdiff_t place) { y = load(c.residual + place) + y; });
        }
        if (c.relu) for_sums([](Vector& y, std::ptrdiff_t) { y = max(all(0.0f), y); });
        for_sums([&](Vector& y, std::ptrdiff_t place) { store(c.out + place, y); });
    }
}

template <class Product>
inline void linear_some(const LinearCall& c, int n, int stride) {
    switch (n) {
        case 1: return linear_block<Product, 1>(c, stride);
        case 2: return linear_block<Product, 2>(c, stride);
        case 3: return linear_block<Product, 3>(c, stride);
        case 4: return linear_block<Product, 4>(c, stride);
#if RHEINFALL_GNN_OUTPUTS == 8
        case 5: return linear_block<Product, 5>(c, stride);
        case 6: return linear_block<Product, 6>(c, stride);
        case 7: return linear_block<Product, 7>(c, stride);
        default: return linear_block<Product, 8>(c, stride);
#else
        default: return;
#endif
    }
}

[[gnu::noinline]] inline void run_linear(const Instruction& i, const Tile& t) {
    const float* weights = i.weights;
    const float* in = column(t.scratch, i.in);
    int in_width = i.in_width;
    if (i.bf16) {
        in_width = round_columns(in, in_width, t.scratch.rounded);
        in = t.scratch.rounded;
    }
    const float* const nothing = in;
    for (int first = 0; first < i.width; first += output_block) {
        const int packed = smaller(output_block, i.width - first);
        RowsAhead ahead{&nothing, 0, 0};
        if (t.ahead != nullptr && in_width <= most_ahead) next_rows(*t.ahead, in_width, ahead);
        for (int part = 0; part < packed; part += Vector::tile_outputs) {
            const int o = first + part;
            const LinearCall call{in,
                                  weights + part,
                                  i.scale == nullptr ? nullptr : i.scale + o,
                                  i.in2 < 0 ? nullptr : column(t.scratch, i.in2 + o),
                                  column(t.scratch, i.out + o),
                                  in_width,
                                  i.accumulate,
                                  i.relu,
                                  ahead};
            ahead.step = 0;
            const int n = smaller(Vector::tile_outputs, packed - part);
            i.bf16 ? linear_some<Bf16Product>(call, n, packed) : linear_some<SingleProduct>(call, n, packed);
        }
        weights += static_cast<std::ptrdiff_t>(packed) * in_width;
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

[[gnu::noinline]] inline void run_unary(const Instruction& i, const Tile& t) {
    const float* in = column(t.scratch, i.in);
    float* out = column(t.scratch, i.out);
    // The switch stands outside of the loop, so that each activation is a loop of its own.
    const auto loop = [&](auto unary) {
        for_columns(i.width, [&](int p) { store(out + p, activate(decltype(unary)::value, load(in + p), i.a, i.b)); });
    };
    dispatch_unary(i.unary, loop);
}

[[gnu::noinline]] inline void run_affine(const Instruction& i, const Tile& t) {
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

[[gnu::noinline]] inline void run_event_affine(const Instruction& i, const Tile& t) {
    const float* in = column(t.scratch, i.in);
    const float* event = t.event.arrays[i.array].data;
    float* out = column(t.scratch, i.out);
    for (int c = 0; c < i.width; ++c) {
        const Vector mean = all(event[c * column_size]);
        const Vector scale = all(event[(i.width + c) * column_size]);
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
        case Binary::min: return lesser(a, b);
        case Binary::max: return larger(a, b);
    }
    return a;
}

[[gnu::noinline]] inline void run_binary(const Instruction& i, const Tile& t) {
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
    constexpr int n_vectors = Vector::tile_vectors;
    Vector even[n_vectors];
    Vector odd[n_vectors];
    for (int l = 0; l < n_vectors; ++l) even[l] = odd[l] = all(0.0f);
    for (int c = 0; c < width; ++c) {
        for (int l = 0; l < n_vectors; ++l) {
            const Vector x = load(in + c * column_size + l * vector_size);
            if ((c & 1) == 0) {
                even[l] = even[l] + x;
            } else {
                odd[l] = odd[l] + x;
            }
        }
    }
    for (int l = 0; l < n_vectors; ++l) mean[l] = (even[l] + odd[l]) / all(static_cast<float>(width));
}

/// 1 / sqrt(variance + epsilon) of rows around @p mean, summed likewise.
inline void column_factor(const float* in, int width, float epsilon, const Vector* mean, Vector* factor) {
    constexpr int n_vectors = Vector::tile_vectors;
    Vector even[n_vectors];
    Vector odd[n_vectors];
    for (int l = 0; l < n_vectors; ++l) even[l] = odd[l] = all(0.0f);
    const auto square = [&](Vector* sum, const float* column) {
        for (int l = 0; l < n_vectors; ++l) {
            const Vector x = load(column + l * vector_size) - mean[l];
            sum[l] = fma(x, x, sum[l]);
        }
    };
    int c = 0;
    for (; c + 1 < width; c += 2) {
        square(even, in + c * column_size);
        square(odd, in + (c + 1) * column_size);
    }
    if (c < width) square(even, in + c * column_size);
    const Vector n = all(static_cast<float>(width));
    for (int l = 0; l < n_vectors; ++l) factor[l] = all(1.0f) / sqrt((even[l] + odd[l]) / n + all(epsilon));
}

template <bool Relu>
inline void layer_norm(const Instruction& i, const float* in, float* out) {
    constexpr int n_vectors = Vector::tile_vectors;
    Vector mean[n_vectors];
    Vector factor[n_vectors];
    for (int l = 0; l < n_vectors; ++l) mean[l] = all(0.0f);
    if (!i.centred) column_mean(in, i.width, mean);
    column_factor(in, i.width, i.a, mean, factor);
    for (int c = 0; c < i.width; ++c) {
        const Vector scale = all(i.scale == nullptr ? 1.0f : i.scale[c]);
        const Vector shift = all(i.shift == nullptr ? 0.0f : i.shift[c]);
        for (int l = 0; l < n_vectors; ++l) {
            const Vector x = (load(in + c * column_size + l * vector_size) - mean[l]) * factor[l];
            store(out + c * column_size + l * vector_size, rectified(Relu, fma(x, scale, shift)));
        }
    }
}

[[gnu::noinline]] inline void run_layer_norm(const Instruction& i, const Tile& t) {
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
            const Vector x = load(in + c * column_size);
            sum = i.how == How::max ? larger(sum, x) : sum + x;
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
[[gnu::noinline]] inline void run_statistics(const Instruction& i, const Tile& t) {
    const float* in = column(t.scratch, i.in);
    double* sums = t.scratch.statistics + static_cast<std::ptrdiff_t>(i.in2_width) * 2 * statistic_lanes;
    for (int c = 0; c < i.width; ++c, in += tile_rows, sums += std::ptrdiff_t{2} * statistic_lanes) {
        for (int p = 0; p < tile_rows; p += statistic_lanes) {
            for (int l = 0; l < statistic_lanes; ++l) {
                const double x = p + l < t.n ? static_cast<double>(in[p + l]) : 0.0;
                sums[l] += x;
                sums[statistic_lanes + l] += x * x;  // exact, so it does not matter whether it is fused
            }
        }
    }
}
