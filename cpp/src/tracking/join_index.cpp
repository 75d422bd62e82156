#include "tracking/detail/join_index.hpp"

#include <cmath>
#include <limits>

#include "tracking/detail/triplet_codes.hpp"

namespace rheinfall::detail {
namespace {

struct CodeWindow {
    std::uint8_t first, last;
};

/// The differences of codes, of @p steps a unit, of values whose difference is within @p limits. Codes are off by half
/// a step each, and by what else is in @p slack.
CodeWindow code_window(const Interval& limits, float steps, float slack) {
    const float first = std::ceil(limits.low * steps - slack);
    const float last = std::floor(limits.high * steps + slack);
    // All codes, where what follows judges alone; also for limits beyond the reach of float32, and for none.
    const bool narrow = std::fabs(first) < 32000.0f && std::fabs(last) < 32000.0f && last - first < 255.0f;
    if (!narrow) return {0, 255};
    if (last < first) return {0, 0};
    return {static_cast<std::uint8_t>(static_cast<int>(first) & 255), static_cast<std::uint8_t>(last - first)};
}

Interval unite(const Interval& a, float low, float high) {
    return {low < a.low ? low : a.low, high > a.high ? high : a.high};
}

std::uint16_t join_codes(std::uint8_t slope, std::uint8_t heading) {
    return static_cast<std::uint16_t>(slope | heading << 8);
}

Joint make_joint(const ModuleMap& map, std::size_t doublet, std::uint32_t first_outer) {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    const std::size_t begin = map.triplet_offsets()[doublet];
    const std::size_t end = map.triplet_offsets()[doublet + 1];
    Interval slope{infinity, -infinity};
    Interval heading = slope;
    for (std::size_t t = begin; t < end; ++t) {
        const auto& codes = map.triplet_codes()[t].differences;
        slope = unite(slope, decode_bfloat16(codes[0]), decode_bfloat16(codes[1]));
        heading = unite(heading, -decode_bfloat16(codes[3]), -decode_bfloat16(codes[2]));
    }
    const CodeWindow slopes = code_window(slope, slope_steps, 1.01f);
    // An arctangent of the headings is off by 0.11 steps at most.
    const CodeWindow headings =
        map.bend_convention() == Bend::angle ? code_window(heading, heading_steps, 1.25f) : CodeWindow{0, 255};
    return {join_codes(slopes.first, headings.first), join_codes(slopes.last, headings.last), first_outer};
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
        index.differences.push_back({d[0], d[1], d[2] | static_cast<std::uint32_t>(d[3]) << 16});
    }
    index.differences.push_back({});
    return index;
}

}  // namespace rheinfall::detail
