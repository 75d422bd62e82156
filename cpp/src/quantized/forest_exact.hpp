#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "quantized/detail/fixed_point.hpp"
#include "quantized/forest_model.hpp"

/// A forest as docs/forest_format.md defines it, node by node and addition by addition: what every fast path is
/// compared with, and what runs where there is none.
namespace rheinfall::quantized {

/// a + b in a score type.
template <class T>
[[nodiscard]] T add_scores(T a, T b, const FixedType& type) noexcept {
    if constexpr (std::is_integral_v<T>) {
        const Int128 sum = detail::widen<Int128>(a, type) + detail::widen<Int128>(b, type);
        return detail::convert(sum, type.fraction(), type);
    } else {
        return a + b;
    }
}

/// The sum of one class in the document's order; T is int64_t (stored integers), float or double.
/// As deep as the logarithm of the number of trees.
template <class T>  // NOLINTNEXTLINE(misc-no-recursion)
[[nodiscard]] T sum_as_tree(std::span<const T> values, const FixedType& type) noexcept {
    if (values.size() == 1) return values[0];
    std::size_t left = 1;
    while (2 * left < values.size()) left *= 2;
    return add_scores(sum_as_tree(values.first(left), type), sum_as_tree(values.subspan(left), type), type);
}

/// a score, normalised.
template <class T>
[[nodiscard]] T normalise(const ForestModel& model, T a) noexcept {
    if (model.normalisation == ForestModel::Normalisation::none) return a;
    if constexpr (std::is_integral_v<T>) {
        const FixedType& type = model.score.fixed;
        const auto factor = detail::widen<Int128>(model.factor.integer, type);
        return detail::convert(detail::widen<Int128>(a, type) * factor, 2 * type.fraction(), type);
    } else {
        const T factor = static_cast<T>(model.factor.real);
        return model.normalisation == ForestModel::Normalisation::multiply ? a * factor : a / factor;
    }
}

/// A Number as T.
template <class T>
[[nodiscard]] T number_as(const Number& number) noexcept {
    if constexpr (std::is_integral_v<T>) {
        return number.integer;
    } else {
        return static_cast<T>(number.real);
    }
}

/// The score of a class from the values of its leaves, in the order of its trees.
template <class T>
[[nodiscard]] T score_of(const ForestModel& model, std::size_t tree_class, std::span<const T> values) noexcept {
    const FixedType& type = model.score.fixed;
    const T initial = number_as<T>(model.initial[tree_class]);
    if (values.empty()) return normalise(model, initial);
    T a = initial;
    if (model.sum_as_tree) {
        const T sum = sum_as_tree(values, type);
        a = model.initial_last ? add_scores(sum, initial, type) : add_scores(initial, sum, type);
    } else {
        std::size_t first = 0;
        if (model.initial_last) a = values[first++];
        for (std::size_t i = first; i < values.size(); ++i) a = add_scores(a, values[i], type);
        if (model.initial_last) a = add_scores(a, initial, type);
    }
    return normalise(model, a);
}

/// The leaf that an event reaches. @p x: stored integers for a fixed input type (int64_t), else reals (double).
template <class X>
[[nodiscard]] const ForestNode& find_leaf(const ForestModel& model, const ForestTree& tree, const X* x) noexcept {
    const ForestNode* node = tree.nodes.data();
    while (!node->is_leaf()) {
        const X value = x[node->feature];
        bool left = false;
        if constexpr (std::is_integral_v<X>) {
            const FixedType& type = model.input.fixed;
            const auto wide = detail::widen<Int128>(value, type);
            const auto threshold = detail::widen<Int128>(node->number.integer, type);
            left = model.inclusive ? wide <= threshold : wide < threshold;
        } else {
            const double threshold = node->number.real;
            left = std::isnan(value) ? node->missing_left : model.inclusive ? value <= threshold : value < threshold;
        }
        node = &tree.nodes[static_cast<std::size_t>(left ? node->left : node->right)];
    }
    return *node;
}

/// The scores of one event; @p values is room for the leaves of one class.
template <class X, class T>
void evaluate_exactly(const ForestModel& model, const X* x, T* values, T* scores) noexcept {
    for (std::size_t c = 0; c < model.trees_of_class.size(); ++c) {
        std::size_t n = 0;
        for (const std::int32_t t : model.trees_of_class[c]) {
            values[n++] = number_as<T>(find_leaf(model, model.trees[static_cast<std::size_t>(t)], x).number);
        }
        scores[c] = score_of<T>(model, c, {values, n});
    }
}

}  // namespace rheinfall::quantized
