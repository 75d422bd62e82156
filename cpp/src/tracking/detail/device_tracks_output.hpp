#pragma once

/// @file
/// The kernels that number the tracks and order their hits.

#include "tracking/detail/device_tracks.hpp"

namespace rheinfall::detail {

/// By hit: what hits of a track are ordered by.
struct MakeOrderKey {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t v) const {
        // Not negative, so that the bits ascend with the number; a hit at an unknown place is alone in its track.
        t.order_key[v] = t.has_hits ? std::bit_cast<std::uint64_t>(t.distance2[v]) : t.depth[v];
    }
};

/// By hit in that order: its track.
struct MakeRootKey {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t i) const { t.root_key[i] = t.root[t.by_order[i]]; }
};

/// By hit, and one more, as the root of a track: where its hits stand, and how many there are.
struct CountTrack {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t r) const {
        t.length[r] = t.is_track[r] = 0;
        if (r == t.n_nodes) return;
        const auto root = static_cast<std::uint32_t>(r);
        const std::uint64_t begin = first_not_below(t.sorted_root, t.n_nodes, root);
        const std::uint64_t end = begin + first_not_below(t.sorted_root + begin, t.n_nodes - begin, root + 1);
        t.track_begin[r] = static_cast<std::uint32_t>(begin);
        if (end - begin < t.plan.min_length || t.stopped() || !t.has_node(root)) return;
        t.length[r] = end - begin;
        t.is_track[r] = 1;
    }
};

RHEINFALL_HOST_DEVICE inline bool tracks_fit(const DeviceTrackBuilder& t) {
    return t.track[t.n_nodes] < t.n_offsets && t.length_before[t.n_nodes] <= t.n_hits;
}

/// By hit in the order of tracks: writes it to its track; by hit, as the root of a track, where that begins.
struct WriteTracks {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t i) const {
        if (t.stopped()) {
            if (t.on_cycle[i] != 0 && t.cycle_place[i] < t.n_hits) {
                t.hits[t.cycle_place[i]] = static_cast<std::int64_t>(i);
            }
            return;
        }
        if (!tracks_fit(t)) return;
        if (t.is_track[i] != 0) t.offsets[t.track[i]] = static_cast<std::int64_t>(t.length_before[i]);
        const std::uint32_t v = t.ordered[i];
        const std::uint32_t r = t.sorted_root[i];
        const bool is_in_track = t.is_track[r] != 0;
        if (is_in_track) t.hits[t.length_before[r] + (i - t.track_begin[r])] = v;
        if (t.n_labels > 0) t.labels[v] = is_in_track ? static_cast<std::int64_t>(t.track[r]) : -1;
    }
};

/// One call: the result, and where the last track ends.
struct FinishTracks {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t) const {
        const EventFlags& flags = *t.flags;
        TracksResult result;
        result.status = t.n_nodes == 0 || flags.n_edges == 0 ? Status::empty : Status::ok;
        if (flags.not_finite != 0) result.status = worst(result.status, Status::not_finite);
        if (flags.cyclic != 0) result.status = worst(result.status, Status::cycle);
        if (flags.too_many_edges != 0) {
            result.status = Status::capacity_exceeded;
        } else if (t.stopped()) {
            const std::uint64_t listed = t.cycle_place[t.n_nodes];
            result.n_hits = listed < t.n_hits ? listed : t.n_hits;
        } else {
            result.n_tracks = t.track[t.n_nodes];
            result.n_hits = t.length_before[t.n_nodes];
            if (tracks_fit(t)) {
                t.offsets[result.n_tracks] = static_cast<std::int64_t>(result.n_hits);
            } else {
                result.status = Status::capacity_exceeded;
            }
        }
        *t.result = result;
    }
};

}  // namespace rheinfall::detail
