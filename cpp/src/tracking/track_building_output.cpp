#include <algorithm>

#include "tracking/detail/track_methods.hpp"

namespace rheinfall::detail {
namespace {

/// Turns `s.count` (hits per root) into the number of each track in `s.cursor`, no_hit for what is too short.
void number_tracks(std::size_t min_length, TrackScratch& s, TracksBuffers& tracks) noexcept {
    std::ranges::fill(s.count, 0U);
    for (const Index r : s.root) {
        if (r != no_hit) ++s.count[r];
    }
    for (std::size_t r = 0; r < s.count.size(); ++r) {
        s.cursor[r] = no_hit;
        if (s.count[r] == 0 || s.count[r] < min_length) continue;
        s.cursor[r] = static_cast<Index>(tracks.n_tracks++);
        tracks.n_hits += s.count[r];
    }
}

void fill_offsets(const TrackScratch& s, const TracksBuffers& tracks) noexcept {
    tracks.offsets[0] = 0;
    for (std::size_t r = 0; r < s.count.size(); ++r) {
        const Index track = s.cursor[r];
        if (track != no_hit) tracks.offsets[track + 1] = tracks.offsets[track] + s.count[r];
    }
}

/// Hits in ascending order of index, track by track. `s.count` becomes the number of hits written per track.
void fill_hits(TrackScratch& s, const TracksBuffers& tracks) noexcept {
    std::ranges::fill(s.count, 0U);
    for (std::size_t v = 0; v < s.root.size(); ++v) {
        const Index track = s.root[v] == no_hit ? no_hit : s.cursor[s.root[v]];
        if (!tracks.labels.empty()) tracks.labels[v] = track == no_hit ? -1 : static_cast<std::int64_t>(track);
        if (track == no_hit) continue;
        const auto at = static_cast<std::size_t>(tracks.offsets[track]) + s.count[track]++;
        tracks.hits[at] = static_cast<std::int64_t>(v);
    }
}

template <class Key>
void sort_hits(std::span<const Key> key, const TracksBuffers& tracks, const ParallelFor& parallel_for) noexcept {
    const auto before = [key](std::int64_t a, std::int64_t b) {
        const Key key_a = key[static_cast<std::size_t>(a)];
        const Key key_b = key[static_cast<std::size_t>(b)];
        return key_a < key_b || (key_a == key_b && a < b);
    };
    // A task worth less than some 100 us would not pay for the threads that a host may start for it.
    const std::size_t n_tasks = std::clamp<std::size_t>(tracks.n_hits / 16384, 1, 8 * parallel_for.n_threads());
    parallel_for(n_tasks, [&](std::size_t task) {
        for (std::size_t t = task * tracks.n_tracks / n_tasks; t < (task + 1) * tracks.n_tracks / n_tasks; ++t) {
            std::sort(tracks.hits.begin() + tracks.offsets[t], tracks.hits.begin() + tracks.offsets[t + 1], before);
        }
    });
}

}  // namespace

Status write_tracks(std::size_t min_length, bool has_hits, TrackScratch& s, TracksBuffers& tracks,
                    const ParallelFor& parallel_for) noexcept {
    number_tracks(min_length, s, tracks);
    const bool fits = tracks.offsets.size() > tracks.n_tracks && tracks.hits.size() >= tracks.n_hits &&
                      (tracks.labels.empty() || tracks.labels.size() >= s.root.size());
    if (!fits) return Status::capacity_exceeded;
    fill_offsets(s, tracks);
    fill_hits(s, tracks);
    if (has_hits) {
        // A hit at an unknown place is in no edge, hence alone in its track: NaN is never compared.
        sort_hits(std::span<const double>(s.distance2), tracks, parallel_for);
    } else {
        sort_hits(std::span<const Index>(s.depth), tracks, parallel_for);
    }
    return Status::ok;
}

}  // namespace rheinfall::detail
