#pragma once

#include <rheinfall/tracking/track_building.hpp>

#include "tracking/detail/edge_chunks.hpp"
#include "tracking/detail/track_scratch.hpp"

namespace rheinfall::detail {

/// The methods leave in `s.root` a hit of the same track that is no larger, and for the smallest its own.
///
/// These two select the edges themselves; what is left in @p chunks are those whose components the tracks are.
void group_components(EdgeChunks& chunks, TrackScratch& s, const ParallelFor& parallel_for) noexcept;
/// `sure` infinite: junction removal.
void group_mutual_best(float sure, EdgeChunks& chunks, TrackScratch& s, const ParallelFor& parallel_for) noexcept;

/// From the edges above the cut in `s.edges`. @p module_id: one for each hit.
void group_layer_merge(const TrackBuildingPlan& plan, std::span<const std::uint64_t> module_id,
                       TrackScratch& s) noexcept;

/// `walk` and `cc_and_walk`, from `s.out` (acyclic, distinct), `s.edges` (the same) and `s.order` (by depth, index).
void group_walk_on_host(const TrackBuildingPlan& plan, TrackScratch& s) noexcept;
/// `d_walk`; the edges form no cycles. Components of up to 64 hits are looked into one by one, on all threads.
void group_d_walk_on_host(const TrackBuildingPlan& plan, TrackScratch& s, const ParallelFor& parallel_for) noexcept;

/// True if all of `s.edges` lead to larger indices, or all to larger (distance, index): then they form no cycle.
bool leads_outward(bool has_hits, const TrackScratch& s) noexcept;

/// Groups `s.edges` by source, into `s.out`, and measures depths. Edges on cycles that do not lead outward are dropped,
/// and then the return value is `cycle`; if @p drop is false they stay and the depths are unfinished. `s.edges` becomes
/// the list of what is left, sorted.
Status order_hits(bool has_hits, bool drop, TrackScratch& s) noexcept;

/// Lists the hits on cycles, ascending; call after `order_hits` left a cycle standing.
void list_hits_on_cycles(const TrackScratch& s, TracksBuffers& tracks) noexcept;

/// Numbers and orders the tracks that `s.root` describes.
Status write_tracks(std::size_t min_length, bool has_hits, TrackScratch& s, TracksBuffers& tracks,
                    const ParallelFor& parallel_for) noexcept;

}  // namespace rheinfall::detail
