#pragma once

/// @file
/// The functions of `detail/float_math.hpp` and `detail/hit_geometry.hpp` on vectors, operation by operation. Included
/// by each version of graph construction after it has chosen its instructions, hence everything has internal linkage.

#include "tracking/detail/hit_geometry.hpp"

namespace rheinfall::detail {
namespace {  // NOLINT(misc-anonymous-namespace-in-header): see above

/// As `wrap_phi`.
template <class Lanes>
typename Lanes::Float wrap(typename Lanes::Float dphi) {
    const auto turn = Lanes::set(two_pi);
    const auto once = Lanes::select(Lanes::gt(dphi, Lanes::set(pi)), dphi - turn, dphi);
    return Lanes::select(Lanes::le(dphi, Lanes::set(-pi)), dphi + turn, once);
}

/// As `divisor`.
template <class Lanes>
typename Lanes::Float divisors(typename Lanes::Float difference) {
    return Lanes::select(Lanes::eq(difference, Lanes::set(0.0f)), Lanes::set(1e-6f), difference);
}

template <class Lanes>
typename Lanes::Float magnitude(typename Lanes::Float v) {
    return Lanes::select(Lanes::gt(Lanes::set(0.0f), v), -v, v);
}

/// As `atan_unit`.
template <class Lanes>
typename Lanes::Float arctan_unit(typename Lanes::Float t) {
    using Float = typename Lanes::Float;
    const Float one = Lanes::set(1.0f);
    const auto reduce = Lanes::gt(t, Lanes::set(0.414213568f));
    const Float u = Lanes::select(reduce, t - one, t) / Lanes::select(reduce, t + one, one);
    const Float w = u * u;
    const Float p =
        ((Lanes::set(8.05374449538e-2f) * w - Lanes::set(1.38776856032e-1f)) * w + Lanes::set(1.99777106478e-1f)) * w -
        Lanes::set(3.33329491539e-1f);
    const Float angle = p * w * u + u;
    return Lanes::select(reduce, Lanes::set(0.785398185f) + angle, angle);
}

/// As `atan2`.
template <class Lanes>
typename Lanes::Float arctan2(typename Lanes::Float y, typename Lanes::Float x) {
    using Float = typename Lanes::Float;
    const Float zero = Lanes::set(0.0f);
    const Float ax = magnitude<Lanes>(x);
    const Float ay = magnitude<Lanes>(y);
    const auto flat = Lanes::gt(ax, ay);
    const Float larger = Lanes::select(flat, ax, ay);
    Float angle = arctan_unit<Lanes>(Lanes::select(flat, ay, ax) / larger);
    angle = Lanes::select(Lanes::gt(ay, ax), Lanes::set(half_pi) - angle, angle);
    angle = Lanes::select(Lanes::gt(zero, x), Lanes::set(pi) - angle, angle);
    angle = Lanes::select(Lanes::gt(zero, y), -angle, angle);
    return Lanes::select(Lanes::gt(larger, zero), angle, zero);
}

}  // namespace
}  // namespace rheinfall::detail
