#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <rheinfall/tracking/module_map_builder.hpp>
#include <stdexcept>
#include <utility>

#include "tracking/detail/module_map_statistics.hpp"

/// @file
/// From what training saw to limits: `ModuleMapBuilder::finish`.

namespace rheinfall {
namespace {

using detail::n_quantities;
using detail::scales;
using Record = ModuleMapBuilder::Record;

void check_margin(const char* name, double value) {
    if (value >= 0.0 && std::isfinite(value)) return;
    throw std::invalid_argument(std::string(name) + ": expected a number >= 0, got " + std::to_string(value));
}

void check(const LimitRule& rule) {
    const std::pair<const char*, double> numbers[] = {
        {"relative", rule.relative},         {"sigmas", rule.sigmas}, {"sigmas_differences", rule.sigmas_differences},
        {"prior_weight", rule.prior_weight}, {"core", rule.core},     {"max_phi_slope", rule.max_phi_slope}};
    for (const auto& [name, value] : numbers) {
        check_margin(name, value);
    }
    for (const double value : rule.absolute) check_margin("absolute", value);
}

using Layers = std::array<std::uint64_t, 3>;

Layers layers_of(const Record& record) {
    constexpr int layer_shift = 36;
    return {record.modules[0] >> layer_shift, record.modules[1] >> layer_shift, record.modules[2] >> layer_shift};
}

/// Sum of squared deviations from the triplet's mean, in fixed-point units.
double scatter(const Record& record, std::size_t q) {
    const double n = static_cast<double>(record.occurrence);
    const double sum = static_cast<double>(record.sum[q]);
    return std::max(0.0, static_cast<double>(record.sum_of_squares[q]) - sum * sum / n);
}

/// Pooled variance of the triplets on three layers: scatter and degrees of freedom of each quantity.
struct Pool {
    std::array<double, n_quantities> scatter{};
    double freedom = 0;

    void add(const Record& record) {
        for (std::size_t q = 0; q < n_quantities; ++q) scatter[q] += rheinfall::scatter(record, q);
        freedom += static_cast<double>(record.occurrence - 1);
    }
};

/// Directed doublets by how often triplets use them.
std::map<std::array<std::uint64_t, 2>, std::uint64_t> count_doublets(std::span<const Record> records) {
    std::map<std::array<std::uint64_t, 2>, std::uint64_t> counts;
    for (const Record& r : records) {
        counts[{r.modules[0], r.modules[1]}] += r.occurrence;
        counts[{r.modules[1], r.modules[2]}] += r.occurrence;
    }
    return counts;
}

/// Drops the triplets that use the rarer direction of a doublet seen both ways (of equals, the one that falls in id).
void drop_two_cycles(std::vector<Record>& records) {
    const auto counts = count_doublets(records);
    const auto loses = [&counts](std::uint64_t a, std::uint64_t b) {
        const auto reverse = counts.find({b, a});
        if (reverse == counts.end()) return false;
        const std::uint64_t forward = counts.at({a, b});
        return forward < reverse->second || (forward == reverse->second && a > b);
    };
    std::erase_if(records, [&](const Record& r) {
        return loses(r.modules[0], r.modules[1]) || loses(r.modules[1], r.modules[2]);
    });
}

/// Rounds to float32 away from the inside.
float round_down(double value) {
    const auto rounded = static_cast<float>(value);
    return static_cast<double>(rounded) > value ? std::nextafter(rounded, -std::numeric_limits<float>::infinity())
                                                : rounded;
}

float round_up(double value) {
    return -round_down(-value);
}

ModuleMap::Triplet widen(const Record& record, const Pool& pool, const LimitRule& rule,
                         const std::array<double, n_quantities>& scale) {
    std::array<Interval, n_quantities> limits{};
    const double n = static_cast<double>(record.occurrence);
    for (std::size_t q = 0; q < n_quantities; ++q) {
        const double prior = pool.freedom > 0 ? pool.scatter[q] / pool.freedom : 0.0;
        const double variance = (scatter(record, q) + rule.prior_weight * prior) / (n + rule.prior_weight);
        const double sigmas = q < 8 ? rule.sigmas : rule.sigmas_differences;
        const double range = static_cast<double>(record.max[q]) - static_cast<double>(record.min[q]);
        const double fixed = rule.absolute[q < 8 ? q % 4 : q - 4];
        const double margin = fixed + rule.relative * range + sigmas * std::sqrt(variance / n) / scale[q];
        const double mean = static_cast<double>(record.sum[q]) / n / scale[q];
        // One value, or equal ones, have no core to cut to: what was learnt stays inside.
        const bool spread = record.occurrence > 1 && variance > 0.0;
        const double core =
            spread ? rule.core * std::sqrt(variance) / scale[q] : std::numeric_limits<double>::infinity();
        // The mean itself is rounded to fixed point and clamped: never let the cut turn the limits around.
        const double low = std::min(std::max(static_cast<double>(record.min[q]) - margin, mean - core), mean);
        const double high = std::max(std::min(static_cast<double>(record.max[q]) + margin, mean + core), mean);
        limits[q] = {round_down(low), round_up(high)};
    }
    return {record.modules,
            record.occurrence,
            {{limits[0], limits[1], limits[2], limits[3]},
             {limits[4], limits[5], limits[6], limits[7]},
             limits[8],
             limits[9]}};
}

/// Cuts limits to [-most, most]; false if nothing is left of them.
bool cut(Interval& limits, float most) {
    limits = {std::max(limits.low, -most), std::min(limits.high, most)};
    return limits.low <= limits.high;
}

}  // namespace

ModuleMap ModuleMapBuilder::finish(const LimitRule& rule) const {
    check(rule);
    std::vector<Record> records = sorted_records();
    // Pools see every triplet, so that what is left out still says how wide its layers' quantities are.
    std::map<Layers, Pool> pools;
    for (const Record& record : records) pools[layers_of(record)].add(record);
    std::erase_if(records, [&rule](const Record& r) { return r.occurrence < rule.min_occurrence; });
    if (rule.remove_two_cycles) drop_two_cycles(records);
    const auto scale = scales(bend_);
    std::vector<ModuleMap::Triplet> triplets;
    triplets.reserve(records.size());
    const float most = round_up(rule.max_phi_slope);
    for (const Record& record : records) {
        ModuleMap::Triplet triplet = widen(record, pools[layers_of(record)], rule, scale);
        const bool inner_left = cut(triplet.limits.inner.phi_slope, most);
        const bool outer_left = cut(triplet.limits.outer.phi_slope, most);
        if (inner_left && outer_left) triplets.push_back(triplet);
    }
    return ModuleMap::from_triplets(std::move(triplets), bend_);
}

}  // namespace rheinfall
