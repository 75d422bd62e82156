#include <algorithm>
#include <numeric>

#include "tracking/detail/direct_walk.hpp"
#include "tracking/detail/track_methods.hpp"

namespace rheinfall::detail {

void group_walk_on_host(const TrackBuildingPlan& plan, TrackScratch& s) noexcept {
    std::iota(s.root.begin(), s.root.end(), 0U);
    std::ranges::fill(s.flags, std::uint8_t{0});
    if (plan.method == TrackMethod::cc_and_walk) take_chains(s);
    // Where walk_min is the higher one, a hit may follow others and not its best.
    if (plan.walk_min <= plan.walk_add && DirectWalk(plan, s).walk_all()) return;
    walk_all(plan, s);
}

}  // namespace rheinfall::detail
