#pragma once

#include <array>

#include "quantized/detail/device_steps.hpp"

/// Sixteen events on one warp, with int8 tensor cores: mma.sync m16n8k32, events as rows, outputs as columns.
///
/// Activations never leave the registers. A lane (group g = lane / 4, place q = lane % 4) holds of the sums of columns
/// 8t + 2q and 8t + 2q + 1 those of rows g and g + 8; of a layer's input it must hold bytes 4q to 4q + 3 of each half
/// of
/// 32. Which input a byte stands for is free, so the weights are laid out such that those bytes are the lane's own
/// sums: byte b of half h of k tile j is column 2q + b % 2 of n tile 4j + 2h + b / 2 (`input_of_byte`).
namespace rheinfall::quantized::detail {

/// The input element that byte @p b (0 to 31) of k tile @p j stands for: as the network's inputs are read, or as the
/// sums of a layer lie.
[[nodiscard]] constexpr int input_of_byte(int j, int b, bool of_sums) noexcept {
    if (!of_sums) return mma_inputs * j + b;
    const int half = b / 16, q = b % 16 / 4, i = b % 4;
    return mma_outputs * (4 * j + 2 * half + i / 2) + 2 * q + i % 2;
}

/// What one lane holds.
template <int K, int N, int L>
struct LaneRegisters {
    std::uint32_t a[L][K][4];  ///< a layer's input: limb, k tile, register of the instruction
    std::int32_t c[4 * N];     ///< sums or values, four an n tile: row g, columns 2q and 2q + 1; row g + 8, the same
    std::int32_t saved[4 * N];
    std::int32_t sum[2];  ///< of rows g and g + 8
};

/// The 32 lanes of a warp on the host, one after the other in the order of `lanes`; the collective operations are done
/// from their definition (PTX ISA, "Matrix Fragments for mma.m16n8k32").
struct HostWarp {
    std::array<int, 32> order;

    template <class Registers>
    struct Lanes {
        std::array<Registers, 32> lane;
    };
    template <class Registers, class Body>
    void each(Lanes<Registers>& lanes, const Body& body) const {
        for (const int lane : order) body(lane, lanes.lane[static_cast<std::size_t>(lane)]);
    }
    void sync() const noexcept {}

    /// c[t] += a[limb][j] · the weights at @p b, two words a lane.
    template <class Registers>
    void multiply(Lanes<Registers>& lanes, int limb, int j, int t, const std::int32_t* b) const noexcept {
        const auto byte = [](std::uint32_t word, int at) { return static_cast<std::int8_t>(word >> (8 * at) & 0xffu); };
        for (int row = 0; row < mma_events; ++row) {
            for (int column = 0; column < mma_outputs; ++column) {
                std::int32_t sum = 0;
                for (int k = 0; k < mma_inputs; ++k) {
                    const Registers& of_row = lanes.lane[static_cast<std::size_t>(row % 8 * 4 + k % 16 / 4)];
                    const std::uint32_t x = of_row.a[limb][j][row / 8 + 2 * (k / 16)];
                    const auto w = static_cast<std::uint32_t>(b[2 * (4 * column + k % 16 / 4) + k / 16]);
                    sum += byte(x, k % 4) * byte(w, k % 4);
                }
                std::int32_t& c =
                    lanes.lane[static_cast<std::size_t>(row % 8 * 4 + column / 2)].c[4 * t + row / 8 * 2 + column % 2];
                c = wrapping_add(c, sum);
            }
        }
    }

    /// sum[...] of the four lanes of a group, in each of them.
    template <class Registers>
    void add_places(Lanes<Registers>& lanes) const noexcept {
        for (std::size_t g = 0; g < 32; g += 4)
            for (int r = 0; r < 2; ++r) {
                std::int32_t total = 0;
                for (std::size_t q = 0; q < 4; ++q) total = wrapping_add(total, lanes.lane[g + q].sum[r]);
                for (std::size_t q = 0; q < 4; ++q) lanes.lane[g + q].sum[r] = total;
            }
    }
};

/// The same on the device, where each lane is a thread.
struct DeviceWarp {
    template <class Registers>
    using Lanes = Registers;

