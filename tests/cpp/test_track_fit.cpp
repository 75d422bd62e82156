#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <rheinfall/adapters/std_threads.hpp>
#include <rheinfall/tracking/track_finder.hpp>
#include <rheinfall/tracking/track_fit.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "allocation_counter.hpp"

namespace {

using rheinfall::Status;
using rheinfall::TrackFitStatus;

/// Tracks with their hits and room for their parameters.
struct Event {
    std::vector<float> x = {}, y = {}, z = {};
    std::vector<std::uint64_t> module_id = {};
    std::vector<std::int64_t> offsets = {0};
    std::vector<std::int64_t> hits = {};
    std::vector<float> values = {};
    std::vector<TrackFitStatus> status = {};

    void add_hit(double hx, double hy, double hz) {
        hits.push_back(static_cast<std::int64_t>(x.size()));
        x.push_back(static_cast<float>(hx));
        y.push_back(static_cast<float>(hy));
        z.push_back(static_cast<float>(hz));
        module_id.push_back(std::uint64_t{8} << 56U);
    }
    void end_track() { offsets.push_back(static_cast<std::int64_t>(hits.size())); }

    [[nodiscard]] rheinfall::HitsView view() const { return {x, y, z, module_id}; }
    [[nodiscard]] rheinfall::TrackHitsView tracks() const { return {offsets, hits}; }

