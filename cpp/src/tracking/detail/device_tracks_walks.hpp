#pragma once

/// @file
/// The walks by all threads at once, of a graph without cycles; each start is one thread's search.
///
/// `walk`, `cc_and_walk`: which hits are free for a start is decided by the starts before it alone. So each round lets
/// all starts walk as if the takers of the round before were right, and gives each hit to the first that wants it. If
/// the takers of all starts before some rank are right, the next round's are right one rank further at least; and
/// takers that a round does not change are right, by induction on rank. It needs as many rounds as takings hang on each
/// other, a few, whatever the number of starts.
///
/// `d_walk`: in each round every source claims what it can reach, with its sum. Sums only fall while hits retire, and
/// whatever may ever pass through a hit leads back to a source of now. So a source whose own path is claimed by no
/// better one takes it before anything else can touch it.

#include "tracking/detail/device_tracks_components.hpp"
#include "tracking/detail/device_tracks_search.hpp"

namespace rheinfall::detail {

/// By edge in the order of places: what searches meet. Of copies the last one gets the largest score.
struct MakeLink {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t i) const {
        const std::uint64_t n = t.row_begin[t.n_nodes];
        if (!t.deepened() || i >= n) return;
        const std::uint64_t key = t.sorted_edge_key[i];
        DeviceLink link{static_cast<std::uint32_t>(key & ((std::uint64_t{1} << t.index_bits) - 1)),
                        DeviceTrackBuilder::unfollowed()};
        if (i + 1 == n || t.sorted_edge_key[i + 1] != key) {
            float score = t.score[t.sorted_edge[i]];
            for (std::uint64_t copy = i; copy-- > 0 && t.sorted_edge_key[copy] == key;) {
                const float other = t.score[t.sorted_edge[copy]];
                score = other > score ? other : score;
            }
            const float lowest = t.plan.walk_min < t.plan.walk_add ? t.plan.walk_min : t.plan.walk_add;
            if (t.plan.method == TrackMethod::d_walk || score > lowest) link.score = score;
        }
        t.link[i] = link;
    }
};

/// By edge in the order of places: the component is no chain if another edge leaves its source or enters its target.
/// `taker` names, for a while, a hit that leads to each.
struct FindBranch {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t i) const {
        if (!t.deepened() || i >= t.row_begin[t.n_nodes]) return;
        const auto source = static_cast<std::uint32_t>(t.sorted_edge_key[i] >> t.index_bits);
        const std::uint32_t target = t.link[i].child;
        const std::uint32_t other = exchange_shared(t.taker + target, no_hit, source);
        const bool branches = t.link[t.row_begin[source]].child != target || (other != no_hit && other != source);
        if (branches) store_shared(t.branching + (t.component[source + 1] - 1), 1);
    }
};

/// By place, before `FindBranch`: nothing leads there.
struct BeginBranches {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t p) const { t.taker[p] = no_hit; }
};

/// By place: its hit is free, and its own track until it is taken; sorts by depth.
struct BeginWalk {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t p) const {
        if (p == 0) t.flags->busy[0] = t.deepened() ? 1 : 0;
        const auto place = static_cast<std::uint32_t>(p);
        const std::uint32_t hit = t.member[p];
        const ComponentOfTracks c(t, static_cast<std::uint32_t>(t.component[p + 1] - 1));
        const bool walks = !t.takes_as_it_stands(c.number, c.n_hits);
        if (walks) t.root[hit] = hit;
        t.root_key[p] = t.depth[hit];
        t.by_order[p] = place;
        if (t.plan.method == TrackMethod::d_walk) {
            t.retired_at[p] = c.n_hits == 1 ? 0 : no_hit;
            t.led_to_at[p] = 0;
        } else {
            t.taker[p] = t.next_taker[p] = no_hit;
            t.far[p] = 0;
        }
    }
};

/// Threads that search, one start after the other, so that there are as many columns as threads.
inline constexpr std::uint64_t n_searchers = 24576;
inline constexpr std::uint64_t most_far_searchers = 4096;

/// For each round, starts that are free claim their paths.
struct ClaimPath {
    DeviceTrackBuilder t;
    std::uint32_t round;  ///< from 1 on

    [[nodiscard]] RHEINFALL_HOST_DEVICE bool is_on() const { return t.flags->busy[round - 1] != 0; }
    [[nodiscard]] RHEINFALL_HOST_DEVICE std::uint32_t far_round() const { return round; }
    [[nodiscard]] RHEINFALL_HOST_DEVICE bool asks_for(std::uint32_t start, std::uint32_t rank) const {
        if (t.taker[start] < rank) return false;
        // Any takers will do to begin with: those of the starts that nothing leads to are nearly right.
        if (round == 1 && t.root_key[start] > 0) return false;
        const std::uint64_t c = t.component[start + 1] - 1;
        return !t.takes_as_it_stands(c, t.first_place[c + 1] - t.first_place[c]);
    }
    RHEINFALL_HOST_DEVICE void use(std::uint32_t rank, const SearchNodes& nodes) const {
        if (SearchLinks::of(nodes.get(0, SearchNodes::links)).n_hits < t.plan.min_length) return;
        for_each_on_path(nodes, [&](std::uint32_t v) { lower_shared(t.next_taker + v, rank); });
    }
};

