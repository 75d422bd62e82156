#include <rheinfall/tracking/module_map.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "core/file.hpp"
#include "tracking/detail/join_index.hpp"
#include "tracking/detail/module_map_file.hpp"
#include "tracking/detail/triplet_codes.hpp"

namespace rheinfall {
namespace {

using detail::MapHeader;
using detail::MapLayout;

constexpr float unlimited = 1e30f;  ///< beyond any quantity of finite hits; keeps the width of a range finite
constexpr std::size_t max_doublets_of_module = 65536;  ///< graph construction numbers them with 16 bits

[[noreturn]] void refuse(const std::string& name, const std::string& why) {
    throw std::runtime_error(name + ": " + why);
}

template <class T>
std::span<const T> section(std::span<const std::byte> bytes, std::size_t offset, std::size_t n) {
    return {reinterpret_cast<const T*>(bytes.data() + offset), n};
}

template <class T>
std::span<T> writable_section(std::span<std::byte> bytes, std::size_t offset, std::size_t n) {
    return {reinterpret_cast<T*>(bytes.data() + offset), n};
}

Interval clamp(const Interval& interval, const char* quantity) {
    if (!(interval.low <= interval.high)) {
        throw std::invalid_argument(std::string("limits of ") + quantity + ": expected low <= high, got [" +
                                    std::to_string(interval.low) + ", " + std::to_string(interval.high) + "]");
    }
    return {std::clamp(interval.low, -unlimited, unlimited), std::clamp(interval.high, -unlimited, unlimited)};
}

DoubletLimits clamp(const DoubletLimits& limits) {
    return {clamp(limits.z0, "z0"), clamp(limits.dphi, "dphi"), clamp(limits.phi_slope, "phi_slope"),
            clamp(limits.deta, "deta")};
}

Interval unite(const Interval& a, const Interval& b) {
    return {std::min(a.low, b.low), std::max(a.high, b.high)};
}

DoubletLimits unite(const DoubletLimits& a, const DoubletLimits& b) {
    return {unite(a.z0, b.z0), unite(a.dphi, b.dphi), unite(a.phi_slope, b.phi_slope), unite(a.deta, b.deta)};
}

std::array<std::uint8_t, 8> encode(const DoubletLimits& range, const DoubletLimits& limits) {
    using namespace detail;
    return {encode_low(range.z0, limits.z0.low),
            encode_high(range.z0, limits.z0.high),
            encode_low(range.dphi, limits.dphi.low),
            encode_high(range.dphi, limits.dphi.high),
            encode_low(range.phi_slope, limits.phi_slope.low),
            encode_high(range.phi_slope, limits.phi_slope.high),
            encode_low(range.deta, limits.deta.low),
            encode_high(range.deta, limits.deta.high)};
}

std::uint32_t index_of(std::span<const std::uint64_t> modules, std::uint64_t id) {
    return static_cast<std::uint32_t>(std::lower_bound(modules.begin(), modules.end(), id) - modules.begin());
}

std::vector<std::uint64_t> sorted_unique(std::vector<std::uint64_t> ids) {
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    return ids;
}

void sort_and_check_unique(std::vector<ModuleMap::Doublet>& doublets) {
    std::sort(doublets.begin(), doublets.end(), [](const auto& a, const auto& b) { return a.modules < b.modules; });
    const auto twice = std::adjacent_find(doublets.begin(), doublets.end(),
                                          [](const auto& a, const auto& b) { return a.modules == b.modules; });
    if (twice != doublets.end()) {
        throw std::invalid_argument("doublet of modules " + std::to_string(twice->modules[0]) + ", " +
                                    std::to_string(twice->modules[1]) + " is given twice");
    }
}

void sort_and_check_unique(std::vector<ModuleMap::Triplet>& triplets) {
    std::sort(triplets.begin(), triplets.end(), [](const auto& a, const auto& b) { return a.modules < b.modules; });
    const auto twice = std::adjacent_find(triplets.begin(), triplets.end(),
                                          [](const auto& a, const auto& b) { return a.modules == b.modules; });
    if (twice != triplets.end()) {
        throw std::invalid_argument("triplet of modules " + std::to_string(twice->modules[0]) + ", " +
                                    std::to_string(twice->modules[1]) + ", " + std::to_string(twice->modules[2]) +
                                    " is given twice");
    }
}

/// The doublets that the triplets use, sorted, each with the union of their limits.
std::vector<ModuleMap::Doublet> doublets_of(std::span<const ModuleMap::Triplet> triplets) {
    std::vector<ModuleMap::Doublet> all;
    all.reserve(2 * triplets.size());
    for (const auto& t : triplets) {
        all.push_back({{t.modules[0], t.modules[1]}, clamp(t.limits.inner)});
        all.push_back({{t.modules[1], t.modules[2]}, clamp(t.limits.outer)});
    }
    std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.modules < b.modules; });
    std::vector<ModuleMap::Doublet> merged;
    for (const auto& d : all) {
        if (!merged.empty() && merged.back().modules == d.modules) {
            merged.back().limits = unite(merged.back().limits, d.limits);
        } else {
            merged.push_back(d);
        }
    }
    return merged;
}