    rheinfall::TrackParametersView parameters() {
        const std::size_t n = offsets.size() - 1;
        values.assign(13 * n, -1.0F);
        status.assign(n, TrackFitStatus::ok);
        const auto row = [&](std::size_t i) { return std::span<float>(values).subspan(i * n, n); };
        rheinfall::TrackParametersView out;
        out.q_over_pt = row(0);
        out.phi = row(1);
        out.cot_theta = row(2);
        out.d0 = row(3);
        out.z0 = row(4);
        out.sigma_q_over_pt = row(5);
        out.sigma_phi = row(6);
        out.sigma_cot_theta = row(7);
        out.sigma_d0 = row(8);
        out.sigma_z0 = row(9);
        out.pt = row(10);
        out.eta = row(11);
        out.chi2 = row(12);
        out.status = status;
        return out;
    }
};

/// Hits on a helix of 1 GeV in 2 T from (0, 0, 5), turning as a @p charge does.
void add_helix(Event& event, double charge, double phi, std::size_t n_hits) {
    const double k = -charge * 0.299792458e-3 * 2.0;
    for (std::size_t i = 1; i <= n_hits; ++i) {
        const double s = 40.0 * static_cast<double>(i);
        event.add_hit((std::sin(phi + k * s) - std::sin(phi)) / k, (std::cos(phi) - std::cos(phi + k * s)) / k,
                      5.0 + 0.5 * s);
    }
    event.end_track();
}

TEST(TrackFit, FindsTheHelixOfEitherCharge) {
    Event event;
    for (const double charge : {-1.0, 1.0}) {
        for (const double phi : {-3.1, 0.0, 1.0, 3.1}) add_helix(event, charge, phi, 8);
    }
    const auto out = event.parameters();
    EXPECT_EQ(rheinfall::fit_tracks(event.view(), event.tracks(),
                                    rheinfall::make_fit_model(rheinfall::default_triplet_model()), out),
              Status::ok);
    for (std::size_t t = 0; t < 8; ++t) {
        const float charge = t < 4 ? -1.0F : 1.0F;
        const float phis[] = {-3.1F, 0.0F, 1.0F, 3.1F};
        EXPECT_NEAR(out.q_over_pt[t], charge, 2e-5F);
        EXPECT_NEAR(out.pt[t], 1.0F, 2e-5F);
        EXPECT_NEAR(out.phi[t], phis[t % 4], 3e-6F);
        EXPECT_NEAR(out.d0[t], 0.0F, 2e-4F);
        EXPECT_NEAR(out.z0[t], 5.0F, 2e-4F);
        EXPECT_NEAR(out.eta[t], std::asinh(0.5F), 2e-6F);
        EXPECT_LT(out.chi2[t], 1e-4F);
        EXPECT_GT(out.sigma_z0[t], 0.0F);
    }
}

TEST(TrackFit, FindsLongAndShortTracksWithTheErrorsOfTheirLength) {
    // Without scattering the errors of (offset, direction, curvature) go as 1, 1 / length and 1 / length^2.
    auto model = rheinfall::default_triplet_model();
    model.layer_x0 = 0.0F;
    Event event;
    constexpr double lengths[] = {1e-3, 1.0, 1e3, 1e5};
    for (const double length : lengths) {
        for (int i = 0; i < 9; ++i) event.add_hit(length * i, 0.0, 0.5 * length * i);
        event.end_track();
    }
    const auto out = event.parameters();
    EXPECT_EQ(rheinfall::fit_tracks(event.view(), event.tracks(), rheinfall::make_fit_model(model), out), Status::ok);
    for (std::size_t t = 0; t < 4; ++t) {
        const double relative = lengths[t] / lengths[0];
        const auto expect_near = [](double got, double expected) { EXPECT_NEAR(got / expected, 1.0, 1e-5); };
        expect_near(out.sigma_d0[t], out.sigma_d0[0]);
        expect_near(out.sigma_z0[t], out.sigma_z0[0]);
        expect_near(out.sigma_phi[t] * relative, out.sigma_phi[0]);
        expect_near(out.sigma_cot_theta[t] * relative, out.sigma_cot_theta[0]);
        expect_near(out.sigma_q_over_pt[t] * relative * relative, out.sigma_q_over_pt[0]);
        EXPECT_EQ(out.q_over_pt[t], 0.0F);
        EXPECT_NEAR(out.cot_theta[t], 0.5F, 1e-6F);
    }
}

TEST(TrackFit, GivesAStatusToWhatHasNoHelix) {
    Event event;
    event.end_track();  // no hit at all
    add_helix(event, 1.0, 0.3, 2);
    for (int i = 0; i < 4; ++i) event.add_hit(30.0, 40.0, i);
    event.end_track();
    add_helix(event, 1.0, 0.3, 5);
    event.y[event.y.size() - 2] = std::numeric_limits<float>::quiet_NaN();
    add_helix(event, 1.0, 0.3, 3);
    const auto out = event.parameters();
    EXPECT_EQ(rheinfall::fit_tracks(event.view(), event.tracks(),
                                    rheinfall::make_fit_model(rheinfall::default_triplet_model()), out),
              Status::not_finite);
    const std::vector<TrackFitStatus> expected = {TrackFitStatus::too_few_hits, TrackFitStatus::too_few_hits,
                                                  TrackFitStatus::degenerate, TrackFitStatus::not_finite,
                                                  TrackFitStatus::ok};
    EXPECT_EQ(event.status, expected);
    for (std::size_t i = 0; i < event.values.size(); ++i) EXPECT_EQ(std::isfinite(event.values[i]), i % 5 == 4) << i;
    Event empty;
    const auto none = empty.parameters();
    EXPECT_EQ(rheinfall::fit_tracks(empty.view(), empty.tracks(),
                                    rheinfall::make_fit_model(rheinfall::default_triplet_model()), none),
              Status::empty);
    EXPECT_EQ(
        rheinfall::fit_tracks(empty.view(), {}, rheinfall::make_fit_model(rheinfall::default_triplet_model()), none),
        Status::empty);
}

TEST(TrackFit, GivesTheSameBitsForAnyNumberOfThreadsAndAllocatesNothing) {
    Event event;
    std::mt19937 random(3);
    std::normal_distribution<double> smear(0.0, 0.05);
    std::uniform_real_distribution<double> angle(-3.0, 3.0);
    for (int t = 0; t < 1000; ++t) {
        add_helix(event, t % 2 == 0 ? 1.0 : -1.0, angle(random), static_cast<std::size_t>(3 + t % 10));
    }
    for (float& v : event.x) v += static_cast<float>(smear(random));
    const rheinfall::TripletModel model = rheinfall::default_triplet_model();
    auto out = event.parameters();
    const AllocationCounter allocations;
    rheinfall::fit_tracks(event.view(), event.tracks(), rheinfall::make_fit_model(model), out);
    EXPECT_EQ(allocations.count(), 0U);
    const std::vector<float> serial = event.values;
    for (const unsigned n_threads : {2U, 8U}) {
        out = event.parameters();
        rheinfall::StdThreads threads(n_threads);
        rheinfall::fit_tracks(event.view(), event.tracks(), rheinfall::make_fit_model(model), out,
                              threads.parallel_for());
        EXPECT_EQ(std::memcmp(serial.data(), event.values.data(), serial.size() * sizeof(float)), 0);
    }
}

TEST(TrackFit, RefusesWhatDoesNotFitTogether) {
    Event event;
    add_helix(event, 1.0, 0.3, 5);
    const auto refusal = [](const Event& e, const rheinfall::TrackParametersView& out) -> std::string {
        try {
            rheinfall::check_track_fit(e.view(), e.tracks(), out);
        } catch (const std::invalid_argument& error) {
            return error.what();
        }
        return "";
    };
    auto out = event.parameters();
    EXPECT_EQ(refusal(event, out), "");
    out.d0 = {};
    EXPECT_EQ(refusal(event, out), "d0: expected one value for each of 1 tracks, got 0");
    Event beyond = event;
    beyond.hits[2] = 5;
    EXPECT_EQ(refusal(beyond, beyond.parameters()), "tracks: hit 5 of 5");
    Event sunk = event;
    sunk.offsets = {0, 4};
    EXPECT_EQ(refusal(sunk, sunk.parameters()), "offsets: expected to rise from 0 to the number of hits of tracks");
}

}  // namespace
