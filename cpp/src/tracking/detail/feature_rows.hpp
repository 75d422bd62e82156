#pragma once

/// @file
/// The features of a node and of an edge, and the best two of an edge's continuations, as they are defined.

#include <algorithm>
#include <rheinfall/tracking/edge_features.hpp>

#include "tracking/detail/hit_geometry.hpp"

namespace rheinfall::detail {

inline constexpr int volume_shift = 56;  ///< of a module_id

/// The two smallest of the values seen; what is not a number is none of them.
struct BestTwo {
    float best = no_continuation;
    float second = no_continuation;

    RHEINFALL_HOST_DEVICE void add(float value) {
        if (value < best) {
            second = best;
            best = value;
        } else if (value < second) {
            second = value;
        }
    }
};

/// Of a hit that is finite; else of `SpacePoint()`.
RHEINFALL_HOST_DEVICE inline void write_node_row(const SpacePoint& p, float* row) {
    row[0] = p.r / 1000.0f;
    row[1] = p.phi / pi;
    row[2] = p.z / 1000.0f;
    row[3] = p.eta;
}

RHEINFALL_HOST_DEVICE inline float log_chi2(float chi2) {
    return 0.25f * log_positive(1.0f + chi2);
}

RHEINFALL_HOST_DEVICE inline void write_edge_row(const SpacePoint& a, const SpacePoint& b, const BestTwo& outward,
                                                 const BestTwo& inward, float* row) {
    const float dr = (b.r - a.r) / 1000.0f;
    const float dphi = delta_phi(a, b) / pi;
    const float phi_slope = std::clamp(dphi / (dr == 0.0f ? 1e-9f : dr), -100.0f, 100.0f);
    row[0] = dr;
    row[1] = dphi;
    row[2] = (b.z - a.z) / 1000.0f;
    row[3] = b.eta - a.eta;
    row[4] = phi_slope;
    row[5] = 0.5f * ((a.r + b.r) / 1000.0f) * phi_slope;
    row[6] = log_chi2(outward.best);
    row[7] = log_chi2(outward.second);
    row[8] = log_chi2(inward.best);
    row[9] = log_chi2(inward.second);
}

/// The score of an edge in a finder without a network; see `score_by_chi2`.
RHEINFALL_HOST_DEVICE inline float chi2_score(float out_best, float in_best, float scale) {
    const float sum = std::min(out_best, scale) + std::min(in_best, scale);
    return 1.0f / (1.0f + sum / (2.0f * scale));
}

}  // namespace rheinfall::detail
