#pragma once

#include <cstdint>
#include <random>
#include <rheinfall/tracking/track_building.hpp>
#include <vector>

/// Scored graphs for the tests of track building.
namespace track_events {

using rheinfall::TrackMethod;
using Track = std::vector<std::int64_t>;

inline constexpr TrackMethod all_methods[] = {TrackMethod::components,  TrackMethod::mutual_best,
                                              TrackMethod::cc_and_walk, TrackMethod::walk,
                                              TrackMethod::d_walk,      TrackMethod::junction_removal};
/// Those that ask for hits as well.
inline constexpr TrackMethod methods_with_hits[] = {
    TrackMethod::components, TrackMethod::mutual_best,      TrackMethod::cc_and_walk, TrackMethod::walk,
    TrackMethod::d_walk,     TrackMethod::junction_removal, TrackMethod::layer_merge};

/// An event that owns its arrays.
struct Event {
    std::size_t n_nodes = 0;
    std::vector<std::int64_t> source = {}, target = {};
    std::vector<float> scores = {};
    std::vector<float> x = {}, y = {}, z = {};
    std::vector<std::uint64_t> module_id = {};  ///< layer_merge needs one for each hit

    void join(std::int64_t a, std::int64_t b, float score) {
        source.push_back(a);
        target.push_back(b);
        scores.push_back(score);
    }
    [[nodiscard]] rheinfall::ScoredGraph view() const {
        return {{source, target}, scores, n_nodes, {x, y, z, module_id}};
    }
};

/// Output buffers that own their memory.
struct Output {
    explicit Output(std::size_t n_nodes) : offsets(n_nodes + 1), hits(n_nodes), labels(n_nodes) {
        buffers.offsets = offsets;
        buffers.hits = hits;
        buffers.labels = labels;
    }
    [[nodiscard]] std::vector<Track> tracks() const {
        std::vector<Track> result;
        for (std::size_t t = 0; t < buffers.n_tracks; ++t) {
            result.emplace_back(hits.begin() + offsets[t], hits.begin() + offsets[t + 1]);
        }
        return result;
    }

    std::vector<std::int64_t> offsets, hits, labels;
    rheinfall::TracksBuffers buffers;
};

/// Hits on @p n_layers layers, each joined to a few of the next; edges lead from smaller to larger indices.
inline Event layered_event(std::size_t n_layers, std::size_t n_per_layer, unsigned seed) {
    std::mt19937 random(seed);
    Event event;
    event.n_nodes = n_layers * n_per_layer;
    const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
    for (std::size_t v = 0; v < event.n_nodes; ++v) {
        const std::size_t layer = v / n_per_layer;
        event.x.push_back(static_cast<float>(layer + 1));
        event.y.push_back(static_cast<float>(below(100)) / 200.0F);
        event.z.push_back(0.0F);
        event.module_id.push_back(std::uint64_t{layer} << 36U);
        if (layer + 1 == n_layers) continue;
        for (int i = 0; i < 3; ++i) {
            const std::size_t w = (layer + 1) * n_per_layer + below(n_per_layer);
            event.join(static_cast<std::int64_t>(v), static_cast<std::int64_t>(w),
                       static_cast<float>(below(65)) / 64.0F);
        }
    }
    return event;
}

}  // namespace track_events