    template <class Registers, class Body>
    RHEINFALL_HOST_DEVICE void each(Registers& lane, const Body& body) const {
#if defined(__CUDA_ARCH__)
        body(static_cast<int>(threadIdx.x % 32), lane);
#else
        body(0, lane);  // never called on the host
#endif
    }
    RHEINFALL_HOST_DEVICE void sync() const {
#if defined(__CUDA_ARCH__)
        __syncwarp();
#endif
    }
    template <class Registers>
    RHEINFALL_HOST_DEVICE void multiply(Registers& lane, int limb, int j, int t, const std::int32_t* b) const noexcept {
#if defined(__CUDA_ARCH__)
        const int2 w = reinterpret_cast<const int2*>(b)[threadIdx.x % 32];
        const std::uint32_t (&a)[4] = lane.a[limb][j];
        std::int32_t* c = lane.c + 4 * t;
        asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(w.x), "r"(w.y));
#else
        static_cast<void>(lane.a[limb][j][t] + static_cast<std::uint32_t>(b[0]));
#endif
    }
    template <class Registers>
    RHEINFALL_HOST_DEVICE void add_places(Registers& lane) const noexcept {
#if defined(__CUDA_ARCH__)
        for (int r = 0; r < 2; ++r) {
            lane.sum[r] = wrapping_add(lane.sum[r], __shfl_xor_sync(0xffffffffu, lane.sum[r], 1));
            lane.sum[r] = wrapping_add(lane.sum[r], __shfl_xor_sync(0xffffffffu, lane.sum[r], 2));
        }
#else
        static_cast<void>(lane);
#endif
    }
};

/// Words from row to row of a tile's inputs as bytes: no two lanes that read at once meet in one bank.
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr int encoded_row(const DeviceProgram& program) noexcept {
    return program.layers[0].k_tiles * (mma_inputs / 4) + 4;
}

/// Words of shared memory of a warp: its inputs as bytes, limb by limb, later its outputs.
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr int tile_words(const DeviceProgram& program) noexcept {
    const int encoded = program.layers[0].x_limbs * encoded_row(program);
    const int values = program.reduction == DeviceReduction::none ? program.n_outputs : 0;
    return mma_events * (encoded > values ? encoded : values);
}

/// The network's inputs, read and put through the input chain, as the first layer's bytes: each lane takes every 32nd
/// group of four.
RHEINFALL_HOST_DEVICE inline void encode_inputs(const DeviceProgram& program, const std::int32_t* pool,
                                                const std::byte* rows, const DeviceFormat& in, int n_rows, int lane,
                                                std::uint32_t* words, std::uint32_t& flags) noexcept {
    const int bytes = row_bytes(in, program.n_inputs, program.input_type.width);
    const int n_groups = program.layers[0].k_tiles * (mma_inputs / 4);
    const int row_words = encoded_row(program);
    for (int at = lane; at < mma_events * n_groups; at += 32) {
        const int row = at / n_groups, group = at % n_groups;
        std::int32_t v[4];
        RHEINFALL_UNROLL
        for (int b = 0; b < 4; ++b) {
            const bool is_there = row < n_rows && 4 * group + b < program.n_inputs;
            v[b] = is_there ? read_input(program, rows + std::ptrdiff_t{row} * bytes, 4 * group + b, in, flags) : 0;
        }
        run_chain(program.input_chain, pool, v, 1, [group](int b) { return 4 * group + b; });
        std::uint32_t w[4];
        RHEINFALL_UNROLL
        for (int b = 0; b < 4; ++b) w[b] = encode(program.layers[0], v[b]);
        for (int limb = 0; limb < program.layers[0].x_limbs; ++limb)
            words[(limb * mma_events + row) * row_words + group] = gather_bytes(w[0], w[1], w[2], w[3], limb);
    }
}

/// The inputs of the first layer from there.
template <class Registers, int K, int L>
RHEINFALL_HOST_DEVICE void load_inputs(const DeviceProgram& program, const std::uint32_t* words, int lane,
                                       Registers& r) noexcept {
    const int row_words = encoded_row(program);
    RHEINFALL_UNROLL
    for (int limb = 0; limb < L; ++limb) {
        if (limb >= program.layers[0].x_limbs) continue;
        RHEINFALL_UNROLL
        for (int j = 0; j < K; ++j) {
            if (j >= program.layers[0].k_tiles) continue;
            RHEINFALL_UNROLL
            for (int part = 0; part < 4; ++part) {
                const int row = lane / 4 + 8 * (part % 2);
                const int group = 8 * j + 4 * (part / 2) + lane % 4;
                r.a[limb][j][part] = words[(limb * mma_events + row) * row_words + group];
            }
        }
    }
}

