#pragma once

/// @file
/// Two Kalman filters without propagation: the state is taken at one place of the track, the circle's own point, and a
/// hit at turning angle alpha measures cos(alpha), sin(alpha) / k, (1 - cos(alpha)) / k^2 of (offset to the left,
/// direction, curvature); a kink there changes the state by (-sin(alpha) / k, cos(alpha), 0) per radian.

#include <cstddef>

#include "tracking/detail/circle_fit.hpp"
#include "tracking/detail/host_device.hpp"

namespace rheinfall::detail {

/// What is known of @p n unknowns: a triangle of n weighted equations, to which measurements and noise are added by
/// plane rotations without square roots (W. M. Gentleman, J. Inst. Maths. Applics. 12 (1973) 329; for noise G. J.
/// Bierman, Factorization Methods for Discrete Sequential Estimation, 1977). It starts from nothing known, so that no
/// scale is put in, and neither squares nor subtracts information: no digits are lost on long or precise tracks.
template <std::size_t n>
class Triangle {
public:
    /// Coefficients of the unknowns.
    struct Row {
        double of[n];
    };

    /// A measurement @p value of @p row, of variance 1 / @p weight. Returns its chi2.
    RHEINFALL_HOST_DEVICE double add(Row row, double value, double weight) {
        for (std::size_t i = 0; i < n; ++i) {
            const double x = row.of[i];
            const double sum = weight_[i] + weight * x * x;
            if (sum <= 0.0) continue;  // says nothing about unknown i
            const double inverse = 1.0 / sum;
            const double keep = weight_[i] * inverse;
            const double take = weight * x * inverse;
            weight_[i] = sum;
            weight *= keep;
            for (std::size_t j = i + 1; j < n; ++j) {
                const double before = upper_[i].of[j];
                upper_[i].of[j] = keep * before + take * row.of[j];
                row.of[j] -= x * before;
            }
            const double before = value_[i];
            value_[i] = keep * before + take * value;
            value -= x * before;
        }
        return weight * value * value;
    }

    /// What was added so far is of unknowns that differ from those to come by @p step times noise of variance @p var.
    RHEINFALL_HOST_DEVICE void blur(const Row& step, double var) {
        Row noise{};
        double noise_value = 0.0;
        for (std::size_t i = n; i-- > 0;) {
            double x = step.of[i];
            for (std::size_t j = i + 1; j < n; ++j) x += upper_[i].of[j] * step.of[j];
            const double keep = 1.0 / (1.0 + var * weight_[i] * x * x);
            const double take = weight_[i] * x * var * keep;
            weight_[i] *= keep;
            var *= keep;
            for (std::size_t j = i + 1; j < n; ++j) {
                const double before = noise.of[j];
                noise.of[j] = keep * before + take * upper_[i].of[j];
                upper_[i].of[j] -= x * before;
            }
            noise.of[i] = take;
            const double before = noise_value;
            noise_value = keep * before + take * value_[i];
            value_[i] -= x * before;
        }
    }

    /// The unknowns.
    [[nodiscard]] RHEINFALL_HOST_DEVICE Row solve() const {
        Row x{};
        for (std::size_t i = n; i-- > 0;) {
            x.of[i] = value_[i];
            for (std::size_t j = i + 1; j < n; ++j) x.of[i] -= upper_[i].of[j] * x.of[j];
        }
        return x;
    }

    /// Variance of the combination @p h of the unknowns; infinite or NaN where too little is known.
    [[nodiscard]] RHEINFALL_HOST_DEVICE double variance(Row h) const {
        double sum = 0.0;
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t j = i + 1; j < n; ++j) h.of[j] -= h.of[i] * upper_[i].of[j];
            sum += h.of[i] * h.of[i] / weight_[i];
        }
        return sum;
    }

private:
    Row upper_[n] = {};  ///< above the diagonal of ones
    double weight_[n] = {};
    double value_[n] = {};
};

/// Deviations from a circle: offset to the left [mm], direction [rad], curvature [1/mm].
class CircleFilter {
public:
    using Row = Triangle<3>::Row;

    /// How a deviation shows at @p foot: coefficients of the state in the offset there.
    RHEINFALL_HOST_DEVICE static Row row_at(const Foot& foot) {
        return {{foot.cosine, foot.sine, foot.sine * foot.sine / (1.0 + foot.cosine)}};
    }

    /// Multiple scattering by an angle of variance @p var at @p foot, outside of which all hits were added.
    RHEINFALL_HOST_DEVICE void scatter(const Foot& foot, double var) {
        known_.blur({{-foot.sine, foot.cosine, 0.0}}, var);
    }

    /// A hit with the distance @p foot.side from the circle, of variance @p var. Returns its chi2.
    RHEINFALL_HOST_DEVICE double add(const Foot& foot, double var) {
        return known_.add(row_at(foot), foot.side, 1.0 / var);
    }

    [[nodiscard]] RHEINFALL_HOST_DEVICE Row state() const { return known_.solve(); }

    /// Variance of the combination @p h of the state.
    [[nodiscard]] RHEINFALL_HOST_DEVICE double variance(const Row& h) const { return known_.variance(h); }

private:
    Triangle<3> known_;
};

/// The line z(s) beside the arc length s: its value at s = 0 and its slope.
class LineFilter {
public:
    /// Deviations are taken from the line with @p at_zero [mm] at s = 0.
    RHEINFALL_HOST_DEVICE LineFilter(double at_zero, double steepness) : z_(at_zero), slope_(steepness) {}

    /// A kink of variance @p var at @p s, outside of which all hits were added.
    RHEINFALL_HOST_DEVICE void scatter(double s, double var) { known_.blur({{-s, 1.0}}, var); }

    /// A hit at @p z_hit of variance @p var. Returns its chi2.
    RHEINFALL_HOST_DEVICE double add(double s, double z_hit, double var) {
        return known_.add({{1.0, s}}, z_hit - (z_ + slope_ * s), 1.0 / var);
    }

    [[nodiscard]] RHEINFALL_HOST_DEVICE double slope() const { return slope_ + known_.solve().of[1]; }
    [[nodiscard]] RHEINFALL_HOST_DEVICE double slope_variance() const { return known_.variance({{0.0, 1.0}}); }

    /// z at @p s.
    [[nodiscard]] RHEINFALL_HOST_DEVICE double z_at(double s) const {
        const auto rest = known_.solve();
        return z_ + rest.of[0] + (slope_ + rest.of[1]) * s;
    }

    /// Variance of z at @p s.
    [[nodiscard]] RHEINFALL_HOST_DEVICE double z_variance(double s) const { return known_.variance({{1.0, s}}); }

private:
    double z_;
    double slope_;
    Triangle<2> known_;
};

}  // namespace rheinfall::detail
