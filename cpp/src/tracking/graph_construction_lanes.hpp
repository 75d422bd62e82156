#pragma once

/// @file
/// The functions of `detail/float_math.hpp` and `detail/hit_geometry.hpp` on vectors, operation by operation. Included
/// by each version of graph construction after it has chosen its instructions, hence everything has internal linkage.

#include "tracking/detail/hit_geometry.hpp"
#include "tracking/graph_construction_work.hpp"

namespace rheinfall::detail {
namespace {  // NOLINT(misc-anonymous-namespace-in-header): see above

/// The lowest @p n bits, all of them from 32 on.
inline std::uint32_t first_bits(std::size_t n) {
    return n < 32 ? (1u << n) - 1u : 0xffffffffu;
}

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

/// As `log_positive`.
template <class Lanes>
typename Lanes::Float logarithm(typename Lanes::Float v) {
    using Float = typename Lanes::Float;
    const Float one = Lanes::set(1.0f);
    const Float half = Lanes::mantissa(v);
    const auto low = Lanes::gt(Lanes::set(0.707106781f), half);
    const Float e = Lanes::select(low, Lanes::exponent(v) - one, Lanes::exponent(v));
    const Float m = Lanes::select(low, half + half, half) - one;
    const Float w = m * m;
    Float p = Lanes::set(7.0376836292e-2f);
    p = p * m - Lanes::set(1.1514610310e-1f);
    p = p * m + Lanes::set(1.1676998740e-1f);
    p = p * m - Lanes::set(1.2420140846e-1f);
    p = p * m + Lanes::set(1.4249322787e-1f);
    p = p * m - Lanes::set(1.6668057665e-1f);
    p = p * m + Lanes::set(2.0000714765e-1f);
    p = p * m - Lanes::set(2.4999993993e-1f);
    p = p * m + Lanes::set(3.3333331174e-1f);
    Float y = p * m * w;
    y = y + e * Lanes::set(-2.12194440e-4f);
    y = y - Lanes::set(0.5f) * w;
    return m + y + e * Lanes::set(0.693359375f);
}

/// As `asinh`.
template <class Lanes>
typename Lanes::Float arsinh(typename Lanes::Float t) {
    using Float = typename Lanes::Float;
    const Float a = magnitude<Lanes>(t);
    const Float w = a * a;
    const Float p =
        ((Lanes::set(2.0122003309e-2f) * w - Lanes::set(4.2699340972e-2f)) * w + Lanes::set(7.4847586088e-2f)) * w -
        Lanes::set(1.6666288134e-1f);
    const auto large = Lanes::gt(a, Lanes::set(1500.0f));
    const Float log = logarithm<Lanes>(Lanes::select(large, a, a + Lanes::root(w + Lanes::set(1.0f))));
    const Float far = Lanes::select(large, log + Lanes::set(0.693147182f), log);
    const Float y = Lanes::select(Lanes::gt(Lanes::set(0.5f), a), p * w * a + a, far);
    return Lanes::select(Lanes::gt(Lanes::set(0.0f), t), -y, y);
}

/// As `make_space_point`, of the hits that stand at [begin, end) of the @p order.
template <class Lanes>
void place_points_of(const HitsView& hits, std::span<const std::uint32_t> order, const PointArrays& to,
                     std::size_t begin, std::size_t end) {
    using Float = typename Lanes::Float;
    alignas(64) std::array<float, Lanes::n> x{}, y{}, z{}, r, phi, eta;
    for (std::size_t k = begin; k < end; k += Lanes::n) {
        const std::size_t n = end - k < Lanes::n ? end - k : Lanes::n;
        for (std::size_t lane = 0; lane < n; ++lane) {
            const std::size_t i = order[k + lane];
            x[lane] = hits.x[i];
            y[lane] = hits.y[i];
            z[lane] = hits.z[i];
        }
        const Float vx = Lanes::load(x.data());
        const Float vy = Lanes::load(y.data());
        const Float vr = Lanes::root(vx * vx + vy * vy);
        const Float zero = Lanes::set(0.0f);
        Lanes::store(r.data(), vr);
        Lanes::store(phi.data(), arctan2<Lanes>(vy, vx));
        Lanes::store(eta.data(), Lanes::select(Lanes::gt(vr, zero), arsinh<Lanes>(Lanes::load(z.data()) / vr), zero));
        for (std::size_t lane = 0; lane < n; ++lane) {
            const std::size_t at = k + lane;
            to.x[at] = x[lane];
            to.y[at] = y[lane];
            to.z[at] = z[lane];
            to.r[at] = r[lane];
            to.phi[at] = phi[lane];
            to.eta[at] = eta[lane];
            const std::array<float, 6> together{r[lane], phi[lane], z[lane], eta[lane], x[lane], y[lane]};
            for (std::size_t q = 0; q < together.size(); ++q) to.together[PointArrays::stride * at + q] = together[q];
        }
    }
}

}  // namespace
}  // namespace rheinfall::detail