/// Names the track of a path.
RHEINFALL_HOST_DEVICE inline void name_track(const DeviceTrackBuilder& t, const SearchNodes& nodes) {
    std::uint32_t smallest = no_hit;
    for_each_on_path(nodes, [&](std::uint32_t v) { smallest = v < smallest ? v : smallest; });
    for_each_on_path(nodes, [&](std::uint32_t v) { t.root[t.member[v]] = t.member[smallest]; });
}

/// Starts that took a path walk it once more, to name the track.
struct TakePath {
    DeviceTrackBuilder t;

    [[nodiscard]] RHEINFALL_HOST_DEVICE bool is_on() const { return t.flags->busy[0] != 0; }
    [[nodiscard]] RHEINFALL_HOST_DEVICE std::uint32_t far_round() const { return EventFlags::most_rounds + 1; }
    [[nodiscard]] RHEINFALL_HOST_DEVICE bool asks_for(std::uint32_t start, std::uint32_t rank) const {
        return t.taker[start] == rank && load_shared(t.unfinished + (t.component[start + 1] - 1)) == 0;
    }
    RHEINFALL_HOST_DEVICE void use(std::uint32_t /*rank*/, const SearchNodes& nodes) const { name_track(t, nodes); }
};

/// By searcher: what a task does with the path of each start that it asks for, or puts it off for lack of room.
template <class Task>
struct SearchNear {
    Task task;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t searcher, float* columns, std::int32_t stride) const {
        const DeviceTrackBuilder& t = task.t;
        if (!task.is_on()) return;
        for (std::uint64_t i = searcher; i < t.n_nodes; i += n_searchers) {
            const std::uint32_t start = t.ranked[i];
            const auto rank = static_cast<std::uint32_t>(i);
            if (!task.asks_for(start, rank)) continue;
            SearchNodes nodes(columns, stride);
            if (search_best_path(LongestPathOfStart{t, rank}, start, nodes)) {
                task.use(rank, nodes);
            } else {
                t.far[start] = task.far_round();
                store_shared(&t.flags->far[task.far_round()], 1);
            }
        }
    }
};

/// By searcher with more room: the starts that were put off. One thread does what is too large for this as well.
template <class Task>
struct SearchFar {
    Task task;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t searcher) const {
        const DeviceTrackBuilder& t = task.t;
        if (t.flags->far[task.far_round()] == 0) return;
        for (std::uint64_t i = searcher; i < t.n_nodes; i += t.n_far_searchers) {
            const std::uint32_t start = t.ranked[i];
            if (t.far[start] != task.far_round()) continue;
            const auto rank = static_cast<std::uint32_t>(i);
            SearchNodes nodes(t.far_columns + searcher, static_cast<std::int32_t>(t.n_far_searchers),
                              SearchNodes::most_far);
            if (search_best_path(LongestPathOfStart{t, rank}, start, nodes)) {
                task.use(rank, nodes);
            } else {
                store_shared(t.unfinished + (t.component[start + 1] - 1), 1);
            }
        }
    }
};

/// By place, for each round: the takers are those of the claims. What the last round changes is not known for certain.
struct SettleTaker {
    DeviceTrackBuilder t;
    std::uint32_t round;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t p) const {
        if (t.flags->busy[round - 1] == 0) return;
        const std::uint32_t before = t.taker[p];
        const std::uint32_t after = t.next_taker[p];
        t.taker[p] = after;
        t.next_taker[p] = no_hit;
        // The first round knows of some starts alone.
        if (before == after && round > 1) return;
        store_shared(&t.flags->busy[round], 1);
        if (round < EventFlags::method_rounds(t.plan.method)) return;
        store_shared(t.unfinished + (t.component[p + 1] - 1), 1);
    }
};

/// By place, for each round of `d_walk`: nothing is claimed; hits that are not retired ask for the round.
struct BeginRound {
    DeviceTrackBuilder t;
    std::uint32_t round;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t p) const {
        if (t.flags->busy[round - 1] == 0) return;
        t.claimed_sum[p] = 0;
        t.claimed_by[p] = no_hit;
        if (t.retired_at[p] == no_hit && t.unfinished[t.component[p + 1] - 1] == 0) {
            store_shared(&t.flags->busy[round], 1);
        }
    }
};

/// By edge in the order of places, for each round of `d_walk`: what a hit that is not retired leads to is no source.
struct LeadToChild {
    DeviceTrackBuilder t;
    std::uint32_t round;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t i) const {
        if (t.flags->busy[round] == 0 || i >= t.row_begin[t.n_nodes] || !t.may_be_followed(t.link[i])) return;
        if (t.retired_at[t.sorted_edge_key[i] >> t.index_bits] != no_hit) return;
        store_shared(t.led_to_at + t.link[i].child, round);
    }
};

