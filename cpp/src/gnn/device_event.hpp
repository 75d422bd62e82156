#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <rheinfall/core/status.hpp>

#include "core/sort_in_place.hpp"
#include "gnn/device_network.hpp"
#include "gnn/tile_program.hpp"

/// @file
/// A graph network as a device runs it: the arrays of one event, and for each kernel a body that is called once for
/// each index, in any order. The kernels in their order: device_steps.hpp. Nodes keep the caller's numbers.
namespace rheinfall::gnn {

/// One event. Edges lie by (target, source), equal ones by their features, as on the CPU.
struct DeviceEvent {
    std::uint32_t n_nodes, n_edges;      ///< room: the sizes of the caller's arrays
    const std::uint32_t* n_nodes_given;  ///< null, or how many of them there are
    const std::size_t* n_edges_given;
    std::int32_t node_bits;  ///< of a node's number
    std::int32_t n_edge_features;
    const std::int64_t *source_in, *target_in;
    const float *node_features, *edge_features;

    const DeviceArray* arrays_in;
    const DeviceBufferShape* buffers;
    std::int32_t n_arrays, n_buffers;

    std::uint64_t *key, *sorted_key;        ///< by edge: target, source
    std::uint32_t *index, *caller;          ///< place in the caller's order; sorted
    std::uint32_t *source, *sorted_source;  ///< by edge; the same, sorted
    std::uint32_t *number, *edges_out;      ///< of an edge; by source
    std::int32_t *target, *first_in, *first_out, *node;
    ArrayView* arrays;
    float* values;       ///< the plan's buffers
    float* statistics;   ///< [column][row]
    double* chunk_sums;  ///< [chunk][column][sums, then sums of squares][lane]
    std::uint32_t* invalid;
    std::uint32_t* not_finite;
    float* out;
    bool scores;
    Status* status;

    /// True if there are more nodes or edges than there is room for: the event then counts as one without edges.
    [[nodiscard]] RHEINFALL_HOST_DEVICE bool too_many() const {
        return (n_nodes_given != nullptr && *n_nodes_given > n_nodes) ||
               (n_edges_given != nullptr && *n_edges_given > n_edges);
    }
    /// Nodes and edges that there are.
    [[nodiscard]] RHEINFALL_HOST_DEVICE std::uint32_t nodes() const {
        return n_nodes_given == nullptr || too_many() ? n_nodes : *n_nodes_given;
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE std::uint32_t edges() const {
        if (too_many()) return 0;
        return n_edges_given == nullptr ? n_edges : static_cast<std::uint32_t>(*n_edges_given);
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE std::uint64_t room(Kind kind) const {
        return kind == Kind::edge ? n_edges : kind == Kind::node ? n_nodes : 1;
    }
    [[nodiscard]] RHEINFALL_HOST_DEVICE std::uint64_t n_rows(Kind kind) const {
        return kind == Kind::edge ? edges() : kind == Kind::node ? nodes() : 1;
    }
    /// The event as programs read it; indices are below 2^31, so that the same bits are signed numbers.
    [[nodiscard]] RHEINFALL_HOST_DEVICE EventView view() const {
        return {static_cast<std::int32_t>(nodes()),
                static_cast<std::int32_t>(edges()),
                reinterpret_cast<const std::int32_t*>(source),
                target,
                reinterpret_cast<const std::int32_t*>(caller),
                node,
                first_in,
                first_out,
                reinterpret_cast<const std::int32_t*>(edges_out),
                arrays,
                out,
                scores};
    }
};

/// Floats of a buffer: whole tiles.
RHEINFALL_HOST_DEVICE inline std::uint64_t buffer_floats(const DeviceBufferShape& shape, std::uint64_t n_rows) {
    return (n_rows + tile_rows - 1) / tile_rows * tile_rows * static_cast<std::uint64_t>(shape.stride);
}

/// One call.
struct ClearStatus {
    DeviceEvent g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t) const { *g.invalid = *g.not_finite = 0; }
};

/// By array: where it lies.
struct PlaceArray {
    DeviceEvent g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t index) const {
        const DeviceArray& array = g.arrays_in[index];
        const float* features = array.kind == Kind::node ? g.node_features : g.edge_features;
        float* data = const_cast<float*>(features);  // the caller's, which programs only read
        if (array.buffer >= 0) {
            data = g.values;
            for (std::int32_t b = 0; b < array.buffer; ++b) {
                data += buffer_floats(g.buffers[b], g.room(g.buffers[b].kind));
            }
        }
        g.arrays[index] = {data, array.stride};
    }
};

/// By the caller's edge. Places without an edge go behind all others: no node has the largest number.
struct MakeEdgeKey {
    DeviceEvent g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t e) const {
        g.index[e] = static_cast<std::uint32_t>(e);
        if (e >= g.edges()) {
            g.key[e] = (std::uint64_t{1} << static_cast<unsigned>(2 * g.node_bits)) - 1;
            return;
        }
        const auto source = static_cast<std::uint64_t>(g.source_in[e]);
        const auto target = static_cast<std::uint64_t>(g.target_in[e]);
        const std::uint64_t n_nodes = g.nodes();
        const bool bad = source >= n_nodes || target >= n_nodes;
        if (bad) *g.invalid = 1;  // all that store here store the same
        g.key[e] = bad ? 0 : target << static_cast<unsigned>(g.node_bits) | source;
    }
};