MapHeader make_header(std::size_t n_modules, std::size_t n_doublets, std::size_t n_triplets, Bend bend) {
    if (n_modules > std::numeric_limits<std::uint32_t>::max() ||
        n_triplets > std::numeric_limits<std::uint32_t>::max() ||
        n_doublets > std::numeric_limits<std::uint32_t>::max()) {
        throw std::invalid_argument("a module map holds at most 2^32 - 1 modules, doublets or triplets");
    }
    MapHeader header{};
    std::memcpy(header.magic, detail::map_magic, sizeof header.magic);
    header.format_version = ModuleMap::format_version;
    header.reader_version = 2;
    header.bend = static_cast<std::uint32_t>(bend);
    header.n_modules = n_modules;
    header.n_doublets = n_doublets;
    header.n_triplets = n_triplets;
    std::strncpy(header.convention, detail::map_convention, sizeof header.convention - 1);
    return header;
}

/// Writes modules and doublets, which both kinds of map have.
void fill_doublets(std::span<std::byte> block, const MapLayout& layout, std::span<const std::uint64_t> modules,
                   std::span<const ModuleMap::Doublet> doublets) {
    std::ranges::copy(modules, writable_section<std::uint64_t>(block, layout.modules, modules.size()).begin());
    const auto inner = writable_section<std::uint32_t>(block, layout.doublet_inner, doublets.size());
    const auto outer = writable_section<std::uint32_t>(block, layout.doublet_outer, doublets.size());
    const auto limits = writable_section<DoubletLimits>(block, layout.doublet_limits, doublets.size());
    for (std::size_t d = 0; d < doublets.size(); ++d) {
        inner[d] = index_of(modules, doublets[d].modules[0]);
        outer[d] = index_of(modules, doublets[d].modules[1]);
        limits[d] = doublets[d].limits;
    }
}

void seal(std::span<std::byte> block, MapHeader header) {
    header.payload_bytes = block.size() - sizeof(MapHeader);
    header.checksum = detail::checksum_of(header, header.reader_version, block.subspan(sizeof(MapHeader)));
    std::memcpy(block.data(), &header, sizeof header);
}

