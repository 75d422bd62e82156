#include "tracking/graph_construction_hits.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace rheinfall::detail {
namespace {

/// The first of the rising @p modules that is no less than @p id. Hits mostly come by rising module, so the search
/// begins at @p from, in steps that double.
std::size_t find_module(std::span<const std::uint64_t> modules, std::uint64_t id, std::size_t from) {
    if (from > 0 && modules[from - 1] >= id) from = 0;
    std::size_t step = 1;
    while (step < modules.size() - from && modules[from + step - 1] < id) step *= 2;
    const auto begin = modules.begin() + static_cast<std::ptrdiff_t>(from + step / 2);
    const auto end = modules.begin() + static_cast<std::ptrdiff_t>(std::min(from + step, modules.size()));
    return static_cast<std::size_t>(std::lower_bound(begin, end, id) - modules.begin());
}

}  // namespace

void bucket_hits(const ModuleMap& map, const HitsView& hits, const HitBuckets& s, GraphResult& result) noexcept {
    constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();
    const auto modules = map.modules();
    std::ranges::fill(s.module_offsets, 0u);
    std::uint64_t last_id = 0;
    std::uint32_t last_module = none;
    std::size_t at = 0;
    for (std::size_t i = 0; i < hits.size(); ++i) {
        const std::uint64_t id = hits.module_id[i];
        if (i == 0 || id != last_id) {  // hits of one module mostly stand together
            at = find_module(modules, id, at);
            last_id = id;
            last_module = (at < modules.size() && modules[at] == id) ? static_cast<std::uint32_t>(at) : none;
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
