#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "quantized/forest_exact.hpp"
#include "quantized/forest_input.hpp"
#include "quantized/forest_plan.hpp"

/// From the words that a forest's kernel gives to scores, and from scores to the caller's array.
namespace rheinfall::quantized {

/// The value of a leaf from its word; T: int64_t, float or double.
template <class T>
[[nodiscard]] T value_of_word(const ForestModel& model, const ForestPlan& plan, std::size_t slot,
                              std::int32_t word) noexcept {
    if constexpr (sizeof(T) == 8) {
        if (plan.order == ForestPlan::Order::in_order_wide) {
            return std::bit_cast<T>(plan.wide_leaves[slot * plan.n_leaves() + static_cast<std::size_t>(word)]);
        }
    }
    if constexpr (std::is_integral_v<T>) {
        return detail::wrap(static_cast<std::uint64_t>(std::int64_t{word}), model.score.fixed);
    } else {
        return static_cast<T>(std::bit_cast<float>(word));
    }
}

/// Sums that may be taken in any order: the kernel took them, modulo 2^32.
template <class T>
void finish_sums(const ForestModel& model, const std::int32_t* words, std::size_t n_events, T* scores) noexcept {
    const auto n_classes = static_cast<std::size_t>(model.n_classes);
    for (std::size_t i = 0; i < n_events * n_classes; ++i) {
        const std::size_t c = n_classes == 1 ? 0 : i % n_classes;
        const auto sum =
            static_cast<std::uint64_t>(model.initial[c].integer) + static_cast<std::uint64_t>(std::int64_t{words[i]});
        scores[i] = normalise(model, static_cast<T>(detail::wrap(sum, model.score.fixed)));
    }
}

/// Sequential sums of several events at a time: each event's additions wait for one another, those of others do not.
template <class T, std::size_t width>
void add_up(const ForestModel& model, const ForestPlan& plan, std::size_t c, const std::int32_t* words,
            T* scores) noexcept {
    const auto n_classes = static_cast<std::size_t>(model.n_classes);
    const FixedType& type = model.score.fixed;
    const std::size_t stride = plan.n_slots();
    const std::size_t first = plan.classes[c].first_group * plan.lanes;
    const std::size_t n = plan.classes[c].n_trees;
    const T initial = number_as<T>(model.initial[c]);
    T sum[width];
    const bool from_leaf = model.initial_last && n > 0;
    for (std::size_t e = 0; e < width; ++e) {
        sum[e] = from_leaf ? value_of_word<T>(model, plan, first, words[e * stride + first]) : initial;
    }
    for (std::size_t t = from_leaf ? 1 : 0; t < n; ++t) {
        for (std::size_t e = 0; e < width; ++e) {
            const T value = value_of_word<T>(model, plan, first + t, words[e * stride + first + t]);
            sum[e] = add_scores(sum[e], value, type);
        }
    }
    for (std::size_t e = 0; e < width; ++e) {
        if (from_leaf) sum[e] = add_scores(sum[e], initial, type);
        scores[e * n_classes + c] = normalise(model, sum[e]);
    }
}

/// Sums in the document's order, from the leaves that the kernel selected; @p values: room for the leaves of a class.
template <class T>
void finish_in_order(const ForestModel& model, const ForestPlan& plan, const std::int32_t* words, std::size_t n_events,
                     T* values, T* scores) noexcept {
    constexpr std::size_t width = 8;
    const auto n_classes = static_cast<std::size_t>(model.n_classes);
    for (std::size_t c = 0; c < n_classes; ++c) {
        std::size_t event = 0;
        while (event < n_events) {
            const std::int32_t* row = words + event * plan.n_slots();
            T* to = scores + event * n_classes;
            if (model.sum_as_tree) {
                const std::size_t first = plan.classes[c].first_group * plan.lanes;
                const std::size_t n = plan.classes[c].n_trees;
                for (std::size_t t = 0; t < n; ++t) {
                    values[t] = value_of_word<T>(model, plan, first + t, row[first + t]);
                }
                to[c] = score_of<T>(model, c, {values, n});
                ++event;
            } else if (n_events - event >= width) {
                add_up<T, width>(model, plan, c, row, to);
                event += width;
            } else {
                add_up<T, 1>(model, plan, c, row, to);
                ++event;
            }
        }
    }
}

/// 2^exponent, of a normal number: its bits, where a call of ldexp would take as long as a tenth of a forest.
template <class T>
[[nodiscard]] constexpr T power_of_two(int exponent) noexcept {
    if constexpr (sizeof(T) == 4) {
        return std::bit_cast<float>(static_cast<std::uint32_t>(exponent + 127) << 23);
    } else {
        return std::bit_cast<double>(static_cast<std::uint64_t>(exponent + 1023) << 52);
    }
}

/// @p n scores in the type of the caller's array, from @p first on.
template <class T>
void write_scores(const ForestModel& model, const T* scores, std::size_t n, MutableArray out,
                  std::size_t first) noexcept {
    with_element_type(out.type, [&](auto element) {
        using E = decltype(element);
        auto* to = static_cast<E*>(out.data) + first;
        if constexpr (std::is_integral_v<T> && std::is_floating_point_v<E>) {
            const FixedType& type = model.score.fixed;
            // Rounded once, where the integer becomes a float: a power of two is then exact, unless it is beyond a
            // float32's, and a double takes its place (which no score of 53 bits or fewer can tell).
            using Unit = std::conditional_t<sizeof(E) == 4, float, double>;
            const int fraction = type.fraction();
            const bool in_reach = fraction >= -60 && fraction <= 120;
            const Unit unit = in_reach ? power_of_two<Unit>(-fraction) : Unit{0};
            for (std::size_t i = 0; i < n; ++i) {
                const bool is_wide = !type.is_signed && scores[i] < 0;  // 2^63 or more
                const Unit q =
                    is_wide ? static_cast<Unit>(static_cast<std::uint64_t>(scores[i])) : static_cast<Unit>(scores[i]);
                to[i] = in_reach ? q * unit : static_cast<E>(std::ldexp(static_cast<double>(q), -fraction));
            }
        } else {
            for (std::size_t i = 0; i < n; ++i) to[i] = static_cast<E>(scores[i]);
        }
    });
}

}  // namespace rheinfall::quantized
