#include "tracking/detail/join_index.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tracking/detail/triplet_codes.hpp"

namespace rheinfall::detail {
namespace {

template <class Code>
struct CodeWindow {
    Code first, last;
};

/// The differences of codes, of @p steps a unit, of values whose difference is within @p limits. Codes are off by half
/// a step each, and by what else is in @p slack.
template <class Code>
CodeWindow<Code> code_window(const Interval& limits, float steps, float slack) {
    constexpr unsigned all = std::numeric_limits<Code>::max();
    constexpr float reach = 1e6f;  // below which float32 has fractions of a step
    const float first = std::ceil(limits.low * steps - slack);
    const float last = std::floor(limits.high * steps + slack);
    // All codes, where what follows judges alone; also for limits beyond the reach of float32, and for none.
    const bool narrow = std::fabs(first) < reach && std::fabs(last) < reach && last - first < static_cast<float>(all);
    if (!narrow) return {0, all};
    if (last < first) return {0, 0};
    return {static_cast<Code>(static_cast<unsigned>(static_cast<int>(first)) & all), static_cast<Code>(last - first)};
}

/// Each heading is off by half a step for rounding and by 0.122 for its arctangent, both by less than 0.02 for the
/// limits.
CodeWindow<std::uint16_t> turn_window(const Interval& limits) {
    return code_window<std::uint16_t>(limits, heading_steps, 1.27f);
}

Interval unite(const Interval& a, float low, float high) {
    return {low < a.low ? low : a.low, high > a.high ? high : a.high};
}

std::uint16_t join_codes(std::uint8_t slope, std::uint8_t heading) {
    return static_cast<std::uint16_t>(slope | heading << 8);
}

Joint make_joint(const ModuleMap& map, std::size_t doublet, std::uint32_t first_outer) {
    std::uint64_t outer = 0;
    constexpr float infinity = std::numeric_limits<float>::infinity();
    const std::size_t begin = map.triplet_offsets()[doublet];
    const std::size_t end = map.triplet_offsets()[doublet + 1];
    Interval slope{infinity, -infinity};
    Interval heading = slope;
    for (std::size_t t = begin; t < end; ++t) {
        const auto& codes = map.triplet_codes()[t].differences;
        outer |= std::uint64_t{1} << std::min(map.triplet_outer()[t] - first_outer, Joint::max_outer);
        slope = unite(slope, decode_bfloat16(codes[0]), decode_bfloat16(codes[1]));
        heading = unite(heading, -decode_bfloat16(codes[3]), -decode_bfloat16(codes[2]));
    }
    const auto slopes = code_window<std::uint8_t>(slope, slope_steps, 1.01f);
    // These codes are rounded down: their difference is off by one, and by what headings are off.
    const auto headings = map.bend_convention() == Bend::angle
                              ? code_window<std::uint8_t>(heading, heading_steps / heading_cut, 1.03f)
                              : CodeWindow<std::uint8_t>{0, 255};
    return {outer, static_cast<std::uint32_t>(begin), join_codes(slopes.first, headings.first),
            join_codes(slopes.last, headings.last), first_outer};
}

}  // namespace

JoinIndex make_join_index(const ModuleMap& map) {
    JoinIndex index;
    const auto inner = map.doublet_inner();
    index.first_doublet.reserve(map.n_modules() + 1);
    for (std::size_t d = 0; d < inner.size(); ++d) {
        while (index.first_doublet.size() <= inner[d]) index.first_doublet.push_back(static_cast<std::uint32_t>(d));
    }
    index.first_doublet.resize(map.n_modules() + 1, static_cast<std::uint32_t>(inner.size()));
    index.joints.reserve(inner.size());
    for (std::size_t d = 0; d < inner.size(); ++d) {
        index.joints.push_back(make_joint(map, d, index.first_doublet[map.doublet_outer()[d]]));
    }
    index.differences.reserve(map.n_triplets() + 1);
    for (const ModuleMap::TripletCodes& codes : map.triplet_codes()) {
        const auto& d = codes.differences;
        const CodeWindow<std::uint16_t> turn = map.bend_convention() == Bend::angle
                                                   ? turn_window({-decode_bfloat16(d[3]), -decode_bfloat16(d[2])})
                                                   : CodeWindow<std::uint16_t>{0, 65535};
        index.differences.push_back({d[0], d[1], turn.first, turn.last});
    }
    index.differences.push_back({});
    return index;
}

}  // namespace rheinfall::detail
