#pragma once

/// @file
/// What graph construction derives from a module map once, so that no event has to.

#include <cstdint>
#include <rheinfall/tracking/module_map.hpp>
#include <vector>

namespace rheinfall::detail {

/// Direction of a hit pair in 16 bits, to turn most pairs of candidates away 32 at a time: dz/dr in steps modulo 256 in
/// the lower half, the azimuth of the segment in `heading_cut` of its steps, likewise, in the upper one.
inline constexpr float slope_steps = 64.0f;             ///< for each unit of dz/dr
inline constexpr float heading_steps = 10430.3783505f;  ///< for each radian: 65536 for a turn
inline constexpr unsigned heading_cut_log2 = 6;
inline constexpr float heading_cut = 1u << heading_cut_log2;

/// An inner doublet: its triplets by the outer doublet's number on the middle module, and which differences of codes
/// some triplet allows.
struct Joint {
    static constexpr unsigned max_outer = 63;  ///< the outer doublets from this on share a bit
    std::uint64_t outer;                       ///< a bit for each outer doublet of a triplet
    std::uint32_t first_triplet;
    std::uint16_t first;        ///< of the differences, inner less outer, of the codes: begin of the windows
    std::uint16_t last;         ///< steps that follow
    std::uint32_t first_outer;  ///< first doublet of the middle module
};

/// A triplet's limits of the two differences: ends in bfloat16 of that of dz/dr; of the headings' steps, inner less
/// outer, begin of the window and the steps that follow.
struct Differences {
    std::uint16_t slope_low, slope_high;
    std::uint16_t turn_first, turn_last;
};

struct JoinIndex {
    std::vector<std::uint32_t> first_doublet;  ///< doublets of inner module m are [first_doublet[m], [m + 1])
    std::vector<Joint> joints;                 ///< by doublet
    std::vector<Differences> differences;      ///< by triplet, and one more
};

JoinIndex make_join_index(const ModuleMap& map);

}  // namespace rheinfall::detail