/// The values of a layer as the next layer's bytes.
template <class Registers, int K, int N, int L>
RHEINFALL_HOST_DEVICE void encode_sums(const DeviceLayer& layer, Registers& r) noexcept {
    RHEINFALL_UNROLL
    for (int j = 0; j < K && 4 * j < N; ++j) {
        if (j >= layer.k_tiles) continue;
        RHEINFALL_UNROLL
        for (int part = 0; part < 4; ++part) {
            std::uint32_t w[4] = {};
            RHEINFALL_UNROLL
            for (int b = 0; b < 4; ++b) {
                const int t = 4 * j + 2 * (part / 2) + b / 2;
                if (t < N) w[b] = encode(layer, r.c[(t < N ? 4 * t : 0) + 2 * (part % 2) + b % 2]);
            }
            RHEINFALL_UNROLL
            for (int limb = 0; limb < L; ++limb) r.a[limb][j][part] = gather_bytes(w[0], w[1], w[2], w[3], limb);
        }
    }
}

/// All sums of a layer; see `add_products` for the order of the limbs.
template <class Registers, int K, int N, int L, class Warp>
RHEINFALL_HOST_DEVICE void multiply_layer(const DeviceLayer& layer, const std::int32_t* pool, const Warp& warp,
                                          typename Warp::template Lanes<Registers>& lanes) noexcept {
    warp.each(lanes, [](int, Registers& r) { for_each_value(r.c, N, [](std::int32_t, int) { return 0; }); });
    RHEINFALL_UNROLL
    for (int weight = (L < 4 ? L : 3); weight >= 0; --weight) {
        if (weight > layer.x_limbs + layer.w_limbs - 2) continue;
        warp.each(lanes, [](int, Registers& r) {
            for_each_value(r.c, N, [](std::int32_t x, int) { return shift_left(x, 8); });
        });
        RHEINFALL_UNROLL
        for (int limb = 0; limb < L; ++limb) {
            if (limb > weight || weight - limb > 1 || limb >= layer.x_limbs || weight - limb >= layer.w_limbs) continue;
            RHEINFALL_UNROLL
            for (int j = 0; j < K; ++j) {
                if (j >= layer.k_tiles) continue;
                const std::int32_t* w =
                    pool + layer.tiles + std::ptrdiff_t{(weight - limb) * layer.k_tiles + j} * layer.n_tiles * 64;
                RHEINFALL_UNROLL
                for (int t = 0; t < N; ++t)
                    if (t < layer.n_tiles) warp.multiply(lanes, limb, j, t, w + std::ptrdiff_t{64} * t);
            }
        }
    }
}

/// Bias and epilogue.
template <class Registers, int N>
RHEINFALL_HOST_DEVICE void finish_layer(const DeviceLayer& layer, const std::int32_t* pool, int lane,
                                        Registers& r) noexcept {
    const int q = lane % 4;
    const auto element = [q](int i) { return mma_outputs * (i / 4) + 2 * q + i % 2; };
    const std::int32_t* bias = pool + layer.bias;
    for_each_value(r.c, layer.n_tiles, [&](std::int32_t x, int i) { return wrapping_add(x, bias[element(i)]); });
    run_chain(layer.chain, pool, r.c, layer.n_tiles, element);
    if (layer.is_saved) for_each_value(r.saved, N, [&](std::int32_t, int i) { return r.c[i]; });
}

