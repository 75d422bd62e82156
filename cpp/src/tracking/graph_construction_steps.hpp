#pragma once

/// @file
/// The steps of one version of graph construction; see graph_construction_find.hpp and graph_construction_join.hpp.

#include <algorithm>

#include "tracking/graph_construction_find.hpp"
#include "tracking/graph_construction_join.hpp"

namespace rheinfall::detail {
namespace {  // NOLINT(misc-anonymous-namespace-in-header): see there

template <class Lanes>
struct StepsOf {
    static void place_points(const HitsView& hits, std::span<const std::uint32_t> order, const PointArrays& to,
                             std::size_t begin, std::size_t end) noexcept {
        place_points_of<Lanes>(hits, order, to, begin, end);
    }
    static void find_candidates(const GraphWork& work, std::size_t first, std::size_t last, CandidateRoom& room,
                                Partners& partners) noexcept {
        CandidateRoom own = room;  // the tasks' rooms share cache lines
        Finder<Lanes> finder(work, own, partners);
        for (std::size_t m = first; m < last; ++m) finder.find(m);
        const std::size_t end = own.begin + own.n;
        if (end < own.end) std::fill_n(&work.candidates.target[end], std::min(targets_ahead, own.end - end), 0u);
        room = own;
    }
    static void tag_triplets(const GraphWork& work, std::size_t first, std::size_t last, TagMemory& memory) noexcept {
        Tagger<Lanes> tagger(work, memory);
        for (std::size_t m = first; m < last; ++m) tagger.tag(m);
        tagger.finish();
    }
};

}  // namespace
}  // namespace rheinfall::detail
