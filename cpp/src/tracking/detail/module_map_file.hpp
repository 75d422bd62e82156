#pragma once

/// @file
/// The file format of a module map: a header, then one section per array, each aligned to a cache line. Little-endian.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <rheinfall/tracking/module_map.hpp>
#include <span>

#include "core/checksum.hpp"

namespace rheinfall::detail {

static_assert(std::endian::native == std::endian::little, "module maps are memory-mapped as they are");

inline constexpr char map_magic[8] = {'R', 'F', 'M', 'O', 'D', 'M', 'A', 'P'};
inline constexpr const char* map_convention = "deta=2-1;dr0=1e-6;order=12,23";

struct MapHeader {
    char magic[8];
    std::uint32_t format_version;
    std::uint32_t reader_version;  ///< oldest format version whose readers understand this file
    std::uint32_t bend;            ///< `Bend`
    std::uint32_t reserved;
    std::uint64_t n_modules;
    std::uint64_t n_doublets;
    std::uint64_t n_triplets;
    std::uint64_t payload_bytes;
    std::uint64_t checksum;  ///< see `checksum_of`
    char convention[64];     ///< for people: signs and order of the quantities
};
static_assert(sizeof(MapHeader) == 128);

/// What @p header's checksum must be: that of the header itself, with the payload's checksum in place of its own. Of
/// files that readers of format 1 understand it is the payload's alone, which left `bend` unguarded.
template <class Header>
std::uint64_t checksum_of(Header header, std::uint32_t version, std::span<const std::byte> payload) noexcept {
    header.checksum = checksum(payload);
    return version < 2 ? header.checksum : checksum(std::as_bytes(std::span(&header, 1)));
}

/// Where each section begins. The counts fit 32 bits, so that no sum here overflows.
struct MapLayout {
    std::size_t modules, doublet_inner, doublet_outer, doublet_limits;
    std::size_t triplet_offsets, triplet_outer, triplet_codes, occurrence_log2, size;

    explicit MapLayout(const MapHeader& header) noexcept {
        std::size_t at = sizeof(MapHeader);
        const auto place = [&at](std::size_t bytes) {
            const std::size_t begin = at;
            at += (bytes + 63) / 64 * 64;
            return begin;
        };
        modules = place(header.n_modules * sizeof(std::uint64_t));
        doublet_inner = place(header.n_doublets * sizeof(std::uint32_t));
        doublet_outer = place(header.n_doublets * sizeof(std::uint32_t));
        doublet_limits = place(header.n_doublets * sizeof(DoubletLimits));
        triplet_offsets = place((header.n_doublets + 1) * sizeof(std::uint32_t));
        triplet_outer = place(header.n_triplets * sizeof(std::uint32_t));
        triplet_codes = place(header.n_triplets * sizeof(ModuleMap::TripletCodes));
        occurrence_log2 = place(header.n_triplets);
        size = at;
    }
};

}  // namespace rheinfall::detail
