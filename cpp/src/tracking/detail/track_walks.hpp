#pragma once

#include "tracking/detail/track_d_walk.hpp"
#include "tracking/detail/track_walk.hpp"

namespace rheinfall::detail {

/// Runs a method that needs no cycles, from `s.out` (acyclic) and `s.order` (by depth, index); leaves `s.root`.
RHEINFALL_HOST_DEVICE inline void group_walks(const TrackBuildingPlan& plan, TrackScratch& s) noexcept {
    switch (plan.method) {
        case TrackMethod::walk: group_walk(plan, s); break;
        case TrackMethod::d_walk: group_d_walk(plan, s); break;
        default: group_cc_and_walk(plan, s); break;
    }
}

}  // namespace rheinfall::detail
