#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "quantized/detail/device_tile.hpp"
#include "quantized/device_lowering.hpp"
#include "quantized/plan_chain.hpp"
#include "rheinfall/quantized/model.hpp"

/// From a network to the program of the CUDA kernels, layer by layer: the chain of layers in device_lowering.cpp, those
/// that add up in device_lowering_sums.cpp.
namespace rheinfall::quantized {

constexpr int round_up(int n, int unit) noexcept {
    return (n + unit - 1) / unit * unit;
}

inline bool fits_lane(const Interval& x) noexcept {
    return x.lo >= std::numeric_limits<std::int32_t>::min() && x.hi <= std::numeric_limits<std::int32_t>::max();
}

constexpr std::int32_t low_word(Int128 v) noexcept {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(static_cast<UInt128>(v)));
}

constexpr Int128 scaled(Int128 v, int shift) noexcept {
    return shift >= 0 ? v * (Int128{1} << shift) : detail::shift_right(v, -shift);
}

class DeviceLowering {
public:
    DeviceLowering(const Graph& graph, const Ranges& ranges, std::string_view file)
        : graph_(graph), ranges_(ranges), file_(file) {}

    DeviceCode lower();

private:
    [[nodiscard]] int n_inputs() const noexcept { return static_cast<int>(graph_.inputs.size()); }
    [[nodiscard]] bool is_layer(int value) const noexcept { return value >= n_inputs(); }
    [[nodiscard]] const Layer& layer(int value) const {
        return graph_.layers[static_cast<std::size_t>(value - n_inputs())];
    }
    [[nodiscard]] const LayerRange& proof(int value) const {
        return ranges_.layers[static_cast<std::size_t>(value - n_inputs())];
    }
    [[nodiscard]] int size(int value) const {
        std::int64_t n = 1;
        for (const std::int64_t extent : graph_.shape(value)) n *= extent;
        return static_cast<int>(n);
    }
    [[noreturn]] void refuse(int value, const std::string& reason) const {
        throw ModelError((file_.empty() ? std::string() : std::string(file_) + ": ") + "layer '" +
                         std::string(graph_.value_name(value)) + "': the CUDA kernels cannot compute it: " + reason);
    }

    [[nodiscard]] bool is_constant(int value) const {
        return is_layer(value) && std::holds_alternative<Constant>(layer(value).operation);
    }
    const Tensor& constant(int value);
    [[nodiscard]] std::vector<int> readers(int value) const;
    bool swallow(Chain& chain, int value, int next);
    void extend(Chain& chain);
    detail::DeviceChain keep(const Chain& chain, int n, int padded);

    void lower_input();
    void lower_dense(int value);
    Chain begin_sums(int value, int products_fraction, std::vector<std::int64_t>& bias);
    void set_limbs(detail::DeviceLayer& out, const Dense& dense, int input);
    void pack_weights(detail::DeviceLayer& out, const Dense& dense, bool of_sums);
    void lower_merge(int value);
    void lower_reduction(int value);
    void lower_argmax(int value);
    void save_current();
    void measure();

    const Graph& graph_;
    const Ranges& ranges_;
    std::string_view file_;
    DeviceCode code_;
    ParameterBlock parameters_;
    std::map<int, Tensor> constants_;
    int current_ = 0;  ///< the value that the program holds
    int saved_ = -1;
};

}  // namespace rheinfall::quantized
