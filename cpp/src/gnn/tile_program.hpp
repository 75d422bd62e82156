#pragma once

#include <cstddef>
#include <cstdint>

#include "gnn/mma_fragments.hpp"
#include "gnn/row_program.hpp"

/// @file
/// A stage's program on a tile of 32 rows, as a crew of warps, a block of a device, runs it: lane r of each warp
/// computes row r (row_program.hpp), each warp some of its columns, save for rows of memory, which lanes read and write
/// together, and linear operations in bf16, which are the tensor cores'. A row's sums have the same order either way.
///
/// A Crew gives `n_warps()` and `warps(f)`, which calls f(warp, number) for each warp and lets each see what the others
/// wrote before it returns; `threads(f)` calls f(lane, number) likewise. A warp gives `lanes(f)`, the same for its
/// lanes; `PerLane<T>`, registers of each lane; and `mma(fragments, m, n)`. None reads within f what another one writes
/// in it.
namespace rheinfall::gnn::tile {

inline constexpr std::int32_t rows = mma::lanes;
/// From one column to the next: lanes of a row and of a column meet other banks of shared memory each.
inline constexpr std::int32_t column_stride = rows + 1;
inline constexpr std::int32_t most_rounded = 128;  ///< inputs of a linear operation that are in bf16 at once
/// Rows narrower than this are read by the lane they belong to.
inline constexpr std::int32_t least_shared_width = 16;

/// Words in front of the columns: numbers of the rows that two gathers read, what a norm takes of each row, or pairs of
/// rounded inputs.
RHEINFALL_HOST_DEVICE constexpr std::int32_t exchange_words(std::int32_t widest_bf16) {
    const std::int32_t inputs = widest_bf16 < most_rounded ? widest_bf16 : most_rounded;
    const std::int32_t words = mma::input_tiles(inputs) * mma::pairs * rows;
    return words < 2 * rows ? 2 * rows : words;
}
/// Bytes of shared memory of a tile.
constexpr std::size_t tile_bytes(std::int32_t columns, std::int32_t widest_bf16) {
    const std::size_t words =
        static_cast<std::size_t>(columns) * column_stride + static_cast<std::size_t>(exchange_words(widest_bf16));
    return (words * 4 + 15) / 16 * 16;
}

/// Rows [first, first + n) of a stage.
struct Tile {
    const EventView* event;
    Kind kind;
    std::int32_t first;
    std::int32_t n;
    std::uint32_t* exchange;
    float* columns;
    float* statistics;
    std::int64_t n_rows;  ///< room of the stage
    std::uint32_t* not_finite;

