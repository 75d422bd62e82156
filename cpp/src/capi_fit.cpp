#include <rheinfall/rheinfall.h>

#include <algorithm>
#include <array>
#include <exception>
#include <rheinfall/tracking/track_fit.hpp>

#include "capi_common.hpp"

namespace {

bool complete(const rf_track_parameters& p) noexcept {
    const std::array<const float*, 13> buffers{
        p.q_over_pt, p.phi,      p.cot_theta, p.d0,  p.z0,  p.sigma_q_over_pt, p.sigma_phi, p.sigma_cot_theta,
        p.sigma_d0,  p.sigma_z0, p.pt,        p.eta, p.chi2};
    return p.capacity == 0 ||
           (p.status != nullptr && std::ranges::none_of(buffers, [](const float* b) { return b == nullptr; }));
}

rheinfall::TrackParametersView view_of(const rf_track_parameters& p, std::size_t n) noexcept {
    rheinfall::TrackParametersView out;
    out.q_over_pt = {p.q_over_pt, n};
    out.phi = {p.phi, n};
    out.cot_theta = {p.cot_theta, n};
    out.d0 = {p.d0, n};
    out.z0 = {p.z0, n};
    out.sigma_q_over_pt = {p.sigma_q_over_pt, n};
    out.sigma_phi = {p.sigma_phi, n};
    out.sigma_cot_theta = {p.sigma_cot_theta, n};
    out.sigma_d0 = {p.sigma_d0, n};
    out.sigma_z0 = {p.sigma_z0, n};
    out.pt = {p.pt, n};
    out.eta = {p.eta, n};
    out.chi2 = {p.chi2, n};
    out.status = {reinterpret_cast<rheinfall::TrackFitStatus*>(p.status), n};
    return out;
}

}  // namespace

extern "C" {

void rf_track_parameters_defaults(rf_track_parameters* parameters) noexcept {
    if (parameters == nullptr) return;
    *parameters = {};
    parameters->struct_size = sizeof *parameters;
}

rf_status rf_finder_fit(const rf_finder* finder, const rf_hits* hits, const rf_tracks* tracks, size_t n_tracks,
                        const rf_parallel_for* parallel_for, size_t n_threads,
                        const rf_track_parameters* parameters) noexcept {
    using rheinfall::capi::complete;
    if (finder == nullptr || hits == nullptr || tracks == nullptr || parameters == nullptr || !complete(*hits) ||
        !complete(*tracks) || parameters->struct_size != sizeof *parameters || !::complete(*parameters) ||
        (parallel_for != nullptr && parallel_for->run == nullptr)) {
        return RF_INVALID_ARGUMENT;
    }
    if (n_tracks == 0) return RF_EMPTY;
    if (parameters->capacity < n_tracks) return RF_CAPACITY_EXCEEDED;
    if (tracks->offsets_capacity <= n_tracks) return RF_INVALID_ARGUMENT;
    const std::int64_t n_track_hits = tracks->offsets[n_tracks];
    if (n_track_hits < 0 || static_cast<std::size_t>(n_track_hits) > tracks->hits_capacity) return RF_INVALID_ARGUMENT;
    const std::size_t n = hits->n_hits;
    const rheinfall::HitsView view{{hits->x, n}, {hits->y, n}, {hits->z, n}, {hits->module_id, n}};
    const rheinfall::TrackHitsView of_tracks{{tracks->offsets, n_tracks + 1},
                                             {tracks->hits, static_cast<std::size_t>(n_track_hits)}};
    const auto out = view_of(*parameters, n_tracks);
    try {
        rheinfall::check_track_fit(view, of_tracks, out);
    } catch (const std::exception&) {
        return RF_INVALID_ARGUMENT;
    }
    const rheinfall::capi::ParallelForOfC host{parallel_for == nullptr ? rf_parallel_for{} : *parallel_for};
    return static_cast<rf_status>(rheinfall::fit_tracks(
        view, of_tracks, finder->finder.options().fit_model, out,
        parallel_for == nullptr ? rheinfall::ParallelFor() : rheinfall::ParallelFor(host, n_threads)));
}
}
