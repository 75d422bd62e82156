// Graph construction one hit and one candidate at a time: what the other versions must equal.
#include <cmath>

#include "tracking/graph_construction_join.hpp"

namespace rheinfall::detail {
namespace {

SpacePoint from_together(const float* together) {
    return {0.0f, 0.0f, together[2], together[0], together[1], together[3]};
}

struct Portable {
    static void find_pairs(const GraphWork& work, std::size_t i, const Neighbour& n, CandidateRoom& room, bool& steep) {
        const PointArrays& p = work.points;
        for (std::size_t j = n.begin; j < n.end; ++j) {
            // Neither needs a division, and together they turn most hits away.
            if (!n.limits.dphi.contains(wrap_phi(p.phi[j] - p.phi[i]))) continue;
            if (!n.limits.deta.contains(p.eta[j] - p.eta[i])) continue;
            const SpacePoint a = from_together(&p.together[4 * i]);
            const SpacePoint b = from_together(&p.together[4 * j]);
            if (i == j || !passes(n.limits, doublet_quantities(a, b))) continue;
            const std::size_t at = room.begin + room.n++;
            if (at >= room.end) continue;
            const float dzdr = slope_dzdr(a, b);
            const Candidates& c = work.candidates;
            c.target[at] = static_cast<std::uint32_t>(j);
            c.dzdr[at] = dzdr;
            const bool fits = std::fabs(dzdr) <= max_narrow_slope;
            c.narrow_dzdr[at] = static_cast<std::int16_t>(fits ? std::nearbyint(dzdr * slope_steps) : 0.0f);
            c.doublet[at] = static_cast<std::uint16_t>(n.doublet);
            steep = steep || !fits;
        }
    }

    static std::uint32_t meet(const Windows& w, bool /*half*/, std::int16_t narrow_dzdr, const std::int16_t* outer_dzdr,
                              const std::uint16_t* outer_doublet, std::size_t n) {
        std::uint32_t pass = 0;
        for (std::size_t k = 0; k < n; ++k) {
            const int change = narrow_dzdr - outer_dzdr[k];
            const std::size_t d = outer_doublet[k];
            pass |= static_cast<std::uint32_t>((change >= w.low[d]) & (change <= w.high[d])) << k;
        }
        return pass;
    }

    static bool passes_pairs(const DoubletLimits& inner, const DoubletLimits& outer,
                             const ModuleMap::TripletCodes& codes, const float* a, const float* b, const float* c) {
        const SpacePoint first = from_together(a);
        const SpacePoint middle = from_together(b);
        return passes(decode_limits(inner, codes.inner_low_high.data()), doublet_quantities(first, middle)) &&
               passes(decode_limits(outer, codes.outer_low_high.data()), doublet_quantities(middle, from_together(c)));
    }
};

}  // namespace

const GraphSteps& graph_steps_portable() noexcept {
    static constexpr GraphSteps steps{StepsOf<Portable>::find_candidates, StepsOf<Portable>::tag_triplets};
    return steps;
}

}  // namespace rheinfall::detail