    [[nodiscard]] RHEINFALL_HOST_DEVICE float& at(std::int32_t column, std::int32_t row) const {
        return columns[static_cast<std::ptrdiff_t>(column) * column_stride + row];
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE one::Row row(std::int32_t lane, std::int32_t part, std::int32_t n_parts) const {
        return {event,      kind,   first + lane, columns + lane, column_stride,
                statistics, n_rows, not_finite,   part,           n_parts};
    }
};

// --- rows of memory -------------------------------------------------------------------------------------------------

/// Rows that are asked for before the first is there.
inline constexpr std::int32_t rows_at_once = 16;

template <class Crew>
RHEINFALL_HOST_DEVICE void load_rows(const Crew& crew, const Instruction& i, const Tile& t) {
    auto* numbers = t.exchange;
    const bool two = i.array2 >= 0;
    crew.threads([&](std::int32_t lane, std::int32_t warp) {
        if (warp > 0 || lane >= t.n) return;
        const auto number = [&](Index index) {
            return static_cast<std::uint32_t>(one::row_at(*t.event, index, t.kind, t.first + lane));
        };
        numbers[lane] = number(i.index);
        if (two) numbers[rows + lane] = number(i.index2);
    });
    const ArrayView a = t.event->arrays[i.array];
    const ArrayView b = t.event->arrays[two ? i.array2 : i.array];
    crew.threads([&](std::int32_t lane, std::int32_t warp) {
        for (std::int32_t c = warp * rows + lane; c < i.width; c += crew.n_warps() * rows) {
            for (std::int32_t first = 0; first < t.n; first += rows_at_once) {
                float x[rows_at_once];
                RHEINFALL_UNROLL
                for (std::int32_t k = 0; k < rows_at_once; ++k) {
                    if (first + k >= t.n) continue;
                    x[k] = a.data[static_cast<std::ptrdiff_t>(numbers[first + k]) * a.stride + c];
                    if (two) x[k] += b.data[static_cast<std::ptrdiff_t>(numbers[rows + first + k]) * b.stride + c];
                }
                RHEINFALL_UNROLL
                for (std::int32_t k = 0; k < rows_at_once; ++k) {
                    if (first + k < t.n) t.at(i.out + c, first + k) = x[k];
                }
            }
        }
    });
}

template <class Crew>
RHEINFALL_HOST_DEVICE void store_rows(const Crew& crew, const Instruction& i, const Tile& t) {
    const ArrayView array = t.event->arrays[i.array];
    crew.threads([&](std::int32_t lane, std::int32_t warp) {
        for (std::int32_t r = warp; r < t.n; r += crew.n_warps()) {
            float* row = array.data + static_cast<std::ptrdiff_t>(t.first + r) * array.stride;
            for (std::int32_t c = lane; c < i.width; c += rows) row[c] = t.at(i.in + c, r);
        }
    });
}

/// Lane l sums columns l, l + 32, l + 64 and l + 96 of a node's edges, node by node; rows are asked for some at a time,
/// and added in their order.
template <class Crew>
RHEINFALL_HOST_DEVICE void reduce(const Crew& crew, const Instruction& i, const Tile& t) {
    constexpr std::int32_t n_columns = 4;
    constexpr std::int32_t n_edges = 4;
    const EventView& event = *t.event;
    const ArrayView array = event.arrays[i.array];
    const float* factors = i.array2 < 0 ? nullptr : event.arrays[i.array2].data;
    crew.threads([&](std::int32_t lane, std::int32_t warp) {
        for (std::int32_t block = 0; block < i.width; block += n_columns * rows) {
            for (std::int32_t r = warp; r < t.n; r += crew.n_warps()) {
                const one::EdgeRange range = one::edges_of(event, i.end, t.first + r);
                one::Vector sums[n_columns];
                RHEINFALL_UNROLL
                for (auto& sum : sums) sum = one::all(one::reduce_start(i));
                for (std::int32_t first = range.first; first < range.last; first += n_edges) {
                    float x[n_edges][n_columns];
                    float factor[n_edges];
                    RHEINFALL_UNROLL
                    for (std::int32_t k = 0; k < n_edges; ++k) {
                        if (first + k >= range.last) continue;
                        const std::int32_t edge = range.edges == nullptr ? first + k : range.edges[first + k];
                        const float* row =
                            array.data +
                            static_cast<std::ptrdiff_t>(one::row_at(event, i.index, Kind::edge, edge)) * array.stride;
                        factor[k] = factors == nullptr ? 1.0f : factors[edge];
                        RHEINFALL_UNROLL
                        for (std::int32_t c = 0; c < n_columns; ++c) {
                            const std::int32_t column = block + c * rows + lane;
                            x[k][c] = column < i.width ? row[column] : 0.0f;
                        }
                    }
                    RHEINFALL_UNROLL
                    for (std::int32_t k = 0; k < n_edges; ++k) {
                        if (first + k >= range.last) continue;
                        RHEINFALL_UNROLL
                        for (std::int32_t c = 0; c < n_columns; ++c) {
                            sums[c] = one::reduced(i, factors != nullptr, sums[c], {x[k][c]}, {factor[k]});
                        }
                    }
                }
                RHEINFALL_UNROLL
                for (std::int32_t c = 0; c < n_columns; ++c) {
                    const std::int32_t column = block + c * rows + lane;
                    if (column < i.width) {
                        t.at(i.out + column, r) = one::finished(i, sums[c], range.last - range.first).v;
                    }
                }
            }
        }
    });
}

// --- linear operations in bf16 --------------------------------------------------------------------------------------

/// What a lane holds of 32 rows by n_tiles · 8 outputs.
template <int n_tiles>
struct Fragments {
    float sums[2][n_tiles][4];
    std::uint32_t inputs[2][4];
    std::uint32_t weights[n_tiles][2];
    std::uint32_t next_weights[n_tiles][2];
};

/// Place of a pair of inputs of a row: the lanes of a fragment meet 32 banks, as do those of a pair.
RHEINFALL_HOST_DEVICE constexpr std::int32_t pair_place(std::int32_t pair, std::int32_t row) {
    return pair * rows + (row ^ (pair % 4 * 8));
}

/// Rounds inputs [first, last), each lane some of its row's; zeros behind the last.
template <class Crew>
RHEINFALL_HOST_DEVICE void round_inputs(const Crew& crew, const Instruction& i, const Tile& t, std::int32_t first,
                                        std::int32_t last) {
    const std::int32_t n_pairs = mma::input_tiles(last - first) * mma::pairs;
    crew.threads([&](std::int32_t lane, std::int32_t warp) {
        for (std::int32_t p = warp; p < n_pairs; p += crew.n_warps()) {
            const std::int32_t k = first + 2 * p;
            const float even = k < last ? t.at(i.in + k, lane) : 0.0f;
            const float odd = k + 1 < last ? t.at(i.in + k + 1, lane) : 0.0f;
            t.exchange[pair_place(p, lane)] = mma::rounded_pair(even, odd);
        }
    });
}

/// Four words of packed weights, which lie on 16 bytes.
RHEINFALL_HOST_DEVICE inline void load_words(const float* from, std::uint32_t (&a)[2], std::uint32_t (&b)[2]) {
#if defined(__CUDA_ARCH__)
    const float4 x = __ldg(reinterpret_cast<const float4*>(from));
    const float words[4] = {x.x, x.y, x.z, x.w};
#else
    const float* words = from;
#endif
    a[0] = std::bit_cast<std::uint32_t>(words[0]);
    a[1] = std::bit_cast<std::uint32_t>(words[1]);
    b[0] = std::bit_cast<std::uint32_t>(words[2]);
    b[1] = std::bit_cast<std::uint32_t>(words[3]);
}

template <int n_tiles>
RHEINFALL_HOST_DEVICE void load_next_weights(std::int32_t lane, Fragments<n_tiles>& f, const float* from) {
    RHEINFALL_UNROLL
    for (int n = 0; n < n_tiles; n += 2) {
        load_words(from + std::ptrdiff_t{4} * (n / 2 * mma::lanes + lane), f.next_weights[n], f.next_weights[n + 1]);
    }
}

/// Calls f(sum, column of the operation, row) for what a lane holds of the block at @p first.
template <int n_tiles, class F>
RHEINFALL_HOST_DEVICE void for_sums(std::int32_t lane, Fragments<n_tiles>& f, std::int32_t first, std::int32_t width,
                                    F&& call) {
    RHEINFALL_UNROLL
    for (int n = 0; n < n_tiles; ++n) {
        RHEINFALL_UNROLL
        for (int k = 0; k < 4; ++k) {
            const std::int32_t column = first + mma::block_output(n_tiles, n, mma::sum_output(lane, k));
            if (column >= width) continue;
            RHEINFALL_UNROLL
            for (int m = 0; m < 2; ++m) call(f.sums[m][n][k], column, m * mma::rows + mma::sum_row(lane, k));
        }
    }
}

/// Inputs [first_input, last_input), which are rounded, times the weights of n_tiles · 8 outputs.
template <int n_tiles, class Warp>
RHEINFALL_HOST_DEVICE void linear_block(const Warp& warp, const Instruction& i, const Tile& t, const float* weights,
                                        std::int32_t first, std::int32_t first_input, std::int32_t last_input) {
    typename Warp::template PerLane<Fragments<n_tiles>> fragments;
    const std::int32_t n_steps = mma::input_tiles(last_input - first_input);
    weights += static_cast<std::ptrdiff_t>(first_input / (2 * mma::pairs)) * mma::block_words(n_tiles);
    warp.lanes([&](std::int32_t lane) {
        Fragments<n_tiles>& f = fragments[lane];
        RHEINFALL_UNROLL
        for (auto& of_rows : f.sums) {
            for (auto& of_tile : of_rows) {
                for (float& sum : of_tile) sum = 0.0f;
            }
        }
        load_next_weights(lane, f, weights);
        const bool goes_on = i.accumulate || first_input > 0;
        if (!goes_on && i.scale == nullptr) return;
        for_sums<n_tiles>(lane, f, first, i.width, [&](float& sum, std::int32_t column, std::int32_t row) {
            sum = goes_on ? t.at(i.out + column, row) : i.scale[column];
        });
    });
    RHEINFALL_NO_UNROLL
    for (std::int32_t step = 0; step < n_steps; ++step) {
        weights += mma::block_words(n_tiles);
        warp.lanes([&](std::int32_t lane) {
            Fragments<n_tiles>& f = fragments[lane];
            RHEINFALL_UNROLL
            for (int n = 0; n < n_tiles; ++n) {
                for (int k = 0; k < 2; ++k) f.weights[n][k] = f.next_weights[n][k];
            }
            // Asked for before the products, which do not wait for them.
            if (step + 1 < n_steps) load_next_weights(lane, f, weights);
            RHEINFALL_UNROLL
            for (int m = 0; m < 2; ++m) {
                RHEINFALL_UNROLL
                for (int k = 0; k < 4; ++k) {
                    f.inputs[m][k] = t.exchange[pair_place(step * mma::pairs + mma::input_pair(lane, k),
                                                           m * mma::rows + mma::input_row(lane, k))];
                }
            }
        });
        RHEINFALL_UNROLL
        for (int m = 0; m < 2; ++m) {
            RHEINFALL_UNROLL
            for (int n = 0; n < n_tiles; ++n) warp.mma(fragments, m, n);
        }
    }
    const bool is_last = last_input == i.in_width;
    warp.lanes([&](std::int32_t lane) {
        for_sums<n_tiles>(lane, fragments[lane], first, i.width, [&](float sum, std::int32_t column, std::int32_t row) {
            if (is_last && i.in2 >= 0) sum = t.at(i.in2 + column, row) + sum;
            t.at(i.out + column, row) = one::rectified(is_last && i.relu, {sum}).v;
        });
    });
}

/// Sums go through the columns of the result from most_rounded inputs to the next.
template <class Crew>
RHEINFALL_HOST_DEVICE void linear(const Crew& crew, const Instruction& i, const Tile& t) {
    const std::int32_t n_blocks = (i.width + mma::block_outputs - 1) / mma::block_outputs;
    const std::ptrdiff_t words = static_cast<std::ptrdiff_t>(mma::input_tiles(i.in_width)) * mma::block_words(4);
    for (std::int32_t first_input = 0; first_input < i.in_width; first_input += most_rounded) {
        const std::int32_t left = i.in_width - first_input;
        const std::int32_t last_input = first_input + (left < most_rounded ? left : most_rounded);
        round_inputs(crew, i, t, first_input, last_input);
        crew.warps([&](const auto& warp, std::int32_t number) {
            for (std::int32_t block = number; block < n_blocks; block += crew.n_warps()) {
                const float* weights = i.weights + block * words;
                const std::int32_t first = block * mma::block_outputs;
                if (mma::block_tiles(i.width - first) == 4) {
                    linear_block<4>(warp, i, t, weights, first, first_input, last_input);
                } else {
                    linear_block<2>(warp, i, t, weights, first, first_input, last_input);
                }
            }
        });
    }
}

/// The first warp finds what all then take of each column, which they may overwrite.
template <class Crew>
RHEINFALL_HOST_DEVICE void layer_norm(const Crew& crew, const Instruction& i, const Tile& t) {
    crew.threads([&](std::int32_t lane, std::int32_t warp) {
        if (warp > 0 || lane >= t.n) return;
        const one::Spread spread = one::spread_of(i, t.row(lane, 0, 1));
        t.exchange[lane] = std::bit_cast<std::uint32_t>(spread.mean.v);
        t.exchange[rows + lane] = std::bit_cast<std::uint32_t>(spread.factor.v);
    });
    crew.threads([&](std::int32_t lane, std::int32_t warp) {
        if (lane >= t.n) return;
        const one::Spread spread{{std::bit_cast<float>(t.exchange[lane])},
                                 {std::bit_cast<float>(t.exchange[rows + lane])}};
        one::run_layer_norm(i, t.row(lane, warp, crew.n_warps()), spread);
    });
}

template <class Crew>
RHEINFALL_HOST_DEVICE void run_instruction(const Crew& crew, const Instruction& i, const Tile& t) {
    if (i.code == Code::linear && i.bf16) return linear(crew, i, t);
    if (i.code == Code::layer_norm) return layer_norm(crew, i, t);
    if (i.width >= least_shared_width) {
        if (i.code == Code::load_rows) return load_rows(crew, i, t);
        if (i.code == Code::store_rows) return store_rows(crew, i, t);
        if (i.code == Code::reduce) return reduce(crew, i, t);
    }
    crew.threads([&](std::int32_t lane, std::int32_t warp) {
        if (lane < t.n) one::run_instruction(i, t.row(lane, warp, crew.n_warps()));
    });
}

}  // namespace rheinfall::gnn::tile
