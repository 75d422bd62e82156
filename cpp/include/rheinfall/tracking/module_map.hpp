#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <rheinfall/core/export.hpp>
#include <rheinfall/core/views.hpp>
#include <span>
#include <string>
#include <vector>

namespace rheinfall {

namespace detail {
struct JoinIndex;
}

/// Limits of one quantity; both ends are inside.
struct Interval {
    float low;
    float high;

    [[nodiscard]] constexpr bool contains(float value) const noexcept { return value >= low && value <= high; }
};

/// Limits of a hit pair, 1 inner and 2 outer: z0 = z1 - r1 * dz/dr [mm]; dphi = phi2 - phi1 wrapped to (-pi, pi] [rad];
/// phi_slope = dphi/dr [rad/mm]; deta = eta2 - eta1. An exact dr of 0 counts as 1e-6 mm.
struct DoubletLimits {
    Interval z0;
    Interval dphi;
    Interval phi_slope;
    Interval deta;
};

/// Limits of a hit triple: of its two pairs, and of how the direction changes at the middle hit.
struct TripletLimits {
    DoubletLimits inner;
    DoubletLimits outer;
    Interval diff_dzdr;  ///< dz12/dr12 - dz23/dr23
    Interval bend;       ///< see `Bend`
};

/// How the change of direction in the transverse plane is measured. Part of a map's `convention`.
enum class Bend : std::uint8_t {
    slope_difference = 0,  ///< dy12/dx12 - dy23/dx23, called diff_dydx in the field; singular for tracks along y
    angle = 1,             ///< signed angle from segment 12 to segment 23 [rad], in (-pi, pi]
};

/// The name of @p bend, as Python and the text of a `convention` show it.
constexpr const char* name_of(Bend bend) noexcept {
    return bend == Bend::angle ? "angle" : "slope_difference";
}

/// The pairs and triples of modules that particles connect, with the limits within which they do.
///
/// Immutable; copies share the data, which may be a memory-mapped file. Modules are sorted by id, doublets by
/// (inner, outer) module, triplets by (inner, outer) doublet. The limits of a triplet's two pairs are stored as 8-bit
/// fractions of its doublets' limits, those of the two differences as bfloat16, always rounded outward: what
/// `triplet_limits` returns is the definition of the cut.
class RHEINFALL_API ModuleMap {
public:
    /// Version of the file format that this library writes, and the newest that it reads.
    static constexpr std::uint32_t format_version = 2;

    /// The eight coded ends of a triplet's pair limits: fractions of 1/255 of the doublet's range, upward from its low
    /// end for a low limit, downward from its high end for a high one.
    struct TripletCodes {
        std::array<std::uint8_t, 8> inner_low_high;  ///< low, high of z0, dphi, phi_slope, deta of pair 12
        std::array<std::uint8_t, 8> outer_low_high;  ///< of pair 23
        std::array<std::uint16_t, 4> differences;    ///< bfloat16 low, high of diff_dzdr, then of bend
    };
    static_assert(sizeof(TripletCodes) == 24);

    /// A map without modules.
    ModuleMap();

    /// Maps @p path into memory and checks it; throws std::runtime_error that names the file, the field and the reason.
    static ModuleMap load(const std::string& path);
    /// Reads a map from @p bytes, which are copied; @p name stands for it in errors.
    static ModuleMap from_bytes(std::span<const std::byte> bytes, const std::string& name);

    /// Writes the map to @p path, through a temporary file beside it so that a full disk leaves no half-written map.
    /// Readers of maps skip the @p appendix, such as `ModuleMapBuilder::bytes`.
    void save(const std::string& path, std::span<const std::byte> appendix = {}) const;
    /// What `save` writes, less the appendix.
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept;

