#pragma once

#include <memory>
#include <rheinfall/core/views.hpp>
#include <rheinfall/tracking/edge_features.hpp>
#include <span>
#include <type_traits>

namespace rheinfall {

/// The graph that a scorer judges. All of it lies in the workspace of the event and is gone when the call returns.
struct EdgeScoringInput {
    HitsView hits;                         ///< in canonical order: not the caller's
    EdgesView edges;                       ///< sorted by (source, target), indices into @p hits
    std::span<const float> node_features;  ///< (n_hits, n_node_features), row by row
    std::span<const float> edge_features;  ///< (n_edges, n_edge_features), row by row
    ContinuationChi2 chi2;                 ///< triplet chi2 of each edge, in the graph as it is now
};

/// How the host scores edges: with ONNX Runtime or any other engine, on any device.
///
/// A non-owning reference to any callable `bool(const EdgeScoringInput&, std::span<float> scores)`, which must outlive
/// it and, if events run at the same time, may be called from several threads at once. It fills one score per edge and
/// returns true; false, or an exception, makes the event's status `scoring_failed`. The default holds nothing, which
/// tells a `TrackFinder` to use its own scores.
class EdgeScorer {
public:
    EdgeScorer() noexcept = default;

    template <class Host>
        requires(!std::is_same_v<std::remove_cvref_t<Host>, EdgeScorer>)
    explicit EdgeScorer(Host& host) noexcept
        : host_(const_cast<void*>(static_cast<const void*>(std::addressof(host)))),
          call_([](void* pointer, const EdgeScoringInput& graph, std::span<float> scores) noexcept -> bool {
              try {
                  return (*static_cast<Host*>(pointer))(graph, scores);
              } catch (...) {
                  return false;
              }
          }) {}

    [[nodiscard]] explicit operator bool() const noexcept { return call_ != nullptr; }
    bool operator()(const EdgeScoringInput& graph, std::span<float> scores) const noexcept {
        return call_(host_, graph, scores);
    }

private:
    void* host_ = nullptr;
    bool (*call_)(void*, const EdgeScoringInput&, std::span<float>) noexcept = nullptr;
};

}  // namespace rheinfall
