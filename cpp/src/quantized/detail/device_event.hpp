#pragma once

#include "quantized/detail/device_steps.hpp"

/// One event on one thread: activations as packed bytes in the thread's scratch, dot products of four (dp4a).
namespace rheinfall::quantized::detail {

/// The scratch of a thread: word i lies at base[i · stride], so that threads side by side do not meet in one bank.
struct ThreadWords {
    std::uint32_t* base;
    int stride;
    RHEINFALL_HOST_DEVICE std::uint32_t& operator[](int i) const noexcept {
        return base[static_cast<std::size_t>(i) * static_cast<std::size_t>(stride)];
    }
};

/// Words of scratch of one thread: a value, the value that is saved, and a layer's input in bytes.
[[nodiscard]] RHEINFALL_HOST_DEVICE constexpr int event_words(const DeviceProgram& program) noexcept {
    return program.max_values + (program.merge == DeviceMerge::none ? 0 : program.max_values) + program.max_encoded;
}

RHEINFALL_HOST_DEVICE inline void encode_values(const DeviceLayer& layer, ThreadWords words, int encoded) noexcept {
    const int n_groups = (layer.n_in + 3) / 4;
    for (int g = 0; g < n_groups; ++g) {
        std::uint32_t w[4] = {};
        for (int j = 0; j < 4; ++j) {
            const int k = 4 * g + j;
            if (k < layer.n_in) w[j] = encode(layer, static_cast<std::int32_t>(words[k]));
        }
        for (int limb = 0; limb < layer.x_limbs; ++limb)
            words[encoded + limb * n_groups + g] = gather_bytes(w[0], w[1], w[2], w[3], limb);
    }
}

/// Sums of eight outputs: the pairs of limbs of the highest weight first, the sum moved up by a byte before the next.
RHEINFALL_HOST_DEVICE inline void add_products(const DeviceLayer& layer, const std::int32_t* pool, ThreadWords words,
                                               int encoded, int first, std::int32_t (&sums)[mma_outputs]) noexcept {
    const int n_groups = (layer.n_in + 3) / 4;
    const int n_padded = layer.n_tiles * mma_outputs;
    for (int j = 0; j < mma_outputs; ++j) sums[j] = 0;
    const int highest = layer.x_limbs + layer.w_limbs - 2;
    for (int weight = highest < 3 ? highest : 3; weight >= 0; --weight) {  // 256^4 is nothing modulo 2^32
        for (int j = 0; j < mma_outputs; ++j) sums[j] = shift_left(sums[j], 8);
        for (int limb = 0; limb < layer.x_limbs; ++limb) {
            if (limb > weight || weight - limb >= layer.w_limbs) continue;
            const std::int32_t* w = pool + layer.weights + (weight - limb) * n_groups * n_padded + first;
            for (int g = 0; g < n_groups; ++g, w += n_padded) {
                const std::uint32_t x = words[encoded + limb * n_groups + g];
                for (int j = 0; j < mma_outputs; ++j) sums[j] = dot4(x, static_cast<std::uint32_t>(w[j]), sums[j]);
            }
        }
    }
    for (int j = 0; j < mma_outputs; ++j) sums[j] = wrapping_add(sums[j], pool[layer.bias + first + j]);
}

/// Computes one event: @p row is its input, `out[first_output ...]` its output. Returns flags of its inputs
/// (device_steps.hpp).
RHEINFALL_HOST_DEVICE inline std::uint32_t run_event(const DeviceProgram& program, const std::int32_t* pool,
                                                     const std::byte* row, const DeviceFormat& in, ThreadWords words,
                                                     void* out, std::size_t first_output,
                                                     ElementType out_type) noexcept {
    const int saved = program.max_values;
    const int encoded = event_words(program) - program.max_encoded;
    std::uint32_t flags = 0;
    for (int k = 0; k < program.n_inputs; ++k) {
        const std::int32_t x = read_input(program, row, k, in, flags);
        words[k] = static_cast<std::uint32_t>(run_chain(program.input_chain, pool, x, k));
        if (program.input_is_saved) words[saved + k] = words[k];
    }
    int n = program.n_inputs;
    for (int l = 0; l < program.n_layers; ++l) {
        const DeviceLayer& layer = program.layers[l];
        encode_values(layer, words, encoded);
        n = layer.n_out;
        for (int first = 0; first < n; first += mma_outputs) {
            std::int32_t sums[mma_outputs];
            add_products(layer, pool, words, encoded, first, sums);
            run_chain(layer.chain, pool, sums, mma_outputs / 4, [first](int j) { return first + j; });
            RHEINFALL_UNROLL
            for (int j = 0; j < mma_outputs; ++j) {
                if (first + j >= n) continue;
                words[first + j] = static_cast<std::uint32_t>(sums[j]);
                if (layer.is_saved) words[saved + first + j] = words[first + j];
            }
        }
    }
    std::int32_t sum = 0;
    std::int32_t most = 0;
    int largest = 0;
    for (int o = 0; o < n; ++o) {
        auto x = static_cast<std::int32_t>(words[o]);
        if (program.merge != DeviceMerge::none) {
            x = merge_values(program, x, static_cast<std::int32_t>(words[saved + o]));
            x = run_chain(program.merge_chain, pool, x, o);
        }
        if (program.is_argmax) {
            if (o == 0 || x > most) largest = o;
            most = o == 0 || x > most ? x : most;
        } else if (program.reduction == DeviceReduction::none) {
            write_output(out, first_output + static_cast<std::size_t>(o), out_type, x);
        } else {
            sum = wrapping_add(sum, summand(program, pool, x));
        }
    }
    for (int o = 0; program.is_argmax && o < n; ++o)
        write_output(out, first_output + static_cast<std::size_t>(o), out_type,
                     o == largest ? program.hot : program.cold);
    if (program.reduction != DeviceReduction::none)
        write_output(out, first_output, out_type, run_chain(program.sum_chain, pool, sum, 0));
    return flags;
}

}  // namespace rheinfall::quantized::detail
