#include <array>
#include <charconv>
#include <cmath>
#include <rheinfall/tracking/track_building.hpp>
#include <stdexcept>
#include <string>

#include "core/require.hpp"
#include "tracking/detail/edge_rows.hpp"
#include "tracking/track_building_device.hpp"

namespace rheinfall {
namespace {

[[noreturn]] void refuse(const std::string& what) {
    throw std::invalid_argument(what);
}

/// As many digits as tell it from its neighbours.
std::string to_text(float value) {
    std::array<char, 24> text{};
    return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

void require_in_range(const char* name, std::span<const std::int64_t> ends, std::size_t n_nodes) {
    for (std::size_t e = 0; e < ends.size(); ++e) {
        if (ends[e] >= 0 && static_cast<std::size_t>(ends[e]) < n_nodes) continue;
        refuse("edge_index: " + std::string(name) + " of edge " + std::to_string(e) + " is " + std::to_string(ends[e]) +
               ", expected 0 <= index < " + std::to_string(n_nodes) + " (n_nodes)");
    }
}

/// Refuses numbers outside [0, 1]; what is none is the event's fault, of which the status tells. First without a
/// branch, since every score is read: which one it is matters where there is one.
void require_scores(std::span<const float> scores) {
    unsigned outside = 0;
    for (const float score : scores) outside |= static_cast<unsigned>((score < 0.0F) | (score > 1.0F));
    if (outside == 0) return;
    for (std::size_t e = 0; e < scores.size(); ++e) {
        if (!std::isfinite(scores[e]) || (scores[e] >= 0.0F && scores[e] <= 1.0F)) continue;
        refuse("scores: that of edge " + std::to_string(e) + " is " + to_text(scores[e]) +
               ", expected 0 <= score <= 1, as a sigmoid makes of logits");
    }
}

void require_number(const char* name, float value) {
    if (std::isnan(value)) refuse(std::string(name) + ": expected a number, got NaN");
}

}  // namespace

namespace detail {

void check_track_building_shape(const TrackBuildingPlan& plan, const ScoredGraph& graph) {
    if (plan.min_length < 1) refuse("min_length: expected at least 1, got 0");
    require_number("score_cut", plan.score_cut);
    require_number("sure", plan.sure);
    require_number("weak", plan.weak);
    require_number("walk_min", plan.walk_min);
    require_number("walk_add", plan.walk_add);
    if (plan.method == TrackMethod::d_walk && (plan.walk_min < 0.0F || plan.walk_add < 0.0F)) {
        refuse("d_walk: expected walk_min and walk_add >= 0, since it adds scores along a path");
    }
    if (graph.n_nodes >= no_hit) refuse("n_nodes: expected less than 2^32 - 1, got " + std::to_string(graph.n_nodes));
    if (graph.edges.size() >= no_hit) refuse("edge_index: expected less than 2^32 - 1 edges");
    require_size("edge_index: targets", graph.edges.target.size(), graph.edges.source.size());
    require_size("scores", graph.scores.size(), graph.edges.size());
    if (graph.hits.size() > 0) {
        require_size("hits.x", graph.hits.x.size(), graph.n_nodes);
        require_size("hits.y", graph.hits.y.size(), graph.n_nodes);
        require_size("hits.z", graph.hits.z.size(), graph.n_nodes);
    } else if (plan.orient && graph.n_nodes > 0) {
        refuse("orient: the hits are needed to tell which end of an edge is the inner one");
    }
    if (plan.method == TrackMethod::layer_merge) {
        require_size("layer_merge: hits.module_id", graph.hits.module_id.size(), graph.n_nodes);
        require_size("layer_merge: hits.x", graph.hits.x.size(), graph.n_nodes);
    }
}

}  // namespace detail

void check_track_building(const TrackBuildingPlan& plan, const ScoredGraph& graph) {
    detail::check_track_building_shape(plan, graph);
    require_in_range("source", graph.edges.source, graph.n_nodes);
    require_in_range("target", graph.edges.target, graph.n_nodes);
    require_scores(graph.scores);
}

}  // namespace rheinfall
