#include <algorithm>
#include <cmath>
#include <limits>
#include <rheinfall/tracking/track_fit.hpp>
#include <stdexcept>
#include <string>

#include "tracking/detail/float_math.hpp"
#include "tracking/detail/helix_fit.hpp"

namespace rheinfall {
namespace {

using detail::Circle;
using detail::CircleFilter;
using detail::CircleSums;
using detail::Foot;
using detail::LineFilter;

constexpr double gev_per_mm_tesla = 0.299792458e-3;

/// The hits of one track, from inside to outside.
class TrackPoints {
public:
    TrackPoints(const HitsView& hits, std::span<const std::int64_t> index, const FitModel& model)
        : hits_(hits), index_(index), model_(model) {}

    [[nodiscard]] std::size_t size() const { return index_.size(); }
    [[nodiscard]] double x(std::size_t i) const { return static_cast<double>(hits_.x[hit(i)]); }
    [[nodiscard]] double y(std::size_t i) const { return static_cast<double>(hits_.y[hit(i)]); }
    [[nodiscard]] double z(std::size_t i) const { return static_cast<double>(hits_.z[hit(i)]); }
    [[nodiscard]] const HitResolution& resolution(std::size_t i) const {
        return model_.resolution_by_volume[hits_.module_id[hit(i)] >> 56];
    }
    [[nodiscard]] const FitLayer& layer(std::size_t i) const {
        return model_.layer_by_volume[hits_.module_id[hit(i)] >> 56];
    }
    [[nodiscard]] double field() const { return static_cast<double>(model_.field); }

    [[nodiscard]] bool are_finite() const {
        return std::ranges::all_of(index_, [&](std::int64_t i) {
            const auto h = static_cast<std::size_t>(i);
            return std::isfinite(hits_.x[h]) && std::isfinite(hits_.y[h]) && std::isfinite(hits_.z[h]);
        });
    }

    /// True if there are three different points in the transverse plane.
    [[nodiscard]] bool span_a_circle() const {
        const auto differ = [&](std::size_t i, std::size_t j) { return x(i) != x(j) || y(i) != y(j); };
        std::size_t second = 1;
        while (second < size() && !differ(0, second)) ++second;
        for (std::size_t i = second + 1; i < size(); ++i) {
            if (differ(i, 0) && differ(i, second)) return true;
        }
        return false;
    }

private:
    [[nodiscard]] std::size_t hit(std::size_t i) const { return static_cast<std::size_t>(index_[i]); }