/// By edge: the first of edges with the same ends puts them in the order of their features' bits.
struct SortEqualEdges {
    DeviceEvent g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t first) const {
        const std::uint64_t n_edges = g.edges();
        if (first >= n_edges) return;
        const std::uint64_t key = g.sorted_key[first];
        if (first > 0 && g.sorted_key[first - 1] == key) return;
        std::uint64_t end = first + 1;
        while (end < n_edges && g.sorted_key[end] == key) ++end;
        if (end - first == 1 || *g.invalid != 0) return;
        const float* features = g.edge_features;
        const auto width = static_cast<std::size_t>(g.n_edge_features);
        detail::sort_in_place(g.caller + first, end - first, [features, width](std::uint32_t a, std::uint32_t b) {
            for (std::size_t k = 0; k < width; ++k) {
                const auto x = std::bit_cast<std::uint32_t>(features[a * width + k]);
                const auto y = std::bit_cast<std::uint32_t>(features[b * width + k]);
                if (x != y) return x < y;
            }
            return false;
        });
    }
};

/// By edge: its ends.
struct SplitEdgeKey {
    DeviceEvent g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t e) const {
        const std::uint64_t mask = (std::uint64_t{1} << static_cast<unsigned>(g.node_bits)) - 1;
        g.source[e] = static_cast<std::uint32_t>(g.sorted_key[e] & mask);
        g.target[e] = static_cast<std::int32_t>(g.sorted_key[e] >> static_cast<unsigned>(g.node_bits));
        g.number[e] = static_cast<std::uint32_t>(e);
    }
};

/// The first of sorted numbers that is not below @p value.
template <class T, class U>
RHEINFALL_HOST_DEVICE std::int32_t lower_bound(const T* sorted, std::uint32_t n, U value) {
    std::uint32_t first = 0;
    for (std::uint32_t left = n; left > 0;) {
        const std::uint32_t half = left / 2;
        if (sorted[first + half] < static_cast<T>(value)) {
            first += half + 1;
            left -= half + 1;
        } else {
            left = half;
        }
    }
    return static_cast<std::int32_t>(first);
}

/// By node, and once behind the last: where its edges begin.
struct FindEdges {
    DeviceEvent g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t i) const {
        const std::uint32_t n_edges = g.edges();
        g.first_in[i] = lower_bound(g.target, n_edges, i);
        g.first_out[i] = lower_bound(g.sorted_source, n_edges, i);
        if (i < g.n_nodes) g.node[i] = static_cast<std::int32_t>(i);
    }
};

