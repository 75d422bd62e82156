#pragma once

/// @file
/// A circle through points of a plane, and where points lie beside it. float64 with + - * / and sqrt alone: the same
/// bits on any machine.

#include <cmath>

#include "tracking/detail/host_device.hpp"

namespace rheinfall::detail {

/// A directed circle through (x, y), or a straight line.
struct Circle {
    double x, y;
    double cos_phi, sin_phi;  ///< direction there
    double curvature;         ///< positive where it turns to the left [1/mm]
};

/// asin(t) / t for |t| <= 5/8 as a function of w = t * t; 2e-16 relative (S. Moshier, Cephes, asin).
RHEINFALL_HOST_DEVICE inline double arcsine_ratio(double w) {
    const double p =
        ((((4.253011369004428248960e-3 * w - 6.019598008014123785661e-1) * w + 5.444622390564711410273) * w -
          1.626247967210700244449e1) *
             w +
         1.956261983317594739197e1) *
            w -
        8.198089802484824371615;
    const double q =
        ((((w - 1.474091372988853791896e1) * w + 7.049610280856842141659e1) * w - 1.471791292232726029859e2) * w +
         1.395105614657485689735e2) *
            w -
        4.918853881490881290097e1;
    return 1.0 + w * (p / q);
}

/// Where a point lies beside a circle. Seen from the circle's own point, its foot on the circle has turned by alpha.
struct Foot {
    double side;    ///< distance from the circle, positive to the left [mm]
    double cosine;  ///< cos(alpha)
    double sine;    ///< sin(alpha) / curvature [mm], the arc length for a straight line
};

RHEINFALL_HOST_DEVICE inline Foot find_foot(const Circle& circle, double x, double y) {
    const double dx = x - circle.x;
    const double dy = y - circle.y;
    const double u = dx * circle.cos_phi + dy * circle.sin_phi;
    const double v = dy * circle.cos_phi - dx * circle.sin_phi;
    const double k = circle.curvature;
    const double across = 1.0 - k * v;
    const double radius = std::sqrt(across * across + (k * u) * (k * u));  // distance from the centre, in radii
    return {(2.0 * v - k * (u * u + v * v)) / (1.0 + radius), across / radius, u / radius};
}

/// Arc length from the circle's own point to a foot, over at most half a turn either way.
RHEINFALL_HOST_DEVICE inline double arc_length(double curvature, const Foot& foot) {
    constexpr double half_turn = 3.14159265358979323846;
    const double sine = curvature * foot.sine;
    const double magnitude = sine < 0.0 ? -sine : sine;
    if (magnitude <= 0.625 && foot.cosine > 0.0) return foot.sine * arcsine_ratio(sine * sine);
    // asin(m) = pi/2 - 2 asin(sqrt((1 - m) / 2)), behind a quarter turn pi less that.
    const double rest = 0.5 * (1.0 - (magnitude < 1.0 ? magnitude : 1.0));
    double angle = magnitude <= 0.625 ? magnitude * arcsine_ratio(sine * sine)
                                      : 0.5 * half_turn - 2.0 * std::sqrt(rest) * arcsine_ratio(rest);
    if (foot.cosine < 0.0) angle = half_turn - angle;
    return (foot.sine < 0.0 ? -angle : angle) / (curvature < 0.0 ? -curvature : curvature);
}

/// Weighted sums over points, relative to the first one.
class CircleSums {
public:
    RHEINFALL_HOST_DEVICE void add(double x, double y, double weight) {
        const double r2 = x * x + y * y;
        w_ += weight;
        x_ += weight * x;
        y_ += weight * y;
        r2_ += weight * r2;
        xx_ += weight * x * x;
        xy_ += weight * x * y;
        yy_ += weight * y * y;
        xr2_ += weight * x * r2;
        yr2_ += weight * y * r2;
        r4_ += weight * r2 * r2;
    }

    /// The circle with the least weighted sum of squared distances, to first order in them, directed so that it leads
    /// along (@p x, @p y). False if there is none.
    RHEINFALL_HOST_DEVICE bool fit(double x, double y, Circle& circle) const {
        const double mean_x = x_ / w_;
        const double mean_y = y_ / w_;
        const double mean_r2 = r2_ / w_;
        const double c_xr2 = xr2_ / w_ - mean_x * mean_r2;
        const double c_yr2 = yr2_ / w_ - mean_y * mean_r2;
        const double c_r4 = r4_ / w_ - mean_r2 * mean_r2;
        if (!(c_r4 > 0.0)) return false;
        const double m_xx = xx_ / w_ - mean_x * mean_x - c_xr2 * c_xr2 / c_r4;
        const double m_yy = yy_ / w_ - mean_y * mean_y - c_yr2 * c_yr2 / c_r4;
        const double m_xy = xy_ / w_ - mean_x * mean_y - c_xr2 * c_yr2 / c_r4;
        // The direction is that of the larger spread: half the angle of (a, b).
        const double a = m_xx - m_yy;
        const double b = 2.0 * m_xy;
        const double h = std::sqrt(a * a + b * b);
        if (!(h > 0.0)) return false;
        double cosine;
        double sine;
        if (a > 0.0) {
            cosine = std::sqrt(0.5 * (1.0 + a / h));
            sine = 0.5 * b / (h * cosine);
        } else {
            sine = std::sqrt(0.5 * (1.0 - a / h));
            cosine = 0.5 * b / (h * sine);
        }
        if (cosine * x + sine * y < 0.0) {
            cosine = -cosine;
            sine = -sine;
        }
        // Points with kappa r^2 - n.q + delta = 0 for the left normal n; then curvature and offset of the circle.
        const double kappa = (cosine * c_yr2 - sine * c_xr2) / c_r4;
        const double delta = cosine * mean_y - sine * mean_x - kappa * mean_r2;
        const double root = 1.0 - 4.0 * kappa * delta;
        if (!(root > 0.0)) return false;
        const double g = std::sqrt(root);
        const double offset = 2.0 * delta / (1.0 + g);
        circle = {-offset * sine, offset * cosine, cosine, sine, 2.0 * kappa / g};
        return true;
    }

private:
    double w_ = 0.0, x_ = 0.0, y_ = 0.0, r2_ = 0.0, xx_ = 0.0, xy_ = 0.0, yy_ = 0.0, xr2_ = 0.0, yr2_ = 0.0, r4_ = 0.0;
};

}  // namespace rheinfall::detail
