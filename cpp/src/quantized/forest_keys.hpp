#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "quantized/forest_input.hpp"
#include "quantized/forest_plan.hpp"

/// Inputs as the keys that the tables of a ForestPlan are made for.
namespace rheinfall::quantized {

/// The bits of a float as an integer of the same order; -0 as 0, NaN above everything (it compares false: right).
[[nodiscard]] inline std::int32_t ordered_bits(float x) noexcept {
    if (x != x) return std::numeric_limits<std::int32_t>::max();
    const auto b = std::bit_cast<std::int32_t>(x + 0.0F);
    return b < 0 ? b ^ std::numeric_limits<std::int32_t>::max() : b;
}

/// How many sorted thresholds lie below x (`inclusive`), or not above it. NaN: all, as it compares false.
template <class T>
[[nodiscard]] std::int32_t rank_of(const T* first, std::size_t n, T x, bool inclusive) noexcept {
    if constexpr (std::is_floating_point_v<T>) {
        if (std::isnan(x)) return static_cast<std::int32_t>(n);
    }
    const T* begin = first;
    while (n > 0) {
        const std::size_t half = n / 2;
        const bool below = inclusive ? first[half] < x : first[half] <= x;
        first = below ? first + half + 1 : first;
        n = below ? n - half - 1 : half;
    }
    return static_cast<std::int32_t>(first - begin);
}

/// One event's inputs as keys, not yet shifted; false if it has a NaN and some NaN goes left.
template <class E>
[[nodiscard]] bool find_keys(const ForestModel& model, const ForestPlan& plan, const E* x, std::int32_t* keys,
                             Status& status) noexcept {
    const auto n = static_cast<std::size_t>(model.n_features);
    bool regular = true;
    for (std::size_t f = 0; f < n; ++f) {
        if (model.input.kind == NumberType::Kind::fixed) {
            const std::int64_t stored = to_stored(x[f], model.input.fixed, status);
            if (plan.keys == ForestPlan::Keys::stored) {
                keys[f] = static_cast<std::int32_t>(stored - plan.key_offset);
            } else {
                const std::int64_t* first = plan.thresholds_int.data() + plan.rank_begin[f];
                const std::size_t n_ranks = plan.rank_begin[f + 1] - plan.rank_begin[f];
                const bool above_all = !model.input.fixed.is_signed && stored < 0;  // 2^63 or more: no threshold is
                keys[f] =
                    above_all ? static_cast<std::int32_t>(n_ranks) : rank_of(first, n_ranks, stored, model.inclusive);
            }
        } else {
            const double real = to_real(x[f], model.input.kind);
            regular = regular && (real == real || !plan.has_missing);
            if (plan.keys == ForestPlan::Keys::float_order) {
                keys[f] = ordered_bits(static_cast<float>(real));
            } else {
                const double* first = plan.thresholds.data() + plan.rank_begin[f];
                keys[f] = rank_of(first, plan.rank_begin[f + 1] - plan.rank_begin[f], real, model.inclusive);
            }
        }
    }
    return regular;
}

/// Shifts keys as the words are, and repeats them up to the stride: an index may have bits above the feature's.
inline void lay_out_keys(const ForestPlan& plan, const std::int32_t* keys, std::size_t n, void* to) noexcept {
    const int shift = plan.packed ? plan.feature_bits : 0;
    const std::size_t period = std::size_t{1} << plan.feature_bits;
    const auto lay = [&](auto* out) {
        using Word = std::remove_reference_t<decltype(*out)>;
        for (std::size_t i = 0; i < period; ++i) {
            const std::uint32_t key = i < n ? static_cast<std::uint32_t>(keys[i]) : 0;
            out[i] = static_cast<Word>(key << shift);
        }
        for (std::size_t i = period; i < plan.key_stride; ++i) out[i] = out[i - period];
    };
    if (plan.key_bits == 16) {
        lay(static_cast<std::int16_t*>(to));
    } else {
        lay(static_cast<std::int32_t*>(to));
    }
}

}  // namespace rheinfall::quantized