    [[nodiscard]] Bend bend_convention() const noexcept;
    /// Version of the format that this map's bytes are in.
    [[nodiscard]] std::uint32_t file_format_version() const noexcept;
    /// Signs, order and special cases of the quantities, as the file states them.
    [[nodiscard]] std::string convention() const;
    [[nodiscard]] std::size_t n_modules() const noexcept { return modules_.size(); }
    [[nodiscard]] std::size_t n_doublets() const noexcept { return doublet_inner_.size(); }
    [[nodiscard]] std::size_t n_triplets() const noexcept { return triplet_outer_.size(); }
    /// True for a map without triplets: each doublet that passes its limits is an edge.
    [[nodiscard]] bool doublets_only() const noexcept { return triplet_outer_.empty(); }

    /// Most doublets that begin on one module.
    [[nodiscard]] std::size_t max_doublets_per_module() const noexcept { return max_doublets_per_module_; }

    [[nodiscard]] std::span<const std::uint64_t> modules() const noexcept { return modules_; }
    [[nodiscard]] std::span<const std::uint32_t> doublet_inner() const noexcept { return doublet_inner_; }
    [[nodiscard]] std::span<const std::uint32_t> doublet_outer() const noexcept { return doublet_outer_; }
    [[nodiscard]] std::span<const DoubletLimits> doublet_limits() const noexcept { return doublet_limits_; }
    /// Triplets of inner doublet d are [triplet_offsets[d], triplet_offsets[d + 1]).
    [[nodiscard]] std::span<const std::uint32_t> triplet_offsets() const noexcept { return triplet_offsets_; }
    [[nodiscard]] std::span<const std::uint32_t> triplet_outer() const noexcept { return triplet_outer_; }
    [[nodiscard]] std::span<const TripletCodes> triplet_codes() const noexcept { return triplet_codes_; }
    /// How often each triplet was seen in training, as floor(log2(occurrence)).
    [[nodiscard]] std::span<const std::uint8_t> triplet_occurrence_log2() const noexcept { return occurrence_log2_; }

    /// The limits of triplet @p triplet, whose inner doublet is @p inner.
    [[nodiscard]] TripletLimits triplet_limits(std::size_t inner, std::size_t triplet) const noexcept;

    /// The limits of its diff_dzdr alone.
    [[nodiscard]] Interval triplet_diff_dzdr(std::size_t triplet) const noexcept;

    /// What `build_graph` derives from the map, once; not part of the file.
    [[nodiscard]] const detail::JoinIndex& join_index() const noexcept;

    /// One triplet in plain numbers, for building a map from any source.
    struct Triplet {
        std::array<std::uint64_t, 3> modules;
        std::uint64_t occurrence;
        TripletLimits limits;
    };
    /// Makes a map of @p triplets, in any order; a doublet's limits are the union of those of its triplets. Throws
    /// std::invalid_argument for a triplet given twice, or limits that are NaN or upside down.
    static ModuleMap from_triplets(std::vector<Triplet> triplets, Bend bend);
    /// One doublet in plain numbers.
    struct Doublet {
        std::array<std::uint64_t, 2> modules;
        DoubletLimits limits;
    };
    /// Makes a map of doublets alone.
    static ModuleMap from_doublets(std::vector<Doublet> doublets, Bend bend);

private:
    struct Storage;
    explicit ModuleMap(std::nullptr_t) noexcept;
    void check(const std::string& name) const;
    void count_doublets_per_module() noexcept;
    static ModuleMap adopt(std::shared_ptr<Storage> storage, const std::string& name);

    std::shared_ptr<const Storage> storage_;
    std::span<const std::uint64_t> modules_;
    std::span<const std::uint32_t> doublet_inner_, doublet_outer_;
    std::span<const DoubletLimits> doublet_limits_;
    std::span<const std::uint32_t> triplet_offsets_, triplet_outer_;
    std::span<const TripletCodes> triplet_codes_;
    std::span<const std::uint8_t> occurrence_log2_;
    std::size_t max_doublets_per_module_ = 0;
};

}  // namespace rheinfall
