#include "gnn/bf16.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "gnn/kernels.hpp"
#include "gnn/mma_fragments.hpp"

namespace rheinfall::gnn {
namespace {

/// The bf16, in the upper half of a float32. Weights are finite.
std::uint32_t rounded(float weight) noexcept {
    if (std::abs(weight) < least_bf16_weight) return 0;
    const auto bits = std::bit_cast<std::uint32_t>(weight);
    return (bits + 0x7fffU + ((bits >> 16U) & 1U)) & 0xffff0000U;
}

/// Calls f(first output of a block, number of outputs in it, pair of inputs) in the order of packed weights.
template <class F>
void for_pairs(int in, int out, F&& f) {
    for (int block = 0; block < out; block += output_block) {
        for (int k = 0; k < in; k += 2) f(block, std::min(output_block, out - block), k);
    }
}

/// Weight of input @p k of an operation's part with @p in inputs; behind the last zero, and behind the pairs -0.
std::uint32_t weight_at(const std::vector<float>& weight, int first, int in, int k, int out, int o) {
    if (k >= in) return k < even(in) ? 0 : 0x80000000U;
    const auto place = static_cast<std::size_t>(first + k) * static_cast<std::size_t>(out);
    return rounded(weight[place + static_cast<std::size_t>(o)]);
}

/// Those of inputs @p k and k + 1, the even one's in the lower half.
float pair_at(const std::vector<float>& weight, int first, int in, int k, int out, int o) {
    const std::uint32_t odd = weight_at(weight, first, in, k + 1, out, o);
    return std::bit_cast<float>(odd | weight_at(weight, first, in, k, out, o) >> 16U);
}

}  // namespace

std::vector<bool> find_bf16(const Levels& levels, std::string_view file) {
    std::vector<bool> found(levels.level.size(), false);
    bool any = false;
    for (int i = 0; i < static_cast<int>(found.size()); ++i) {
        const Operation& o = levels.at(i);
        if (o.op != Op::linear || o.kind != Kind::edge) continue;
        for (const float w : o.weight) {
            if (!std::isfinite(std::bit_cast<float>(rounded(w)))) {
                throw std::runtime_error(std::string(file) + ": precision bf16: operation " + o.name +
                                         ": expected weights up to 3.39e38, got " + std::to_string(w));
            }
        }
        found[static_cast<std::size_t>(i)] = any = true;
    }
    if (!any) {
        throw std::runtime_error(std::string(file) +
                                 ": precision bf16: expected linear operations of edges, the network has none");
    }
    return found;
}

std::vector<float> pack_bf16(const std::vector<float>& weight, int first, int in, int out) {
    std::vector<float> packed;
    packed.reserve(static_cast<std::size_t>(even(in)) * static_cast<std::size_t>(out));
    for_pairs(in, out, [&](int block, int n, int k) {
        for (const int input : {k + 1, k}) {
            for (int o = block; o < block + n; ++o) {
                packed.push_back(std::bit_cast<float>(weight_at(weight, first, in, input, out, o)));
            }
        }
    });
    return packed;
}

std::vector<float> pack_bf16_pairs(const std::vector<float>& weight, int first, int in, int out) {
    std::vector<float> packed;
    packed.reserve(static_cast<std::size_t>(even(in) / 2) * static_cast<std::size_t>(out));
    for_pairs(in, out, [&](int block, int n, int k) {
        for (int o = block; o < block + n; ++o) packed.push_back(pair_at(weight, first, in, k, out, o));
    });
    return packed;
}

std::vector<float> pack_bf16_fragments(const std::vector<float>& weight, int first, int in, int out) {
    std::vector<float> packed;
    packed.reserve(static_cast<std::size_t>(mma::packed_words(in, out)));
    for (int block = 0; block < out; block += mma::block_outputs) {
        const int n_tiles = mma::block_tiles(out - block);
        for (int place = 0; place < mma::input_tiles(in) * mma::block_words(n_tiles); ++place) {
            const int step = place / mma::block_words(n_tiles);
            const int within = place % mma::block_words(n_tiles);
            const int lane = within / 4 % mma::lanes;
            const int tile = within / (4 * mma::lanes) * 2 + within / 2 % 2;
            const int k = 2 * (step * mma::pairs + mma::weight_pair(lane, within % 2));
            const int o = block + mma::block_output(n_tiles, tile, mma::weight_output(lane));
            packed.push_back(o < out ? pair_at(weight, first, in, k, out, o) : 0.0F);
        }
    }
    return packed;
}

std::vector<float> bf16_bias(std::vector<float> bias) {
    for (float& b : bias) {
        if (std::abs(b) < least_bf16_bias) b = 0;
    }
    return bias;
}

}  // namespace rheinfall::gnn