/// By tile of a stage's rows, with a crew of warps and shared memory.
struct RunTile {
    DeviceEvent g;
    const Instruction* instructions;
    std::int32_t n_instructions;
    Kind kind;
    std::int32_t exchange_words;
    template <class Crew>
    RHEINFALL_HOST_DEVICE void operator()(const Crew& crew, std::uint64_t number, std::byte* memory) const {
        const std::uint64_t first = number * tile::rows;
        const std::uint64_t n_rows = g.n_rows(kind);
        if (*g.invalid != 0 || first >= n_rows || g.edges() == 0) return;
        const EventView event = g.view();
        const std::uint64_t left = n_rows - first;
        const tile::Tile t{&event,
                           kind,
                           static_cast<std::int32_t>(first),
                           left < tile::rows ? static_cast<std::int32_t>(left) : tile::rows,
                           reinterpret_cast<std::uint32_t*>(memory),
                           reinterpret_cast<float*>(memory) + exchange_words,
                           g.statistics,
                           static_cast<std::int64_t>(g.room(kind)),
                           g.not_finite};
        for (std::int32_t k = 0; k < n_instructions; ++k) tile::run_instruction(crew, instructions[k], t);
    }
};

constexpr std::uint32_t chunk_rows = chunk_tiles * tile_rows;

/// By chunk of rows, column and lane: sums over the chunk's rows of that lane, in their order.
struct SumChunk {
    DeviceEvent g;
    Kind kind;
    std::int32_t n_columns;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t index) const {
        const std::uint64_t lane = index % statistic_lanes;
        const std::uint64_t place = index / statistic_lanes;
        const std::uint64_t column = place % static_cast<std::uint64_t>(n_columns);
        const std::uint64_t chunk = place / static_cast<std::uint64_t>(n_columns);
        const std::uint64_t n = g.n_rows(kind);
        const std::uint64_t end = (chunk + 1) * chunk_rows < n ? (chunk + 1) * chunk_rows : n;
        const std::uint64_t stride = g.room(kind);
        double sum = 0;
        double squares = 0;
        for (std::uint64_t row = chunk * chunk_rows + lane; row < end; row += statistic_lanes) {
            const auto x = static_cast<double>(g.statistics[column * stride + row]);
            sum += x;
            squares += x * x;
        }
        g.chunk_sums[place * 2 * statistic_lanes + lane] = sum;
        g.chunk_sums[(place * 2 + 1) * statistic_lanes + lane] = squares;
    }
};

/// By column of a value of the event: what its sums give.
struct FinishColumn {
    DeviceEvent g;
    DeviceStatistics s;
    std::int32_t n_columns;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t c) const {
        const std::uint64_t rows = g.n_rows(s.rows);
        const std::uint64_t chunks = (rows + chunk_rows - 1) / chunk_rows;
        const auto column = static_cast<std::uint64_t>(s.first_column) + c;
        double total[2] = {0, 0};
        for (std::uint64_t part = 0; part < 2; ++part) {
            for (std::uint64_t k = 0; k < chunks; ++k) {
                const std::uint64_t place = k * static_cast<std::uint64_t>(n_columns) + column;
                const double* sums = g.chunk_sums + (place * 2 + part) * statistic_lanes;
                for (int l = 0; l < statistic_lanes; ++l) total[part] += sums[l];
            }
        }
        float* value = g.arrays[s.array].data;
        const auto n = static_cast<double>(rows > 0 ? rows : 1);
        const double mean = total[0] / n;
        value[c * tile_rows] = static_cast<float>(s.op == Op::event_sum ? total[0] : mean);
        if (s.op != Op::batch_statistics) return;
        const double spread = total[1] / n - mean * mean;
        const double variance = spread < 0.0 ? 0.0 : spread;
        const double scale = (s.scale == nullptr ? 1.0 : static_cast<double>(s.scale[c])) /
                             std::sqrt(variance + static_cast<double>(s.epsilon));
        value[(static_cast<std::uint64_t>(s.width) + c) * tile_rows] = static_cast<float>(scale);
    }
};

/// One call.
struct WriteStatus {
    DeviceEvent g;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t) const {
        *g.status = g.too_many()         ? Status::capacity_exceeded
                    : g.edges() == 0     ? Status::empty
                    : *g.invalid != 0    ? Status::invalid_argument
                    : *g.not_finite != 0 ? Status::not_finite
                                         : Status::ok;
    }
};

}  // namespace rheinfall::gnn
