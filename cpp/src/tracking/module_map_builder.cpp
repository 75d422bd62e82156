#include <rheinfall/tracking/module_map_builder.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <stdexcept>
#include <utility>

#include "core/checksum.hpp"
#include "core/file.hpp"
#include "tracking/detail/hit_geometry.hpp"

namespace rheinfall {
namespace {

using Record = ModuleMapBuilder::Record;
constexpr std::size_t n_quantities = ModuleMapBuilder::n_quantities;
using Quantities = std::array<float, n_quantities>;

constexpr char statistics_magic[8] = {'R', 'F', 'M', 'A', 'P', 'S', 'T', 'A'};

struct StatisticsHeader {
    char magic[8];
    std::uint32_t format_version;
    std::uint32_t bend;
    std::uint64_t n_records;
    std::uint64_t checksum;
};

/// Fixed-point units per unit of each quantity. Values are clamped to 2^20 units, which only bounds the rms of
/// outliers, never min and max; 2^23 occurrences of a triplet then fit 64 bits.
std::array<double, n_quantities> scales(Bend bend) {
    const double bend_scale = bend == Bend::angle ? 262144.0 : 4096.0;
    return {64.0, 262144.0, 67108864.0, 65536.0, 64.0, 262144.0, 67108864.0, 65536.0, 32768.0, bend_scale};
}

std::int64_t to_fixed(float value, double scale) {
    constexpr double most = 1048576.0;
    return std::llrint(std::clamp(static_cast<double>(value) * scale, -most, most));
}

Quantities triple_quantities(Bend convention, const detail::SpacePoint& a, const detail::SpacePoint& b,
                             const detail::SpacePoint& c) {
    const auto q12 = detail::doublet_quantities(a, b);
    const auto q23 = detail::doublet_quantities(b, c);
    return {q12.z0,
            q12.dphi,
            q12.phi_slope,
            q12.deta,
            q23.z0,
            q23.dphi,
            q23.phi_slope,
            q23.deta,
            detail::slope_dzdr(a, b) - detail::slope_dzdr(b, c),
            detail::bend(convention, a, b, c)};
}

void check_finite(const Quantities& values, std::uint32_t a, std::uint32_t b, std::uint32_t c) {
    if (std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); })) return;
    throw std::invalid_argument("hits: a quantity of the triple " + std::to_string(a) + ", " + std::to_string(b) +
                                ", " + std::to_string(c) + " overflows; expected coordinates of a detector in mm");
}

void check(const LimitRule& rule) {
    const std::pair<const char*, double> numbers[] = {{"relative", rule.relative},
                                                      {"sigmas", rule.sigmas},
                                                      {"sigmas_differences", rule.sigmas_differences},
                                                      {"prior_weight", rule.prior_weight},
                                                      {"core", rule.core}};
    for (const auto& [name, value] : numbers) {
        if (!(value >= 0.0) || std::isinf(value)) {
            throw std::invalid_argument(std::string(name) + ": expected a number >= 0, got " + std::to_string(value));
        }
    }
}

std::uint64_t hash(const std::array<std::uint64_t, 3>& modules) {
    std::uint64_t h = 0;
    for (const std::uint64_t m : modules) h = std::rotl((h ^ m) * 0x9E3779B97F4A7C15u, 29);
    return h ^ (h >> 32);
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
        const double margin = rule.relative * range + sigmas * std::sqrt(variance / n) / scale[q];
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

}  // namespace

void ModuleMapBuilder::grow() {
    std::vector<std::uint32_t> table(std::max<std::size_t>(1024, table_.size() * 2));
    for (std::size_t r = 0; r < records_.size(); ++r) {
        std::size_t slot = hash(records_[r].modules) & (table.size() - 1);
        while (table[slot] != 0) slot = (slot + 1) & (table.size() - 1);
        table[slot] = static_cast<std::uint32_t>(r + 1);
    }
    table_ = std::move(table);
}

Record& ModuleMapBuilder::find_or_insert(const std::array<std::uint64_t, 3>& modules) {
    if (2 * records_.size() >= table_.size()) grow();
    std::size_t slot = hash(modules) & (table_.size() - 1);
    for (; table_[slot] != 0; slot = (slot + 1) & (table_.size() - 1)) {
        Record& record = records_[table_[slot] - 1];
        if (record.modules == modules) return record;
    }
    table_[slot] = static_cast<std::uint32_t>(records_.size() + 1);
    Record fresh{modules, 0, {}, {}, {}, {}};
    fresh.min.fill(std::numeric_limits<float>::infinity());
    fresh.max.fill(-std::numeric_limits<float>::infinity());
    return records_.emplace_back(fresh);
}

