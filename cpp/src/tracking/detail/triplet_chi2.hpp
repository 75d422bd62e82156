#pragma once

#include <rheinfall/tracking/edge_features.hpp>

#include "tracking/detail/hit_geometry.hpp"
#include "tracking/detail/host_device.hpp"

namespace rheinfall::detail {

/// One edge as the triplet chi2 sees it.
struct Segment {
    float curvature;  ///< of the circle through the beam line and both hits, signed [1/mm]
    float cot_theta;  ///< dz over arc length in the transverse plane
    /// Standard deviations that the resolution of the inner and of the outer hit gives to both.
    float curvature_inner, curvature_outer;
    float cot_theta_inner, cot_theta_outer;
    float outer_radius;  ///< r of the outer hit [mm]
};

RHEINFALL_HOST_DEVICE inline float square(float v) {
    return v * v;
}

/// A length that is divided by; hits on one spot or on the beam line have no direction, and a huge variance instead.
RHEINFALL_HOST_DEVICE inline float at_least(float v, float least) {
    return v > least ? v : least;
}

RHEINFALL_HOST_DEVICE inline float curvature_sigma(float curvature, float radius, float chord, const HitResolution& s) {
    return std::sqrt(square(2.0f * s.rphi / radius) + square(curvature * s.r)) / chord;
}

RHEINFALL_HOST_DEVICE inline float cot_theta_sigma(float cot_theta, float chord, const HitResolution& s) {
    return std::sqrt(square(s.z) + square(cot_theta * s.r)) / chord;
}

RHEINFALL_HOST_DEVICE inline Segment make_segment(float x1, float y1, float z1, const HitResolution& s1, float x2,
                                                  float y2, float z2, const HitResolution& s2) {
    constexpr float least = 1e-3f;
    const float r1 = at_least(std::sqrt(x1 * x1 + y1 * y1), least);
    const float r2 = at_least(std::sqrt(x2 * x2 + y2 * y2), least);
    const float chord = at_least(std::sqrt(square(x2 - x1) + square(y2 - y1)), least);
    const float curvature = 2.0f * (x1 * y2 - y1 * x2) / (r1 * r2 * chord);
    // Arc over chord of a circle, to fourth order: asin(u) / u with u = curvature * chord / 2.
    const float u2 = square(0.5f * curvature * chord);
    const float arc = chord * (1.0f + u2 * (0.166666667f + 0.075f * u2));
    const float cot_theta = (z2 - z1) / arc;
    return {curvature,
            cot_theta,
            curvature_sigma(curvature, r1, chord, s1),
            curvature_sigma(curvature, r2, chord, s2),
            cot_theta_sigma(cot_theta, chord, s1),
            cot_theta_sigma(cot_theta, chord, s2),
            r2};
}

/// Variance of a difference between two segments: the shared hit moves both, in opposite directions.
RHEINFALL_HOST_DEVICE inline float difference_var(float inner, float shared_of_first, float shared_of_second,
                                                  float outer) {
    return square(inner) + square(shared_of_first + shared_of_second) + square(outer);
}

/// chi2 (2 degrees of freedom) of the hypothesis that @p inner and @p outer, which share a hit, are one particle.
RHEINFALL_HOST_DEVICE inline float chi2(const TripletModel& model, const Segment& inner, const Segment& outer) {
    // pT [GeV] = 0.3 * field [T] * radius [m]; beyond min_chi2_pt scattering no longer shrinks, which leaves room for
    // misalignment.
    const float mean_curvature = 0.5f * (inner.curvature + outer.curvature);
    const float magnitude = mean_curvature < 0.0f ? -mean_curvature : mean_curvature;
    const float inverse_pt = at_least(magnitude / (0.3e-3f * model.field), 1.0f / model.min_chi2_pt);
    const float cot2 = square(0.5f * (inner.cot_theta + outer.cot_theta));
    const float oblique = std::sqrt(1.0f + cot2);
    // Highland angle without the logarithm, squared, times p over pT: in the transverse plane.
    const float angle_var = square(0.0136f * inverse_pt) * model.layer_x0 * oblique;
    const float curvature_var =
        difference_var(inner.curvature_inner, inner.curvature_outer, outer.curvature_inner, outer.curvature_outer) +
        4.0f * angle_var / square(outer.outer_radius) + square(model.field_spread * mean_curvature);
    const float cot_theta_var =
        difference_var(inner.cot_theta_inner, inner.cot_theta_outer, outer.cot_theta_inner, outer.cot_theta_outer) +
        angle_var * (1.0f + cot2);
    return square(inner.curvature - outer.curvature) / curvature_var +
           square(inner.cot_theta - outer.cot_theta) / cot_theta_var;
}

}  // namespace rheinfall::detail