MapHeader read_header(std::span<const std::byte> bytes, const std::string& name) {
    MapHeader header{};
    if (bytes.size() < sizeof header) {
        refuse(name, "header: expected " + std::to_string(sizeof header) + " bytes, the file has " +
                         std::to_string(bytes.size()));
    }
    std::memcpy(&header, bytes.data(), sizeof header);
    if (std::memcmp(header.magic, detail::map_magic, sizeof header.magic) != 0) {
        refuse(name, "magic: not a rheinfall module map");
    }
    if (header.reader_version > ModuleMap::format_version) {
        refuse(name, "format_version: written in format " + std::to_string(header.format_version) +
                         ", which needs a reader of format " + std::to_string(header.reader_version) +
                         "; this release reads up to " + std::to_string(ModuleMap::format_version));
    }
    if (header.reader_version == 0 || header.reader_version > header.format_version) {
        refuse(name, "reader_version: expected 1 to " + std::to_string(header.format_version) + ", got " +
                         std::to_string(header.reader_version));
    }
    if (header.bend > 1) refuse(name, "bend: expected 0 or 1, got " + std::to_string(header.bend));
    char convention[sizeof header.convention] = {};
    std::strncpy(convention, detail::map_convention, sizeof convention - 1);
    if (std::memcmp(header.convention, convention, sizeof convention) != 0) {
        refuse(name, std::string("convention: expected '") + detail::map_convention + "'");
    }
    constexpr std::uint64_t most = std::numeric_limits<std::uint32_t>::max();
    if (header.n_modules > most || header.n_doublets > most || header.n_triplets > most) {
        refuse(name, "n_modules, n_doublets, n_triplets: expected at most 2^32 - 1 each");
    }
    const MapLayout layout(header);
    if (header.payload_bytes != layout.size - sizeof header) {
        refuse(name, "payload_bytes: expected " + std::to_string(layout.size - sizeof header) +
                         " for its counts, got " + std::to_string(header.payload_bytes));
    }
    if (bytes.size() < layout.size) {
        refuse(name, "truncated: expected " + std::to_string(layout.size) + " bytes, the file has " +
                         std::to_string(bytes.size()));
    }
    const auto payload = bytes.subspan(sizeof header, header.payload_bytes);
    if (detail::checksum_of(header, header.reader_version, payload) != header.checksum) {
        refuse(name, "checksum: the file is damaged");
    }
    return header;
}

}  // namespace

struct ModuleMap::Storage {
    std::shared_ptr<const detail::Bytes> bytes;
    MapHeader header;
    detail::JoinIndex join_index;
};

ModuleMap::ModuleMap() {
    *this = from_doublets({}, Bend::angle);
}

ModuleMap ModuleMap::load(const std::string& path) {
    auto bytes = detail::map_file(path);
    const MapHeader header = read_header(bytes->view(), path);
    return adopt(std::make_shared<Storage>(Storage{std::move(bytes), header, {}}), path);
}

ModuleMap ModuleMap::from_bytes(std::span<const std::byte> bytes, const std::string& name) {
    auto copy = detail::copy_bytes(bytes);
    const MapHeader header = read_header(copy->view(), name);
    return adopt(std::make_shared<Storage>(Storage{std::move(copy), header, {}}), name);
}

ModuleMap ModuleMap::adopt(std::shared_ptr<Storage> storage, const std::string& name) {
    ModuleMap map(nullptr);
    const MapHeader& header = storage->header;
    const MapLayout layout(header);
    const auto bytes = storage->bytes->view();
    map.modules_ = section<std::uint64_t>(bytes, layout.modules, header.n_modules);
    map.doublet_inner_ = section<std::uint32_t>(bytes, layout.doublet_inner, header.n_doublets);
    map.doublet_outer_ = section<std::uint32_t>(bytes, layout.doublet_outer, header.n_doublets);
    map.doublet_limits_ = section<DoubletLimits>(bytes, layout.doublet_limits, header.n_doublets);
    map.triplet_offsets_ = section<std::uint32_t>(bytes, layout.triplet_offsets, header.n_doublets + 1);
    map.triplet_outer_ = section<std::uint32_t>(bytes, layout.triplet_outer, header.n_triplets);
    map.triplet_codes_ = section<TripletCodes>(bytes, layout.triplet_codes, header.n_triplets);
    map.occurrence_log2_ = section<std::uint8_t>(bytes, layout.occurrence_log2, header.n_triplets);
    Storage& own = *storage;
    map.storage_ = std::move(storage);
    map.check(name);
    map.count_doublets_per_module();
    if (map.max_doublets_per_module_ > max_doublets_of_module) {
        refuse(name, "doublets: expected at most " + std::to_string(max_doublets_of_module) +
                         " that begin on one module, got " + std::to_string(map.max_doublets_per_module_));
    }
    own.join_index = detail::make_join_index(map);
    return map;
}

