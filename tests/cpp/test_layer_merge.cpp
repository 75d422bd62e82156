// layer_merge's order of edges and the order of hits in tracks, on events as large as their fast ways ask for, beside
// what they are defined to be.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "track_events.hpp"

namespace {

using namespace track_events;
using rheinfall::Status;
using rheinfall::TrackBuildingPlan;

std::vector<Track> build(const TrackBuildingPlan& plan, const Event& event) {
    rheinfall::Workspace workspace;
    workspace.reserve(rheinfall::track_building_workspace_size({event.n_nodes, event.source.size()}));
    Output output(event.n_nodes);
    EXPECT_EQ(rheinfall::build_tracks(plan, workspace, event.view(), output.buffers), Status::ok);
    return output.tracks();
}

/// The sets of hits that `layer_merge` is defined to give: lists of members, no shortcut.
std::set<std::set<std::int64_t>> merge_by_definition(const TrackBuildingPlan& plan, const Event& event) {
    std::vector<std::size_t> order;
    for (std::size_t e = 0; e < event.scores.size(); ++e) {
        if (event.scores[e] > plan.score_cut) order.push_back(e);
    }
    std::ranges::sort(order, {},
                      [&](std::size_t e) { return std::tuple(-event.scores[e], event.source[e], event.target[e]); });
    std::vector<std::size_t> cluster(event.n_nodes);
    std::iota(cluster.begin(), cluster.end(), std::size_t{0});
    std::vector<std::set<std::int64_t>> members(event.n_nodes);
    for (std::size_t v = 0; v < event.n_nodes; ++v) members[v] = {static_cast<std::int64_t>(v)};
    const auto layers_of = [&](std::size_t c) {
        std::set<std::uint64_t> layers;
        for (const std::int64_t v : members[c]) layers.insert(event.module_id[static_cast<std::size_t>(v)] >> 36U);
        return layers;
    };
    const auto merge = [&](std::size_t a, std::size_t b) {
        for (const std::int64_t v : members[b]) cluster[static_cast<std::size_t>(v)] = a;
        members[a].merge(members[b]);
    };
    for (const bool sure : {true, false}) {
        for (const std::size_t e : order) {
            const std::size_t a = cluster[static_cast<std::size_t>(event.source[e])];
            const std::size_t b = cluster[static_cast<std::size_t>(event.target[e])];
            if (a == b || sure != (event.scores[e] > plan.sure)) continue;
            const auto layers_a = layers_of(a);
            const auto layers_b = layers_of(b);
            const auto n_shared = static_cast<std::size_t>(
                std::ranges::count_if(layers_a, [&](std::uint64_t layer) { return layers_b.contains(layer); }));
            const bool too_weak = event.scores[e] <= plan.weak && layers_a.size() <= 2 && layers_b.size() <= 2;
            if (sure || (n_shared <= plan.shared_layers && !too_weak)) merge(a, b);
        }
    }
    std::set<std::set<std::int64_t>> tracks;
    for (auto& hits : members) {
        if (hits.size() >= plan.min_length) tracks.insert(std::move(hits));
    }
    return tracks;
}

/// A layered event whose @p score(random) are drawn anew, in a shuffled list.
template <class Score>
Event large_event(unsigned seed, Score&& score) {
    Event event = layered_event(12, 300, seed);
    std::mt19937 random(seed);
    for (float& s : event.scores) s = score(random);
    std::vector<std::size_t> order(event.scores.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::shuffle(order, random);
    Event shuffled = event;
    for (std::size_t i = 0; i < order.size(); ++i) {
        shuffled.source[i] = event.source[order[i]];
        shuffled.target[i] = event.target[order[i]];
        shuffled.scores[i] = event.scores[order[i]];
    }
    return shuffled;
}

float uniform(std::mt19937& random) {
    return std::uniform_real_distribution<float>()(random);
}

TEST(LayerMerge, TakesEdgesByFallingScoreWhateverTheirRange) {
    using Score = float (*)(std::mt19937&);
    const std::array<std::pair<const char*, Score>, 6> kinds{{
        {"even", uniform},
        {"all equal", [](std::mt19937&) { return 0.75F; }},
        {"few values", [](std::mt19937& random) { return static_cast<float>(random() % 5) / 4.0F; }},
        {"crowded", [](std::mt19937& random) { return random() % 9 != 0 ? 0.9F + uniform(random) / 1e4F : 0.2F; }},
        {"all orders of magnitude",
         [](std::mt19937& random) { return std::ldexp(uniform(random), -static_cast<int>(random() % 60)); }},
        {"every number",
         [](std::mt19937& random) {
             for (;;) {
                 const auto any = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
                 if (std::isfinite(any)) return any;
             }
         }},
    }};
    constexpr float any = -std::numeric_limits<float>::infinity();
    for (const auto& [name, score] : kinds) {
        for (unsigned seed = 0; seed < 3; ++seed) {
            const Event event = large_event(seed, score);
            auto plan = TrackBuildingPlan::defaults(TrackMethod::layer_merge);
            for (const auto& [cut, weak, sure] :
                 {std::tuple(0.15F, 0.5F, 0.995F), std::tuple(any, 0.0F, 0.9F), std::tuple(any, any, 1e30F)}) {
                plan.score_cut = cut;
                plan.weak = weak;
                plan.sure = sure;
                std::set<std::set<std::int64_t>> found;
                for (const Track& track : build(plan, event)) found.emplace(track.begin(), track.end());
                EXPECT_EQ(found, merge_by_definition(plan, event)) << name << ", seed " << seed << ", weak " << weak;
            }
        }
    }
}

TEST(TrackOrder, HitsLieByDistanceThenIndexInTracksOfAnyLength) {
    std::mt19937 random(5);
    for (std::size_t n = 1; n <= 150; ++n) {
        for (const unsigned n_places : {2U, 7U, 1000U}) {  // few: many hits at one distance
            Event event{.n_nodes = n + 1};
            std::vector<std::pair<double, std::int64_t>> expected;
            for (std::size_t v = 0; v <= n; ++v) {
                event.x.push_back(static_cast<float>(random() % n_places));
                event.y.push_back(0.0F);
                event.z.push_back(1.0F);
                if (v < n) expected.emplace_back(event.x.back(), static_cast<std::int64_t>(v));
                if (v > 0 && v < n) event.join(static_cast<std::int64_t>(v) - 1, static_cast<std::int64_t>(v), 0.9F);
            }
            event.join(static_cast<std::int64_t>(n), static_cast<std::int64_t>(n), 0.9F);  // a lone hit behind it
            std::ranges::sort(expected);
            Track in_order;
            for (const auto& [x, v] : expected) in_order.push_back(v);
            auto plan = TrackBuildingPlan::defaults(TrackMethod::components);
            plan.min_length = 1;
            EXPECT_EQ(build(plan, event), (std::vector<Track>{in_order, {static_cast<std::int64_t>(n)}})) << n;
        }
    }
}

}  // namespace