/// Merge, and either the outputs to @p words, row by row, or this lane's part of the reduction.
template <class Registers, int N>
RHEINFALL_HOST_DEVICE void finish_values(const DeviceProgram& program, const std::int32_t* pool, int lane,
                                         std::uint32_t* words, Registers& r) noexcept {
    const int q = lane % 4, n_tiles = (program.n_merged + mma_outputs - 1) / mma_outputs;
    const auto element = [q](int i) { return mma_outputs * (i / 4) + 2 * q + i % 2; };
    if (program.merge != DeviceMerge::none) {
        for_each_value(r.c, n_tiles, [&](std::int32_t x, int i) { return merge_values(program, x, r.saved[i]); });
        run_chain(program.merge_chain, pool, r.c, n_tiles, element);
    }
    if (program.reduction != DeviceReduction::none) {
        if (program.reduction == DeviceReduction::sum_of_squares)
            for_each_value(r.c, n_tiles, [](std::int32_t x, int) { return wrapping_multiply(x, x); });
        run_chain(program.product_chain, pool, r.c, n_tiles, [](int) { return 0; });
        r.sum[0] = r.sum[1] = 0;
        for_each_value(r.c, n_tiles, [&](std::int32_t x, int i) {
            if (element(i) < program.n_merged) r.sum[i / 2 % 2] = wrapping_add(r.sum[i / 2 % 2], x);
            return x;
        });
        return;
    }
    for_each_value(r.c, n_tiles, [&](std::int32_t x, int i) {
        const int o = element(i), row = lane / 4 + 8 * (i / 2 % 2);
        if (o < program.n_merged) words[row * program.n_outputs + o] = static_cast<std::uint32_t>(x);
        return x;
    });
}

/// The values of a row as what argmax makes of them; one row a lane.
RHEINFALL_HOST_DEVICE inline void mark_largest(const DeviceProgram& program, std::uint32_t* row) noexcept {
    int largest = 0;
    for (int o = 1; o < program.n_outputs; ++o)
        if (static_cast<std::int32_t>(row[o]) > static_cast<std::int32_t>(row[largest])) largest = o;
    for (int o = 0; o < program.n_outputs; ++o)
        row[o] = static_cast<std::uint32_t>(o == largest ? program.hot : program.cold);
}

/// Computes @p n_rows (at most 16) events whose rows lie at @p rows; @p words is scratch that the lanes share
/// (`tile_words`). Returns flags of the inputs that this lane read.
template <int K, int N, int L, class Warp>
RHEINFALL_HOST_DEVICE std::uint32_t run_tile(const DeviceProgram& program, const std::int32_t* pool,
                                             const std::byte* rows, const DeviceFormat& in, int n_rows,
                                             std::uint32_t* words, void* out, std::size_t first_event,
                                             ElementType out_type, const Warp& warp) noexcept {
    using Registers = LaneRegisters<K, N, L>;
    typename Warp::template Lanes<Registers> lanes;
    std::uint32_t flags = 0;
    warp.each(lanes, [&](int lane, Registers&) { encode_inputs(program, pool, rows, in, n_rows, lane, words, flags); });
    warp.sync();
    warp.each(lanes, [&](int lane, Registers& r) { load_inputs<Registers, K, L>(program, words, lane, r); });
    warp.sync();
    for (int l = 0; l < program.n_layers; ++l) {
        const DeviceLayer& layer = program.layers[l];
        if (l > 0) warp.each(lanes, [&](int, Registers& r) { encode_sums<Registers, K, N, L>(layer, r); });
        multiply_layer<Registers, K, N, L>(layer, pool, warp, lanes);
        warp.each(lanes, [&](int lane, Registers& r) { finish_layer<Registers, N>(layer, pool, lane, r); });
    }
    warp.each(lanes, [&](int lane, Registers& r) { finish_values<Registers, N>(program, pool, lane, words, r); });
    if (program.reduction == DeviceReduction::none) {
        warp.sync();
        if (program.is_argmax) {
            warp.each(lanes, [&](int lane, Registers&) {
                if (lane < n_rows) mark_largest(program, words + std::ptrdiff_t{lane} * program.n_outputs);
            });
            warp.sync();
        }
        warp.each(lanes, [&](int lane, Registers&) {
            const std::size_t first = first_event * static_cast<std::size_t>(program.n_outputs);
            for (int i = lane; i < n_rows * program.n_outputs; i += 32)
                write_output(out, first + static_cast<std::size_t>(i), out_type, static_cast<std::int32_t>(words[i]));
        });
        return flags;
    }
    warp.add_places(lanes);
    warp.each(lanes, [&](int lane, Registers& r) {
        const int row = lane / 4 + 8 * (lane % 4);  // lanes 4g and 4g + 1 write rows g and g + 8
        if (lane % 4 > 1 || row >= n_rows) return;
        const std::int32_t sum =
            lane % 4 == 0 ? r.sum[0] : r.sum[1];  // no index, which would put all registers in memory
        write_output(out, first_event + static_cast<std::size_t>(row), out_type,
                     run_chain(program.sum_chain, pool, sum, 0));
    });
    return flags;
}

}  // namespace rheinfall::quantized::detail
