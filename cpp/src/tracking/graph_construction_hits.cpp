#include "tracking/graph_construction_hits.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace rheinfall::detail {

void bucket_hits(const ModuleMap& map, const HitsView& hits, const HitBuckets& s, GraphResult& result) noexcept {
    constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();
    const auto modules = map.modules();
    std::ranges::fill(s.module_offsets, 0u);
    std::uint64_t last_id = 0;
    std::uint32_t last_module = none;
    for (std::size_t i = 0; i < hits.size(); ++i) {
        const std::uint64_t id = hits.module_id[i];
        if (i == 0 || id != last_id) {  // hits of one module mostly stand together
            const auto at = std::lower_bound(modules.begin(), modules.end(), id);
            last_id = id;
            last_module = (at != modules.end() && *at == id) ? static_cast<std::uint32_t>(at - modules.begin()) : none;
        }
        std::uint32_t module = last_module;
        if (!(std::isfinite(hits.x[i]) && std::isfinite(hits.y[i]) && std::isfinite(hits.z[i]))) {
            ++result.n_not_finite;
            module = none;
        } else if (module == none) {
            ++result.n_unknown_modules;
        }
        s.module_of_hit[i] = module;
        if (module != none) ++s.module_offsets[module];
    }
    std::uint32_t n_used = 0;
    for (auto& offset : s.module_offsets) {
        const std::uint32_t count = offset;
        offset = n_used;
        n_used += count;
    }
    for (std::size_t i = 0; i < hits.size(); ++i) {
        if (s.module_of_hit[i] != none) s.order[s.module_offsets[s.module_of_hit[i]]++] = static_cast<std::uint32_t>(i);
    }
    for (std::size_t m = map.n_modules(); m > 0; --m) s.module_offsets[m] = s.module_offsets[m - 1];
    s.module_offsets[0] = 0;
}

}  // namespace rheinfall::detail
