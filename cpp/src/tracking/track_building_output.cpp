#include <algorithm>
#include <array>
#include <type_traits>

#include "core/instruction_sets.hpp"
#include "tracking/detail/track_methods.hpp"
#include "tracking/hits_by_distance.hpp"

namespace rheinfall::detail {
namespace {

/// Each hit gets its root, and each root the number of its hits.
void count_hits(TrackScratch& s) noexcept {
    for (Index v = 0; v < s.root.size(); ++v) {
        const Index r = s.root[s.root[v]];  // parents are smaller, so they are final already
        s.root[v] = r;
        s.of_root[v] = {no_hit, 0};
        ++s.of_root[r].place;
    }
}

/// Numbers the tracks by root, says where their hits begin, as far as there is room, and lists the hits in ascending
/// order of index, track by track, in `s.listed`.
void list_tracks(std::size_t min_length, TrackScratch& s, TracksBuffers& tracks) noexcept {
    const auto enough = static_cast<Index>(std::min<std::size_t>(min_length, no_hit));  // at least 1
    const std::size_t n_nodes = s.root.size();
    std::int64_t* labels = tracks.labels.size() >= n_nodes ? tracks.labels.data() : nullptr;
    const auto offsets = tracks.offsets;
    std::size_t n_tracks = 0;  // numbers and spans of our own: labels might lie over those of others
    std::size_t n_hits = 0;
    for (Index v = 0; v < n_nodes; ++v) {
        const Index r = s.root[v];
        TrackOfRoot of_root = s.of_root[r];
        if (r == v && of_root.place >= enough) {  // roots come before the other hits
            const Index n = of_root.place;
            of_root = {static_cast<Index>(n_tracks), static_cast<Index>(n_hits)};
            if (n_tracks < offsets.size()) offsets[n_tracks] = static_cast<std::int64_t>(n_hits);
            ++n_tracks;
            n_hits += n;
        }
        const bool is_in_track = of_root.track != no_hit;
        s.listed[is_in_track ? of_root.place : n_nodes] = v;  // those of no track over each other
        if (labels != nullptr) labels[v] = is_in_track ? static_cast<std::int64_t>(of_root.track) : -1;
        of_root.place += is_in_track ? 1U : 0U;
        s.of_root[r] = of_root;
    }
    tracks.n_tracks = n_tracks;
    tracks.n_hits = n_hits;
}

/// Writes the hits of a track of at most `most_counted` hits, each to the place that is the number of hits before it.
template <class Key>
void order_by_counting(std::span<const Key> key, std::span<const Index> hits, std::int64_t* to) noexcept {
    std::array<Key, most_counted> keys;
    unsigned up = 1;
    for (std::size_t i = 0; i < hits.size(); ++i) {
        keys[i] = key[hits[i]];
        up &= keys[i > 0 ? i - 1 : 0] <= keys[i] ? 1U : 0U;
    }
    if (up != 0) {  // often so: modules are numbered outward
        std::ranges::copy(hits, to);
        return;
    }
    for (std::size_t i = 0; i < hits.size(); ++i) {
        std::size_t place = 0;
        for (std::size_t j = 0; j < i; ++j) place += keys[j] <= keys[i] ? 1U : 0U;  // equal keys: ascending index
        for (std::size_t j = i + 1; j < hits.size(); ++j) place += keys[j] < keys[i] ? 1U : 0U;
        to[place] = static_cast<std::int64_t>(hits[i]);
    }
}

template <class Key>
void order_track(std::span<const Key> key, std::span<Index> hits, std::int64_t* to) noexcept {
#if defined(__x86_64__)
    if constexpr (std::is_same_v<Key, double>) {
        if (has_avx512() && hits.size() <= most_counted) return order_by_distance_avx512(key, hits, to);
    }
#endif
    if (hits.size() <= most_counted) return order_by_counting<Key>(key, hits, to);
    std::ranges::sort(hits, [key](Index a, Index b) { return key[a] < key[b] || (key[a] == key[b] && a < b); });
    std::ranges::copy(hits, to);
}

template <class Key>
void order_tracks(std::span<const Key> key, const TrackScratch& s, const TracksBuffers& tracks,
                  const ParallelFor& parallel_for) noexcept {
    constexpr std::size_t ahead = 64;  // hits of a track lie anywhere in memory, and are known in advance
    // A task worth less than some 100 us would not pay for the threads that a host may start for it.
    const std::size_t n_tasks = std::clamp<std::size_t>(tracks.n_hits / 16384, 1, 8 * parallel_for.n_threads());
    parallel_for(n_tasks, [&](std::size_t task) {
        const std::size_t end_track = (task + 1) * tracks.n_tracks / n_tasks;
        const auto last = static_cast<std::size_t>(tracks.offsets[end_track]);  // others sort what lies behind it
        for (std::size_t t = task * tracks.n_tracks / n_tasks; t < end_track; ++t) {
            const auto first = static_cast<std::size_t>(tracks.offsets[t]);
            const auto end = static_cast<std::size_t>(tracks.offsets[t + 1]);
            for (std::size_t i = first + ahead; i < std::min(end + ahead, last); ++i) prefetch(&key[s.listed[i]]);
            order_track(key, s.listed.subspan(first, end - first), tracks.hits.data() + first);
        }
    });
}

}  // namespace

Status write_tracks(std::size_t min_length, bool has_hits, TrackScratch& s, TracksBuffers& tracks,
                    const ParallelFor& parallel_for) noexcept {
    count_hits(s);
    list_tracks(min_length, s, tracks);
    const bool fits = tracks.offsets.size() > tracks.n_tracks && tracks.hits.size() >= tracks.n_hits &&
                      (tracks.labels.empty() || tracks.labels.size() >= s.root.size());
    if (!fits) return Status::capacity_exceeded;
    tracks.offsets[tracks.n_tracks] = static_cast<std::int64_t>(tracks.n_hits);
    if (has_hits) {
        // A hit at an unknown place is in no edge, hence alone in its track: NaN decides nothing.
        order_tracks(std::span<const double>(s.distance2), s, tracks, parallel_for);
    } else {
        order_tracks(std::span<const Index>(s.depth), s, tracks, parallel_for);
    }
    return Status::ok;
}

}  // namespace rheinfall::detail
