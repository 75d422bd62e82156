#pragma once

/// @file
/// Two Kalman filters without propagation: the state is taken at one place of the track, the circle's own point, and a
/// hit at turning angle alpha measures cos(alpha), sin(alpha) / k, (1 - cos(alpha)) / k^2 of (offset to the left,
/// direction, curvature); a kink there changes the state by (-sin(alpha) / k, cos(alpha), 0) per radian.

#include "tracking/detail/circle_fit.hpp"
#include "tracking/detail/host_device.hpp"

namespace rheinfall::detail {

/// What is put in before the first hit: far more than any track's deviation, and little enough to leave all digits of
/// interest.
inline constexpr double free_offset_var = 1e6;       ///< [mm^2]
inline constexpr double free_direction_var = 100.0;  ///< [rad^2]
inline constexpr double free_curvature_var = 1e-2;   ///< [1/mm^2]

/// Deviations from a circle: offset to the left, direction, curvature, with their covariance.
class CircleFilter {
public:
    /// How a deviation shows at @p foot: coefficients of the state in the offset there.
    struct Row {
        double offset, direction, curvature;
    };

    RHEINFALL_HOST_DEVICE static Row row_at(const Foot& foot) {
        return {foot.cosine, foot.sine, foot.sine * foot.sine / (1.0 + foot.cosine)};
    }

    /// Multiple scattering by an angle of variance @p var at @p foot, outside of which all hits were added.
    RHEINFALL_HOST_DEVICE void scatter(const Foot& foot, double var) {
        p00_ += var * foot.sine * foot.sine;
        p01_ -= var * foot.sine * foot.cosine;
        p11_ += var * foot.cosine * foot.cosine;
    }

    /// A hit with the distance @p foot.side from the circle, of variance @p var. Returns its chi2.
    RHEINFALL_HOST_DEVICE double add(const Foot& foot, double var) {
        const Row h = row_at(foot);
        const double g0 = p00_ * h.offset + p01_ * h.direction + p02_ * h.curvature;
        const double g1 = p01_ * h.offset + p11_ * h.direction + p12_ * h.curvature;
        const double g2 = p02_ * h.offset + p12_ * h.direction + p22_ * h.curvature;
        const double rest = foot.side - (h.offset * x0 + h.direction * x1 + h.curvature * x2);
        const double inverse = 1.0 / (h.offset * g0 + h.direction * g1 + h.curvature * g2 + var);
        const double gain = rest * inverse;
        x0 += gain * g0;
        x1 += gain * g1;
        x2 += gain * g2;
        p00_ -= g0 * g0 * inverse;
        p01_ -= g0 * g1 * inverse;
        p02_ -= g0 * g2 * inverse;
        p11_ -= g1 * g1 * inverse;
        p12_ -= g1 * g2 * inverse;
        p22_ -= g2 * g2 * inverse;
        return rest * gain;
    }

    /// Variance of the combination @p h of the state.
    RHEINFALL_HOST_DEVICE double variance(const Row& h) const {
        return h.offset * (p00_ * h.offset + 2.0 * (p01_ * h.direction + p02_ * h.curvature)) +
               h.direction * (p11_ * h.direction + 2.0 * p12_ * h.curvature) + h.curvature * h.curvature * p22_;
    }

    double x0 = 0.0;  ///< offset [mm]
    double x1 = 0.0;  ///< direction [rad]
    double x2 = 0.0;  ///< curvature [1/mm]

private:
    double p00_ = free_offset_var, p01_ = 0.0, p02_ = 0.0;
    double p11_ = free_direction_var, p12_ = 0.0, p22_ = free_curvature_var;
};

/// The line z(s) beside the arc length s: its value at s = 0 and its slope, with their covariance.
class LineFilter {
public:
    /// Starts from the line with @p at_zero at s = 0.
    RHEINFALL_HOST_DEVICE LineFilter(double at_zero, double steepness) : z(at_zero), slope(steepness) {}

    /// A kink of variance @p var at @p s, outside of which all hits were added.
    RHEINFALL_HOST_DEVICE void scatter(double s, double var) {
        p00_ += var * s * s;
        p01_ -= var * s;
        p11_ += var;
    }

    /// A hit at @p z_hit of variance @p var. Returns its chi2.
    RHEINFALL_HOST_DEVICE double add(double s, double z_hit, double var) {
        const double g0 = p00_ + p01_ * s;
        const double g1 = p01_ + p11_ * s;
        const double rest = z_hit - (z + slope * s);
        const double inverse = 1.0 / (g0 + s * g1 + var);
        const double gain = rest * inverse;
        z += gain * g0;
        slope += gain * g1;
        p00_ -= g0 * g0 * inverse;
        p01_ -= g0 * g1 * inverse;
        p11_ -= g1 * g1 * inverse;
        return rest * gain;
    }

    /// Variance of z at @p s.
    RHEINFALL_HOST_DEVICE double z_variance(double s) const { return p00_ + s * (2.0 * p01_ + s * p11_); }
    [[nodiscard]] RHEINFALL_HOST_DEVICE double slope_variance() const { return p11_; }

    double z;      ///< [mm]
    double slope;  ///< cot(theta)

private:
    double p00_ = free_offset_var, p01_ = 0.0, p11_ = 1e4;
};

}  // namespace rheinfall::detail