    const HitsView& hits_;
    std::span<const std::int64_t> index_;
    const FitModel& model_;
};

/// Variance of a hit across a circle: its radial resolution counts where the circle does not lead outward.
double side_var(const TrackPoints& points, std::size_t i, const Circle& circle, const Foot& foot) {
    const HitResolution& s = points.resolution(i);
    const double sine = circle.curvature * foot.sine;
    const double tangent_x = circle.cos_phi * foot.cosine - circle.sin_phi * sine;
    const double tangent_y = circle.sin_phi * foot.cosine + circle.cos_phi * sine;
    const double r2 = points.x(i) * points.x(i) + points.y(i) * points.y(i);
    const double across = points.x(i) * tangent_y - points.y(i) * tangent_x;
    const double share = r2 > 0.0 ? across * across / r2 : 0.0;
    const double rphi = static_cast<double>(s.rphi);
    const double radial = static_cast<double>(s.r);
    return (1.0 - share) * rphi * rphi + share * radial * radial;
}

/// Variance of a hit's z beside the line of slope @p slope.
double z_var(const TrackPoints& points, std::size_t i, double slope) {
    const HitResolution& s = points.resolution(i);
    const double z = static_cast<double>(s.z);
    const double radial = slope * static_cast<double>(s.r);
    return z * z + radial * radial;
}

/// The circle that the filter starts from; false if there is none.
bool fit_circle(const TrackPoints& points, Circle& circle) {
    const double x = points.x(0);
    const double y = points.y(0);
    CircleSums sums;
    for (std::size_t i = 0; i < points.size(); ++i) {
        const double sigma = static_cast<double>(points.resolution(i).rphi);
        sums.add(points.x(i) - x, points.y(i) - y, 1.0 / (sigma * sigma));
    }
    const std::size_t last = points.size() - 1;
    if (!sums.fit(points.x(last) - x, points.y(last) - y, circle)) return false;
    circle.x += x;
    circle.y += y;
    return true;
}

/// The straight line z(s) that the filter starts from.
LineFilter fit_line(const TrackPoints& points, const Circle& circle) {
    double w = 0.0;
    double ws = 0.0;
    double wz = 0.0;
    double wss = 0.0;
    double wsz = 0.0;
    const double z0 = points.z(0);
    for (std::size_t i = 0; i < points.size(); ++i) {
        const double s = detail::arc_length(circle.curvature, detail::find_foot(circle, points.x(i), points.y(i)));
        const double z = points.z(i) - z0;
        const double weight = 1.0 / z_var(points, i, 0.0);
        w += weight;
        ws += weight * s;
        wz += weight * z;
        wss += weight * s * s;
        wsz += weight * s * z;
    }
    const double spread = wss - ws * ws / w;
    const double slope = spread > 0.0 ? (wsz - ws * wz / w) / spread : 0.0;
    return {z0 + (wz - slope * ws) / w, slope};
}

/// Variances of the angle by which layers scatter a track, seen in the transverse plane.
class Scattering {
public:
    Scattering(double field, double curvature, double slope) noexcept {
        const double angle = 0.0136 * (curvature / (gev_per_mm_tesla * field));
        const double steepness = slope < 0.0 ? -slope : slope;
        per_x0_ = angle * angle;
        through_cylinder_ = std::sqrt(1.0 + slope * slope);
        through_disc_ = through_cylinder_ / std::max(steepness, 0.1);
    }
    [[nodiscard]] double variance(const FitLayer& layer) const noexcept {
        return per_x0_ * static_cast<double>(layer.x0) * (layer.is_disc ? through_disc_ : through_cylinder_);
    }

private:
    double per_x0_, through_cylinder_, through_disc_;
};

/// The parameters of one track in float64.
struct Helix {
    double curvature, cos_phi, sin_phi, cot_theta, d0, z0;
    double var_curvature, var_phi, var_cot_theta, var_d0, var_z0, chi2;
};

/// Where the filtered track is closest to the z axis.
Helix at_axis(Circle circle, const CircleFilter& plane, const LineFilter& line, double chi2) {
    const CircleFilter::Row state = plane.state();
    const double offset = state.of[0];
    const double turn = state.of[1];
    circle.x -= circle.sin_phi * offset;
    circle.y += circle.cos_phi * offset;
    const double norm = std::sqrt(1.0 + turn * turn);
    const double cosine = (circle.cos_phi - circle.sin_phi * turn) / norm;
    const double sine = (circle.sin_phi + circle.cos_phi * turn) / norm;
    circle.cos_phi = cosine;
    circle.sin_phi = sine;
    circle.curvature += state.of[2];
    const Foot foot = detail::find_foot(circle, 0.0, 0.0);
    const double s = detail::arc_length(circle.curvature, foot);
    const double turned = circle.curvature * foot.sine;
    return {circle.curvature,
            cosine * foot.cosine - sine * turned,
            sine * foot.cosine + cosine * turned,
            line.slope(),
            -foot.side,
            line.z_at(s),
            plane.variance({{0.0, 0.0, 1.0}}),
            plane.variance({{-circle.curvature * turned, foot.cosine, foot.sine}}),
            line.slope_variance(),
            plane.variance(CircleFilter::row_at(foot)),
            line.z_variance(s),
            chi2};
}

TrackFitStatus fit_track(const TrackPoints& points, Helix& helix) {
    if (points.size() < 3) return TrackFitStatus::too_few_hits;
    if (!points.are_finite()) return TrackFitStatus::not_finite;
    Circle circle{};
    if (!points.span_a_circle() || !fit_circle(points, circle)) return TrackFitStatus::degenerate;
    LineFilter line = fit_line(points, circle);
    const double slope = line.slope();
    const Scattering scattering(points.field(), circle.curvature, slope);
    CircleFilter plane;
    double chi2 = 0.0;
    for (std::size_t i = points.size(); i-- > 0;) {
        const Foot foot = detail::find_foot(circle, points.x(i), points.y(i));
        const double s = detail::arc_length(circle.curvature, foot);
        chi2 += plane.add(foot, side_var(points, i, circle, foot));
        chi2 += line.add(s, points.z(i), z_var(points, i, slope));
        const double kink = scattering.variance(points.layer(i));
        plane.scatter(foot, kink);
        line.scatter(s, kink * (1.0 + slope * slope));
    }
    helix = at_axis(circle, plane, line, chi2);
    return TrackFitStatus::ok;
}

/// True if all of it makes numbers of float32 with room to spare.
bool is_usable(const Helix& h) {
    for (const double v : {h.curvature, h.cos_phi, h.sin_phi, h.cot_theta, h.d0, h.z0, h.chi2}) {
        if (!(v > -1e30 && v < 1e30)) return false;
    }
    for (const double v : {h.var_curvature, h.var_phi, h.var_cot_theta, h.var_d0, h.var_z0}) {
        if (!(v > 0.0 && v < 1e50)) return false;
    }
    return true;
}

void store(const TrackParametersView& out, std::size_t t, const Helix& h, float field) {
    const double per_curvature = -1.0 / (gev_per_mm_tesla * static_cast<double>(field));
    const auto root = [](double v) { return static_cast<float>(std::sqrt(v)); };
    const double q_over_pt = h.curvature * per_curvature;
    out.q_over_pt[t] = static_cast<float>(q_over_pt);
    const double magnitude = q_over_pt < 0.0 ? -q_over_pt : q_over_pt;
    // What float32 cannot hold is as straight as a line.
    out.pt[t] = magnitude > 1e-37 ? static_cast<float>(1.0 / magnitude) : std::numeric_limits<float>::infinity();
    out.phi[t] = detail::atan2(static_cast<float>(h.sin_phi), static_cast<float>(h.cos_phi));
    out.cot_theta[t] = static_cast<float>(h.cot_theta);
    out.eta[t] = detail::asinh(static_cast<float>(h.cot_theta));
    out.d0[t] = static_cast<float>(h.d0);
    out.z0[t] = static_cast<float>(h.z0);
    out.sigma_q_over_pt[t] = root(h.var_curvature * per_curvature * per_curvature);
    out.sigma_phi[t] = root(h.var_phi);
    out.sigma_cot_theta[t] = root(h.var_cot_theta);
    out.sigma_d0[t] = root(h.var_d0);
    out.sigma_z0[t] = root(h.var_z0);
    out.chi2[t] = static_cast<float>(h.chi2);
}

/// Calls `visit(name, field)` for each of the floats.
template <class Visit>
void for_each_field(const TrackParametersView& out, Visit&& visit) {
    visit("q_over_pt", out.q_over_pt);
    visit("phi", out.phi);
    visit("cot_theta", out.cot_theta);
    visit("d0", out.d0);
    visit("z0", out.z0);
    visit("sigma_q_over_pt", out.sigma_q_over_pt);
    visit("sigma_phi", out.sigma_phi);
    visit("sigma_cot_theta", out.sigma_cot_theta);
    visit("sigma_d0", out.sigma_d0);
    visit("sigma_z0", out.sigma_z0);
    visit("pt", out.pt);
    visit("eta", out.eta);
    visit("chi2", out.chi2);
}

void fit_one(const HitsView& hits, const TrackHitsView& tracks, const FitModel& model, const TrackParametersView& out,
             std::size_t t) {
    const auto first = static_cast<std::size_t>(tracks.offsets[t]);
    const auto last = static_cast<std::size_t>(tracks.offsets[t + 1]);
    Helix helix{};
    TrackFitStatus status = fit_track({hits, tracks.hits.subspan(first, last - first), model}, helix);
    if (status == TrackFitStatus::ok && !is_usable(helix)) status = TrackFitStatus::degenerate;
    out.status[t] = status;
    if (status == TrackFitStatus::ok) {
        store(out, t, helix, model.field);
    } else {
        for_each_field(
            out, [t](const char*, std::span<float> field) { field[t] = std::numeric_limits<float>::quiet_NaN(); });
    }
}

void require_size(std::size_t size, std::size_t n_tracks, const std::string& name) {
    if (size == n_tracks) return;
    throw std::invalid_argument(name + ": expected one value for each of " + std::to_string(n_tracks) +
                                " tracks, got " + std::to_string(size));
}

}  // namespace

FitModel make_fit_model(const TripletModel& model) noexcept {
    FitModel result{model.resolution_by_volume, {}, model.field};
    result.layer_by_volume.fill({model.layer_x0, false});
    return result;
}

void check_track_fit(const HitsView& hits, const TrackHitsView& tracks, const TrackParametersView& out) {
    const auto& offsets = tracks.offsets;
    const auto n = static_cast<std::int64_t>(tracks.hits.size());
    const bool rise =
        offsets.empty() ? n == 0 : offsets.front() == 0 && offsets.back() == n && std::ranges::is_sorted(offsets);
    if (!rise) throw std::invalid_argument("offsets: expected to rise from 0 to the number of hits of tracks");
    for (const std::int64_t hit : tracks.hits) {
        if (hit < 0 || static_cast<std::size_t>(hit) >= hits.size()) {
            throw std::invalid_argument("tracks: hit " + std::to_string(hit) + " of " + std::to_string(hits.size()));
        }
    }
    if (hits.y.size() != hits.size() || hits.z.size() != hits.size() || hits.module_id.size() != hits.size()) {
        throw std::invalid_argument("hits: expected x, y, z and module_id of one length");
    }
    for_each_field(
        out, [&](const char* name, std::span<float> field) { require_size(field.size(), tracks.n_tracks(), name); });
    require_size(out.status.size(), tracks.n_tracks(), "status");
}

Status fit_tracks(const HitsView& hits, const TrackHitsView& tracks, const FitModel& model,
                  const TrackParametersView& out, const ParallelFor& parallel_for) noexcept {
    constexpr std::size_t block = 256;
    const std::size_t n_tracks = tracks.n_tracks();
    if (n_tracks == 0) return Status::empty;
    const std::size_t n_blocks = (n_tracks + block - 1) / block;
    parallel_for(n_blocks, [&](std::size_t b) {
        const std::size_t last = std::min(n_tracks, (b + 1) * block);
        for (std::size_t t = b * block; t < last; ++t) fit_one(hits, tracks, model, out, t);
    });
    const auto spoilt = [](TrackFitStatus status) { return status == TrackFitStatus::not_finite; };
    return std::ranges::any_of(out.status, spoilt) ? Status::not_finite : Status::ok;
}

}  // namespace rheinfall
