#include <rheinfall/tracking/module_map_builder.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "core/file.hpp"
#include "tracking/detail/hit_geometry.hpp"
#include "tracking/detail/module_map_file.hpp"
#include "tracking/detail/module_map_statistics.hpp"

namespace rheinfall {
namespace {

using detail::n_quantities;
using detail::scales;
using Record = ModuleMapBuilder::Record;
using Quantities = std::array<float, n_quantities>;

constexpr char statistics_magic[8] = {'R', 'F', 'M', 'A', 'P', 'S', 'T', 'A'};

constexpr std::uint32_t statistics_version = 2;

struct StatisticsHeader {
    char magic[8];
    std::uint32_t format_version;
    std::uint32_t bend;
    std::uint64_t n_records;
    std::uint64_t checksum;
};

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

/// Whether the sum of squares, or the occurrence, of two parts of a record overflows. The plain sum, being of integers,
/// is never larger than that of their squares.
bool overflows(const Record& a, const Record& b) noexcept {
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
    if (a.occurrence > static_cast<std::uint64_t>(most) - b.occurrence) return true;
    for (std::size_t q = 0; q < n_quantities; ++q) {
        if (a.sum_of_squares[q] > most - b.sum_of_squares[q]) return true;
    }
    return false;
}

void unite(Record& into, const Record& from) noexcept {
    into.occurrence += from.occurrence;
    for (std::size_t q = 0; q < n_quantities; ++q) {
        into.min[q] = std::min(into.min[q], from.min[q]);
        into.max[q] = std::max(into.max[q], from.max[q]);
        into.sum[q] += from.sum[q];
        into.sum_of_squares[q] += from.sum_of_squares[q];
    }
}

[[noreturn]] void refuse_overflow(const char* what, const Record& record) {
    throw std::overflow_error(std::string(what) + ": modules " + std::to_string(record.modules[0]) + ", " +
                              std::to_string(record.modules[1]) + ", " + std::to_string(record.modules[2]) +
                              ": after " + std::to_string(record.occurrence) +
                              " occurrences the 64-bit sums of the statistics hold no more");
}

/// What no sequence of `add` and `merge` leaves behind; empty if the record may be one of theirs.
std::string find_fault(const Record& record) {
    if (record.occurrence == 0 || record.occurrence >> 63U != 0) return "occurrence";
    for (std::size_t q = 0; q < n_quantities; ++q) {
        const bool finite = std::isfinite(record.min[q]) && std::isfinite(record.max[q]);
        if (!finite || record.min[q] > record.max[q]) return "min, max";
        if (record.sum_of_squares[q] < 0) return "sum_of_squares";
        if (record.sum[q] > record.sum_of_squares[q] || record.sum[q] < -record.sum_of_squares[q]) return "sum";
    }
    return {};
}

std::uint64_t hash(const std::array<std::uint64_t, 3>& modules) {
    std::uint64_t h = 0;
    for (const std::uint64_t m : modules) h = std::rotl((h ^ m) * 0x9E3779B97F4A7C15u, 29);
    return h ^ (h >> 32);
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

std::size_t ModuleMapBuilder::find_slot(const std::array<std::uint64_t, 3>& modules) const noexcept {
    std::size_t slot = hash(modules) & (table_.size() - 1);
    while (table_[slot] != 0 && records_[table_[slot] - 1].modules != modules) slot = (slot + 1) & (table_.size() - 1);
    return slot;
}

const Record* ModuleMapBuilder::find(const std::array<std::uint64_t, 3>& modules) const noexcept {
    if (table_.empty()) return nullptr;
    const std::uint32_t entry = table_[find_slot(modules)];
    return entry == 0 ? nullptr : &records_[entry - 1];
}

Record& ModuleMapBuilder::find_or_insert(const std::array<std::uint64_t, 3>& modules) {
    if (2 * records_.size() >= table_.size()) grow();
    const std::size_t slot = find_slot(modules);
    if (table_[slot] != 0) return records_[table_[slot] - 1];
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
        Record seen{{hits.module_id[a], hits.module_id[b], hits.module_id[c]}, 1, values, values, {}, {}};
        for (std::size_t q = 0; q < n_quantities; ++q) {
            seen.sum[q] = to_fixed(values[q], scale[q]);
            seen.sum_of_squares[q] = seen.sum[q] * seen.sum[q];
        }
        Record& record = find_or_insert(seen.modules);
        if (overflows(record, seen)) refuse_overflow("add", record);
        unite(record, seen);
    }
}

void ModuleMapBuilder::merge(const ModuleMapBuilder& other) {
    if (other.bend_ != bend_) throw std::invalid_argument("merge: the two maps measure the bend differently");
    for (const Record& from : other.records_) {
        const Record* into = find(from.modules);
        if (into != nullptr && overflows(*into, from)) refuse_overflow("merge", *into);
    }
    for (const Record& from : other.records_) unite(find_or_insert(from.modules), from);
}

std::vector<Record> ModuleMapBuilder::sorted_records() const {
    std::vector<Record> sorted(records_);
    std::sort(sorted.begin(), sorted.end(), [](const Record& a, const Record& b) { return a.modules < b.modules; });
    return sorted;
}

std::vector<std::byte> ModuleMapBuilder::bytes() const {
    const std::vector<Record> records = sorted_records();
    const auto payload = std::as_bytes(std::span(records));
    StatisticsHeader header{{}, statistics_version, static_cast<std::uint32_t>(bend_), records.size(), 0};
    std::memcpy(header.magic, statistics_magic, sizeof header.magic);
    header.checksum = detail::checksum_of(header, header.format_version, payload);
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
    if (header.format_version == 0 || header.format_version > statistics_version) {
        refuse("format_version: expected 1 to " + std::to_string(statistics_version) +
               ", which this release reads, got " + std::to_string(header.format_version));
    }
    const auto payload = bytes.subspan(sizeof header);
    if (header.bend > 1) refuse("bend: expected 0 or 1, got " + std::to_string(header.bend));
    if (payload.size() / sizeof(Record) != header.n_records || payload.size() % sizeof(Record) != 0) {
        refuse("expected " + std::to_string(header.n_records) + " records, got " + std::to_string(payload.size()) +
               " bytes");
    }
    if (detail::checksum_of(header, header.format_version, payload) != header.checksum) {
        refuse("checksum: the file is damaged");
    }
    ModuleMapBuilder builder(static_cast<Bend>(header.bend));
    builder.records_.reserve(header.n_records);
    for (std::size_t i = 0; i < header.n_records; ++i) {
        Record record;
        std::memcpy(&record, payload.data() + i * sizeof(Record), sizeof(Record));
        if (const std::string field = find_fault(record); !field.empty()) {
            refuse(field + ": expected what training leaves, at record " + std::to_string(i));
        }
        builder.find_or_insert(record.modules) = record;
    }
    if (builder.records_.size() != header.n_records) refuse("a triplet occurs twice");
    return builder;
}

ModuleMapBuilder ModuleMapBuilder::load(const std::string& path) {
    const auto file = detail::map_file(path);
    const ModuleMap map = ModuleMap::load(path);
    ModuleMapBuilder builder = from_bytes(file->view().subspan(map.bytes().size()), path);
    if (builder.bend_ != map.bend_convention()) {
        throw std::runtime_error(path + ": statistics: bend: expected the map's, " + name_of(map.bend_convention()));
    }
    return builder;
}

}  // namespace rheinfall