ModuleMap::ModuleMap(std::nullptr_t) noexcept {}

void ModuleMap::count_doublets_per_module() noexcept {
    std::size_t run = 0;  // doublets are sorted by their inner module
    for (std::size_t d = 0; d < n_doublets(); ++d) {
        run = d > 0 && doublet_inner_[d] == doublet_inner_[d - 1] ? run + 1 : 1;
        max_doublets_per_module_ = std::max(max_doublets_per_module_, run);
    }
}

void ModuleMap::check(const std::string& name) const {
    for (std::size_t m = 1; m < modules_.size(); ++m) {
        if (modules_[m - 1] >= modules_[m]) refuse(name, "modules: expected rising ids at entry " + std::to_string(m));
    }
    for (std::size_t d = 0; d < n_doublets(); ++d) {
        if (doublet_inner_[d] >= n_modules() || doublet_outer_[d] >= n_modules()) {
            refuse(name, "doublets: module index out of range at entry " + std::to_string(d));
        }
        if (d > 0 && std::pair(doublet_inner_[d - 1], doublet_outer_[d - 1]) >=
                         std::pair(doublet_inner_[d], doublet_outer_[d])) {
            refuse(name, "doublets: expected rising (inner, outer) at entry " + std::to_string(d));
        }
        const auto& limits = doublet_limits_[d];
        for (const Interval& i : {limits.z0, limits.dphi, limits.phi_slope, limits.deta}) {
            if (!(i.low <= i.high) || i.low < -unlimited || i.high > unlimited) {
                refuse(name, "doublet_limits: expected finite low <= high at entry " + std::to_string(d));
            }
        }
        if (triplet_offsets_[d] > triplet_offsets_[d + 1]) {
            refuse(name, "triplet_offsets: expected rising values at entry " + std::to_string(d));
        }
    }
    if (triplet_offsets_.front() != 0 || triplet_offsets_.back() != n_triplets()) {
        refuse(name, "triplet_offsets: expected 0 to " + std::to_string(n_triplets()));
    }
    for (std::size_t d = 0; d < n_doublets(); ++d) {
        for (std::size_t t = triplet_offsets_[d]; t < triplet_offsets_[d + 1]; ++t) {
            if (triplet_outer_[t] >= n_doublets() || doublet_inner_[triplet_outer_[t]] != doublet_outer_[d]) {
                refuse(name, "triplet_outer: expected a doublet that begins on the middle module at entry " +
                                 std::to_string(t));
            }
            if (t > triplet_offsets_[d] && triplet_outer_[t] <= triplet_outer_[t - 1]) {
                refuse(name, "triplet_outer: expected rising doublets at entry " + std::to_string(t));
            }
        }
    }
}

void ModuleMap::save(const std::string& path, std::span<const std::byte> appendix) const {
    detail::write_file(path, {bytes(), appendix});
}

const detail::JoinIndex& ModuleMap::join_index() const noexcept {
    return storage_->join_index;
}

std::span<const std::byte> ModuleMap::bytes() const noexcept {
    return storage_->bytes->view().first(MapLayout(storage_->header).size);
}

Bend ModuleMap::bend_convention() const noexcept {
    return static_cast<Bend>(storage_->header.bend);
}

std::uint32_t ModuleMap::file_format_version() const noexcept {
    return storage_->header.format_version;
}

std::string ModuleMap::convention() const {
    return std::string(detail::map_convention) + ";bend=" + name_of(bend_convention());
}

TripletLimits ModuleMap::triplet_limits(std::size_t inner, std::size_t triplet) const noexcept {
    const TripletCodes& codes = triplet_codes_[triplet];
    return {detail::decode_limits(doublet_limits_[inner], codes.inner_low_high.data()),
            detail::decode_limits(doublet_limits_[triplet_outer_[triplet]], codes.outer_low_high.data()),
            triplet_diff_dzdr(triplet),
            {detail::decode_bfloat16(codes.differences[2]), detail::decode_bfloat16(codes.differences[3])}};
}