void ModuleMapBuilder::add(const HitsView& hits, std::span<const std::uint32_t> triples) {
    if (triples.size() % 3 != 0) throw std::invalid_argument("triples: expected three hits each");
    for (const std::uint32_t i : triples) {
        if (i >= hits.size()) {
            throw std::invalid_argument("triples: hit " + std::to_string(i) + " of " + std::to_string(hits.size()));
        }
        if (!(std::isfinite(hits.x[i]) && std::isfinite(hits.y[i]) && std::isfinite(hits.z[i]))) {
            throw std::invalid_argument("hits: coordinates of hit " + std::to_string(i) + " are not finite");
        }
    }
    const auto scale = scales(bend_);
    const auto point = [&hits](std::uint32_t i) { return detail::make_space_point(hits.x[i], hits.y[i], hits.z[i]); };
    for (std::size_t t = 0; t < triples.size(); t += 3) {
        const std::uint32_t a = triples[t];
        const std::uint32_t b = triples[t + 1];
        const std::uint32_t c = triples[t + 2];
        const Quantities values = triple_quantities(bend_, point(a), point(b), point(c));
        check_finite(values, a, b, c);
        Record& record = find_or_insert({hits.module_id[a], hits.module_id[b], hits.module_id[c]});
        ++record.occurrence;
        for (std::size_t q = 0; q < n_quantities; ++q) {
            record.min[q] = std::min(record.min[q], values[q]);
            record.max[q] = std::max(record.max[q], values[q]);
            const std::int64_t fixed = to_fixed(values[q], scale[q]);
            record.sum[q] += fixed;
            record.sum_of_squares[q] += fixed * fixed;
        }
    }
}

void ModuleMapBuilder::merge(const ModuleMapBuilder& other) {
    if (other.bend_ != bend_) throw std::invalid_argument("merge: the two maps measure the bend differently");
    for (const Record& from : other.records_) {
        Record& into = find_or_insert(from.modules);
        into.occurrence += from.occurrence;
        for (std::size_t q = 0; q < n_quantities; ++q) {
            into.min[q] = std::min(into.min[q], from.min[q]);
            into.max[q] = std::max(into.max[q], from.max[q]);
            into.sum[q] += from.sum[q];
            into.sum_of_squares[q] += from.sum_of_squares[q];
        }
    }
}

std::vector<Record> ModuleMapBuilder::sorted_records() const {
    std::vector<Record> sorted(records_);
    std::sort(sorted.begin(), sorted.end(), [](const Record& a, const Record& b) { return a.modules < b.modules; });
    return sorted;
}

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
    for (const Record& record : records) triplets.push_back(widen(record, pools[layers_of(record)], rule, scale));
    return ModuleMap::from_triplets(std::move(triplets), bend_);
}

std::vector<std::byte> ModuleMapBuilder::bytes() const {
    const std::vector<Record> records = sorted_records();
    const auto payload = std::as_bytes(std::span(records));
    StatisticsHeader header{{}, 1, static_cast<std::uint32_t>(bend_), records.size(), detail::checksum(payload)};
    std::memcpy(header.magic, statistics_magic, sizeof header.magic);
    std::vector<std::byte> bytes(sizeof header + payload.size());
    std::memcpy(bytes.data(), &header, sizeof header);
    if (!payload.empty()) std::memcpy(bytes.data() + sizeof header, payload.data(), payload.size());
    return bytes;
}

ModuleMapBuilder ModuleMapBuilder::from_bytes(std::span<const std::byte> bytes, const std::string& name) {
    const auto refuse = [&name](const std::string& why) { throw std::runtime_error(name + ": statistics: " + why); };
    StatisticsHeader header{};
    if (bytes.size() < sizeof header) refuse("the file carries none, so it can be applied but not merged");
    std::memcpy(&header, bytes.data(), sizeof header);
    if (std::memcmp(header.magic, statistics_magic, sizeof header.magic) != 0) refuse("expected their magic bytes");
    if (header.format_version != 1) {
        refuse("format " + std::to_string(header.format_version) + " is newer than this release, which reads 1");
    }
    const auto payload = bytes.subspan(sizeof header);
    if (header.bend > 1) refuse("bend: expected 0 or 1, got " + std::to_string(header.bend));
    if (payload.size() / sizeof(Record) != header.n_records || payload.size() % sizeof(Record) != 0) {
        refuse("expected " + std::to_string(header.n_records) + " records, got " + std::to_string(payload.size()) +
               " bytes");
    }
    if (detail::checksum(payload) != header.checksum) refuse("checksum: the file is damaged");
    ModuleMapBuilder builder(static_cast<Bend>(header.bend));
    builder.records_.reserve(header.n_records);
    for (std::size_t i = 0; i < header.n_records; ++i) {
        Record record;
        std::memcpy(&record, payload.data() + i * sizeof(Record), sizeof(Record));
        builder.find_or_insert(record.modules) = record;
    }
    if (builder.records_.size() != header.n_records) refuse("a triplet occurs twice");
    return builder;
}

ModuleMapBuilder ModuleMapBuilder::load(const std::string& path) {
    const auto file = detail::map_file(path);
    const ModuleMap map = ModuleMap::load(path);
    return from_bytes(file->view().subspan(map.bytes().size()), path);
}

}  // namespace rheinfall
