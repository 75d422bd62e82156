#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <rheinfall/core/execution.hpp>
#include <rheinfall/core/export.hpp>
#include <rheinfall/core/status.hpp>
#include <rheinfall/core/views.hpp>
#include <rheinfall/tracking/edge_features.hpp>
#include <span>

namespace rheinfall {

/// What became of the fit of one track; all its parameters are NaN unless `ok`.
enum class TrackFitStatus : std::uint8_t {
    ok = 0,
    too_few_hits = 1,  ///< fewer than 3: no circle
    degenerate = 2,    ///< fewer than 3 points of the transverse plane, or hits that no circle leads through
    not_finite = 3,    ///< a hit has a NaN or infinite coordinate
};

/// A layer's thickness in radiation lengths at perpendicular incidence, and how it lies.
struct FitLayer {
    float x0;
    bool is_disc;  ///< across the z axis, as in an end cap; else a cylinder about it
};

/// What the fit needs to know of the detector; all numbers above 0. Volumes: the top 8 bits of a module_id.
struct FitModel {
    std::array<HitResolution, 256> resolution_by_volume;
    std::array<FitLayer, 256> layer_by_volume;
    float field;  ///< [T], along z
};

/// The fit model of a detector of cylinders as thick as @p model says.
RHEINFALL_API FitModel make_fit_model(const TripletModel& model) noexcept;

/// The tracks to fit: track i has hits[offsets[i]] ... hits[offsets[i + 1] - 1], from inside to outside. The views of
/// `TracksBuffers` after `build_tracks` or `TrackFinder::run`.
struct TrackHitsView {
    std::span<const std::int64_t> offsets;  ///< n_tracks + 1 values, rising from 0; or none
    std::span<const std::int64_t> hits;     ///< indices of hits

    [[nodiscard]] std::size_t n_tracks() const noexcept { return offsets.empty() ? 0 : offsets.size() - 1; }
};

/// Helix parameters of each track at its point closest to the z axis, owned by the caller: n_tracks values each.
///
/// With phi the direction there, the point is (-d0 sin(phi), d0 cos(phi), z0), as ACTS and ATLAS have it. A helix turns
/// clockwise, seen from +z, for a positive charge in a field along +z.
struct TrackParametersView {
    std::span<float> q_over_pt;  ///< charge over transverse momentum [1/GeV]; 0 for a straight line
    std::span<float> phi;        ///< direction in the transverse plane, in (-pi, pi] [rad]
    std::span<float> cot_theta;  ///< pz / pT
    std::span<float> d0;         ///< signed distance from the z axis [mm]
    std::span<float> z0;         ///< [mm]
    /// Standard deviations of the five, from hit resolution and multiple scattering.
    std::span<float> sigma_q_over_pt, sigma_phi, sigma_cot_theta, sigma_d0, sigma_z0;
    std::span<float> pt;               ///< 1 / |q_over_pt| [GeV]; infinite for a straight line
    std::span<float> eta;              ///< asinh(cot_theta)
    std::span<float> chi2;             ///< of 2 * hits - 5 degrees of freedom, scattering included
    std::span<TrackFitStatus> status;  ///< per track
};

/// Throws std::invalid_argument, naming what is wrong, if @p tracks or @p out break what `fit_tracks` requires: offsets
/// that rise from 0 to the number of hits, indices of @p hits, a value per track and field. `fit_tracks` checks
/// none of it.
RHEINFALL_API void check_track_fit(const HitsView& hits, const TrackHitsView& tracks, const TrackParametersView& out);

/// Fits a helix to each track: a circle in the transverse plane by the explicit fit of V. Karimaki (Nucl. Instrum.
/// Meth. A305 (1991) 187) about the first hit; then, linearised about that circle, a Kalman filter from the outermost
/// hit inwards (P. Billoir, Nucl. Instrum. Meth. 225 (1984) 352) for the deviations in the plane and for the line z(s),
/// with a kink at each hit from multiple scattering (G. R. Lynch and O. I. Dahl, Nucl. Instrum. Meth. B58 (1991) 6,
/// without the logarithm). Constant field along z, no energy loss, no constraint to the beam.
///
/// A path through a cylinder is longer by 1 / sin(theta), through a disc by 1 / |cos(theta)|, for which |cot(theta)| is
/// taken as 0.1 at least: flatter tracks cross no disc. The filter carries information, so that it starts from nothing
/// known, whatever the track's length. All in float64 with + - * / and sqrt alone, so that the bits are the same
/// anywhere and for any number of threads. Returns `empty` without tracks, `not_finite` if some track has such a hit,
/// else `ok`. Allocates nothing.
RHEINFALL_API Status fit_tracks(const HitsView& hits, const TrackHitsView& tracks, const FitModel& model,
                                const TrackParametersView& out, const ParallelFor& parallel_for = {}) noexcept;

}  // namespace rheinfall