Interval ModuleMap::triplet_diff_dzdr(std::size_t triplet) const noexcept {
    const TripletCodes& codes = triplet_codes_[triplet];
    return {detail::decode_bfloat16(codes.differences[0]), detail::decode_bfloat16(codes.differences[1])};
}

ModuleMap ModuleMap::from_doublets(std::vector<Doublet> doublets, Bend bend) {
    sort_and_check_unique(doublets);
    std::vector<std::uint64_t> modules;
    for (auto& d : doublets) {
        d.limits = clamp(d.limits);
        modules.insert(modules.end(), d.modules.begin(), d.modules.end());
    }
    modules = sorted_unique(std::move(modules));
    const MapHeader header = make_header(modules.size(), doublets.size(), 0, bend);
    const MapLayout layout(header);
    std::vector<std::byte> block(layout.size);
    fill_doublets(block, layout, modules, doublets);
    seal(block, header);
    return from_bytes(block, "module map");
}

ModuleMap ModuleMap::from_triplets(std::vector<Triplet> triplets, Bend bend) {
    sort_and_check_unique(triplets);
    const std::vector<Doublet> doublets = doublets_of(triplets);
    std::vector<std::uint64_t> modules;
    for (const auto& d : doublets) modules.insert(modules.end(), d.modules.begin(), d.modules.end());
    modules = sorted_unique(std::move(modules));

    const MapHeader header = make_header(modules.size(), doublets.size(), triplets.size(), bend);
    const MapLayout layout(header);
    std::vector<std::byte> block(layout.size);
    fill_doublets(block, layout, modules, doublets);

    const auto offsets = writable_section<std::uint32_t>(block, layout.triplet_offsets, doublets.size() + 1);
    const auto outer = writable_section<std::uint32_t>(block, layout.triplet_outer, triplets.size());
    const auto codes = writable_section<TripletCodes>(block, layout.triplet_codes, triplets.size());
    const auto occurrence = writable_section<std::uint8_t>(block, layout.occurrence_log2, triplets.size());
    const auto find = [&doublets](std::uint64_t inner_module, std::uint64_t outer_module) {
        const std::array<std::uint64_t, 2> key{inner_module, outer_module};
        const auto at = std::lower_bound(doublets.begin(), doublets.end(), key,
                                         [](const Doublet& d, const auto& k) { return d.modules < k; });
        return static_cast<std::size_t>(at - doublets.begin());
    };
    // Sorted by modules, the triplets of one inner doublet stand together and in the order of the doublets.
    for (std::size_t t = 0; t < triplets.size(); ++t) {
        const Triplet& triplet = triplets[t];
        const std::size_t d12 = find(triplet.modules[0], triplet.modules[1]);
        const std::size_t d23 = find(triplet.modules[1], triplet.modules[2]);
        const Interval dzdr = clamp(triplet.limits.diff_dzdr, "diff_dzdr");
        const Interval turn = clamp(triplet.limits.bend, "bend");
        ++offsets[d12 + 1];
        outer[t] = static_cast<std::uint32_t>(d23);
        codes[t].inner_low_high = encode(doublets[d12].limits, clamp(triplet.limits.inner));
        codes[t].outer_low_high = encode(doublets[d23].limits, clamp(triplet.limits.outer));
        codes[t].differences = {detail::encode_bfloat16_low(dzdr.low), detail::encode_bfloat16_high(dzdr.high),
                                detail::encode_bfloat16_low(turn.low), detail::encode_bfloat16_high(turn.high)};
        occurrence[t] = static_cast<std::uint8_t>(std::bit_width(std::max<std::uint64_t>(triplet.occurrence, 1)) - 1);
    }
    for (std::size_t d = 0; d < doublets.size(); ++d) offsets[d + 1] += offsets[d];
    seal(block, header);
    return from_bytes(block, "module map");
}

}  // namespace rheinfall
