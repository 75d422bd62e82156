#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <random>
#include <rheinfall/tracking/track_finder.hpp>
#include <vector>

/// Straight tracks through a small detector, and what a host needs to find them.
namespace straight_tracks_test {

using rheinfall::EdgeScorer;
using rheinfall::ModuleMap;
using rheinfall::TrackFinder;
using rheinfall::TrackFinderLimits;

constexpr std::size_t n_layers = 6;
constexpr std::size_t n_sectors = 8;

inline std::uint64_t module_of(std::size_t layer, std::size_t sector) {
    return std::uint64_t{8} << 56 | std::uint64_t{2 * (layer + 1)} << 36 | std::uint64_t{sector + 1} << 8;
}

/// Cylinders 50 mm apart, of eight sectors in azimuth: any two sectors of neighbouring layers may connect.
inline ModuleMap cylinders() {
    std::vector<ModuleMap::Doublet> doublets;
    for (std::size_t layer = 0; layer + 1 < n_layers; ++layer) {
        for (std::size_t a = 0; a < n_sectors; ++a) {
            for (std::size_t b = 0; b < n_sectors; ++b) {
                doublets.push_back({{module_of(layer, a), module_of(layer + 1, b)},
                                    {{-50.0f, 50.0f}, {-0.1f, 0.1f}, {-2e-3f, 2e-3f}, {-0.2f, 0.2f}}});
            }
        }
    }
    return ModuleMap::from_doublets(std::move(doublets), rheinfall::Bend::angle);
}

/// An event that owns its arrays; hit i of straight track t is hits[t * n_layers + i] before shuffling.
struct Event {
    std::vector<float> x = {}, y = {}, z = {};
    std::vector<std::uint64_t> module_id = {};
    std::vector<std::int64_t> track = {};

    [[nodiscard]] rheinfall::HitsView view() const { return {x, y, z, module_id}; }

    [[nodiscard]] Event take(const std::vector<std::size_t>& order) const {
        Event other;
        for (const std::size_t i : order) {
            other.x.push_back(x[i]);
            other.y.push_back(y[i]);
            other.z.push_back(z[i]);
            other.module_id.push_back(module_id[i]);
            other.track.push_back(track[i]);
        }
        return other;
    }
};

inline Event straight_tracks(std::size_t n, unsigned seed) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<double> angle(-3.1, 3.1), slope(-1.5, 1.5);
    Event event;
    for (std::size_t t = 0; t < n; ++t) {
        const double phi = angle(random);
        const double cot_theta = slope(random);
        for (std::size_t layer = 0; layer < n_layers; ++layer) {
            const double r = 50.0 * static_cast<double>(layer + 1);
            event.x.push_back(static_cast<float>(r * std::cos(phi)));
            event.y.push_back(static_cast<float>(r * std::sin(phi)));
            event.z.push_back(static_cast<float>(r * cot_theta));
            event.module_id.push_back(module_of(layer, static_cast<std::size_t>((phi + 3.15) / 6.3 * n_sectors)));
            event.track.push_back(static_cast<std::int64_t>(t));
        }
    }
    return event;
}

inline std::vector<std::size_t> shuffled(std::size_t n, unsigned seed) {
    std::vector<std::size_t> order(n);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::shuffle(order.begin(), order.end(), std::mt19937(seed));
    return order;
}

inline TrackFinderLimits limits_for(const Event& event) {
    return {event.x.size(), 200 * event.x.size(), 100 * event.x.size()};
}

/// Buffers for one event in flight.
struct Host {
    Host(const TrackFinder& finder, const TrackFinderLimits& event_limits, std::size_t n_threads = 1)
        : limits(event_limits), offsets(limits.n_hits + 1), hits(limits.n_hits), labels(limits.n_hits) {
        workspace.reserve(finder.workspace_size(limits, n_threads));
        tracks = {offsets, hits, labels};
    }

    rheinfall::TrackFinderResult run(const TrackFinder& finder, const Event& event, EdgeScorer scorer = {},
                                     const rheinfall::ParallelFor& parallel_for = {}) {
        return finder.run(workspace, event.view(), limits, tracks, scorer, parallel_for);
    }

    TrackFinderLimits limits;
    rheinfall::Workspace workspace;
    std::vector<std::int64_t> offsets, hits, labels;
    rheinfall::TracksBuffers tracks;
};

/// The tracks as sorted lists of (x, y, z): whatever order the event is in.
inline std::vector<std::vector<std::array<float, 3>>> positions(const Host& host, const Event& event) {
    std::vector<std::vector<std::array<float, 3>>> result;
    for (std::size_t t = 0; t < host.tracks.n_tracks; ++t) {
        auto& track = result.emplace_back();
        for (auto i = host.offsets[t]; i < host.offsets[t + 1]; ++i) {
            const auto hit = static_cast<std::size_t>(host.hits[static_cast<std::size_t>(i)]);
            track.push_back({event.x[hit], event.y[hit], event.z[hit]});
        }
    }
    return result;
}

}  // namespace straight_tracks_test
