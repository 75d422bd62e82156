#pragma once

/// @file
/// The float32 definition of what graph construction cuts on; see docs/architecture.md, "Arithmetic".

#include <rheinfall/tracking/module_map.hpp>

#include "tracking/detail/float_math.hpp"
#include "tracking/detail/host_device.hpp"

namespace rheinfall::detail {

/// A hit in the coordinates that the cuts use.
struct SpacePoint {
    float x, y, z;  ///< [mm]
    float r;        ///< [mm]
    float phi;      ///< [rad], in (-pi, pi]
    float eta;      ///< asinh(z / r); 0 where r = 0
};

RHEINFALL_HOST_DEVICE inline SpacePoint make_space_point(float x, float y, float z) {
    SpacePoint p{x, y, z, std::sqrt(x * x + y * y), atan2(y, x), 0.0f};
    if (p.r > 0.0f) p.eta = asinh(z / p.r);
    return p;
}

/// A difference that is divided by: an exact zero becomes 1e-6 mm, far below any resolution, so that no quantity of
/// hits in a detector is ever NaN or infinite. (Coordinates beyond 1e15 mm can overflow; no limits contain what comes
/// of it.)
RHEINFALL_HOST_DEVICE inline float divisor(float difference) {
    return difference == 0.0f ? 1e-6f : difference;
}

/// The quantities of a hit pair, 1 inner and 2 outer, in the order of `DoubletLimits`.
struct DoubletQuantities {
    float z0;         ///< z of the straight line at r = 0 [mm]
    float dphi;       ///< phi2 - phi1, wrapped [rad]
    float phi_slope;  ///< dphi / dr [rad/mm]
    float deta;       ///< eta2 - eta1
};

RHEINFALL_HOST_DEVICE inline float slope_dzdr(const SpacePoint& inner, const SpacePoint& outer) {
    return (outer.z - inner.z) / divisor(outer.r - inner.r);
}

RHEINFALL_HOST_DEVICE inline float delta_phi(const SpacePoint& inner, const SpacePoint& outer) {
    return wrap_phi(outer.phi - inner.phi);
}

RHEINFALL_HOST_DEVICE inline DoubletQuantities doublet_quantities(const SpacePoint& inner, const SpacePoint& outer) {
    const float dr = divisor(outer.r - inner.r);
    const float dphi = delta_phi(inner, outer);
    return {inner.z - inner.r * ((outer.z - inner.z) / dr), dphi, dphi / dr, outer.eta - inner.eta};
}

/// How much the direction changes in the transverse plane between 1-2 and 2-3: the difference of the slopes dy/dx,
/// which is singular for tracks along y, or the angle between the segments [rad].
RHEINFALL_HOST_DEVICE inline float bend(Bend convention, const SpacePoint& a, const SpacePoint& b,
                                        const SpacePoint& c) {
    const float x12 = b.x - a.x;
    const float y12 = b.y - a.y;
    const float x23 = c.x - b.x;
    const float y23 = c.y - b.y;
    if (convention == Bend::slope_difference) return y12 / divisor(x12) - y23 / divisor(x23);
    return atan2(x12 * y23 - y12 * x23, x12 * x23 + y12 * y23);
}

RHEINFALL_HOST_DEVICE inline bool passes(const DoubletLimits& limits, const DoubletQuantities& q) {
    return limits.z0.contains(q.z0) && limits.dphi.contains(q.dphi) && limits.phi_slope.contains(q.phi_slope) &&
           limits.deta.contains(q.deta);
}

}  // namespace rheinfall::detail
