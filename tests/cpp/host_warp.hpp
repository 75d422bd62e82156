#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "gnn/mma_fragments.hpp"

/// A sum, then the products of 16 pairs of bf16 added to it.
using TensorCore = float (*)(const float* inputs, const float* weights, float sum);

/// As a CPU adds them: of each two neighbours the odd one first.
inline float cpu_product(const float* inputs, const float* weights, float sum) {
    for (int k = 0; k < 16; ++k) sum = __builtin_fmaf(inputs[k ^ 1], weights[k ^ 1], sum);
    return sum;
}

/// A warp of a device on the host: lanes one after the other, registers for each, tensor cores by the maps of
/// fragments.
class HostWarp {
public:
    static constexpr int lane_count = rheinfall::gnn::mma::lanes;
    template <class T>
    using PerLane = std::array<T, lane_count>;

    /// @p order: -1, or one of 16 other orders of the lanes.
    HostWarp(TensorCore tensor_core, int order) : tensor_core_(tensor_core), order_(order) {}

    template <class F>
    void lanes(F&& f) const {
        for (int l = 0; l < lane_count; ++l) f(order_ < 0 ? l : ((2 * order_ + 1) * l + 5 * order_ + 7) % lane_count);
    }
    template <class Fragments>
    void mma(PerLane<Fragments>& fragments, int m, int n) const {
        namespace maps = rheinfall::gnn::mma;
        float inputs[maps::rows][2 * maps::pairs];
        float weights[maps::outputs][2 * maps::pairs];
        const auto unpack = [](std::uint32_t pair, float* to) {
            to[0] = std::bit_cast<float>(pair << 16U);
            to[1] = std::bit_cast<float>(pair & 0xffff0000U);
        };
        for (int lane = 0; lane < lane_count; ++lane) {
            const Fragments& f = fragments[static_cast<std::size_t>(lane)];
            for (int i = 0; i < 4; ++i) {
                unpack(f.inputs[m][i], &inputs[maps::input_row(lane, i)][2 * maps::input_pair(lane, i)]);
            }
            for (int i = 0; i < 2; ++i) {
                unpack(f.weights[n][i], &weights[maps::weight_output(lane)][2 * maps::weight_pair(lane, i)]);
            }
        }
        for (int lane = 0; lane < lane_count; ++lane) {
            for (int i = 0; i < 4; ++i) {
                float& sum = fragments[static_cast<std::size_t>(lane)].sums[m][n][i];
                sum = tensor_core_(inputs[maps::sum_row(lane, i)], weights[maps::sum_output(lane, i)], sum);
            }
        }
    }

private:
    TensorCore tensor_core_;
    int order_;
};

/// A block of a device on the host: warps one after the other.
class HostCrew {
public:
    HostCrew(TensorCore tensor_core, int order, int n_warps)
        : warp_(tensor_core, order), is_reversed_(order % 2 == 1), n_warps_(n_warps) {}

    [[nodiscard]] std::int32_t n_warps() const { return n_warps_; }
    template <class F>
    void warps(F&& f) const {
        for (int w = 0; w < n_warps_; ++w) f(warp_, is_reversed_ ? n_warps_ - 1 - w : w);
    }
    template <class F>
    void threads(F&& f) const {
        warps([&](const HostWarp& warp, int number) { warp.lanes([&](int lane) { f(lane, number); }); });
    }

private:
    HostWarp warp_;
    bool is_reversed_;
    int n_warps_;
};
