// Sums over the edges of nodes, behind memory_body.hpp in the namespace of the file that includes all.

/// The edges that have one of some neighbouring nodes at an end, node by node, each node's in the order of its sum.
struct EdgeList {
    const std::int32_t* edges;  ///< null: they are numbered in order
    std::int32_t first;
    std::int32_t n;
    const std::int32_t* source;  ///< of edge(0), edge(1), ...
    const std::int32_t* target;

    [[nodiscard]] std::int32_t edge(std::int32_t k) const { return edges == nullptr ? first + k : edges[first + k]; }
};

/// Those of nodes [node, node + n).
inline EdgeList edges_of(const EventView& event, End end, std::int32_t node, std::int32_t n) {
    const bool in = end == End::target;
    const std::int32_t* starts = in ? event.first_in : event.first_out;
    const std::int32_t first = starts[node];
    return {in ? nullptr : event.edges_out, first, starts[node + n] - first,
            (in ? event.source : event.source_out) + first, (in ? event.target : event.target_out) + first};
}

/// Where an instruction's rows of edges in a list lie.
struct ReducedRows {
    ReducedRows(const Instruction& i, const EventView& on, const EdgeList& of)
        : event(on),
          list(of),
          array(on.arrays[i.array]),
          index(i.index),
          ends(i.index == Index::source   ? of.source
               : i.index == Index::target ? of.target
                                          : nullptr) {}

    [[gnu::always_inline]] const float* row(std::int32_t k) const {
        const std::int32_t place = ends != nullptr ? ends[k] : row_at(event, index, Kind::edge, list.edge(k));
        return array.data + static_cast<std::ptrdiff_t>(place) * array.stride;
    }

    const EventView& event;
    const EdgeList& list;
    const ArrayView array;
    const Index index;
    const std::int32_t* ends;  ///< null: neither end of an edge tells
};

enum class Reduction : unsigned char { sum, weighted_sum, largest, smallest };

template <Reduction R>
inline Vector reduced(Vector sum, Vector x, Vector factor, bool weighted) {
    if (R == Reduction::weighted_sum) return fma(x, factor, sum);
    if (R == Reduction::sum) return sum + x;
    if (weighted) x = x * factor;
    return R == Reduction::largest ? larger(sum, x) : lesser(sum, x);
}

/// Adds the rows of all edges of a tile's nodes, in the order of the list, to the rows of their nodes. A loop over
/// edges and not over nodes: nodes have few edges, and how many each has could not be foreseen.
/// N: vectors of a row, 0 where only the instruction tells.
template <Reduction R, int N>
inline void reduce_edges(const Instruction& i, const Tile& t, int stride) {
    const EventView& event = t.event;
    const EdgeList list = edges_of(event, i.end, t.first, t.n);
    const std::int32_t* nodes = i.end == End::target ? list.target : list.source;
    const ReducedRows rows(i, event, list);
    const float* factors = i.array2 < 0 ? nullptr : event.arrays[i.array2].data;
    const int n_vectors = N > 0 ? N : (i.width + lanes - 1) / lanes;
    const int last = i.width - (n_vectors - 1) * lanes;
    const Vector nothing = all(R == Reduction::sum || R == Reduction::weighted_sum ? 0.0f : i.a);
    Vector sum[N > 0 ? N : 1];  // of the node of the edge before, so that its row need not be read again
    repeat<N>([&](auto v) { sum[v] = nothing; });
    std::int32_t before = -1;
    for (std::int32_t k = 0; k < list.n; ++k) {
        const std::int32_t node = nodes[k];
        const float* row = rows.row(k);
        float* to = t.scratch.rows + static_cast<std::ptrdiff_t>(node - t.first) * stride;
        const Vector factor = all(factors == nullptr ? 1.0f : factors[list.edge(k)]);
        const auto add = [&](int v, Vector x, Vector so_far) {
            const Vector y = reduced<R>(so_far, x, factor, factors != nullptr);
            store(to + v * vector_size, y);
            return y;
        };
        if constexpr (N > 0) {
            const Mask same = everywhere(node == before);
            before = node;
            repeat<N>([&](auto v) {
                const float* from = row + v * vector_size;
                sum[v] = add(v, v + 1 < N ? load(from) : load_first(from, last), select(same, sum[v], nothing));
            });
        } else {
            for (int v = 0; v < n_vectors; ++v) {
                const float* from = row + v * vector_size;
                const Vector x = v + 1 < n_vectors ? load(from) : load_first(from, last);
                add(v, x, load(to + v * vector_size));
            }
        }
    }
}

template <Reduction R>
inline void reduce_rows(const Instruction& i, const Tile& t, int stride) {
    const bool sums = R == Reduction::sum || R == Reduction::weighted_sum;
    for (int p = 0; p < tile_rows * stride; p += lanes) store(t.scratch.rows + p, all(sums ? 0.0f : i.a));
    switch ((i.width + lanes - 1) / lanes) {
        case 1: return reduce_edges<R, 1>(i, t, stride);
        case 2: return reduce_edges<R, 2>(i, t, stride);
        case 4: return reduce_edges<R, 4>(i, t, stride);
        case 5: return reduce_edges<R, 5>(i, t, stride);
        default: return reduce_edges<R, 0>(i, t, stride);
    }
}

inline void divide_by_degree(const Instruction& i, const Tile& t, int stride) {
    for (int r = 0; r < t.n; ++r) {
        const std::int32_t n = edges_of(t.event, i.end, t.first + r, 1).n;
        const Vector degree = all(static_cast<float>(n > 0 ? n : 1));
        float* row = t.scratch.rows + static_cast<std::ptrdiff_t>(r) * stride;
        for (int c = 0; c < stride; c += lanes) store(row + c, load(row + c) / degree);
    }
}

[[gnu::noinline]] inline void run_reduce(const Instruction& i, const Tile& t) {
    const int stride = (i.width + 15) / 16 * 16;
    switch (i.how) {
        case How::max: reduce_rows<Reduction::largest>(i, t, stride); break;
        case How::min: reduce_rows<Reduction::smallest>(i, t, stride); break;
        default:
            i.array2 < 0 ? reduce_rows<Reduction::sum>(i, t, stride)
                         : reduce_rows<Reduction::weighted_sum>(i, t, stride);
    }
    if (i.how == How::mean) divide_by_degree(i, t, stride);
    for (int group = 0; group < tile_groups; ++group) {
        const float* rows = t.scratch.rows + group * vector_size * stride;
        rows_to_columns(column(t.scratch, i.out) + group * vector_size, i.width, [&](int r, int c, int n) {
            return load_first(rows + static_cast<std::ptrdiff_t>(r) * stride + c, n);
        });
    }
}

inline void run_degree(const Instruction& i, const Tile& t) {
    float* out = column(t.scratch, i.out);
    for (int r = 0; r < tile_rows; ++r) {
        out[r] = static_cast<float>(edges_of(t.event, i.end, t.first + smaller(r, t.n - 1), 1).n);
    }
}
