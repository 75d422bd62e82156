#pragma once

#include <cstddef>
#include <cstdint>

#include "gnn/kernels.hpp"
#include "gnn/vector_one.hpp"

/// @file
/// A stage's program on one row, as a lane of a device runs it (tile_program.hpp): the same operations in the same
/// order as the kernels of a CPU have for a lane, so the same bits.
namespace rheinfall::gnn::one {

#define RHEINFALL_GNN_FUNCTION RHEINFALL_HOST_DEVICE inline
#include "gnn/functions_body.hpp"
#undef RHEINFALL_GNN_FUNCTION

/// Row @p row of a stage, and its scratch: column c lies at columns[c · stride]. Of columns that do not hang together,
/// part p of n computes p, p + n, p + 2n and so on.
struct Row {
    const EventView* event;
    Kind kind;
    std::int32_t row;
    float* columns;
    std::int32_t stride;
    float* statistics;    ///< [column][row], what statistics are taken of
    std::int64_t n_rows;  ///< of the stage: from one column of the statistics to the next
    std::uint32_t* not_finite;
    std::int32_t part = 0;
    std::int32_t n_parts = 1;

    [[nodiscard]] RHEINFALL_HOST_DEVICE float& at(std::int32_t column) const {
        return columns[static_cast<std::ptrdiff_t>(column) * stride];
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE Vector get(std::int32_t column) const { return {at(column)}; }
};

RHEINFALL_HOST_DEVICE inline Vector rectified(bool relu, Vector x) {
    return relu ? max(all(0.0f), x) : x;
}

RHEINFALL_HOST_DEVICE inline std::int32_t row_at(const EventView& event, Index index, Kind kind, std::int32_t i) {
    switch (index) {
        case Index::self: return i;
        case Index::source: return event.source[i];
        case Index::target: return event.target[i];
        case Index::caller: return kind == Kind::edge ? event.caller[i] : event.nodes[i];
        case Index::caller_source: return event.nodes[event.source[i]];
        case Index::caller_target: return event.nodes[event.target[i]];
    }
    return i;
}

/// Column c of this row in an array of tiles lies at [c · tile_rows].
RHEINFALL_HOST_DEVICE inline float* tile_row(const ArrayView& array, std::int32_t row) {
    return array.data + static_cast<std::ptrdiff_t>(row / tile_rows) * tile_rows * array.stride + row % tile_rows;
}

RHEINFALL_HOST_DEVICE inline void run_linear(const Instruction& i, const Row& r) {
    for (std::int32_t first = r.part * output_block; first < i.width; first += r.n_parts * output_block) {
        const float* weights = i.weights + static_cast<std::ptrdiff_t>(first) * i.in_width;
        const std::int32_t packed = i.width - first < output_block ? i.width - first : output_block;
        Vector sum[output_block];
        RHEINFALL_UNROLL
        for (std::int32_t o = 0; o < output_block; ++o) {
            sum[o] = all(0.0f);
            if (o >= packed) continue;
            if (i.accumulate) {
                sum[o] = r.get(i.out + first + o);
            } else if (i.scale != nullptr) {
                sum[o] = all(i.scale[first + o]);
            }
        }
        for (std::int32_t k = 0; k < i.in_width; ++k, weights += packed) {
            const Vector value = r.get(i.in + k);
            RHEINFALL_UNROLL
            for (std::int32_t o = 0; o < output_block; ++o) {
                if (o < packed) sum[o] = fma(value, all(weights[o]), sum[o]);
            }
        }
        RHEINFALL_UNROLL
        for (std::int32_t o = 0; o < output_block; ++o) {
            if (o >= packed) continue;
            const Vector y = i.in2 < 0 ? sum[o] : r.get(i.in2 + first + o) + sum[o];
            r.at(i.out + first + o) = rectified(i.relu, y).v;
        }
    }
}

RHEINFALL_HOST_DEVICE inline void run_affine(const Instruction& i, const Row& r) {
    for (std::int32_t c = r.part; c < i.width; c += r.n_parts) {
        const Vector scale = all(i.scale == nullptr ? 1.0f : i.scale[c]);
        const Vector shift = all(i.shift == nullptr ? 0.0f : i.shift[c]);
        r.at(i.out + c) = rectified(i.relu, fma(r.get(i.in + c), scale, shift)).v;
    }
}

RHEINFALL_HOST_DEVICE inline void run_event_affine(const Instruction& i, const Row& r) {
    const float* event = r.event->arrays[i.array].data;
    for (std::int32_t c = r.part; c < i.width; c += r.n_parts) {
        const Vector mean = all(event[static_cast<std::ptrdiff_t>(c) * tile_rows]);
        const Vector scale = all(event[static_cast<std::ptrdiff_t>(i.width + c) * tile_rows]);
        const Vector shift = all(i.shift == nullptr ? 0.0f : i.shift[c]);
        r.at(i.out + c) = rectified(i.relu, fma(r.get(i.in + c) - mean, scale, shift)).v;
    }
}

RHEINFALL_HOST_DEVICE inline Vector combine(Binary binary, Vector a, Vector b) {
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

RHEINFALL_HOST_DEVICE inline void run_binary(const Instruction& i, const Row& r) {
    for (std::int32_t c = r.part; c < i.width; c += r.n_parts) {
        const Vector a = r.get(i.in + (i.in_width == 1 ? 0 : c));
        const Vector b = r.get(i.in2 + (i.in2_width == 1 ? 0 : c));
        r.at(i.out + c) = rectified(i.relu, combine(i.binary, a, b)).v;
    }
}

struct Spread {
    Vector mean, factor;
};

/// Sums over columns, those of even and of odd ones apart, as on a CPU: f(sum, value) adds one more. Two names, since a
/// device has no registers that a number picks.
template <class F>
RHEINFALL_HOST_DEVICE Vector sum_columns(const Instruction& i, const Row& r, F&& f) {
    Vector even = all(0.0f);
    Vector odd = all(0.0f);
    for (std::int32_t c = 0; c < i.width; c += 2) {
        even = f(even, r.get(i.in + c));
        if (c + 1 < i.width) odd = f(odd, r.get(i.in + c + 1));
    }
    return even + odd;
}

RHEINFALL_HOST_DEVICE inline Spread spread_of(const Instruction& i, const Row& r) {
    const Vector n = all(static_cast<float>(i.width));
    Vector mean = all(0.0f);
    if (!i.centred) mean = sum_columns(i, r, [](Vector sum, Vector x) { return sum + x; }) / n;
    const Vector squares = sum_columns(i, r, [mean](Vector sum, Vector x) {
        const Vector off = x - mean;
        return fma(off, off, sum);
    });
    return {mean, all(1.0f) / sqrt(squares / n + all(i.a))};
}

RHEINFALL_HOST_DEVICE inline void run_layer_norm(const Instruction& i, const Row& r, const Spread& spread) {
    for (std::int32_t c = r.part; c < i.width; c += r.n_parts) {
        const Vector scale = all(i.scale == nullptr ? 1.0f : i.scale[c]);
        const Vector shift = all(i.shift == nullptr ? 0.0f : i.shift[c]);
        const Vector x = (r.get(i.in + c) - spread.mean) * spread.factor;
        r.at(i.out + c) = rectified(i.relu, fma(x, scale, shift)).v;
    }
}

RHEINFALL_HOST_DEVICE inline void run_row_reduce(const Instruction& i, const Row& r) {
    Vector sum = r.get(i.in);
    for (std::int32_t c = 1; c < i.in_width; ++c) {
        const Vector x = r.get(i.in + c);
        sum = i.how == How::max ? larger(sum, x) : sum + x;
    }
    if (i.how == How::mean) sum = sum / all(static_cast<float>(i.in_width));
    r.at(i.out) = sum.v;
}

RHEINFALL_HOST_DEVICE inline void run_load_rows(const Instruction& i, const Row& r) {
    const auto row_of = [&](std::int32_t number, Index index) {
        const ArrayView& array = r.event->arrays[number];
        return array.data + static_cast<std::ptrdiff_t>(row_at(*r.event, index, r.kind, r.row)) * array.stride;
    };
    const float* first = row_of(i.array, i.index);
    if (i.array2 < 0) {
        for (std::int32_t c = r.part; c < i.width; c += r.n_parts) r.at(i.out + c) = first[c];
        return;
    }
    const float* second = row_of(i.array2, i.index2);
    for (std::int32_t c = r.part; c < i.width; c += r.n_parts) r.at(i.out + c) = first[c] + second[c];
}

/// The edges that have this node at an end are [first, last), numbered in order at the target, listed at the source.
struct EdgeRange {
    const std::int32_t* edges;
    std::int32_t first, last;
};

RHEINFALL_HOST_DEVICE inline EdgeRange edges_of(const EventView& event, End end, std::int32_t node) {
    const std::int32_t* first = end == End::target ? event.first_in : event.first_out;
    return {end == End::target ? nullptr : event.edges_out, first[node], first[node + 1]};
}

/// A sum or extremum before its first edge, with one more, and behind its last of @p n.
RHEINFALL_HOST_DEVICE inline float reduce_start(const Instruction& i) {
    return i.how == How::add || i.how == How::mean ? 0.0f : i.a;
}
RHEINFALL_HOST_DEVICE inline Vector reduced(const Instruction& i, bool weighted, Vector sum, Vector x, Vector factor) {
    if (i.how == How::add || i.how == How::mean) return weighted ? fma(x, factor, sum) : sum + x;
    if (weighted) x = x * factor;
    return i.how == How::max ? larger(sum, x) : lesser(sum, x);
}
RHEINFALL_HOST_DEVICE inline Vector finished(const Instruction& i, Vector sum, std::int32_t n) {
    return i.how == How::mean ? sum / all(static_cast<float>(n > 0 ? n : 1)) : sum;
}

RHEINFALL_HOST_DEVICE inline void run_reduce(const Instruction& i, const Row& r) {
    const EventView& event = *r.event;
    const EdgeRange range = edges_of(event, i.end, r.row);
    const ArrayView& array = event.arrays[i.array];
    const float* factors = i.array2 < 0 ? nullptr : event.arrays[i.array2].data;
    for (std::int32_t c = r.part; c < i.width; c += r.n_parts) r.at(i.out + c) = reduce_start(i);
    for (std::int32_t k = range.first; k < range.last; ++k) {
        const std::int32_t edge = range.edges == nullptr ? k : range.edges[k];
        const float* row =
            array.data + static_cast<std::ptrdiff_t>(row_at(event, i.index, Kind::edge, edge)) * array.stride;
        const Vector factor = all(factors == nullptr ? 1.0f : factors[edge]);
        for (std::int32_t c = r.part; c < i.width; c += r.n_parts) {
            r.at(i.out + c) = reduced(i, factors != nullptr, r.get(i.out + c), all(row[c]), factor).v;
        }
    }
    for (std::int32_t c = r.part; c < i.width; c += r.n_parts) {
        r.at(i.out + c) = finished(i, r.get(i.out + c), range.last - range.first).v;
    }
}

RHEINFALL_HOST_DEVICE inline void run_output(const Instruction& i, const Row& r) {
    const Vector in = r.get(i.in);
    const Vector value = r.event->scores ? sigmoid_of(in) : in;
    r.event->out[r.event->caller[r.row]] = select(not_number(value), all(__builtin_nanf("")), value).v;
    if (!finite(in)) *r.not_finite = 1;  // all that store here store the same
}

/// Loads, stores and copies of columns.
RHEINFALL_HOST_DEVICE inline void run_move(const Instruction& i, const Row& r) {
    const auto array = [&] { return r.event->arrays[i.array]; };
    for (std::int32_t c = r.part; c < i.width; c += r.n_parts) {
        const std::ptrdiff_t place = static_cast<std::ptrdiff_t>(c) * tile_rows;
        switch (i.code) {
            case Code::load_tiles: r.at(i.out + c) = tile_row(array(), r.row)[place]; break;
            case Code::store_tiles: tile_row(array(), r.row)[place] = r.at(i.in + c); break;
            case Code::load_event: r.at(i.out + c) = array().data[place]; break;
            case Code::store_rows:
                array().data[static_cast<std::ptrdiff_t>(r.row) * array().stride + c] = r.at(i.in + c);
                break;
            case Code::statistics:
                r.statistics[static_cast<std::ptrdiff_t>(i.in2_width + c) * r.n_rows + r.row] = r.at(i.in + c);
                break;
            default: r.at(i.out + c) = r.at(i.in + c);
        }
    }
}

/// All but layer norms.
RHEINFALL_HOST_DEVICE inline void run_instruction(const Instruction& i, const Row& r) {
    switch (i.code) {
        case Code::load_rows: return run_load_rows(i, r);
        case Code::reduce: return run_reduce(i, r);
        case Code::degree: {
            const EdgeRange range = edges_of(*r.event, i.end, r.row);
            if (r.part == 0) r.at(i.out) = static_cast<float>(range.last - range.first);
            return;
        }
        case Code::linear: return run_linear(i, r);
        case Code::unary:
            for (std::int32_t c = r.part; c < i.width; c += r.n_parts) {
                r.at(i.out + c) = activate(i.unary, r.get(i.in + c), i.a, i.b).v;
            }
            return;
        case Code::affine: return run_affine(i, r);
        case Code::event_affine: return run_event_affine(i, r);
        case Code::binary: return run_binary(i, r);
        case Code::row_reduce: return r.part == 0 ? run_row_reduce(i, r) : void();
        case Code::output: return r.part == 0 ? run_output(i, r) : void();
        default: return run_move(i, r);
    }
}

}  // namespace rheinfall::gnn::one