/// By searcher, for each round of `d_walk` three times: sources claim what they reach by their sum; among equal sums
/// the first source does; then each source that alone has claimed its own path takes it.
struct WalkSource {
    enum class Step : std::uint8_t { claim_sum, claim, take };
    DeviceTrackBuilder t;
    std::uint32_t round;
    Step step;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t searcher, float* columns, std::int32_t stride) const {
        if (t.flags->busy[round] == 0) return;
        for (std::uint64_t p = searcher; p < t.n_nodes; p += n_searchers) {
            const auto place = static_cast<std::uint32_t>(p);
            if (t.led_to_at[p] == round || load_shared(t.retired_at + p) != no_hit) continue;
            if (load_shared(t.unfinished + (t.component[p + 1] - 1)) == 0) walk(place, SearchNodes(columns, stride));
        }
    }

private:
    RHEINFALL_HOST_DEVICE void walk(std::uint32_t source, SearchNodes nodes) const {
        if (!search_best_path(HeaviestPathOfRound{t, round}, source, nodes)) {
            store_shared(t.unfinished + (t.component[source + 1] - 1), 1);
            return;
        }
        const auto sum = std::bit_cast<std::uint64_t>(HeaviestPathOfRound::sum_of(nodes, 0));
        if (step == Step::take) return take(source, sum, nodes);
        for (std::uint32_t node = 0; node < nodes.size; ++node) {
            const std::uint32_t v = nodes.get(node, SearchNodes::hit);
            if (step == Step::claim_sum) {
                raise_shared(t.claimed_sum + v, sum);
            } else if (t.claimed_sum[v] == sum) {
                lower_shared(t.claimed_by + v, source);
            }
        }
    }
    RHEINFALL_HOST_DEVICE void take(std::uint32_t source, std::uint64_t sum, const SearchNodes& nodes) const {
        bool claimed = true;
        for_each_on_path(
            nodes, [&](std::uint32_t v) { claimed = claimed && t.claimed_sum[v] == sum && t.claimed_by[v] == source; });
        if (!claimed) return;
        for_each_on_path(nodes, [&](std::uint32_t v) { store_shared(t.retired_at + v, round); });
        name_track(t, nodes);
    }
};

/// By place: components with hits that are still not retired are left to one thread each.
struct LeaveWalk {
    DeviceTrackBuilder t;
    RHEINFALL_HOST_DEVICE void operator()(std::uint64_t p) const {
        if (t.deepened() && t.retired_at[p] == no_hit) store_shared(t.unfinished + (t.component[p + 1] - 1), 1);
    }
};

template <class Executor>
void walk_heaviest(Executor& on, const DeviceTrackBuilder& t) {
    const std::uint64_t n = t.n_nodes;
    const std::uint64_t searchers = n < n_searchers ? n : n_searchers;
    for (std::uint32_t round = 1; round <= EventFlags::method_rounds(t.plan.method); ++round) {
        on.for_each(n, BeginRound{t, round});
        for_each_strided(on, t.edge_capacity, LeadToChild{t, round});
        using Step = WalkSource::Step;
        for (const Step step : {Step::claim_sum, Step::claim, Step::take}) {
            on.for_each_row(searchers, SearchNodes::n_columns, WalkSource{t, round, step});
        }
    }
    on.for_each(n, LeaveWalk{t});
}

template <class Executor, class Task>
void search_starts(Executor& on, const Task& task) {
    const std::uint64_t n = task.t.n_nodes;
    on.for_each_row(n < n_searchers ? n : n_searchers, SearchNodes::n_columns, SearchNear<Task>{task});
    on.for_each(task.t.n_far_searchers, SearchFar<Task>{task});
}

template <class Executor>
void walk_longest(Executor& on, const DeviceTrackBuilder& t) {
    const std::uint64_t n = t.n_nodes;
    on.sort_pairs(t.root_key, t.sorted_root, t.by_order, t.ranked, n, static_cast<int>(t.index_bits));
    for (std::uint32_t round = 1; round <= EventFlags::method_rounds(t.plan.method); ++round) {
        search_starts(on, ClaimPath{t, round});
        on.for_each(n, SettleTaker{t, round});
    }
    search_starts(on, TakePath{t});
}

template <class Executor>
void walk_in_rounds(Executor& on, const DeviceTrackBuilder& t) {
    on.for_each(t.edge_capacity, MakeLink{t});
    if (t.plan.method == TrackMethod::cc_and_walk) {
        on.for_each(t.n_nodes, BeginBranches{t});
        on.for_each(t.edge_capacity, FindBranch{t});
    }
    on.for_each(t.n_nodes, BeginWalk{t});
    if (t.plan.method == TrackMethod::d_walk) {
        walk_heaviest(on, t);
    } else {
        walk_longest(on, t);
    }
}

}  // namespace rheinfall::detail
